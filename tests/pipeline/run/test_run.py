import json
import subprocess
import sys

import pytest

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate
from pipeline.config import RunSettings
from pipeline.run.folder import RunFolder, create_run, find_unfinished, open_run


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


def test_two_runs_in_one_second_get_two_folders(settings):
    assert create_run(settings).path != create_run(settings).path


def test_run_json_records_what_repeats_the_run(settings):
    record = create_run(settings).read_json("run.json")
    assert record["seed"] == settings.seed
    assert {"python", "torch", "monai"} <= record["versions"].keys()


def test_records_merge(settings):
    run = create_run(settings)
    run.record(seconds={"plain": 1.0})
    run.record(seconds={"whitened": 2.0})
    assert run.read_json("run.json")["seconds"] == {"plain": 1.0, "whitened": 2.0}


def test_resume_finds_only_the_same_settings(settings):
    run = create_run(settings)
    assert find_unfinished(settings) == run
    with pytest.raises(RunError, match=run.id):
        find_unfinished(settings.model_copy(update={"seed": 5}))


def test_a_whole_run_is_not_resumed(settings):
    create_run(settings).finish()
    with pytest.raises(RunError, match="unfinished: none"):
        find_unfinished(settings)


def test_a_missing_or_damaged_file_says_what_to_do(settings):
    run = create_run(settings)
    with pytest.raises(RunError, match="--resume"):
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
    assert not list(run.path.glob("*.tmp"))


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
    with run.lock():
        pass


def test_open_run(settings, tmp_path):
    run = create_run(settings)
    assert open_run(run.path) == run
    assert open_run(run.path.with_name(run.id)) == run
    with pytest.raises(RunError, match="no run folder"):
        open_run(tmp_path)
    assert RunFolder(tmp_path).id == tmp_path.name


def test_a_stage_is_not_redone_by_several_processes(settings, monkeypatch):
    from pipeline.retrain import redo
    from pipeline.run.progress import Silent
    from pipeline.stages import Stage

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="without torchrun"):
        redo(create_run(settings).path, Stage.REPORT, tracker=Silent())
