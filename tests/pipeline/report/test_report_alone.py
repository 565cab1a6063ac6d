"""A report needs the run folder and nothing else: no images, and none of the packages that make a run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_explanation import made_results, write_run

from pipeline.report.pages.report import write_report
from pipeline.run.folder import RunFolder

ROOT = Path(__file__).parents[3]
WITHOUT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "monai", "ignite", "sklearn"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
from pipeline.cli.main import main
main()
"""
PAGES = ("report.html", "model_facts.html", "model_facts.json", "checklists.json", "figures.csv", "importance.csv")


@pytest.mark.slow
def test_a_run_is_reported_where_no_network_could_run(tmp_path):
    run = write_run(tmp_path / "made-20260101-093000", made_results())
    for mark in ("plain.json", "model.json"):
        run.write_text(mark, "{}")
    alone = Path(shutil.copytree(run.path, tmp_path / "alone" / run.path.name))
    write_report(run)
    command = [sys.executable, "-c", WITHOUT, "report", str(alone)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-1] == str(alone / "report.html")
    for page in PAGES:
        assert (alone / page).read_bytes() == run.file(page).read_bytes(), page


def test_the_blocked_packages_are_what_a_network_needs():
    command = [sys.executable, "-c", WITHOUT.replace("pipeline.cli.main", "pipeline.whitening.layer")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert "torch is blocked" in result.stderr


def test_a_report_leaves_no_trace_of_where_it_was_written(tmp_path):
    first, second = (write_run(tmp_path / parent / "made", made_results()) for parent in "ab")
    for run in (first, second):
        write_report(run)
    for page in PAGES:
        assert first.file(page).read_bytes() == RunFolder(second.path).file(page).read_bytes()
        assert str(tmp_path) not in first.file(page).read_text()
