"""The benchmarks run, and say what they measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_a_row_is_measured_and_written_with_its_target(tmp_path):
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(BENCHMARKS / "whitening_speed.py"), "rotation", "--device", "cpu", "--json", figures]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured = json.loads(figures.read_text())
    assert set(measured) == {"rotation, closed form", "rotation, low-rank Cayley"}
    for name, row in measured.items():
        assert name in done.stdout
        assert row["quartiles"][0] <= row["ratio"] <= row["quartiles"][1]
        assert row["ratio"] < 0.2, "an update of rank 2k against C x C matrices"


@pytest.mark.slow
def test_waiting_for_the_next_image_is_measured_on_both_screens(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "store_reading.py"), "--store", str(tmp_path / "store.sqlite")]
    command += ["--images", "60", "--concepts", "4", "--judgements", "80", "--sessions", "4", "--asks", "3"]
    done = subprocess.run(
        [*command, "--look", "0.01", "--json", str(tmp_path / "figures.json")],
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads((tmp_path / "figures.json").read_text())
    assert {name.split(":")[0] for name in measured["waits"]} == {"Curate", "Grid"}
    for name, row in measured["waits"].items():
        assert name in done.stdout
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["max_ms"]
    # Of each of four sessions three cases, of which the first was not judged yet.
    assert sum(row["n"] for name, row in measured["waits"].items() if name.endswith("verdict and next")) == 4 * 2
    assert 0 < measured["peak_mib"] < 2048
