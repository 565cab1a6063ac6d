"""Judgements to CSV and JSON Lines and back: the same, inert in a spreadsheet, and all or nothing."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concepts.csv_cells import inert, plain
from concepts.errors import DataError
from concepts.example import Origin
from concepts.judgement import Judgement, Kind, Region, RegionKind, Verdict
from concepts.mask import encode
from concepts.sources.csv_table import judgements_to_csv, read_csv, read_table, write_csv
from concepts.sources.jsonlines import read_jsonlines, write_jsonlines

BRUSH = Region(RegionKind.BRUSH, mask=encode(np.eye(12, dtype=bool)))
BOX = Region(RegionKind.BOX, ((0.1, 1 / 3), (0.7, 0.9)))
POLYGON = Region(RegionKind.POLYGON, ((0.1, 0.2), (0.3, 2 / 7), (0.5, 1.0)))
FULL = Judgement(
    reader="Müller, A.",
    image_id="ISIC_1",
    concept="streaks",
    verdict=Verdict.PRESENT,
    confidence=1 / 3,
    note='=HYPERLINK("http://x")\r\n"second", line\u2028third',
    regions=(BRUSH, BOX, POLYGON),
    seconds=0.1 + 0.2,
    reading=2,
    blinded=False,
    origin=Origin.MEASURED,
    kind=Kind.ADJUDICATION,
    at=datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=timezone(timedelta(hours=2))),
)
FORMS = [(write_csv, read_csv), (write_jsonlines, read_jsonlines)]
TEXT = st.text(
    st.one_of(
        st.sampled_from("=+-@\t\r\n'\",;\x0b\u2028＝＠ a"),  # noqa: RUF001
        st.characters(exclude_categories=["Cs"], min_codepoint=1),
    ),
    max_size=12,
)
JUDGEMENTS = st.lists(
    st.builds(
        Judgement,
        reader=TEXT.filter(bool),
        image_id=TEXT.filter(bool),
        concept=st.sampled_from(["streaks", "hair"]),
        verdict=st.sampled_from(Verdict),
        confidence=st.none() | st.floats(0, 1),
        note=TEXT,
        seconds=st.none() | st.floats(0, 1e9),
        reading=st.sampled_from([1, 2]),
        blinded=st.booleans(),
        origin=st.sampled_from(Origin),
        kind=st.sampled_from(Kind),
        at=st.none() | st.datetimes(timezones=st.just(UTC)),
    ),
    max_size=4,
    unique_by=lambda j: (j.reader, j.image_id, j.concept, j.kind, j.reading),
)


@pytest.mark.parametrize(("write", "read"), FORMS)
def test_everything_that_a_judgement_says_comes_back(write: Callable, read: Callable, tmp_path: Path):
    write([FULL, replace(FULL, reader="B", regions=(), at=None, confidence=None)], tmp_path / "j")
    assert read(tmp_path / "j") == (FULL, replace(FULL, reader="B", regions=(), at=None, confidence=None))


@pytest.mark.parametrize(("write", "read"), FORMS)
@settings(max_examples=40, deadline=None)
@given(judgements=JUDGEMENTS)
def test_written_then_read_is_the_same(
    write: Callable, read: Callable, judgements: list[Judgement], tmp_path_factory: pytest.TempPathFactory
):
    path = tmp_path_factory.mktemp("tables") / "j"
    write(judgements, path)
    assert read(path) == tuple(judgements)


@given(TEXT)
@settings(max_examples=200, deadline=None)
def test_an_inert_cell_starts_no_formula_and_reads_back(text: str):
    assert inert(text)[:1] not in tuple("=+-@\t\r\n")
    assert plain(inert(text)) == text


@pytest.mark.parametrize("canary", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "＝1"])  # noqa: RUF001
def test_no_cell_of_an_export_starts_a_formula(canary: str):
    judgement = Judgement(reader=canary, image_id=canary, concept=canary, verdict=Verdict.ABSENT, note=canary)
    _, row = csv.reader(io.StringIO(judgements_to_csv([judgement]), newline=""))
    assert row.count(f"'{canary}") == 4
    assert not any(cell.startswith(tuple("=+-@\t\r＝")) for cell in row)  # noqa: RUF001


def test_apostrophes_of_other_programs_are_kept():
    assert plain("'tis") == "'tis"
    assert plain("it's = 1") == "it's = 1"


def table(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_a_short_table_made_by_hand(tmp_path: Path):
    text = "\ufeffimage_id,concept,verdict,confidence\na,streaks,present,0.5\r\nb,hair,not_assessable,\n\n"
    judgements = read_csv(table(tmp_path / "t.csv", text), reader="Ada")
    assert [(j.reader, j.image_id, j.verdict, j.confidence) for j in judgements] == [
        ("Ada", "a", Verdict.PRESENT, 0.5),
        ("Ada", "b", Verdict.NOT_ASSESSABLE, None),
    ]


def test_all_bad_rows_are_listed_and_nothing_comes_through(tmp_path: Path):
    rows = [
        "a,streaks,present,Ada,0.5",
        "b,streaks,maybe,Ada,",
        "c,streaks,absent,Ada,1.5",
        ",streaks,absent,Ada,",
        "a,streaks,absent,Ada,",
        "d,streaks,absent,,",
    ]
    path = table(tmp_path / "t.csv", "\n".join(["image_id,concept,verdict,reader,confidence", *rows]))
    with pytest.raises(DataError, match=r"t\.csv: row 3: verdict: .*\(5 of 6 rows are bad; nothing") as caught:
        read_csv(path)
    listed = caught.value.rows
    assert [row.split(": ")[1] for row in listed] == ["row 3", "row 4", "row 5", "row 6", "row 7"]
    assert all(str(path) in row and "\n" not in row for row in listed)
    assert "'maybe'" in listed[0]
    assert "0..1 (got 1.5)" in listed[1]
    assert "judged 'a', concept 'streaks' in row 2, too" in listed[3]
    assert listed[4].endswith("reader: Field required")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "row 1: needs a header"),
        ("a,a\n1,2", "names each column once"),
        ("image_id,concept,reader\na,b,c", "row 1: no column verdict; the columns are image_id, "),
        ("image_id,concept,verdict\na,b,present", "no column reader"),
        ("image_id,concept,verdict,reader,colour\na,b,present,c,d", "unknown column 'colour'"),
        ("image_id,concept,verdict,reader\n\na,b,present,c", "row 2: 0 cells under 4 columns"),
        ("image_id,concept,verdict,reader\na,b,present", "row 2: 3 cells under 4 columns"),
        ('image_id,concept,verdict,reader\na,b,present,"c', "not a CSV table"),
        ("image_id,concept,verdict,reader,regions\na,b,present,c,[", "row 2: regions: not JSON"),
        (
            'image_id,concept,verdict,reader,regions\na,b,present,c,"[{""kind"":""brush"",""mask"":""!""}]"',
            "not base64",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(text: str, complaint: str, tmp_path: Path):
    with pytest.raises(DataError, match=complaint) as caught:
        read_csv(table(tmp_path / "t.csv", text))
    assert "\n" not in str(caught.value)
    assert "t.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "row 1: not JSON"),
        ("[1]", "row 1: a judgement is a JSON object .got list."),
        ('{"image_id": "a", "colour": 1}', "row 1: "),
        ('{"image_id":"a","concept":"b","verdict":"present","reader":"c","at":"2026-01-01T00:00:00"}', "at: "),
        ('{"image_id":"a","concept":"b","verdict":"present","reader":"c"}\n\n', "row 2: not JSON"),
        ("[" * 100_000, "row 1: not JSON"),
    ],
)
def test_lines_that_cannot_be_used_are_refused_in_one_line(text: str, complaint: str, tmp_path: Path):
    with pytest.raises(DataError, match=complaint) as caught:
        read_jsonlines(table(tmp_path / "t.jsonl", text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [read_csv, read_jsonlines, read_table])
def test_a_file_that_is_missing_or_not_text_is_refused(read: Callable, tmp_path: Path):
    with pytest.raises(DataError, match=r"absent: the .* cannot be read: No such file"):
        read(tmp_path / "absent")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"bytes: not .* in UTF-8"):
        read(tmp_path / "bytes")


def test_an_empty_file_of_lines_holds_no_judgements(tmp_path: Path):
    assert read_jsonlines(table(tmp_path / "t", "")) == ()
    write_csv([], tmp_path / "c")
    assert read_csv(tmp_path / "c") == ()
