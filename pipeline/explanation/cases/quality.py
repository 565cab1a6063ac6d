"""What can be told of a picture's quality and of what lies on the lesion, from the picture alone.

These are simple measurements of the decoded image, compared with the validation images; they detect the unusual, not
the wrong.
"""

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
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
FRAME = 0.2
"""Width, as a share of each side, of the frame in which threads are looked for: networks lie further inside."""
SATURATED = 0.4
"""Saturation (range of the channels over the largest) of a pixel that is not mostly red from which it is no skin."""
LIT = 40
"""Largest channel, of 255, from which a pixel has a colour at all."""
WHITE = 235
"""Smallest channel, of 255, from which a pixel is a reflection."""
ARTEFACTS = ("hair", "dark_corners", "ink", "glare")
"""Measures of what may lie on a lesion; few images have it."""
FENCE = 0.5
"""An artefact is found above the upper quartile of the validation images plus this many times their interquartile
range. Half, not Tukey's one and a half: some threads are in half of the images, and 1.5 misses two thirds of the hair.
"""
LEAST = {"dark_corners": 0.05}
"""Value from which a measure can be an artefact at all: a hair across a corner blackens some pixels of it too."""


@dataclass(frozen=True)
class Quality:
    """Measurements of one picture.

    Attributes:
        sharpness: Mean absolute Laplacian of the luma, of 255.
        brightness: Mean luma, 0 to 255.
        contrast: Standard deviation of the luma, of 255.
        clipped: Share of pixels with a channel at 0 or 255, 0 to 1.
        hair: Share of the frame's pixels on dark threads, 0 to 1: hair, or the ticks of a ruler.
        dark_corners: Share of the four corners that is black, 0 to 1.
        ink: Share of pixels of a strong colour that is not red, 0 to 1: ink or a patch, seldom a deep blue veil.
        glare: Share of nearly white pixels, 0 to 1: reflections of bubbles or of the lamp.
    """

    sharpness: float
    brightness: float
    contrast: float
    clipped: float
    hair: float
    dark_corners: float
    ink: float
    glare: float


MEASURES = tuple(field.name for field in fields(Quality))


def measure_quality(image: NDArray[np.uint8]) -> Quality:
    """Measure an RGB picture, H x W x 3, 0 to 255."""
    luma = image @ LUMA
    return Quality(
        sharpness=float(np.abs(ndimage.laplace(luma)).mean()),
        brightness=float(luma.mean()),
        contrast=float(luma.std()),
        clipped=float(((image == 0) | (image == 255)).any(axis=2).mean()),
        hair=float(_threads(luma)[_frame(luma)].mean()),
        dark_corners=float(_corners(luma).mean()),
        ink=float(_coloured(image).mean()),
        glare=float((image.min(axis=2) >= WHITE).mean()),
    )


def is_found(measure: str, value: float, among: ArrayLike) -> bool:
    """Whether an artefact is there: its measure stands out from the validation images'.

    Args:
        measure: One of `ARTEFACTS`.
        value: In the image.
        among: In the validation images; where there are none, nothing is found.

    Source: the fences of Tukey 1977, Exploratory Data Analysis, with another width.
    """
    values = np.asarray(among, dtype=np.float64)
    if len(values) == 0 or value < LEAST.get(measure, 0.0):
        return False
    low, high = np.percentile(values, [25, 75])
    return bool(value > high + FENCE * (high - low))


def quality_table(images: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """N x 8, columns in the order of `MEASURES`."""
    return np.array([astuple(measure_quality(image)) for image in images]).reshape(-1, len(MEASURES))


def _threads(luma: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pixels that closing along lines in some direction would lighten: dark and narrow (Lee et al. 1997, DullRazor)."""
    diagonal = np.eye(HAIR_LENGTH, dtype=np.bool_)
    lines = [np.ones((1, HAIR_LENGTH), bool), np.ones((HAIR_LENGTH, 1), bool), diagonal, diagonal[::-1]]
    closed = np.max([ndimage.grey_closing(luma, footprint=line) for line in lines], axis=0)
    return np.asarray(closed - luma > HAIR_DEPTH)


def _frame(luma: NDArray[np.float64]) -> NDArray[np.bool_]:
    frame = np.ones(luma.shape, dtype=np.bool_)
    rows, columns = (round(FRAME * side) for side in luma.shape)
    frame[rows : luma.shape[0] - rows, columns : luma.shape[1] - columns] = False
    return frame


def _coloured(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    values = image.astype(np.int16)
    high, low = values.max(axis=2), values.min(axis=2)
    return np.asarray((values[..., 0] < high) & (high > LIT) & (high - low > SATURATED * high))


def _corners(luma: NDArray[np.float64]) -> NDArray[np.bool_]:
    height, width = (max(1, round(CORNER * side)) for side in luma.shape)
    rows, columns = (slice(None, height), slice(-height, None)), (slice(None, width), slice(-width, None))
    return np.stack([luma[row, column] < DARK for row in rows for column in columns])
