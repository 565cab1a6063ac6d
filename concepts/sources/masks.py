"""Masks on disk, read many at a time."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from concepts.errors import DataError
from concepts.example import MaskFile
from concepts.reading import MOST_IMAGE_BYTES, check_pixels, read_bytes
from concepts.release import shorten

K = TypeVar("K")
V = TypeVar("V")

# What Pillow raises on files that are truncated, of another kind, or too large to be true.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def read_mask(root: Path, relative: str, *, size: tuple[int, int] | None = None) -> tuple[MaskFile, NDArray[np.bool_]]:
    """Read a mask file as a region, and its pixels.

    Args:
        root: The data root.
        relative: The file, relative to the root, with forward slashes.
        size: Width and height that the mask must have: those of its image.

    Returns:
        The region, and H x W true inside.

    Raises:
        DataError: If the file is missing, is not an image, or has another size.
    """
    try:
        content = read_bytes(root / relative, most=MOST_IMAGE_BYTES)
        with Image.open(BytesIO(content)) as image:
            check_pixels(image.size)
            mask = np.asarray(image if image.mode in ("1", "L") else image.convert("L")) > 0
        region = MaskFile(path=relative, digest=sha256(content).hexdigest())
    except ValidationError as error:
        raise DataError(f"{relative}: not a path inside the data root with forward slashes; rename the file") from error
    except UNREADABLE as error:
        raise DataError(f"{relative}: the mask cannot be read ({error})") from error
    if size is not None and mask.shape != size[::-1]:
        height, width = mask.shape
        raise DataError(f"{relative}: the mask is {width} x {height} pixels, its image {size[0]} x {size[1]}")
    return region, mask


def read_each(read: Callable[[K], V], items: Sequence[K], *, root: Path) -> list[V]:
    """Read many things in threads, and report all that cannot be used at once.

    Args:
        read: Reads one; raises `DataError` when it cannot be used.
        items: What to read.
        root: The data root, for the error.

    Returns:
        What was read, in the order of the items.

    Raises:
        DataError: If any cannot be used; names the first few, all in ``rows``.
    """

    def attempt(item: K) -> V | DataError:
        try:
            return read(item)
        except DataError as error:
            return error

    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(attempt, items))
    faults = [str(outcome) for outcome in outcomes if isinstance(outcome, DataError)]
    if faults:
        raise _refusal(f"{root}: {len(faults)} of {len(items)} images cannot be used", faults)
    return [outcome for outcome in outcomes if not isinstance(outcome, DataError)]


def require_files(root: Path, paths: Iterable[str]) -> None:
    """Refuse a data root in which files are missing.

    Raises:
        DataError: If any is missing; names the first few, all in ``rows``.
    """
    paths = list(paths)
    missing = [path for path in paths if not (root / path).is_file()]
    if missing:
        raise _refusal(f"{root}: {len(missing)} of {len(paths)} files are missing", missing)


def _refusal(sentence: str, rows: list[str]) -> DataError:
    return DataError(f"{sentence}: {shorten(rows)}; restore them", rows=rows)
