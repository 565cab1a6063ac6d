"""The whole job under torchrun with two processes: as one process does it, killed and resumed, and refused."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.config import dump_settings, parse_overrides
from pipeline.run.folder import RunFolder

pytestmark = pytest.mark.slow

TINY = [
    "name=tiny",
    "data.phantom.images=120",
    "data.phantom.size=64",
    "transforms.size=64",
    "transforms.margin=4",
    "model.architecture=resnet18",
    "model.width=0.125",
    "model.layer=layer2",
    "training.plain_epochs=3",
    "training.whitened_epochs=1",
    "training.batch_size=16",
    "training.learning_rate=1e-5",
    "training.whitened_learning_rate=1e-5",
    "training.free_axis_dropout=0.5",
    "training.concept_loss.weight=0.5",
    "training.concept_loss.region_weight=0.5",
    "evaluation.resamples=100",
    "explanation.permutations=20",
]
ALONE = [sys.executable, "-m", "pipeline"]
TOGETHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "pipeline"]
PATIENCE = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("torchrun")


def settings_file(folder: Path, runs: str) -> Path:
    settings = parse_overrides([*TINY, f"runs={folder / runs}", f"data.cache={folder / 'cache'}"])
    path = folder / f"{runs}.yaml"
    path.write_text(dump_settings(settings))
    return path


def surroundings():
    return os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def do(start, folder, *arguments):
    command = [*start, "run", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, env=surroundings())
    return done.returncode, done.stderr


def whole(folder, runs):
    (path,) = (folder / runs).iterdir()
    assert not path.name.endswith(".partial")
    return RunFolder(path)


@pytest.fixture(scope="module")
def two(folder):
    status, output = do(TOGETHER, folder, settings_file(folder, "two"))
    assert status == 0, output
    return whole(folder, "two")


@pytest.fixture(scope="module")
def single(folder):
    status, output = do(ALONE, folder, settings_file(folder, "one"))
    assert status == 0, output
    return whole(folder, "one")


def test_the_run_folder_of_two_processes_is_that_of_one(single, two):
    assert {path.name for path in two.path.rglob("*")} == {path.name for path in single.path.rglob("*")}
    for name in ("split.csv", "samples.csv", "plain.json", "model.json"):
        assert two.file(name).read_text() == single.file(name).read_text()


def test_two_processes_count_every_image_once(single, two):
    counts = ("positives", "negatives", "regions", "positions")
    (alone,), (together,) = (run.read_json("run.json")["alignment"].values() for run in (single, two))
    assert {name: together[name] for name in counts} == {name: alone[name] for name in counts}
    assert together["residual"] == pytest.approx(alone["residual"], abs=1e-4)


def test_two_processes_learn_what_one_learns(single, two):
    alone, together = (run.read_json("run.json")["history"] for run in (single, two))
    for phase in ("plain", "whitened"):
        losses = [[epoch["loss"] for epoch in history[phase]] for history in (alone, together)]
        np.testing.assert_allclose(losses[1], losses[0], atol=2e-3)
    alone, together = (pd.read_csv(run.file("predictions.csv"), index_col="image_id") for run in (single, two))
    assert list(alone.index) == list(together.index)
    numbers = alone.select_dtypes("number").columns
    np.testing.assert_allclose(together[numbers], alone[numbers], atol=5e-3)


def second_process() -> int:
    """The process identifier of the second process of a job that this test started."""
    for entry in Path("/proc").iterdir():
        try:
            parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
            variables = (entry / "environ").read_bytes().split(b"\0")
            mine = Path(f"/proc/{parent}/stat").read_text().rsplit(")", 1)[1].split()[1] == str(os.getpid())
        except (OSError, IndexError):
            continue
        if mine and b"RANK=1" in variables:
            return int(entry.name)
    raise AssertionError("the second process is not there")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the process to kill in /proc")
def test_a_killed_process_leaves_a_run_that_resumes_to_the_same(folder, two):
    file = settings_file(folder, "killed")
    command = [*TOGETHER, "run", str(file)]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env=surroundings()) as process:
        deadline = time.monotonic() + PATIENCE
        while not list((folder / "killed").glob("*.partial/plain.state.safetensors")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(second_process(), signal.SIGKILL)
        output = process.stderr.read()
        assert process.wait(timeout=60) != 0
    lines = [line for line in output.splitlines() if line.startswith("dermaxis: ")]
    assert len(lines) == 1, output
    assert "--resume" in lines[0]
    status, output = do(TOGETHER, folder, file, "--resume")
    assert status == 0, output
    resumed = whole(folder, "killed")
    for name in ("predictions.csv", "evaluation.json", "explanation.json"):
        assert resumed.file(name).read_text() == two.file(name).read_text(), name


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("model.architecture=alexnet", "'alexnet' is not known"),
        ("training.batch_size=15", "2 processes cannot share evenly"),
    ],
)
def test_what_is_refused_is_refused_once_and_leaves_nothing(folder, two, override, reason):
    del two  # the cohort is drawn once
    status, output = do(TOGETHER, folder, settings_file(folder, "refused"), override)
    assert status != 0
    lines = [line for line in output.splitlines() if line.startswith("dermaxis: ")]
    assert len(lines) == 1, output
    assert reason in lines[0]
    assert not list((folder / "refused").glob("*"))
