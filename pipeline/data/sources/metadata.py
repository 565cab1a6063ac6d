"""Tables and side files that describe images: read row by row, with all faults reported at once."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concepts.csv_cells import plain
from concepts.errors import DataError
from concepts.reading import MOST_MEMORY, MOST_TABLE_MEMORY, RefusedContentError, parse_json, table_text
from pipeline.data.sample import Sample

UNKNOWN = {"", "na", "n/a", "nan", "none", "null", "unknown", "unk"}
"""What data sets write for a value that they do not know, in lower case."""
SECTIONS = ("meta", "metadata")
MOST_FAULTS = 3
"""Faults that an error's message names; the others are in its rows."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a table or a side file says about one image.

    Attributes:
        origin: Where it says so, e.g. ``metadata.csv row 17`` (lines of the file from 1, the header included).
        values: By column in lower case, the values that are known.
    """

    origin: str
    values: Mapping[str, str]

    def first(self, columns: Sequence[str]) -> str | None:
        """Return the value of the first of these columns that has one."""
        return next((self.values[column] for column in columns if column in self.values), None)


def read_table(path: Path, *, required: Sequence[Sequence[str]]) -> list[Row]:
    """Read a CSV file with a header.

    Args:
        path: The file.
        required: For each thing that must be there, the columns that may hold it.

    Raises:
        DataError: If the file is missing, is not CSV in UTF-8, lacks a column or has no rows; or if rows have more or
            fewer values than the header.
    """
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    try:
        columns = [column.strip().lower() for column in next(reader, [])]
        _require_columns(path, columns, required)
        table = list(_numbered(reader))
    except csv.Error as error:
        raise DataError(f"{path} row {reader.line_num}: not CSV ({error}); export the table again") from error
    if not table:
        raise DataError(f"{path}: no rows below the header; expected one for each image")
    uneven = [
        f"{path.name} row {line}: {len(values)} values for {len(columns)} columns"
        for line, values in table
        if len(values) != len(columns)
    ]
    refuse_faults(uneven, path, total=len(table), advice="export the table again")
    return [_row(f"{path.name} row {line}", zip(columns, values, strict=True)) for line, values in table]


def read_side_file(path: Path) -> Row:
    """Read the JSON that the ISIC archive put beside an image.

    Its values are those at the top and those in the sections of ``meta`` (``metadata`` in newer files): ``clinical``,
    ``acquisition`` and others.

    Raises:
        DataError: If the file is not such JSON.
    """
    try:
        content = parse_json(_read_text(path, most_memory=MOST_MEMORY))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); fetch the file again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected an object with 'name' and 'meta', found {type(content).__name__}")
    groups = [content[key] for key in SECTIONS if isinstance(content.get(key), dict)]
    sections = [section for group in groups for section in (group, *group.values()) if isinstance(section, dict)]
    leaves = [(key.lower(), value) for part in (*sections, content) for key, value in part.items()]
    return _row(path.name, ((key, str(value)) for key, value in leaves if not isinstance(value, dict | list | None)))


def collect_samples(
    rows: Sequence[Row], convert: Callable[[Row], Sample], *, origin: Path, advice: str
) -> list[Sample]:
    """Make a sample of each row; if some cannot be, report them all.

    Args:
        rows: The rows.
        convert: Makes one sample; raises `DataError` with nothing but the reason when it cannot.
        origin: The file or folder, for the error.
        advice: What the user can do, for the error.

    Raises:
        DataError: If a row cannot be used or names an image that an earlier one named; ``rows`` of the exception has
            one line for each.
    """
    samples: dict[str, Sample] = {}
    origins: dict[str, str] = {}
    faults = []
    for row in rows:
        try:
            sample = convert(row)
        except DataError as error:
            faults.append(f"{row.origin}: {error}")
            continue
        earlier = origins.setdefault(sample.image_id, row.origin)
        if earlier != row.origin:
            faults.append(f"{row.origin}: image '{sample.image_id}' is listed again (first in {earlier})")
        samples.setdefault(sample.image_id, sample)
    refuse_faults(faults, origin, total=len(rows), advice=advice)
    return list(samples.values())


def refuse_faults(faults: Sequence[str], origin: Path, *, total: int, advice: str) -> None:
    """Raise one error for all faults, if there are any.

    Raises:
        DataError: With the number of faults, the first few, and all of them in ``rows``.
    """
    if not faults:
        return
    first = "; ".join(faults[:MOST_FAULTS])
    more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
    raise DataError(f"{origin}: {len(faults)} of {total} rows cannot be used: {first}{more}; {advice}", rows=faults)


def _read_text(path: Path, *, most_memory: int = MOST_TABLE_MEMORY) -> str:
    try:
        return table_text(path, most_memory=most_memory)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore the file or its rights") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8 (byte {error.start}); save it as UTF-8") from error
    except RefusedContentError as error:
        raise DataError(f"{path}: {error}; give a smaller file") from error


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:  # noqa: ANN401 - the csv module names no type
    """Yield the rows that hold anything, each with the line on which it starts."""
    line = reader.line_num + 1
    for values in reader:
        if values:
            yield line, values
        line = reader.line_num + 1


def _require_columns(path: Path, columns: Sequence[str], required: Sequence[Sequence[str]]) -> None:
    for alternatives in required:
        if not set(alternatives) & set(columns):
            also = f" (or {', '.join(alternatives[1:])})" if alternatives[1:] else ""
            present = ", ".join(columns)[:200] or "no columns"
            raise DataError(f"{path}: no column '{alternatives[0]}'{also}; it has {present}; add it or rename yours")


def _row(origin: str, cells: Any) -> Row:  # noqa: ANN401 - pairs of column and value
    stripped = ((column, value.strip()) for column, value in cells)
    return Row(origin, {column: plain(value) for column, value in stripped if value.lower() not in UNKNOWN})
