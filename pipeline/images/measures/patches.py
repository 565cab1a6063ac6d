"""A coloured patch at the edge of a picture (a sticker), told from ink and from the lesion.

A patch is a large flat area of one strong colour, cut off by the edge of the picture and with a sharp contour: skin and
lesions change gradually, ink is drawn in strokes, and the bluish light at the rim of some lenses reaches all sides.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

COARSE = 64
"""Pixels of the side at which patches are looked for, at least: threads and noise are averaged away."""
LIT = 60
"""Largest channel, of 255, from which a pixel has a colour."""
SATURATED = 0.15, 0.4
"""Saturation (range of the channels over the largest) from which a colour is strong: where red does not lead, where
it does."""
COLDER = 1.25
"""How much larger, in relation to red, the largest other channel is than in most of the picture."""
STRONGER = 0.2
"""How much larger the saturation is than that of most of the picture, where red leads."""
BRIGHT = 0.8
"""How large red is in relation to most of the picture's, where it leads: lesions are darker than skin."""
THICK = 0.05
"""Width, as a share of the side, below which an area is a stroke."""
LARGEST = 0.4
"""Share of the picture above which an area is its ground."""
SIDES = 2
"""Sides of the picture that a patch touches, at most."""
CONTOUR = 25
"""Change over two coarse pixels at the contour, of 255, in the channel that changes most."""
CUT = 75
"""Percentile of the changes around the contour: it lies inside a band of four coarse pixels."""
SHARP = 2.5
"""How much larger the change at the contour is than inside."""
RAGGED = 0.1
"""How much more of the colour lies around an area, in relation to it, at most."""

Mask = NDArray[np.bool_]


def find_patches(image: NDArray[np.uint8]) -> Mask:
    """Mark coloured patches, H x W. Those of about the skin's colour are not detected.

    Args:
        image: RGB, H x W x 3, 0 to 255.
    """
    scale = max(1, min(image.shape[:2]) // COARSE)
    small = np.asarray(Image.fromarray(image).reduce(scale), dtype=np.float32)
    width = max(3, round(THICK * min(small.shape[:2])) | 1)
    changes = _changes(small)
    found = np.zeros(small.shape[:2], dtype=np.bool_)
    strong = _strong(small)
    core, areas = _opened(strong, width)
    numbered, _ = ndimage.label(areas)
    for number in np.unique(np.concatenate(_sides(numbered))):
        area = numbered == number
        if number and _is_patch(area, strong, core, changes):
            found |= area
    whole = found.repeat(scale, axis=0).repeat(scale, axis=1)
    return whole[: image.shape[0], : image.shape[1]]


def _strong(small: NDArray[np.float32]) -> Mask:
    """Mark pixels of a strong colour that is not that of most of the picture."""
    high, low = small.max(axis=2), small.min(axis=2)
    red, others = small[..., 0], small[..., 1:].max(axis=2)
    saturation = (high - low) / np.maximum(high, 1)
    ground = np.median(small.reshape(-1, 3), axis=0)
    ground_saturation = (ground.max() - ground.min()) / max(ground.max(), 1)
    ground_cold = ground[1:].max() / max(ground[0], 1)
    cold = (red < others) & (high > LIT) & (saturation > SATURATED[0])
    cold &= others > COLDER * ground_cold * np.maximum(red, 1)
    warm = (red >= others) & (red >= BRIGHT * ground[0])
    warm &= saturation > max(SATURATED[1], ground_saturation + STRONGER)
    return np.asarray(cold | warm)


def _changes(small: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest difference of the neighbours across or down, of all channels, H x W."""
    changes = np.zeros(small.shape[:2], dtype=np.float32)
    changes[:, 1:-1] = np.abs(small[:, 2:] - small[:, :-2]).max(axis=2)
    changes[1:-1] = np.maximum(changes[1:-1], np.abs(small[2:] - small[:-2]).max(axis=2))
    return changes


def _opened(mask: Mask, width: int) -> tuple[Mask, Mask]:
    """Strip a mask of its margins, and restore them where it is thick; a mask goes on beyond the picture's edge."""
    core = ndimage.minimum_filter(mask, width, mode="nearest")
    return core, ndimage.maximum_filter(core, width, mode="nearest")


def _sides(plane: NDArray[Any]) -> list[NDArray[Any]]:
    return [plane[0], plane[-1], plane[:, 0], plane[:, -1]]


def _is_patch(area: Mask, strong: Mask, core: Mask, changes: NDArray[np.float32]) -> bool:
    if area.mean() > LARGEST or sum(bool(side.any()) for side in _sides(area)) > SIDES:
        return False
    around = ndimage.maximum_filter(area, 5, mode="nearest")
    contour = around & ~ndimage.minimum_filter(area, 5, mode="nearest")
    inside = core & area
    if not contour.any() or not inside.any():
        return False
    wide = ndimage.maximum_filter(area, 9, mode="nearest")
    ragged = ((strong & wide).sum() - area.sum()) / area.sum()
    sharp = float(np.percentile(changes[contour], CUT))
    return bool(ragged <= RAGGED and sharp > max(CONTOUR, SHARP * float(np.median(changes[inside]))))
