"""No cell of a table that Dermaxis writes is a formula, numbers stay numbers, and what is read is what was written."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinician_ui.screens.history import COLUMNS, events_to_csv
from concepts.csv_cells import csv_rows, csv_text
from concepts.judgement import Judgement, Verdict
from concepts.sources.csv_table import read_csv, write_csv
from concepts.store.audit import Event
from pipeline.data.sample import Sample, write_samples
from pipeline.data.splits import Part, Split, read_split, write_split
from pipeline.explanation.cases.files import write_index
from pipeline.explanation.cases.index import read_index
from pipeline.explanation.discovery.files import Candidate, read_candidates, write_candidates
from pipeline.results.discovery import Direction
from pipeline.run.folder import RunFolder

STARTS = "=+-@\t\r\n＝＋－＠"  # noqa: RUF001
FORMULAS = ["=1+1", "+1", "-cmd|' /C calc'!A0", "@SUM(A1)", "\tx", "\rx", "\nx", "'=1", "a,\r\n=b"]
CASE = {"part": "test", "reference": "", "call": "nevus", "probability": 0.5, "wrong": "", "abstain": False}
FLAGS = {"conflict": False, "out_of_scope": False, "unusual_picture": True}


def assert_inert(text: str) -> None:
    """No cell starts a formula, unless it is a number."""
    for row in csv.reader(io.StringIO(text, newline="")):
        for cell in row:
            assert not cell.startswith(tuple(STARTS)) or float(cell) < 0, cell


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.floats(allow_nan=False)), min_size=1))
def test_what_is_written_is_inert_and_is_read_back(rows):
    text = csv_text(("name", "value"), rows)
    assert_inert(text)
    assert [(row["name"], float(row["value"])) for row in csv_rows(text)] == rows


@pytest.mark.parametrize("name", FORMULAS)
def test_names_of_columns_are_inert_too(name):
    text = csv_text((name, "b"), [(-0.5, None)])
    assert_inert(text)
    assert csv_rows(text) == [{name: "-0.5", "b": ""}]


@pytest.mark.parametrize("name", FORMULAS)
def test_tables_of_a_run(tmp_path, name):
    run = RunFolder(tmp_path)
    sample = Sample(image_id=name, path=Path(name), digest="d", diagnosis=name, source=name, site=name, age=-0.5)
    write_samples([sample, replace(sample, image_id="b")], run.file("samples.csv"))
    split = Split({name: Part.TRAIN, "b": Part.TEST}, {name: name, "b": "b"})
    write_split(split, run.file("split.csv"))
    write_index(run, [{"image_id": name, **CASE, **FLAGS, "state_streaks": "present"}])
    (tmp_path / "discovery").mkdir()
    candidate = Candidate(name, "d", "high", -0.25, (0.0, 0.0, 1.0, 1.0))
    write_candidates(run, "a", [candidate])
    for file in tmp_path.rglob("*.csv"):
        assert_inert(file.read_bytes().decode())
    rows = csv_rows(run.file("samples.csv").read_bytes().decode())
    assert [rows[0][column] for column in ("image_id", "path", "diagnosis", "site", "age")] == [name] * 4 + ["-0.5"]
    assert read_split(run.file("split.csv")) == split
    assert [row.image_id for row in read_index(run)] == [name]
    assert read_candidates(run, Direction.model_construct(candidates="discovery/a.csv")) == [candidate]


@pytest.mark.parametrize("name", FORMULAS)
def test_tables_of_the_tool(tmp_path, name):
    judgement = Judgement(reader="a", image_id="b", concept="streaks", verdict=Verdict.PRESENT, note=name)
    write_csv([judgement], tmp_path / "judgements.csv")
    assert_inert((tmp_path / "judgements.csv").read_bytes().decode())
    assert read_csv(tmp_path / "judgements.csv") == (judgement,)
    event = Event(**dict.fromkeys(COLUMNS, name), payload={"note": name}, **other_fields())
    text = events_to_csv([event])
    assert_inert(text)
    assert csv_rows(text)[0]["actor"] == name


def other_fields() -> dict[str, str]:
    return {field: "" for field in Event.__dataclass_fields__ if field not in (*COLUMNS, "payload")}
