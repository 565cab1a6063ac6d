"""What can be told of a picture's quality and of what lies on the lesion, from the picture alone.

These are simple measurements of the decoded image, compared with the validation images; they detect the unusual, not
the wrong.
"""

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601."""
HAIR_LENGTH = 9
"""Side in pixels of the lines with which dark threads are closed."""
HAIR_DEPTH = 24
"""How much darker than its surroundings a thread is, of 255."""
CORNER = 0.12
"""Side of each corner that is looked at, as a share of the image's."""
DARK = 40
"""Below this, of 255, a corner is black as behind a lens."""


@dataclass(frozen=True)
class Quality:
    """Measurements of one picture.

    Attributes:
        sharpness: Mean absolute Laplacian of the luma, of 255.
        brightness: Mean luma, 0 to 255.
        contrast: Standard deviation of the luma, of 255.
        clipped: Share of pixels with a channel at 0 or 255, 0 to 1.
        hair: Share of pixels on dark threads, 0 to 1: hair, but a coarse pigment network too.
        dark_corners: Share of the four corners that is black, 0 to 1.
    """

    sharpness: float
    brightness: float
    contrast: float
    clipped: float
    hair: float
    dark_corners: float


MEASURES = tuple(field.name for field in fields(Quality))


def measure_quality(image: NDArray[np.uint8]) -> Quality:
    """Measure an RGB picture, H x W x 3, 0 to 255."""
    luma = image @ LUMA
    return Quality(
        sharpness=float(np.abs(ndimage.laplace(luma)).mean()),
        brightness=float(luma.mean()),
        contrast=float(luma.std()),
        clipped=float(((image == 0) | (image == 255)).any(axis=2).mean()),
        hair=float(_threads(luma).mean()),
        dark_corners=float(_corners(luma).mean()),
    )


def quality_table(images: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """N x 6, columns in the order of `MEASURES`."""
    return np.array([astuple(measure_quality(image)) for image in images]).reshape(-1, len(MEASURES))


def _threads(luma: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pixels that closing along lines in some direction would lighten: dark and narrow (Lee et al. 1997, DullRazor)."""
    diagonal = np.eye(HAIR_LENGTH, dtype=np.bool_)
    lines = [np.ones((1, HAIR_LENGTH), bool), np.ones((HAIR_LENGTH, 1), bool), diagonal, diagonal[::-1]]
    closed = np.max([ndimage.grey_closing(luma, footprint=line) for line in lines], axis=0)
    return np.asarray(closed - luma > HAIR_DEPTH)


def _corners(luma: NDArray[np.float64]) -> NDArray[np.bool_]:
    height, width = (max(1, round(CORNER * side)) for side in luma.shape)
    rows, columns = (slice(None, height), slice(-height, None)), (slice(None, width), slice(-width, None))
    return np.stack([luma[row, column] < DARK for row in rows for column in columns])
