"""Judgements as JSON Lines, both ways: one object a line, UTF-8."""

import json
from collections.abc import Iterable
from pathlib import Path

from concepts.errors import DataError
from concepts.files import write_atomically
from concepts.judgement import Judgement
from concepts.sources.records import from_record, read_rows, to_record


def judgements_to_jsonlines(judgements: Iterable[Judgement]) -> str:
    """One JSON object a line; what was not said is left out."""
    return "".join(f"{_line(judgement)}\n" for judgement in judgements)


def write_jsonlines(judgements: Iterable[Judgement], path: Path) -> None:
    """Write `judgements_to_jsonlines` to a file."""
    write_atomically(path, judgements_to_jsonlines(judgements))


def read_jsonlines(path: Path, *, reader: str | None = None) -> tuple[Judgement, ...]:
    """Read the judgements of a JSON Lines file: all of them, or none.

    Args:
        path: UTF-8; each line an object with image_id, concept, verdict, reader, and any other of the record's fields.
        reader: Who judged, where a line does not say.

    Raises:
        DataError: If the file cannot be read or any line is bad; ``rows`` lists all.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: the file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not JSON Lines in UTF-8 ({error})") from error
    # Only a line feed ends a line: str.splitlines would also break at separators inside of notes.
    lines = text.removesuffix("\n").split("\n") if text else []
    return read_rows(path, lines, lambda line: [_judgement(line, reader)], first=1)


def _line(judgement: Judgement) -> str:
    record = {field: value for field, value in to_record(judgement).items() if value not in (None, [])}
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _judgement(line: str, reader: str | None) -> Judgement:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON ({error})") from error
    if not isinstance(record, dict):
        raise DataError(f"a judgement is a JSON object (got {type(record).__name__})")
    return from_record({"reader": reader, **record} if reader else record)
