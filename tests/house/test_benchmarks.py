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
    found = json.loads(figures.read_text())
    assert set(found) == {"rotation, closed form", "rotation, low-rank Cayley"}
    for name, row in found.items():
        assert name in done.stdout
        assert row["quartiles"][0] <= row["ratio"] <= row["quartiles"][1]
        assert row["ratio"] < 0.2, "an update of rank 2k against C x C matrices"
