"""Every file is written by `concepts.files`: under a random name that did not exist, through no link, whole or not."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OTHERS = {
    "concepts/files.py": "is the writer",
    "concepts/store/backup.py": "locks a store that it then renames, and writes nothing into it",
    "concepts/store/database.py": "opens a ticket that is locked and never written",
    "pipeline/jobs/supervise.py": "appends the output of a run to its log",
    "pipeline/data/phantom/cohort.py": "draws images into a folder that `completing` made",
    "pipeline/export/onnx.py": "lets the exporter write to a path that `replacing` made",
}
SAVERS = frozenset({"save_file", "copyfile", "copy", "copytree", "savez", "tofile", "extractall"})
CONTEXTS = frozenset({"replacing", "completing"})


def direct_writes(tree: ast.AST, *, is_safe: bool = False) -> Iterator[str]:
    """Yield the calls that write to a path, outside the blocks that were given a path of their own."""
    if isinstance(tree, ast.With):
        is_safe = is_safe or any(_called(item.context_expr) in CONTEXTS for item in tree.items)
    if isinstance(tree, ast.Call) and not is_safe and _writes(tree):
        yield f"line {tree.lineno}: {_called(tree)}"
    for child in ast.iter_child_nodes(tree):
        yield from direct_writes(child, is_safe=is_safe)


def _called(node: ast.AST) -> str:
    function = node.func if isinstance(node, ast.Call) else node
    return getattr(function, "attr", None) or getattr(function, "id", "")


def _writes(call: ast.Call) -> bool:
    name, is_method = _called(call), isinstance(call.func, ast.Attribute)
    match name:
        case "write_text" | "write_bytes":  # a run folder's own takes the file's name first
            return is_method and len(call.args) == 1
        case "open":
            modes = [*call.args, *(word.value for word in call.keywords if word.arg == "mode")]
            words = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
            return any(set(word) <= set("rwxabt+") and set(word) & set("wxa+") for word in words)
        case "save":
            return not any(getattr(argument, "id", "") == "buffer" for argument in call.args)
        case "to_csv":
            return bool(call.args)
        case "copy":
            return _called(call.func.value) == "shutil" if is_method else False
    return name in SAVERS


@pytest.mark.parametrize("package", ["concepts", "pipeline", "clinician_ui"])
def test_every_file_is_written_by_the_one_writer(package):
    faults = {
        name: writes
        for file in sorted((ROOT / package).rglob("*.py"))
        if (name := str(file.relative_to(ROOT))) not in OTHERS
        if (writes := list(direct_writes(ast.parse(file.read_text(encoding="utf-8")))))
    }
    assert faults == {}


@pytest.mark.parametrize("name", sorted(set(OTHERS) - {"concepts/files.py"}))
def test_every_exception_is_still_needed(name):
    assert list(direct_writes(ast.parse((ROOT / name).read_text(encoding="utf-8"))))


@pytest.mark.parametrize(
    ("line", "is_seen"),
    [
        ("path.write_text(text, encoding='utf-8')", True),
        ("run.write_text('report.html', page)", False),
        ("path.open('wb')", True),
        ("open(path, mode='a')", True),
        ("path.open('rb')", False),
        ("path.open(encoding='utf-8')", False),
        ("image.save(path)", True),
        ("image.save(buffer, format='PNG')", False),
        ("table.to_csv(path)", True),
        ("table.to_csv(index=False)", False),
        ("with replacing(path) as temporary:\n    save_file(tensors, temporary)", False),
        ("save_file(tensors, path)", True),
    ],
)
def test_the_lint_sees_what_writes(line, is_seen):
    assert bool(list(direct_writes(ast.parse(line)))) == is_seen
