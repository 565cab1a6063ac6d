"""Judgements as records of plain values, which CSV and JSON Lines share; and what to say of rows that are bad."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AwareDatetime, ValidationError

from concepts.errors import DataError
from concepts.example import Origin, Record, Text
from concepts.judgement import Judgement, Kind, Region, RegionKind, Verdict

R = TypeVar("R")


class RegionRecord(Record):
    """A drawn region; the mask of a brush as base64 of its PNG file."""

    kind: RegionKind
    vertices: tuple[tuple[float, float], ...] = ()
    mask: str | None = None


class JudgementRecord(Record):
    """A judgement; its number in a store and what it supersedes are the store's own affair and left out."""

    image_id: Text
    concept: Text
    verdict: Verdict
    reader: Text
    confidence: float | None = None
    note: str = ""
    seconds: float | None = None
    reading: int = 1
    blinded: bool = True
    origin: Origin = Origin.JUDGED
    kind: Kind = Kind.READING
    at: AwareDatetime | None = None
    regions: tuple[RegionRecord, ...] = ()


FIELDS = tuple(JudgementRecord.model_fields)
REQUIRED = ("image_id", "concept", "verdict", "reader")


def to_record(judgement: Judgement) -> dict[str, Any]:
    """Return a judgement as plain values, in the order of `FIELDS`; None where nothing was said."""
    fields = {field: getattr(judgement, field) for field in FIELDS if field != "regions"}
    return {
        **{field: str(value) if field in ("verdict", "origin", "kind") else value for field, value in fields.items()},
        "at": judgement.at.isoformat() if judgement.at else None,
        "regions": [_region_record(region) for region in judgement.regions],
    }


def from_record(record: Mapping[str, Any]) -> Judgement:
    """Build the judgement that a record holds.

    Args:
        record: At least `REQUIRED`; other fields of `FIELDS` have defaults.

    Raises:
        DataError: If a field is missing, unknown or out of range; one reason, without file and row.
    """
    try:
        checked = JudgementRecord.model_validate(dict(record))
    except ValidationError as error:
        raise DataError(_reason(dict(error.errors()[0]))) from error
    fields = {field: getattr(checked, field) for field in FIELDS}
    return Judgement(**{**fields, "regions": tuple(_region(region) for region in checked.regions)})


def read_rows(
    path: Path, rows: Sequence[R], read: Callable[[R], Iterable[Judgement]], *, first: int
) -> tuple[Judgement, ...]:
    """Read the judgements of all rows of a file, or none.

    Args:
        path: The file, for the error.
        rows: What to read.
        read: Gives the judgements of one row; raises `DataError` with the reason when it cannot.
        first: Number of the first row in the file.

    Raises:
        DataError: If any row is bad, or two rows say something about the same reader, image, concept, kind and
            reading; the message names the first, ``rows`` holds all.
    """
    judgements: list[Judgement] = []
    faults: list[str] = []
    rows_of_cases: dict[tuple[object, ...], int] = {}
    for number, row in enumerate(rows, start=first):
        try:
            of_row = tuple(read(row))
            _refuse_repeated(of_row, rows_of_cases, number)
        except DataError as error:
            faults.append(f"{path}: row {number}: {error}")
        else:
            judgements += of_row
    if faults:
        raise DataError(f"{faults[0]} ({len(faults)} of {len(rows)} rows are bad; nothing was imported)", rows=faults)
    return tuple(judgements)


def _refuse_repeated(of_row: Iterable[Judgement], rows_of_cases: dict[tuple[object, ...], int], number: int) -> None:
    for judgement in of_row:
        cell = (judgement.reader, judgement.image_id, judgement.concept, judgement.kind, judgement.reading)
        if cell in rows_of_cases:
            where = f"{judgement.image_id!r:.80}, concept {judgement.concept!r:.80}"
            raise DataError(
                f"{judgement.reader!r:.80} judged {where} in row {rows_of_cases[cell]} already; keep one of them"
            )
        rows_of_cases[cell] = number


def _region_record(region: Region) -> dict[str, Any]:
    mask = None if region.mask is None else b64encode(region.mask).decode("ascii")
    return {"kind": str(region.kind), "vertices": [list(vertex) for vertex in region.vertices], "mask": mask}


def _region(record: RegionRecord) -> Region:
    try:
        mask = None if record.mask is None else b64decode(record.mask, validate=True)
    except ValueError as error:
        raise DataError(f"the mask of a {record.kind} region is not base64 ({error})") from error
    return Region(record.kind, record.vertices, mask)


def _reason(error: dict[str, Any]) -> str:
    field = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown field {field!r:.80}; known are {', '.join(FIELDS)}"
    given = f" (got {error['input']!r:.80})" if isinstance(error["input"], str | int | float) else ""
    return " ".join(f"{field}: {error['msg']}{given}".split())
