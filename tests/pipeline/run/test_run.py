import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version

import pytest

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate
from pipeline.config import RunSettings
from pipeline.results.record import RunRecord
from pipeline.run import folder as run_folder
from pipeline.run.folder import PACKAGES, RunFolder, create_run, find_unfinished, open_run


@pytest.fixture(autouse=True)
def _without_git(monkeypatch):
    # Asking git for the commit takes longer than all else that makes a run.
    monkeypatch.setattr(
        run_folder.subprocess, "run", lambda command, **options: subprocess.CompletedProcess(command, 0, "d34db33f\n")
    )


@pytest.fixture
def settings(tmp_path):
    return RunSettings(runs=tmp_path / "runs", name="trial")


def test_a_run_is_partial_until_it_is_whole(settings):
    run = create_run(settings)
    assert not run.is_whole
    whole = run.finish()
    assert whole.is_whole
    assert whole.id == run.id
    assert not run.path.exists()
    assert whole.settings() == settings


def test_runs_of_one_second_get_folders_of_their_own(settings, monkeypatch):
    class Noon(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime(2026, 1, 2, 12, 0, 0, tzinfo=zone)

    monkeypatch.setattr(run_folder, "datetime", Noon)
    first, second = create_run(settings), create_run(settings)
    assert (first.id, second.id) == ("trial-20260102-120000", "trial-20260102-120000-2")
    first.finish()
    assert create_run(settings).id == "trial-20260102-120000-3"
    monkeypatch.setattr(run_folder, "MOST_OF_ONE_NAME", 4)
    with pytest.raises(RunError, match="3 runs are called trial-20260102-120000; move or delete some"):
        create_run(settings)


def test_run_json_records_what_repeats_the_run(settings):
    run = create_run(settings.model_copy(update={"seed": 3}))
    record = run.read_json("run.json")
    assert (record["id"], record["seed"]) == (run.id, 3)
    assert record["versions"] == {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    assert record["machine"] == {"platform": platform.platform(), "processors": os.cpu_count()}
    assert abs(datetime.fromisoformat(record["started"]) - datetime.now(UTC)).total_seconds() < 60


def test_the_command_is_recorded_without_the_place_of_its_program(settings, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/opt/bin/dermaxis", "run", "/configs/demo.yaml"])
    assert create_run(settings).read_json("run.json")["command"] == "dermaxis run /configs/demo.yaml"


@pytest.mark.parametrize(
    ("outcome", "commit"),
    [((0, "d34db33f-dirty\n"), "d34db33f-dirty"), ((0, "\n"), None), ((128, "fatal"), None), (None, None)],
)
def test_the_commit_is_that_of_the_code_where_git_knows_it(settings, monkeypatch, outcome, commit):
    def describe(command, **options):
        if outcome is None:
            raise FileNotFoundError("git")
        return subprocess.CompletedProcess(command, *outcome)

    monkeypatch.setattr(run_folder.subprocess, "run", describe)
    assert create_run(settings).read_json("run.json")["commit"] == commit


def test_records_merge(settings):
    run = create_run(settings)
    run.record(seconds={"plain": 1.0})
    run.record(seconds={"whitened": 2.0, "plain": 3.0}, finished="then")
    run.record(finished="now")
    record = run.read_json("run.json")
    assert record["seconds"] == {"plain": 3.0, "whitened": 2.0}
    assert record["finished"] == "now"
    assert record["id"] == run.id


def test_a_stage_is_timed_in_seconds(settings, monkeypatch):
    run, clock = create_run(settings), iter([10.0, 12.34])
    monkeypatch.setattr(run_folder.time, "perf_counter", lambda: next(clock))
    with run.timed("plain"):
        assert run.read(RunRecord).seconds == {}
    assert run.read(RunRecord).seconds == {"plain": 2.3}


def test_a_process_that_does_not_write_leaves_no_trace(settings):
    run = create_run(settings)
    before = {file.name: file.read_bytes() for file in run.path.iterdir()}
    reader = RunFolder(run.path, writes=False)
    with run.lock(), reader.lock(), reader.timed("plain"):
        reader.write_json("figures.json", {})
        reader.write_text("note.txt", "")
        reader.record(seed=9)
    (run.path / ".lock").unlink()
    assert {file.name: file.read_bytes() for file in run.path.iterdir()} == before


def test_resume_finds_only_the_same_settings(settings):
    run = create_run(settings)
    assert find_unfinished(settings) == run
    with pytest.raises(RunError, match=rf"unfinished: {run.id}\)"):
        find_unfinished(settings.model_copy(update={"seed": 5}))


def test_resume_finds_the_newest_of_the_same_runs(settings):
    runs = [create_run(settings) for _ in range(3)]
    for run, age in zip(runs, (5, 1, 9), strict=True):
        os.utime(run.file("settings.yaml"), (1e9 - age, 1e9 - age))
    assert find_unfinished(settings) == runs[1]


@pytest.mark.parametrize("content", [b"seed: {", b"weather: fine", b"- 1", b"\xff\xfe\x00", None])
def test_an_unreadable_run_beside_the_right_one_is_skipped_by_name(settings, caplog, content):
    run, other = create_run(settings), create_run(settings)
    other.file("settings.yaml").unlink()
    if content is not None:
        other.file("settings.yaml").write_bytes(content)
    assert find_unfinished(settings) == run
    assert f"skipped the unfinished run {other.id}: its settings cannot be read" in caplog.text
    assert run.id not in caplog.text.replace(other.id, "")
    (settings.runs / "note.partial").write_text("a file, not a run")
    names = ", ".join(sorted([f"{run.id}.partial", f"{other.id}.partial"])).replace(".partial", "")
    with pytest.raises(RunError, match=rf"unfinished: {names}\)"):
        find_unfinished(settings.model_copy(update={"seed": 5}))


def test_a_whole_run_is_not_resumed(settings):
    create_run(settings).finish()
    with pytest.raises(RunError, match="unfinished: none"):
        find_unfinished(settings)


def test_a_missing_or_damaged_file_says_what_to_do(settings):
    run = create_run(settings)
    with pytest.raises(RunError, match=r"evaluation\.json is missing; resume the run: .* --resume"):
        run.read_json("evaluation.json")
    run.write_text("evaluation.json", "{")
    with pytest.raises(RunError, match="damaged"):
        run.read_json("evaluation.json")


def test_json_holds_no_nan_and_no_leftovers(settings):
    run = create_run(settings)
    run.write_json("figures.json", {"a": Estimate(float("nan"), 0.0, 1.0, 3), "b": [float("inf"), 1.5]})
    assert json.loads(run.file("figures.json").read_text()) == {
        "a": {"value": None, "low": 0.0, "high": 1.0, "n": 3},
        "b": [None, 1.5],
    }
    assert {file.name for file in run.path.iterdir()} == {"settings.yaml", "run.json", "figures.json"}
    run.write_json("figures.json", {1: ("ä", True, None)})
    assert run.file("figures.json").read_text(encoding="utf-8") == '{\n "1": [\n  "ä",\n  true,\n  null\n ]\n}\n'


def test_a_run_in_use_is_refused_and_a_killed_holder_lets_go(settings):
    run = create_run(settings)
    code = (
        "import sys, time; from pathlib import Path; from pipeline.run.folder import RunFolder\n"
        f"with RunFolder(Path({str(run.path)!r})).lock():\n print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(RunError, match="another process"), run.lock():
            pass
        holder.kill()
        holder.wait()
    for _ in range(2):  # a lock that was given back can be taken again, after an error too
        with pytest.raises(ZeroDivisionError), run.lock():
            raise ZeroDivisionError
    assert not list(run.finish().path.glob(".lock*"))


def test_a_run_is_held_against_another_thread_or_part_of_this_process_too(settings):
    run = create_run(settings)
    with run.lock(), pytest.raises(RunError, match="another process"), RunFolder(run.path).lock():
        pass


def test_open_run(settings, tmp_path):
    run = create_run(settings)
    assert open_run(run.path) == run
    assert open_run(run.path.with_name(run.id)) == run
    with pytest.raises(RunError, match="no run folder"):
        open_run(tmp_path)
    assert RunFolder(tmp_path).id == tmp_path.name
    with pytest.raises(RunError, match="not a run folder"):
        RunFolder(tmp_path).settings()


def test_a_stage_is_not_redone_by_several_processes(settings, monkeypatch):
    from pipeline.retrain import redo
    from pipeline.run.progress import Silent
    from pipeline.stages import Stage

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="without torchrun"):
        redo(create_run(settings).path, Stage.REPORT, tracker=Silent())
