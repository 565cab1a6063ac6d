"""Near-duplicates: images of the same picture, perhaps turned, mirrored, reduced or differently coloured.

They must not be on both sides of a split, and data sets seldom name them. Perceptual hashes find candidates fast, but
every dermoscopic image is a dark blob on skin: 64 bits alone join unrelated lesions, and chains of such pairs join
hundreds. So each candidate is checked by the correlation of the two thumbnails.

On ISIC 2018 (2,594 images) some 44 pairs are the same picture to the eye, most of them contributed twice with another
colour balance and a slightly other crop:

=====================================  ==========  ===========  =============
rule                                   true pairs  other pairs  largest group
=====================================  ==========  ===========  =============
hash alone, 4 bits                             14           29              7
hash alone, 12 bits                            40        5,929            847
hash 12 bits, and correlation 0.97             34            0              2
=====================================  ==========  ===========  =============

Of 1,800 generated lesions, none of them twice, the last rule joins 9, into groups of at most 3.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Hashes = NDArray[np.uint64]
Thumbnails = NDArray[np.float32]
Rows = NDArray[np.int64]

SIDE = 32
"""Of the thumbnails, in pixels."""
ORDERS = slice(1, 9)
"""Orders of the cosines that are kept in each direction; order 0, a mere average, is left out."""
CORRELATION = 0.97
"""Least correlation of the thumbnails of near-duplicates."""
ROUGH_CORRELATION = 0.85
"""What it must reach before small shifts are tried; the least of any true pair on ISIC 2018 is 0.88."""
SHIFT = 1
"""Largest shift between near-duplicates that is allowed for, in pixels of the thumbnail."""
HASH_BLOCK = 4_000_000
"""Pairs of hashes compared at once."""
PAIR_BLOCK = 2_000
"""Pairs of thumbnails compared at once."""


def near_duplicates(images: Iterable[NDArray[np.uint8]], *, bits: int) -> Rows:
    """Find the near-duplicate group of each image; the iterable is read once, so memory stays small.

    Args:
        images: RGB, height x width x 3, of any size; as squares they may be compared turned by a right angle.
        bits: Largest Hamming distance between the hashes of a pair, 0 to 64.

    Returns:
        N labels from 0; an image without near-duplicates has a label of its own.
    """
    thumbnails = grey_thumbnails(images)
    return near_duplicate_groups(hash_thumbnails(thumbnails), bits=bits, thumbnails=thumbnails)


def grey_thumbnails(images: Iterable[NDArray[np.uint8]]) -> Thumbnails:
    """Reduce images to grey by averaging: N x 32 x 32, 0 to 255.

    Args:
        images: RGB, height x width x 3, of any size; or one array, N x height x width x 3.
    """
    thumbnails = [_thumbnail(image) for image in images]
    return np.stack(thumbnails) if thumbnails else np.empty((0, SIDE, SIDE), dtype=np.float32)


def hash_thumbnails(thumbnails: Thumbnails) -> Hashes:
    """Hash each thumbnail, and its seven turned and mirrored versions, to 64 bits.

    A hash holds the signs of 64 low-frequency cosine coefficients, so it hardly changes with size, compression,
    brightness or contrast. Turning by right angles and mirroring only swap the directions and the signs of odd orders;
    so one transform serves all eight.

    Args:
        thumbnails: N x 32 x 32.

    Returns:
        N x 8; the first column is the image as it is.

    Source: Zauner 2010, Implementation and benchmarking of perceptual image hash functions (the DCT hash; there the
    threshold is the median instead of 0, which mirroring would not keep).
    """
    coefficients = dctn(thumbnails, axes=(1, 2), norm="ortho")[:, ORDERS, ORDERS]
    alternating = (-1.0) ** np.arange(ORDERS.start, ORDERS.stop)
    both = np.stack([coefficients, coefficients.transpose(0, 2, 1)], axis=1)
    signed = np.concatenate([both, both * alternating[:, None]], axis=1)
    positive = np.concatenate([signed, signed * alternating], axis=1) > 0
    return np.packbits(positive.reshape(*positive.shape[:2], 64), axis=-1).view(np.uint64)[..., 0]


def near_duplicate_groups(hashes: Hashes, *, bits: int, thumbnails: Thumbnails | None = None) -> Rows:
    """Group images that are joined by near-duplicate pairs, or by chains of them.

    Args:
        hashes: N x 8, from `hash_thumbnails`.
        bits: Largest Hamming distance of a pair, 0 to 64, in the best of the eight positions.
        thumbnails: N x 32 x 32, from `grey_thumbnails`, to look again at the pairs that the hashes suggest; None takes
            these as they are, which joins unrelated lesions unless the bits are very few.

    Returns:
        N labels from 0; an image without near-duplicates has a label of its own.
    """
    labels = np.arange(len(hashes))
    for first, second in _close_pairs(hashes, bits=bits):
        apart = labels[first] != labels[second]
        first, second = first[apart], second[apart]
        if thumbnails is not None:
            positions = np.bitwise_count(hashes[first, :1] ^ hashes[second]).argmin(axis=1)
            alike = correlations(thumbnails, (first, second), positions) >= CORRELATION
            first, second = first[alike], second[alike]
        if len(first):
            labels = _joined(labels, first, second)
    return labels


def correlations(thumbnails: Thumbnails, pairs: tuple[Rows, Rows], positions: Rows) -> NDArray[np.float32]:
    """Correlate the thumbnails of pairs, allowing for a small shift.

    The middle of the first of a pair is compared with each part of the second that is as large; pairs that are far from
    alike even before that are spared it.

    Args:
        thumbnails: N x 32 x 32.
        pairs: The rows of the first, and of the second, images of P pairs.
        positions: In which of the eight positions, in the order of the hashes, each second image is compared.

    Returns:
        P Pearson correlations, -1 to 1; 0 where an image has a single value throughout.
    """
    blocks = np.split(np.stack([*pairs, positions]), range(PAIR_BLOCK, len(positions), PAIR_BLOCK), axis=1)
    return np.concatenate([_correlate(thumbnails[a], _placed(thumbnails[b], position)) for a, b, position in blocks])


def _thumbnail(image: NDArray[np.uint8]) -> Thumbnails:
    grey = Image.fromarray(image).convert("L").convert("F")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX))


def _close_pairs(hashes: Hashes, *, bits: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield, block by block, the pairs of rows whose hashes differ by at most so many bits."""
    step = max(1, HASH_BLOCK // max(1, len(hashes)))
    for start in range(0, len(hashes), step):
        rows = hashes[start : start + step, :1]
        close = np.zeros((len(rows), len(hashes) - start), dtype=bool)
        for position in range(hashes.shape[1]):
            close |= np.bitwise_count(rows ^ hashes[None, start:, position]) <= bits
        first, second = np.nonzero(np.triu(close, k=1))
        yield first + start, second + start


def _joined(labels: Rows, first: Rows, second: Rows) -> Rows:
    """Return the labels after joining the groups of each pair."""
    n = len(labels)
    ends = labels[first], labels[second]
    _, merged = connected_components(coo_array((np.ones(len(first), dtype=bool), ends), shape=(n, n)), directed=False)
    _, renumbered = np.unique(merged[labels], return_inverse=True)
    return renumbered.astype(np.int64)


def _placed(images: Thumbnails, positions: Rows) -> Thumbnails:
    """Bring each image into its position: bit 0 swaps the axes, then bit 1 flips rows and bit 2 columns."""
    swap, upside_down, left_to_right = ((positions[:, None, None] >> bit & 1).astype(bool) for bit in range(3))
    placed = np.where(swap, images.transpose(0, 2, 1), images)
    placed = np.where(upside_down, placed[:, ::-1], placed)
    return np.where(left_to_right, placed[:, :, ::-1], placed)


def _correlate(first: Thumbnails, second: Thumbnails) -> NDArray[np.float32]:
    result = _inner(_standardised(first), _standardised(second))
    rest = np.flatnonzero(result >= ROUGH_CORRELATION)
    middle = _standardised(first[rest, SHIFT:-SHIFT, SHIFT:-SHIFT])
    windows = np.lib.stride_tricks.sliding_window_view(second[rest], middle.shape[1:], axis=(1, 2))
    for row, column in np.ndindex(windows.shape[1:3]):
        result[rest] = np.maximum(result[rest], _inner(middle, _standardised(windows[:, row, column])))
    return result


def _standardised(images: Thumbnails) -> Thumbnails:
    """Scale images to mean 0 and norm 1; a flat image becomes 0."""
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
    return np.where(norm > 1e-3, centred / np.maximum(norm, 1e-3), np.float32(0))


def _inner(first: Thumbnails, second: Thumbnails) -> NDArray[np.float32]:
    return np.einsum("nij,nij->n", first, second)
