"""The floors of the house: imports go down only, and cheap modules stay cheap."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_imports_go_down_only():
    # In a process of its own: import-linter reconfigures logging.
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert ", 0 broken" in done.stdout


@pytest.mark.parametrize("module", ["pipeline.cli.main", "pipeline.config", "concepts.release", "concepts.vocabulary"])
def test_importing_costs_no_torch(module):
    heavy = "{'torch', 'monai', 'ignite', 'streamlit', 'sklearn'}"
    code = f"import sys, {module}; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_packages_hold_only_a_docstring():
    for package in ("concepts", "pipeline", "clinician_ui"):
        for file in (ROOT / package).rglob("__init__.py"):
            lines = file.read_text(encoding="utf-8").strip().splitlines()
            assert lines[0].startswith('"""'), file
            assert lines[-1].endswith('"""'), file


def test_no_package_below_tests():
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_nothing_downloads_or_unpickles():
    forbidden = ("import torchvision", "import timm", "import pickle", "allow_pickle=True", "weights_only=False")
    for package in ("concepts", "pipeline", "clinician_ui"):
        for file in (ROOT / package).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            assert not [word for word in forbidden if word in text], file
