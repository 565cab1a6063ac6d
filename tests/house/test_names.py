"""Names say what they hold, prose fits the page: lists of what a reader stumbled over, kept out by a test."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path
from symtable import SymbolTable, symtable

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_LINE = 120
VAGUE = frozenset({"one", "found", "known", "said", "own", "chosen", "place", "thing", "stuff", "data_", "tmp", "obj"})
"""Names that say nothing about what they hold; a concept, an axis, a row or an image has a name of its own."""
VAGUE_IN_CODE = VAGUE | {"wanted", "kept", "shown", "some", "done", "seen", "whole"}
VAGUE_MODULES = frozenset({"utils", "util", "helpers", "common", "misc", "manager", "base", "tools"})
ROOMS = ("concepts", "pipeline", "clinician_ui", "tests")
PACKAGES = sorted({str(file.parent.relative_to(ROOT)) for room in ROOMS for file in (ROOT / room).rglob("*.py")})


def assigned_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every name that a module binds, with its line: variables, parameters, loops, comprehensions, functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno


def identifiers(table: SymbolTable) -> Iterator[str]:
    """Yield every name that a module binds or reads, as the compiler lists them: in a quarter of the time of a walk."""
    yield from table.get_identifiers()
    for child in table.get_children():
        yield from identifiers(child)


def vague_names(source: str, vague: frozenset[str] = VAGUE_IN_CODE) -> list[str]:
    if vague.isdisjoint(name.lower() for name in identifiers(symtable(source, "module", "exec"))):
        return []
    return [f"line {line}: {name}" for name, line in assigned_names(ast.parse(source)) if name.lower() in vague]


@pytest.mark.parametrize("package", PACKAGES)
def test_names_say_what_they_hold(package):
    vague = VAGUE if package.startswith("tests") else VAGUE_IN_CODE
    faults = {
        str(file.relative_to(ROOT)): names
        for file in sorted((ROOT / package).glob("*.py"))
        if (names := vague_names(file.read_text(encoding="utf-8"), vague))
    }
    assert not faults


def test_the_lint_sees_vague_names_wherever_they_are_bound():
    source = "def said(one):\n    for found in one:\n        own = [known for known in found]\n"
    assert sorted(name.split(": ")[1] for name in vague_names(source)) == ["found", "known", "one", "own", "said"]


def test_no_module_is_called_by_a_word_without_meaning():
    files = [file for package in ("concepts", "pipeline", "clinician_ui") for file in (ROOT / package).rglob("*.py")]
    assert not [str(file) for file in files if file.stem in VAGUE_MODULES]


def test_no_line_of_prose_or_template_is_too_long():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    endings = (".md", ".py", ".html", ".css", ".js", ".yaml", ".yml", ".toml", ".cff")
    files = [ROOT / name for name in tracked.stdout.split("\0") if name.endswith(endings)]
    long_lines = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in files
        if file.exists()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if len(line) > LONGEST_LINE and not is_unbreakable(line)
    ]
    assert not long_lines


def is_unbreakable(line: str) -> bool:
    """A row of a table, or an address, cannot be broken without breaking what it says."""
    return line.lstrip().startswith(("|", "http")) or "https://" in line
