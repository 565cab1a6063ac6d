"""The PH2 table: dermoscopic criteria of 200 melanocytic lesions, as judgements.

Reads the data set's own ``PH2_dataset.txt``, cells between bars, and its spreadsheet saved as CSV.

Source: Mendonça, Ferreira, Marques, Marçal and Rozeira, EMBC 2013, 5437.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from concepts.errors import DataError
from concepts.judgement import Judgement, Verdict
from concepts.reading import table_text
from concepts.sources.csv_table import Row, read_table
from concepts.sources.dataset_columns import column_meanings
from concepts.sources.records import read_rows

READER = "ph2"
NAME = "name"
COLOURS = "colors"
COLOUR_NAMES = {
    "white": "white",
    "red": "red",
    "light brown": "light_brown",
    "dark brown": "dark_brown",
    "blue gray": "blue_grey",
    "black": "black",
}
MARKED, UNMARKED = frozenset({"x", "1", "yes"}), frozenset({"", "0", "no"})


def ph2_judgements(path: Path) -> tuple[Judgement, ...]:
    """Read the criteria of every lesion: asymmetry, network, dots and globules, streaks, regression, veil, six colours.

    Args:
        path: ``PH2_dataset.txt``, or the spreadsheet saved as CSV (its header row first).

    Returns:
        By lesion and concept, of reader ``ph2``. Asymmetry is present where one axis or two are asymmetric. One source
        speaks with one voice: a set made of it needs a rule of consensus with one reader.

    Raises:
        DataError: If the file cannot be read, a column is missing, or a value is unknown; ``rows`` lists all such rows.
    """
    rows, criteria = _rows(path), column_meanings(READER)
    columns = set(rows[0]) if rows else {NAME, *criteria, COLOURS}
    missing = [column for column in (NAME, *criteria) if column not in columns]
    if missing or not (COLOURS in columns or set(COLOUR_NAMES) <= columns):
        raise DataError(f"{path}: row 1: no column {', '.join(missing) or COLOURS}; give the table of PH2")
    return read_rows(path, rows, _of_row, first=2)


def _rows(path: Path) -> list[Row]:
    if path.suffix.lower() == ".csv":
        return [{_column(name): cell for name, cell in row.items()} for row in read_table(path)]
    return list(_barred(path))


def _barred(path: Path) -> Iterator[Row]:
    """Read the rows of the text file; after the last one come legends, which have no bars at both ends."""
    try:
        lines = table_text(path).splitlines()
    except OSError as error:
        raise DataError(f"{path}: the table cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: not text in UTF-8 ({error})") from error
    table = [_cells(line) for line in lines if line.strip().startswith("||") and line.strip().endswith("||")]
    if not table:
        raise DataError(f"{path}: row 1: no table between bars (||); give PH2_dataset.txt or a CSV file")
    header = [_column(name) for name in table[0]]
    for number, cells in enumerate(table[1:], start=2):
        if len(cells) != len(header):
            raise DataError(f"{path}: row {number}: {len(cells)} cells under {len(header)} columns")
        yield dict(zip(header, cells, strict=True))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"\|\|?", line.strip()[2:-2])]


def _column(name: str) -> str:
    """Name a column: ``Dots/Globules (A/AT/T)`` and ``Dots/Globules`` are one; ``Image Name`` is the name."""
    words = " ".join(re.sub(r"\(.*|[^a-z]", " ", name.casefold(), flags=re.DOTALL).split())
    return {"image name": NAME, "colours": COLOURS, "blue grey": "blue gray"}.get(words, words)


def _of_row(row: Row) -> list[Judgement]:
    findings: dict[str, Verdict] = {}
    for column, values in column_meanings(READER).items():
        verdicts = values.get(row[column].strip().casefold())
        if verdicts is None:
            raise DataError(f"{column}: {row[column]!r:.80}; allowed are {', '.join(values).upper()}")
        findings |= verdicts
    colours = _colours(row)
    findings |= {name: Verdict.PRESENT if name in colours else Verdict.ABSENT for name in COLOUR_NAMES.values()}
    return [
        Judgement(reader=READER, image_id=row[NAME].strip(), concept=concept, verdict=verdict, blinded=False)
        for concept, verdict in findings.items()
    ]


def _colours(row: Row) -> set[str]:
    """Read the colours by number (the text file) or by a mark in their column (the spreadsheet)."""
    concepts = list(COLOUR_NAMES.values())
    if COLOURS in row:
        numbers = re.split(r"[\s,;]+", row[COLOURS].strip())
        wrong = [number for number in numbers if number not in map(str, range(1, len(concepts) + 1))]
        if wrong:
            raise DataError(f"{COLOURS}: {row[COLOURS]!r:.80}; allowed are numbers from 1 to {len(concepts)}")
        return {concepts[int(number) - 1] for number in numbers}
    cells = {concept: row[column].strip().casefold() for column, concept in COLOUR_NAMES.items()}
    strange = [cell for cell in cells.values() if cell not in MARKED | UNMARKED]
    if strange:
        raise DataError(f"colours: {strange[0]!r:.80}; allowed are X and nothing")
    return {concept for concept, cell in cells.items() if cell in MARKED}
