"""The examples in docstrings run, and what others build on has one."""

import doctest
import importlib
import inspect
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
from fake_stores import CHEAP_HASHER, MEMORY, fill, judge_two_images

from concepts.curation import accounts, door
from concepts.curation.accounts import OPERATOR
from concepts.curation.queue import Filter, Order
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Verdict
from concepts.store.roles import Role
from concepts.store.store import open_store

ROOT = Path(__file__).parents[2]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
EACH_PUBLIC_NAME: tuple[str, ...] = (
    "concepts.files",
    "concepts.curation.door",
    "pipeline.run.seeds",
    "pipeline.training.alignment",
    "pipeline.whitening.activation",
    "pipeline.whitening.batch",
    "pipeline.whitening.channels",
    "pipeline.whitening.choices",
    "pipeline.whitening.distributed",
    "pipeline.whitening.early_exit",
    "pipeline.whitening.errors",
    "pipeline.whitening.fold",
    "pipeline.whitening.hierarchy",
    "pipeline.whitening.layer",
    "pipeline.whitening.neighbours",
    "pipeline.whitening.rotate",
    "pipeline.whitening.statistics",
    "pipeline.whitening.subspaces",
    "pipeline.whitening.surgery",
    "pipeline.whitening.whiten",
)
"""Modules whose public classes and functions each need an example."""
WORDS = {
    **{name: getattr(door, name) for name in door.__all__},
    **{word.__name__: word for word in (Judgement, Verdict, Role, ImageRecord, Filter, Order)},
    "OPERATOR": OPERATOR,
}
"""What examples about a store may say without importing it, see `concepts.curation.door`."""


def modules_with_examples() -> list[str]:
    """Every module of ours that has an example, found by its text."""
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for package in ("concepts", "pipeline", "clinician_ui")
        for file in sorted((ROOT / package).rglob("*.py"))
        if ">>> " in file.read_text(encoding="utf-8")
    ]


def public_objects(module: ModuleType) -> dict[str, object]:
    """What a module offers: its ``__all__``, else the public classes and functions that it defines."""
    objects = {name: getattr(module, name) for name in getattr(module, "__all__", vars(module))}
    return {
        name: entry
        for name, entry in objects.items()
        if (inspect.isclass(entry) or inspect.isroutine(entry))
        and not name.startswith("_")
        and (hasattr(module, "__all__") or entry.__module__ == module.__name__)
    }


@pytest.fixture(scope="session")
def example_store() -> Iterator[Path]:
    """A store as the examples find it, on a disk that need not be waited for."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "HASHER", CHEAP_HASHER)
        path = Path(folder) / "template.sqlite"
        with closing(open_store(str(path))) as store:
            fill(store)
            judge_two_images(store)
        yield path


def failures(example: doctest.DocTest, template: Path) -> list[str]:
    """Run the example of one docstring; what it says where it does not hold."""
    runner, output = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False), []
    if not any("store" in part.source for part in example.examples):
        runner.run(example, out=output.append)
        return output
    with tempfile.TemporaryDirectory(dir=template.parent) as folder:
        shutil.copyfile(template, Path(folder) / "store.sqlite")
        with closing(open_store(f"{folder}/store.sqlite")) as store:
            example.globs = {**WORDS, **example.globs, "store": store, "folder": Path(folder)}
            runner.run(example, out=output.append)
    return output


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_run(name, example_store):
    examples = [e for e in doctest.DocTestFinder().find(importlib.import_module(name), name) if e.examples]
    assert examples
    assert "".join(line for example in examples for line in failures(example, example_store)) == ""


@pytest.mark.parametrize("name", EACH_PUBLIC_NAME)
def test_what_others_build_on_has_an_example(name):
    objects = public_objects(importlib.import_module(name))
    assert objects
    assert not [name for name, entry in objects.items() if ">>> " not in (inspect.getdoc(entry) or "")]


def test_an_example_that_does_not_hold_is_noticed(example_store):
    text = ">>> len(contested(store, 'eve', 'derm'))\n2\n"
    example = doctest.DocTestParser().get_doctest(text, {}, "wrong", None, None)
    assert "Expected:\n    2\nGot:\n    1" in "".join(failures(example, example_store))
