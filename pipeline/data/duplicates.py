"""Near-duplicates: images that show the same picture, perhaps turned, mirrored, reduced or differently coloured.

They must not be on both sides of a split, and data sets seldom name them.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Hashes = NDArray[np.uint64]

SIDE = 32
ORDERS = slice(1, 9)
"""Orders of the cosines that are kept in each direction; order 0, a mere average, is left out."""
BLOCK = 4_000_000
"""Pairs of hashes that are compared at once."""


def perceptual_hashes(images: Iterable[NDArray[np.uint8]]) -> Hashes:
    """The 64-bit perceptual hash of each image, and of its seven turned and mirrored versions.

    A hash holds the signs of 64 low-frequency cosine coefficients of the grey image, so it hardly changes with size,
    compression, brightness or contrast. Turning by right angles and mirroring only swap the directions and the signs
    of odd orders; so one transform serves all eight.

    Args:
        images: RGB, height x width x 3, of any size; or one array, N x height x width x 3.

    Returns:
        N x 8; the first column is the image as it is.

    Source: Zauner 2010, Implementation and benchmarking of perceptual image hash functions, section 3.2.1 (there with
    the median for a threshold instead of 0, which turning would not keep).
    """
    thumbnails = np.stack([_grey(image) for image in images])
    coefficients = dctn(thumbnails, axes=(1, 2), norm="ortho")[:, ORDERS, ORDERS]
    signs = _turned(coefficients) > 0
    return np.packbits(signs.reshape(*signs.shape[:2], -1), axis=-1).view(np.uint64)[..., 0]


def near_duplicate_groups(hashes: Hashes, *, bits: int) -> NDArray[np.int64]:
    """The group of each image: images joined by pairs, or chains of pairs, of which the hashes hardly differ.

    Args:
        hashes: N x 8, from `perceptual_hashes`.
        bits: Largest Hamming distance of a pair, 0 to 64, in the best of the eight positions.

    Returns:
        N labels from 0; an image without near-duplicates has a label of its own.
    """
    first, second = near_duplicate_pairs(hashes, bits=bits)
    graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(len(hashes), len(hashes)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def near_duplicate_pairs(hashes: Hashes, *, bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of rows whose hashes differ by at most so many bits, in blocks, so that memory is bounded."""
    step = max(1, BLOCK // len(hashes)) if len(hashes) else 1
    pairs = []
    for start in range(0, len(hashes), step):
        rows = hashes[start : start + step, :1]
        close = np.zeros((len(rows), len(hashes) - start), dtype=bool)
        for position in range(hashes.shape[1]):
            close |= np.bitwise_count(rows ^ hashes[None, start:, position]) <= bits
        pairs.append(np.argwhere(np.triu(close, k=1)) + start)
    first, second = np.concatenate(pairs or [np.empty((0, 2), dtype=np.int64)]).T
    return first, second


def _grey(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    grey = Image.fromarray(image).convert("L").convert("F")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)


def _turned(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """N x k x k coefficients as N x 8 x k x k, of the image in its eight positions."""
    alternating = (-1.0) ** np.arange(ORDERS.start, ORDERS.stop)
    both = np.stack([coefficients, coefficients.transpose(0, 2, 1)], axis=1)
    upside_down = both * alternating[:, None]
    return np.concatenate([both, upside_down, both * alternating, upside_down * alternating], axis=1)
