"""SECURITY.md promises nothing that no test keeps."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_every_test_that_the_threat_model_names_exists():
    named = TEST.findall((ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert named
    missing = [f"{file}::{test}" for file, test in named if not (ROOT / file).is_file() or not is_test(file, test)]
    assert missing == []


def test_every_attack_is_in_the_threat_model():
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    attacks = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "attacks").glob("test_*.py"))
    assert attacks
    assert [attack for attack in attacks if f"`{attack}" not in page] == []


def is_test(file: str, test: str) -> bool:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return not test or test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_one_place_writes_csv():
    writers = re.compile(r"csv\.(writer|DictWriter)\(|\.to_csv\(")
    files = [file for package in ("concepts", "pipeline", "clinician_ui") for file in (ROOT / package).rglob("*.py")]
    writing = [file.relative_to(ROOT).as_posix() for file in files if writers.search(file.read_text(encoding="utf-8"))]
    assert writing == ["concepts/csv_cells.py"]
