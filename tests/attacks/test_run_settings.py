"""Attacks by what is typed on the page Runs: paths, numbers, YAML; and by records that hide those beside them."""

import json
import resource
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from fake_explanation import made_results, write_run
from sqlalchemy import update

from concepts.errors import DataError, SettingsError
from concepts.plain_yaml import DEEPEST, MOST_CHARACTERS, parse_yaml
from pipeline.config import RunSettings, load_settings, parse_overrides
from pipeline.jobs import desk, supervise
from pipeline.jobs.job import JobState
from pipeline.jobs.ledger import open_ledger
from pipeline.jobs.overview import whole_runs
from pipeline.jobs.supervise import Limits
from pipeline.jobs.tables import JOB
from pipeline.jobs.transitions import after_ending
from pipeline.run.progress_file import parse_progress

SECONDS = 1.0
"""What a refusal may take on an idle machine; tests allow for a busy one."""
BUSY = 5


@pytest.fixture
def config(tmp_path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text("name: tiny\n")
    return file


def refusal(config: Path, *changes: str, roots: tuple[Path, ...] = ()) -> str:
    with pytest.raises(SettingsError) as error:
        desk.draft(config, changes, roots=roots)
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 1500
    return text


@pytest.mark.parametrize("key", ["data.root", "data.cache", "model.weights", "concepts.release", "runs"])
@pytest.mark.parametrize(
    "path",
    ["/etc", "/", "..", "../..", "'~'", "~root", "etc/passwd", "/proc/self/environ", "{roots}/../other", "{link}"],
)
def test_no_path_leads_out_of_the_folders_that_are_open(config, tmp_path, key, path):
    roots, link = tmp_path / "roots", tmp_path / "roots" / "link"
    roots.mkdir()
    link.symlink_to("/etc")
    path = path.format(roots=roots, link=link / "passwd")
    for allowed in ((), (roots,)):
        text = refusal(config, f"{key}={path}", roots=allowed)
        assert text.startswith(f"{key}: the path is not in a folder that is open to jobs")
        assert len(path) < 3 or path not in text


def test_what_the_operator_opened_or_configured_is_allowed(config, tmp_path):
    roots = tmp_path / "roots"
    changes = [f"data.root={roots}/isic", f"data.cache={roots}", f"model.weights={roots}/w.pt", "concepts=derm@2"]
    assert desk.draft(config, changes, roots=[roots]).data.root == roots / "isic"
    config.write_text(f"data: {{root: {tmp_path}/elsewhere}}\n")
    assert desk.draft(config, ["seed=3"]).data.root == tmp_path / "elsewhere"
    assert desk.draft(config, [f"data.root={tmp_path}/elsewhere"]).seed == 0
    assert "data.root" in refusal(config, f"data.root={tmp_path}/other")


def test_a_release_word_is_looked_up_in_the_store_and_not_among_files(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert desk.draft(config, ["concepts=derm@2"]).concepts.release == Path("derm@2")
    (tmp_path / "derm@2").write_text("{}")
    assert "concepts.release" in refusal(config, "concepts=derm@2")
    for word in ("../../derm@2", "a/b@2", "/etc/derm@2"):
        assert "concepts.release" in refusal(config, f"concepts={word}")


@pytest.mark.parametrize(
    "change",
    [
        "training.plain_epochs=1000000000",
        "training.whitened_epochs=1000000000",
        "training.auxiliary.epochs=1000000000",
        "training.batch_size=1000000000",
        "training.alignment.refinement_steps=1000000000",
        "training.alignment.every=1000000000000",
        "evaluation.resamples=1000000000",
        "explanation.permutations=1000000000",
        "data.workers=100000",
        "data.phantom.images=100000000000",
        "data.max_pixels=1000000000000",
        "data.limit=1000000000000",
        "threads=100000000",
        "transforms.margin=1000000000",
        "model.width=1e9",
        "concepts.minimum_positives=1000000000000",
        "concepts.subspaces={a: {free: 1000000000}}",
        "training.learning_rate=.inf",
        "training.learning_rate=.nan",
        "training.concept_loss.weight=.inf",
        "seed=-1",
        "seed=100000000000000000000000000000",
        "seed=0x" + "f" * 20_000,
        "data.diagnoses=[" + "a," * 5_000 + "]",
        "data.diagnoses=[1, 2]",
        "data.diagnoses=[" + ", ".join(f"diagnosis{number:090}" for number in range(400)) + "]",
        "model.architecture=" + "x" * 10_000,
        "name=" + "x" * 10_000,
        "name=../../elsewhere",
        "name=a/b",
        "name='a\\b'",
        "name=.hidden",
        "name=-rf",
        'name="a\\nb"',
        'name="a\\0b"',
        'name="a\\u202eb"',
        "name=",
        "x" * 10_000 + "=1",
        "x." * 5_000 + "x=1",
        "{1: 2}=3",
        "data={1: 2}",
        "data.cache=[]",
        "data.cache=" + "/x" * 5_000,
        'data.cache="a\\0b"',
    ],
    ids=lambda change: change[:40],
)
def test_what_no_experiment_needs_is_refused_in_a_short_line(config, change):
    begun = time.perf_counter()
    refusal(config, change)
    assert time.perf_counter() - begun < SECONDS * BUSY


def test_every_number_has_both_ends():
    def numbers(schema: dict, path: str = "") -> list[str]:
        open_ended = [path] if schema.get("type") in ("integer", "number") and not _is_bounded(schema) else []
        for key in ("properties", "$defs"):
            for name, entry in schema.get(key, {}).items():
                open_ended += numbers(entry, f"{path}.{name}")
        for entry in schema.get("anyOf", []):
            open_ended += numbers(entry, path)
        return open_ended

    assert numbers(RunSettings.model_json_schema()) == []


def _is_bounded(schema: dict) -> bool:
    if "enum" in schema:
        return True
    low, high = ({"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"})
    return bool(low & schema.keys()) and bool(high & schema.keys())


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 9)
)
HOSTILE = {
    "bomb": BOMB,
    "alias": "a: &a [1]\nb: *a",
    "merge": "a: &a {b: 1}\nc: {<<: *a}",
    "itself": "&a [*a]",
    "deep": "[" * 30_000,
    "deep mappings": "{a: " * 7_000,
    "deep block": "- " * 16_000,
    "deep keys": "? " * 16_000,
    "just too deep": "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
    "long": "#" * (MOST_CHARACTERS + 1),
    "number": "1" * 5_000,
    "date": "2001-99-99",
    "object": "!!python/object/apply:os.system [id]",
    "odd key": "{[1]: 2}",
    "control": "a\x00b",
    "half a character": "\ud800",
    "two": "--- 1\n--- 2",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_yaml_is_refused_at_once(config, text):
    begun = time.perf_counter()
    with pytest.raises(DataError):
        parse_yaml(text)
    assert "the value" in refusal(config, f"name={text}") or text == HOSTILE["two"]
    if text.isprintable():
        config.write_text(text)
        with pytest.raises(SettingsError, match=r"config\.yaml"):
            load_settings(config)
    assert time.perf_counter() - begun < SECONDS * BUSY


def test_reading_the_bomb_takes_no_memory():
    """In a process of its own, which ends where the bomb goes off."""
    code = (
        "import resource, sys\nfrom pipeline.config import parse_overrides\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n parse_overrides(['name=' + sys.stdin.read()])\n"
        "except Exception as error:\n print(type(error).__name__)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=BOMB, capture_output=True, text=True, check=True, timeout=60)
    name, grown = done.stdout.split()
    assert name == "SettingsError"
    assert int(grown) < 64 * 1024, "KiB"


def test_many_changes_are_refused(config):
    assert "at most 200" in refusal(config, *(f"seed={number}" for number in range(10_000)))


def test_an_error_repeats_the_beginning_of_what_came(config):
    text = refusal(config, f"data.source={'x' * 30_000}")
    assert "xxx…" in text
    assert len(text) < 300
    assert len(refusal(config, *(f"{'k' * 100}{number}=1" for number in range(150)))) < 1500


def test_a_job_that_takes_too_long_is_stopped_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(supervise, "POLL_SECONDS", 0.01)
    script = "import signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\ntime.sleep(60)"
    ending = run(script, tmp_path / "log", limits=Limits(hours=0.3 / 3600))
    assert ending.code != 0
    assert "longer than" in ending.reason
    assert "--job-hours" in ending.reason
    with closing(open_ledger(tmp_path / "runs")) as ledger:
        job = ledger.submit(parse_overrides(["name=n"]), by="res", key="k").id
        ledger.claim("host")
        after = ledger.change(job, lambda before: after_ending(before, "host", ending))
    assert (after.state, after.reason) == (JobState.FAILED, ending.reason), "it is not begun again"


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="the system cannot limit another process")
def test_a_job_that_takes_too_much_memory_fails_and_says_so(tmp_path):
    ending = run("import time; time.sleep(0.5); x = bytearray(3 << 30)", tmp_path / "log", limits=Limits(memory=1.0))
    assert ending.code == 1
    assert ending.reason == "MemoryError; each process of a run may take 1 GiB on this worker (--job-memory)"
    assert run("x = bytearray(1 << 20)", tmp_path / "log", limits=Limits(memory=1.0)).code == 0


def run(script: str, log: Path, *, limits: Limits) -> supervise.Ending:
    return supervise.supervise([sys.executable, "-S", "-c", script], log, tick=lambda: False, grace=10.0, limits=limits)


ODD_ROWS = [
    {"state": "paused by the next version"},
    {"at": 1e300},
    {"changed": float("-inf")},
    {"attempts": "many"},
    {"state": ""},
]


@pytest.mark.parametrize("odd", ODD_ROWS, ids=str)
def test_an_odd_job_hides_no_other_and_keeps_no_worker_back(tmp_path, odd):
    with closing(open_ledger(tmp_path / "runs")) as ledger:
        first, second = (
            ledger.submit(parse_overrides([f"seed={seed}"]), by="res", key=str(seed)).id for seed in (1, 2)
        )
        with ledger.engine.begin() as connection:
            connection.execute(update(JOB).where(JOB.c.id == first).values(odd))
        jobs = {job.id: job for job in ledger.jobs()}
        assert jobs[first].state is JobState.FAILED
        assert "cannot be read" in jobs[first].reason
        assert jobs[second].state is JobState.QUEUED
        assert ledger.claim("host").id == second


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"steps": "many"}',
        '{"steps": 1e999, "total": 1}',
        '{"steps": NaN}',
        '{"total": -4, "steps": 1}',
        '{"seconds_left": Infinity}',
        '{"stages": 3}',
        '{"stage": ["plain"]}',
        '{"steps": ' + "1" * 5_000 + "}",
        '{"title": {"a": 1}}',
        '{"message": "' + "x" * 100_000 + '"}',
    ],
    ids=lambda text: text[:30],
)
def test_odd_progress_is_none(text):
    assert parse_progress(text) is None


ODD_FILES = {
    "deep": "[" * 100_000,
    "deep object": '{"format":' * 50_000,
    "long number": '{"format": ' + "1" * 5_000 + "}",
    "not text": b"\xff\xfe\x00",
    "list": "[]",
    "empty": "",
    "no figures": json.dumps({"format": 2}),
}


@pytest.mark.parametrize("name", ["run.json", "evaluation.json", "settings.yaml"])
@pytest.mark.parametrize("content", ODD_FILES.values(), ids=ODD_FILES)
def test_an_odd_run_hides_no_other(tmp_path, name, content):
    for run_id in ("good", "odd"):
        write_run(tmp_path / run_id, made_results())
    file = tmp_path / "odd" / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    faults = {summary.id: summary.fault for summary in whole_runs(tmp_path)}
    assert faults["good"] is None
    if (name, content) != ("settings.yaml", ""):
        assert 0 < len(faults["odd"]) <= 400
