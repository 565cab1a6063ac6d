"""Dark threads in a picture: hair, and the ticks of a ruler."""

import numpy as np
from numpy.typing import NDArray

THREAD_LENGTH = 9
"""Pixels of the lines along which a picture is closed: what is dark and narrower than that is a thread."""
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Steps in rows and columns: across, down, and both diagonals."""

Plane = NDArray[np.float32]


def thread_depths(luma: NDArray[np.floating]) -> Plane:
    """H x W: by how much closing along the best of four lines lightens each pixel; 0 where nothing narrow is dark.

    Closing takes the largest value along a line and then the smallest of these; the picture is mirrored beyond its
    edges. The same as `scipy.ndimage.grey_closing` with lines as footprints, for all lines in a fifth of the time.

    Args:
        luma: H x W, 0 to 255.

    Source: Lee et al. 1997, DullRazor.
    """
    plane = luma.astype(np.float32)
    closed: Plane = np.maximum.reduce([_closed(plane, down, across) for down, across in DIRECTIONS])
    return closed - plane


def _closed(plane: Plane, down: int, across: int) -> Plane:
    """Closed along a line of `THREAD_LENGTH` pixels."""
    if across < 0:
        return _closed(plane[:, ::-1], down, 1)[:, ::-1]
    margin = THREAD_LENGTH - 1
    padded = np.pad(plane, [(down * margin,) * 2, (across * margin,) * 2], mode="symmetric")
    return _along(_along(padded, np.maximum, down, across), np.minimum, down, across)


def _along(plane: Plane, extreme: np.ufunc, down: int, across: int) -> Plane:
    """The extreme of each `THREAD_LENGTH` pixels in a row, by windows that double."""
    width = 1
    while width < THREAD_LENGTH:
        step = min(width, THREAD_LENGTH - width)
        rows, columns = plane.shape[0] - down * step, plane.shape[1] - across * step
        plane = extreme(plane[:rows, :columns], plane[down * step :, across * step :])
        width += step
    return plane
