"""A lesion mask made ready for measuring: cut to the lesion, and reduced to a size that is quick to measure."""

import numpy as np
from numpy.typing import NDArray

from concepts.errors import DataError

Mask = NDArray[np.bool_]


def cropped(mask: Mask) -> Mask:
    """Cut a height x width mask to the smallest part that holds the lesion.

    Raises:
        DataError: If the mask does not have two dimensions, or is empty.

    Example:
        >>> cropped(np.array([[0, 0, 0], [0, 1, 1], [0, 0, 0]], dtype=bool)).shape
        (1, 2)
    """
    if mask.ndim != 2:
        raise DataError(f"a lesion mask has two dimensions, this one has shape {mask.shape}")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        raise DataError(f"the lesion mask ({mask.shape[1]} x {mask.shape[0]} pixels) is empty; leave the image out")
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def coverage(mask: Mask, *, side: int) -> NDArray[np.float64]:
    """Return the share of the lesion, in 0..1, in square blocks of pixels; no side has more than ``side`` blocks."""
    factor = -(-max(mask.shape) // side)
    padded = np.pad(mask, [(0, -length % factor) for length in mask.shape])
    height, width = (length // factor for length in padded.shape)
    blocks: NDArray[np.float64] = padded.reshape(height, factor, width, factor).mean(axis=(1, 3))
    return blocks
