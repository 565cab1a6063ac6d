"""The floors of the house: imports go down only, and cheap modules stay cheap."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_imports_go_down_only():
    # In a process of its own: import-linter reconfigures logging.
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert ", 0 broken" in done.stdout


@pytest.mark.parametrize(
    "module", ["pipeline.cli.main", "pipeline.config", "pipeline.whitening", "concepts.release", "concepts.vocabulary"]
)
def test_importing_costs_no_torch(module):
    heavy = "{'torch', 'monai', 'ignite', 'streamlit', 'sklearn'}"
    code = f"import sys, {module}; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


ENGINE = Path("pipeline/whitening/__init__.py")
"""The only package that has names of its own: it will be a distribution, and a stranger finds its ten names there."""


def test_packages_hold_only_a_docstring():
    for package in ("concepts", "pipeline", "clinician_ui"):
        for file in (ROOT / package).rglob("__init__.py"):
            statements = ast.parse(file.read_text(encoding="utf-8")).body
            if file != ROOT / ENGINE:
                assert len(statements) == 1, file
            assert isinstance(statements[0], ast.Expr), file


def test_the_engine_has_ten_names_and_loads_them_when_they_are_used():
    engine = import_module("pipeline.whitening")
    assert len(engine.__all__) == 10
    assert [name for name in engine.__all__ if getattr(engine, name).__name__ != name] == []
    with pytest.raises(AttributeError, match="has no attribute 'torch'"):
        engine.torch  # noqa: B018


def test_no_package_below_tests():
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_nothing_downloads_or_unpickles():
    forbidden = ("import torchvision", "import timm", "import pickle", "allow_pickle=True", "weights_only=False")
    for package in ("concepts", "pipeline", "clinician_ui"):
        for file in (ROOT / package).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            assert not [word for word in forbidden if word in text], file
