"""A picture's quality, and what lies on the lesion, measured in the picture alone.

These are simple measures of the decoded image. Sharpness and the like are compared with the validation images: they
detect what is unusual, not what is wrong. An artefact has a fixed threshold, since many images may have it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.images.measures.patches import find_patches
from pipeline.images.measures.rulers import find_ruler

Plane = NDArray[np.float32]

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601."""
HAIR_DEPTH = 24
"""How much darker than its surroundings a hair is, of 255."""
HAIR_EXTENT = 0.25
"""Diagonal, as a share of the side, of the box around connected threads from which they are hair: furrows are short."""
CORNER = 0.12
"""Side of each corner that is looked at, as a share of the image's."""
DARK = 40
"""Below this, of 255, a corner is black as behind a lens."""
HAIR_FRAME, INK_FRAME = 0.2, 0.3
"""Width, as a share of each side, of the frame in which hair and ink are looked for: networks and veils lie inside."""
VIOLET = 1.3
"""How much larger blue is than green in ink; in relation to red it is at least as large as in most of the picture."""
SATURATED = 0.25
"""Saturation (range of the channels over the largest) from which a pixel may be ink."""
LIT = 60
"""Largest channel, of 255, from which a pixel has a colour at all."""
WHITE = 235
"""Smallest channel, of 255, from which a pixel is a reflection."""
MARGIN = 0.03
"""Width, as a share of the side, of the band around a patch that is no ink either."""
THREAD_LENGTH = 9
"""Pixels of the lines along which a picture is closed: what is dark and narrower is a thread."""
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Steps in rows and columns: across, down, and both diagonals."""
THRESHOLDS: Mapping[str, float] = {
    "hair": 0.004,
    "ruler": 0.22,
    "dark_corners": 0.1,
    "ink": 0.003,
    "patch": 0.002,
    "glare": 0.00005,
}
"""By artefact, the value from which it counts as present; set by looking at training images of ISIC 2018 at 288 pixels,
and on phantoms. Half a millimetre of ink or a hair across a corner is below."""
ARTEFACTS = tuple(THRESHOLDS)
"""Measures of what may lie on a lesion."""


@dataclass(frozen=True)
class Quality:
    """Measurements of one picture.

    Attributes:
        sharpness: Mean absolute Laplacian of the luma, of 255.
        brightness: Mean luma, 0 to 255.
        contrast: Standard deviation of the luma, of 255.
        clipped: Share of pixels with a channel at 0 or 255, 0 to 1.
        hair: Share of the frame's pixels on long dark threads that are no ruler, 0 to 1.
        ruler: How well dark ticks along a line repeat at equal steps, 0 to 1.
        dark_corners: Share of the four corners that is black, 0 to 1.
        ink: Share of the frame's pixels that are violet or blue and no patch, 0 to 1; seldom a veil or a bluish light.
        patch: Share of pixels on coloured patches at the edge, 0 to 1.
        glare: Share of nearly white pixels, 0 to 1: reflections of bubbles or of the lamp.
    """

    sharpness: float
    brightness: float
    contrast: float
    clipped: float
    hair: float
    ruler: float
    dark_corners: float
    ink: float
    patch: float
    glare: float


MEASURES = tuple(field.name for field in fields(Quality))
MEASURES_VERSION = 1
"""Raised whenever a measure gives other values than before: stored values are then measured again."""


def measure_quality(image: NDArray[np.uint8]) -> Quality:
    """Measure an RGB picture, H x W x 3, 0 to 255."""
    luma, low, high = image @ LUMA, _extreme(image, np.minimum), _extreme(image, np.maximum)
    depths, patches, violet = thread_depths(luma), find_patches(image), _violet(image, low, high)
    ruler = find_ruler(depths)
    aside = ruler.strip if ruler.rhythm >= THRESHOLDS["ruler"] else np.zeros_like(ruler.strip)
    return Quality(
        sharpness=float(np.abs(ndimage.laplace(luma)).mean()),
        brightness=float(luma.mean()),
        contrast=float(luma.std()),
        clipped=float(((low == 0) | (high == 255)).mean()),
        hair=float(_hair(depths, violet)[_frame(luma, HAIR_FRAME) & ~aside].mean()),
        ruler=ruler.rhythm,
        dark_corners=float(_corners(luma).mean()),
        ink=float((violet & ~_widened(patches))[_frame(luma, INK_FRAME)].mean()),
        patch=float(patches.mean()),
        glare=float((low >= WHITE).mean()),
    )


def thread_depths(luma: NDArray[np.floating]) -> Plane:
    """Measure by how much closing along the best of four lines lightens each pixel: 0 where nothing narrow is dark.

    Closing takes the largest value along a line and then the smallest of these; the picture is mirrored beyond its
    edges. For all lines it takes a fifth of the time of `scipy.ndimage.grey_closing` with lines as footprints.

    Args:
        luma: H x W, 0 to 255.

    Returns:
        H x W.

    Source: Lee et al. 1997, DullRazor.
    """
    plane = luma.astype(np.float32)
    closed: Plane = np.maximum.reduce([_closed(plane, down, across) for down, across in DIRECTIONS])
    return closed - plane


def is_found(measure: str, value: float) -> bool:
    """Tell whether an artefact is present: its measure, one of `ARTEFACTS`, reaches the threshold."""
    return value >= THRESHOLDS[measure]


def _extreme(image: NDArray[np.uint8], extreme: np.ufunc) -> NDArray[np.uint8]:
    """Return the largest or smallest channel, H x W."""
    return extreme(extreme(image[..., 0], image[..., 1]), image[..., 2])


def _closed(plane: Plane, down: int, across: int) -> Plane:
    """Close a plane along lines of `THREAD_LENGTH` pixels."""
    if across < 0:
        return _closed(plane[:, ::-1], down, 1)[:, ::-1]
    margin = THREAD_LENGTH - 1
    padded = np.pad(plane, [(down * margin,) * 2, (across * margin,) * 2], mode="symmetric")
    return _along(_along(padded, np.maximum, down, across), np.minimum, down, across)


def _along(plane: Plane, extreme: np.ufunc, down: int, across: int) -> Plane:
    """Take the extreme of each `THREAD_LENGTH` pixels in a row, by windows that double."""
    width = 1
    while width < THREAD_LENGTH:
        step = min(width, THREAD_LENGTH - width)
        rows, columns = plane.shape[0] - down * step, plane.shape[1] - across * step
        plane = extreme(plane[:rows, :columns], plane[down * step :, across * step :])
        width += step
    return plane


def _hair(depths: NDArray[np.float32], violet: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark dark threads that are connected over a long distance and are not ink."""
    numbered, _ = ndimage.label((depths > HAIR_DEPTH) & ~violet, structure=np.ones((3, 3)))
    boxes = ndimage.find_objects(numbered)
    extents = [np.hypot(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in boxes]
    long = np.array([0.0, *extents]) >= HAIR_EXTENT * min(depths.shape)
    return np.asarray(long[numbered])


def _frame(luma: NDArray[np.floating], width: float) -> NDArray[np.bool_]:
    frame = np.ones(luma.shape, dtype=np.bool_)
    rows, columns = (round(width * side) for side in luma.shape)
    frame[rows : luma.shape[0] - rows, columns : luma.shape[1] - columns] = False
    return frame


def _violet(image: NDArray[np.uint8], low: NDArray[np.uint8], high: NDArray[np.uint8]) -> NDArray[np.bool_]:
    red, green, blue = (image[..., channel].astype(np.float32) for channel in range(3))
    ground = np.median(image[::4, ::4].reshape(-1, 3), axis=0).astype(np.float32)
    strong = (high > LIT) & (low < np.float32(1 - SATURATED) * high)
    return np.asarray(strong & (blue > VIOLET * green) & (blue * max(ground[0], 1) > ground[2] * red))


def _widened(patches: NDArray[np.bool_]) -> NDArray[np.bool_]:
    width = 2 * round(MARGIN * min(patches.shape)) + 1
    return np.asarray(ndimage.maximum_filter(patches, width)) if patches.any() else patches


def _corners(luma: NDArray[np.floating]) -> NDArray[np.bool_]:
    height, width = (max(1, round(CORNER * side)) for side in luma.shape)
    rows, columns = (slice(None, height), slice(-height, None)), (slice(None, width), slice(-width, None))
    return np.stack([luma[row, column] < DARK for row in rows for column in columns])
