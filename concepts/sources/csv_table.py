"""Judgements as a CSV table, both ways; and any CSV table as rows of text.

A cell that a spreadsheet would take for a formula is written with an apostrophe before it, and read without it.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from concepts.errors import DataError
from concepts.files import write_atomically
from concepts.judgement import MASK_LIMIT, REGIONS_LIMIT, Judgement
from concepts.sources.records import FIELDS, REQUIRED, from_record, read_rows, to_record

FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001  # the full-width signs start formulas too
HEADER_ROW = 1
LONGEST_CELL = 2 * MASK_LIMIT * REGIONS_LIMIT
Row = Mapping[str, str]


def inert(text: str) -> str:
    """Write a text as a cell that a spreadsheet shows and does not compute.

    Example:
        >>> inert("=1+1"), inert("present")
        ("'=1+1", 'present')
    """
    return f"'{text}" if FORMULA.match(text) else text


def plain(cell: str) -> str:
    """Return the text that `inert` made the cell of.

    Example:
        >>> plain(inert("=1+1"))
        '=1+1'
    """
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def judgements_to_csv(judgements: Iterable[Judgement]) -> str:
    """Write judgements as a CSV table with a header; regions as JSON, brush masks in base64."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(FIELDS)
    writer.writerows([inert(_cell(value)) for value in to_record(judgement).values()] for judgement in judgements)
    return buffer.getvalue()


def write_csv(judgements: Iterable[Judgement], path: Path) -> None:
    """Write `judgements_to_csv` to a file in UTF-8."""
    write_atomically(path, judgements_to_csv(judgements))


def read_csv(path: Path, *, reader: str | None = None) -> tuple[Judgement, ...]:
    """Read the judgements of a CSV table: all of them, or none.

    Args:
        path: UTF-8 with a header: image_id, concept, verdict, reader, and any other of the record's fields. Empty
            cells take the default.
        reader: Who judged, where the table has no column ``reader``.

    Raises:
        DataError: If the file cannot be read, a column is missing or unknown, or any row is bad; ``rows`` lists all.
    """
    rows = read_table(path)
    columns = set(rows[0]) if rows else set(REQUIRED)
    missing = [name for name in REQUIRED if name not in columns and not (name == "reader" and reader)]
    unknown = sorted(columns - set(FIELDS))
    if missing or unknown:
        fault = f"no column {', '.join(missing)}" if missing else f"unknown column {', '.join(unknown)!r:.200}"
        raise DataError(f"{path}: row {HEADER_ROW}: {fault}; the columns are {', '.join(FIELDS)}")
    given = {"reader": reader} if reader else {}
    return read_rows(path, rows, lambda row: [from_record({**given, **_typed(row)})], first=HEADER_ROW + 1)


def read_table(path: Path) -> list[dict[str, str]]:
    """Read the rows of any CSV table with a header, as text.

    Raises:
        DataError: If the file cannot be read, has no header or a column twice, or rows have another number of cells.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        with _long_cells():
            lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except OSError as error:
        raise DataError(f"{path}: the table cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV table in UTF-8 ({error}); save it as 'CSV UTF-8'") from error
    while lines and not lines[-1]:
        lines.pop()
    if not lines or len(set(lines[0])) < len(lines[0]):
        raise DataError(f"{path}: row {HEADER_ROW}: needs a header that names each column once")
    return _rows(path, lines)


def _rows(path: Path, lines: list[list[str]]) -> list[dict[str, str]]:
    header, *body = lines
    faults = [
        f"{path}: row {number}: {len(line)} cells under {len(header)} columns; quote cells that hold commas"
        for number, line in enumerate(body, start=HEADER_ROW + 1)
        if len(line) != len(header)
    ]
    if faults:
        raise DataError(f"{faults[0]} ({len(faults)} of {len(body)} rows are bad; nothing was imported)", rows=faults)
    return [dict(zip(map(str.strip, header), map(plain, line), strict=True)) for line in body]


def _cell(value: object) -> str:
    if isinstance(value, list):
        return json.dumps(value, separators=(",", ":")) if value else ""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _typed(row: Row) -> dict[str, Any]:
    """Return the cells that say something; regions as what their JSON holds."""
    cells: dict[str, Any] = {field: cell for field, cell in row.items() if cell}
    try:
        return {**cells, "regions": json.loads(cells["regions"])} if "regions" in cells else cells
    except (ValueError, RecursionError) as error:
        raise DataError(f"regions: not JSON ({error})") from error


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)
