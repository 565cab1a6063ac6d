"""Attacks by a run folder that somebody handed over: its links, pipes, paths and weights."""

import os
import shutil
import threading
from pathlib import Path

import pytest
from fake_explanation import made_results, write_run

from concepts.errors import DermaxisError, RunError, SettingsError, WeightsError
from pipeline.comparison.runs import compare_runs
from pipeline.config import RunSettings, parse_overrides
from pipeline.explanation.cases.network import open_case_network
from pipeline.jobs.overview import whole_runs
from pipeline.models.state import load_state
from pipeline.models.weights import read_tensors
from pipeline.results.evaluation import Evaluation
from pipeline.retrain import redo
from pipeline.run.folder import RunFolder, create_run, open_run
from pipeline.run.progress import Silent
from pipeline.setting_paths import data_folders, followed_settings
from pipeline.stages import Stage
from pipeline.suppress import suppress_run

FILES = ("settings.yaml", "run.json", "evaluation.json", "explanation.json", "release.json")


@pytest.fixture
def victim(tmp_path) -> Path:
    """A folder and a file that belong to whoever was handed the run."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "diary.txt").write_text("private")
    return folder


@pytest.fixture
def handed(tmp_path) -> RunFolder:
    return write_run(tmp_path / "runs" / "handed", made_results())


@pytest.fixture
def trained(tmp_path, victim) -> RunFolder:
    """A run that lacks its evaluation, whose settings name folders of the victim's."""
    words = ["name=handed", f"runs={tmp_path / 'runs'}", f"data.cache={victim / 'cache'}", "data.phantom.images=2"]
    run = create_run(parse_overrides(words))
    for stage in (Stage.PLAIN, Stage.WHITENED):
        run.write_text(stage.mark, "{}")
    return run


def refused(act) -> str:
    """What a command says; it must neither wait nor fail in any other way."""
    outcome: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001  # looked at below
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it waits for ever"
    assert outcome
    assert isinstance(outcome[0], DermaxisError), outcome
    return str(outcome[0])


COMMANDS = {
    "report": lambda path: redo(path, Stage.REPORT, tracker=Silent()),
    "evaluate": lambda path: redo(path, Stage.EVALUATION, tracker=Silent()),
    "explain": lambda path: redo(path, Stage.EXPLANATION, tracker=Silent()),
    "explain image": open_case_network,
    "suppress": lambda path: suppress_run(path, ["streaks"], tracker=Silent()),
    "compare": lambda path: compare_runs([path, path]),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(
    "name", [*FILES, "cases", "discovery", ".lock", "report.html", "cases/a.jpg.tmp", "model.json"]
)
def test_a_run_with_a_link_is_refused_and_nothing_outside_is_touched(handed, victim, command, name):
    path = handed.file(name)
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    target = victim if "." not in name else victim / "diary.txt"
    if name in FILES:  # a link to what would be read
        shutil.copyfile(victim / "diary.txt", victim / name)
        target = victim / name
    before = sorted(file.name for file in victim.iterdir())
    path.symlink_to(target)
    assert "a link, a pipe or the like" in refused(lambda: command(handed.path))
    assert (victim / "diary.txt").read_text() == "private"
    assert sorted(file.name for file in victim.iterdir()) == before


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_run_with_a_pipe_keeps_nobody_waiting(handed, command):
    handed.file("evaluation.json").unlink()
    os.mkfifo(handed.file("evaluation.json"))
    assert "a link, a pipe or the like" in refused(lambda: command(handed.path))


@pytest.mark.parametrize("name", ["settings.yaml", "run.json", "evaluation.json"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "large", "circle"])
def test_an_odd_file_is_told_of_its_run_alone(handed, victim, name, kind):
    write_run(handed.path.parent / "good", made_results())
    path = handed.file(name)
    path.unlink()
    match kind:
        case "link":
            path.symlink_to(victim / "diary.txt")
        case "circle":
            path.symlink_to(path)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "large":
            with path.open("wb") as file:
                file.truncate(1 << 40)
    summaries: list = []
    thread = threading.Thread(target=lambda: summaries.extend(whole_runs(handed.path.parent)), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "the list of runs waits for ever"
    faults = {summary.id: summary.fault for summary in summaries}
    assert faults.pop("good") is None
    assert all("private" not in fault for fault in faults.values())


def test_the_settings_of_a_run_lead_nowhere_unless_the_caller_says_so(trained, victim):
    for stage in (Stage.EVALUATION, Stage.EXPLANATION, Stage.REPORT):
        text = refused(lambda stage=stage: redo(trained.path, stage, tracker=Silent()))
        assert "data.cache in its settings leads out of the run's folder" in text
        assert str(victim) not in text
    assert "data.cache" in refused(lambda: suppress_run(trained.path, ["streaks"], tracker=Silent()))
    assert not (victim / "cache").exists()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("data.cache={victim}", "data.cache"),
        ("data.root={victim}", "data.root"),
        ("data.root=../victim", "data.root"),
        ("concepts.release={victim}/r.json", "concepts.release"),
        ("data.root={folder}/../../victim", "data.root"),
    ],
)
def test_each_path_must_be_named(tmp_path, victim, change, key):
    folder = tmp_path / "runs" / "handed"
    folder.mkdir(parents=True)
    settings = parse_overrides([change.format(victim=victim, folder=folder)])
    with pytest.raises(RunError, match=key):
        followed_settings(settings, folder)
    named = followed_settings(settings, folder, [f"{key}=/mine"])
    assert "/mine" in named.model_dump_json()
    inside = parse_overrides([f"{key}={folder}/data"])
    assert followed_settings(inside, folder) == inside
    assert followed_settings(RunSettings(), folder) == RunSettings(), "defaults are no choice of the run's"


def test_the_caller_names_paths_and_changes_nothing_else(tmp_path):
    for words in (["seed=4"], ["runs=/x"], ["data.root"], ["model.weights=/x"]):
        with pytest.raises(SettingsError):
            followed_settings(RunSettings(), tmp_path, words)
    with pytest.raises(SettingsError, match="you can only name its paths"):
        data_folders(["seed=4"])


def test_what_a_run_says_is_not_written_through_a_link_that_came_later(handed, victim):
    """The file is replaced, even where the folder was looked through before."""
    run = open_run(handed.path)
    evaluation = run.read(Evaluation)
    run.file("evaluation.json").unlink()
    run.file("evaluation.json").symlink_to(victim / "diary.txt")
    run.write(evaluation)
    assert (victim / "diary.txt").read_text() == "private"
    assert run.read(Evaluation) == evaluation


WEIGHTS = {
    "empty": b"",
    "text": b"hello, I am no network",
    "one byte": b"\x00",
    "pops": b"ab0.",
    "stops": b".",
    "marks": b"(((t",
    "memo": b"h\x05.",
    "protocol": b"\x80\x02}q\x00.",
    "zip": b"PK\x03\x04" + bytes(60),
    "half a header": (1 << 40).to_bytes(8, "little") + b"{}",
    "html": b"<!DOCTYPE html><title>404</title>",
    "zeros": bytes(4096),
    "unpickler": b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.",
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ""])
@pytest.mark.parametrize("content", WEIGHTS.values(), ids=WEIGHTS)
def test_what_is_no_weights_ends_in_a_line(tmp_path, content, suffix):
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(content)
    with pytest.raises(WeightsError) as refusal:
        read_tensors(file)
    assert "\n" not in str(refusal.value)
    with pytest.raises(WeightsError):
        load_state(file)


def test_a_dictionary_that_holds_itself_ends_too(tmp_path):
    import torch

    content: dict = {}
    content["model"] = content
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="holds no state dict"):
        read_tensors(tmp_path / "weights.pt")
