"""The formats in which judgements are taken in and given out, and the endings of files that stand for them."""

from enum import StrEnum
from pathlib import Path

from concepts.errors import DataError


class Format(StrEnum):
    """How judgements are written in a file."""

    CSV = "csv"
    JSONLINES = "jsonlines"
    COCO = "coco"
    """Regions only: what was judged without a drawing is not in it."""
    RELEASE = "release"
    """A frozen release with the masks beside it; only read."""
    DERM7PT = "derm7pt"
    """The data set's own ``meta.csv``; only read."""
    PH2 = "ph2"
    """The data set's own table, as text or CSV; only read."""


TABLES = frozenset({Format.DERM7PT, Format.PH2})
"""Tables of whole data sets, which say more than one set asks."""
SUFFIXES = {
    ".csv": Format.CSV,
    ".jsonl": Format.JSONLINES,
    ".jsonlines": Format.JSONLINES,
    ".ndjson": Format.JSONLINES,
    ".json": Format.COCO,
}


def format_of(path: Path) -> Format:
    """Tell the format by a file's ending.

    Raises:
        DataError: If the ending stands for none.

    Example:
        >>> format_of(Path("judgements.CSV"))
        <Format.CSV: 'csv'>
    """
    try:
        return SUFFIXES[path.suffix.lower()]
    except KeyError as error:
        endings = ", ".join(SUFFIXES)
        raise DataError(f"{path}: its ending names no format; known are {endings}: else give --format") from error
