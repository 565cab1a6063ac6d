"""Masks as COCO's run lengths: alternating counts of pixels outside and inside, column by column."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from concepts.errors import DataError

Mask = NDArray[np.bool_]
BITS = 5
CONTINUES = 0x20
NEGATIVE = 0x10
OFFSET = 48


def run_lengths(mask: Mask) -> list[int]:
    """Count the runs of a mask, down the columns; the first counts pixels outside and may be 0.

    Example:
        >>> run_lengths(np.array([[0, 1, 1], [0, 0, 1]], dtype=bool))
        [2, 1, 1, 2]
    """
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(pixels)) + 1
    starts = np.concatenate([[0], changes, [pixels.size]])
    counts: list[int] = np.diff(starts).tolist()
    return [0, *counts] if pixels.size and pixels[0] else counts


def from_run_lengths(counts: Sequence[int], height: int, width: int) -> Mask:
    """Draw the mask, height x width, that counts describe.

    Raises:
        DataError: If a count is negative or they do not sum to the number of pixels.

    Example:
        >>> from_run_lengths([2, 1, 1, 2], 2, 3).astype(int).tolist()
        [[0, 1, 1], [0, 0, 1]]
    """
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise DataError(f"run lengths sum to {sum(counts)}, the mask has {height} x {width} pixels")
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape((height, width), order="F")


def uncompressed(text: str) -> list[int]:
    """Decode the counts in COCO's compressed string.

    Each count is written in groups of five bits, the lowest first, in characters from ``0``; from the fourth on it is
    the difference from the count before the last.

    Raises:
        DataError: If the string is no such thing.

    Source: the format of the COCO API's ``maskApi.c`` (Lin et al., ECCV 2014); written anew.
    """
    counts: list[int] = []
    for number in _numbers(text):
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
    return counts


def _numbers(text: str) -> Iterable[int]:
    value, shift = 0, 0
    for letter in text:
        group = ord(letter) - OFFSET
        if not 0 <= group < 2 * CONTINUES:
            raise DataError(f"{letter!r} does not belong in compressed run lengths")
        value |= (group & (CONTINUES - 1)) << shift
        shift += BITS
        if not group & CONTINUES:
            yield value - (1 << shift) if group & NEGATIVE else value
            value, shift = 0, 0
    if shift:
        raise DataError("compressed run lengths end in the middle of a number")
