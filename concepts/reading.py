"""Files that a stranger may have made: read whole, and taken apart, only where that stays cheap.

JSON takes up to eighty times its own size in memory, so what a file would cost is estimated from its signs before it
is parsed. A refusal is a `RefusedContentError`: a ``ValueError``, as what is not JSON raises, which the reader of one
kind of file turns into an error in its own words.
"""

import json
import os
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

MOST_BYTES = 1 << 24
"""Of a JSON file: 16 MiB."""
MOST_RELEASE_BYTES = 1 << 25
"""Of a release or of judgements in JSON: 32 MiB, some 70,000 examples."""
MOST_MEMORY = 200_000_000
"""Bytes that a parsed file may take, estimated."""
MOST_TABLE_BYTES = 1 << 27
MOST_TABLE_MEMORY = 2_000_000_000
"""Likewise for the table of an image folder: half a million rows of thirty columns."""
MOST_DEPTH = 64
"""Of brackets within brackets; what Dermaxis writes has about ten."""
MOST_PIXELS = 100_000_000
"""Width times height of a picture, as the default of ``data.max_pixels``."""
MOST_IMAGE_BYTES = 1 << 28
"""Of a picture: 256 MiB."""
LONGEST_LINE = 1 << 20
"""Of a table above 16 MiB: a mebibyte."""
MOST_HEADER = 1 << 24
"""Bytes of the header of a safetensors file: some 100,000 tensors."""
MOST_PICKLE = 1 << 22
"""Bytes of what names the tensors of a file that torch wrote: some 25,000 tensors."""
MOST_DIRECTORY = 1 << 22
"""Bytes of the directory of a zip file: some 40,000 entries."""

# An open string reaches to the end, so that each byte is looked at once.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_WIDE = re.compile(rb"[\xf0-\xff]")
_NO_BRACKET = bytes(byte for byte in range(256) if byte not in b"[]{}")
_ROW, _CELL = 350, 130
_DICTIONARY, _PAIR, _VALUE, _QUOTE = 250, 130, 70, 60
"""Bytes of memory for each, measured on Python 3.11 to 3.13 and rounded up."""


class RefusedContentError(ValueError):
    """A file that is too large, too deep or too dear to read."""


def read_bytes(path: Path, *, most: int = MOST_BYTES) -> bytes:
    """Read a file whole; a pipe or device, which may never end, is refused unread.

    Raises:
        RefusedContentError: If it is no file, or longer than ``most``.
        OSError: If it cannot be read.
    """
    # Without waiting: opening a pipe that nobody writes to would never return.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise RefusedContentError("not a file")
        if state.st_size > most:
            raise RefusedContentError(f"{state.st_size:,} bytes; at most {most:,} are read")
        return file.read(state.st_size)


def parse_json(content: str | bytes, *, most: int = MOST_BYTES) -> Any:  # noqa: ANN401  # JSON is whatever it holds
    """Parse JSON whose depth and cost are known to be small.

    Raises:
        RefusedContentError: If it is too long, too deep, or would take too much memory.
        ValueError: If it is not JSON.

    Example:
        >>> parse_json('{"examples": []}')
        {'examples': []}
        >>> parse_json("[" * 100)
        Traceback (most recent call last):
            ...
        concepts.reading.RefusedContentError: 100 brackets within brackets; at most 64 are read
    """
    check_json(content, most=most)
    return json.loads(content)


def check_json(content: str | bytes, *, most: int = MOST_BYTES) -> None:
    """Refuse JSON that is not cheap to parse; for parsers other than `parse_json`.

    Raises:
        RefusedContentError: If it is too long, too deep, or would take too much memory.
    """
    text = content.encode() if isinstance(content, str) else content
    if len(text) > most:
        raise RefusedContentError(f"{len(text):,} bytes; at most {most:,} are read")
    _refuse_dear(_QUOTE * text.count(b'"'))
    signs = _STRING.sub(b"", text)
    values = _VALUE * (signs.count(b",") + signs.count(b"["))
    _refuse_dear(_copies(text) * len(text) + values + _DICTIONARY * signs.count(b"{") + _PAIR * signs.count(b":"))
    brackets = np.frombuffer(signs.translate(None, delete=_NO_BRACKET), dtype=np.uint8)
    opens = (brackets == ord("[")) | (brackets == ord("{"))
    depth = int(np.cumsum(np.where(opens, 1, -1).astype(np.int8), dtype=np.int32).max(initial=0))
    if depth > MOST_DEPTH:
        raise RefusedContentError(f"{depth:,} brackets within brackets; at most {MOST_DEPTH} are read")


def read_json(path: Path, *, most: int = MOST_BYTES) -> Any:  # noqa: ANN401  # JSON is whatever it holds
    """Read a JSON file.

    Raises:
        RefusedContentError: As `read_bytes` and `parse_json`.
        ValueError: If it is not JSON in UTF-8.
        OSError: If it cannot be read.
    """
    return parse_json(read_bytes(path, most=most), most=most)


def table_text(path: Path, *, most_memory: int = MOST_MEMORY) -> str:
    """Read the text of a CSV table that is cheap to take apart; for ``csv`` and pandas.

    Raises:
        RefusedContentError: If it is too long or has too many cells.
        ValueError: If it is not text in UTF-8.
        OSError: If it cannot be read.
    """
    content = read_bytes(path, most=min(most_memory, MOST_TABLE_BYTES))
    rows = content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")
    cells = sum(content.count(sign) for sign in (b",", b";", b"\t"))
    # StringIO keeps four bytes for each character.
    _refuse_dear((4 + _copies(content)) * len(content) + _ROW * rows + _CELL * cells, most_memory)
    if len(content) > MOST_BYTES and _has_long_line(content):
        raise RefusedContentError(f"a line is longer than {LONGEST_LINE:,} bytes")
    return content.decode("utf-8-sig")


def check_safetensors(path: Path) -> None:
    """Refuse a safetensors file whose header is not cheap to read.

    Raises:
        RefusedContentError: If the header is longer than the file or the limit, too deep, or would take too much.
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(MOST_HEADER, path.stat().st_size - 8):
            raise RefusedContentError("its header is longer than the file, or than 16 MiB")
        check_json(file.read(length))


def check_zip(path: Path) -> None:
    """Refuse a zip file that unpacks to more than itself; other files pass.

    Raises:
        RefusedContentError: If an entry is compressed or leads out of the folder, or there are too many.
        OSError: If the file cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return
    _check_directory(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise RefusedContentError(f"a damaged zip file ({error})") from error
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED:
            raise RefusedContentError("a zip file with compressed entries; torch.save writes none")
        if entry.filename.startswith(("/", "\\")) or ".." in Path(entry.filename).parts:
            raise RefusedContentError("a zip file with an entry that leads out of its folder")
    if any(entry.file_size > MOST_PICKLE for entry in entries if entry.filename.endswith(".pkl")):
        raise RefusedContentError(f"a zip file with a list of tensors of more than {MOST_PICKLE:,} bytes")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise RefusedContentError("a zip file whose entries overlap")


def check_pixels(size: tuple[int, int]) -> None:
    """Refuse a picture, by width and height, before it is decoded.

    Raises:
        RefusedContentError: If it has more than `MOST_PIXELS` pixels.
    """
    width, height = size
    if width * height > MOST_PIXELS:
        raise RefusedContentError(f"{width} x {height} pixels; at most {MOST_PIXELS:,} are read")


def _has_long_line(content: bytes) -> bool:
    begin = 0
    while len(content) - begin > LONGEST_LINE:
        end = content.rfind(b"\n", begin, begin + LONGEST_LINE)
        if end < 0:
            return True
        begin = end + 1
    return False


def _copies(text: bytes) -> int:
    """Return how many bytes of memory parsing takes for each byte: Python keeps 1, 2 or 4 for a character."""
    if text.isascii():
        return 3
    return 10 if _WIDE.search(text) else 5


def _refuse_dear(memory: int, most: int = MOST_MEMORY) -> None:
    if memory > most:
        raise RefusedContentError(f"it would take some {memory / 1e6:,.0f} MB of memory; at most {most / 1e6:,.0f} MB")


def _check_directory(path: Path) -> None:
    """Refuse a directory that is too long, from the record at the end of the file (APPNOTE 4.3.14 and 4.3.16)."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 100))
        end = file.read()
    plain, large = end.rfind(b"PK\5\6"), end.rfind(b"PK\6\6")
    length = int.from_bytes(end[plain + 12 : plain + 16], "little")
    if length == 0xFFFFFFFF and large >= 0:
        length = int.from_bytes(end[large + 40 : large + 48], "little")
    if length > MOST_DIRECTORY:
        raise RefusedContentError(f"a zip file with a directory of {length:,} bytes; at most {MOST_DIRECTORY:,}")
