"""The Derm7pt table: seven-point checklist of 1,011 cases, as judgements.

Source: Kawahara, Daneshvar, Argenziano and Hamarneh, IEEE J Biomed Health Inform 2019, 23:538.
"""

from pathlib import Path, PureWindowsPath

from concepts.errors import DataError
from concepts.judgement import Judgement, Verdict
from concepts.sources.csv_table import Row, read_table
from concepts.sources.dataset_columns import Meanings, column_meanings
from concepts.sources.records import read_rows

READER = "derm7pt"
IMAGE_COLUMN = "derm"


def derm7pt_judgements(path: Path) -> tuple[Judgement, ...]:
    """Read the checklist of every case, about its dermoscopic image.

    Args:
        path: ``meta/meta.csv`` of the data set.

    Returns:
        By case and concept, of reader ``derm7pt``; the image is the file name in column ``derm`` without its ending.
        One source speaks with one voice: a set made of it needs a rule of consensus with one reader.

    Raises:
        DataError: If the file cannot be read, a column is missing, or a value is unknown; ``rows`` lists all such rows.
    """
    rows = read_table(path)
    missing = [column for column in (IMAGE_COLUMN, *column_meanings(READER)) if rows and column not in rows[0]]
    if missing:
        raise DataError(f"{path}: row 1: no column {', '.join(missing)}; give meta.csv of Derm7pt")
    return read_rows(path, rows, _of_row, first=2)


def _of_row(row: Row) -> list[Judgement]:
    image_id = _image_id(row)
    findings: dict[str, Verdict] = {}
    for column in column_meanings(READER):
        findings |= _verdicts(column, row[column])
    return [
        Judgement(reader=READER, image_id=image_id, concept=concept, verdict=verdict, blinded=False)
        for concept, verdict in findings.items()
    ]


def _verdicts(column: str, value: str) -> Meanings:
    values = column_meanings(READER)[column]
    verdicts = values.get(" ".join(value.casefold().split()))
    if verdicts is None:
        raise DataError(f"{column}: {value!r:.80}; allowed are {', '.join(values)}")
    return verdicts


def _image_id(row: Row) -> str:
    stem = PureWindowsPath(row[IMAGE_COLUMN].strip()).stem
    if not stem:
        raise DataError(f"{IMAGE_COLUMN}: no file name of the dermoscopic image")
    return stem
