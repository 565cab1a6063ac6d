"""Crops, flips and turns that keep an image and its masks together.

Scale is kept: a crop only shifts, so a lesion's size in pixels stays what it was. Masks have fewer pixels than images,
so a shift by a few image pixels is a fraction of a mask pixel; masks are cut by area, which is exact: the result is
what repeating the mask up to the image's size, cropping that and averaging it down again would give.
"""

from collections.abc import Hashable, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from monai.transforms import MapTransform, RandomizableTransform

from concepts.errors import SettingsError

Window = tuple[int, int]

IMAGE = "image"
REGIONS = "regions"


def crop_image(image: npt.NDArray[Any], *, offset: Window, size: int) -> npt.NDArray[Any]:
    """Cut the square of ``size`` pixels at ``offset`` (row, column) from height x width x channel, as a view."""
    top, left = offset
    return image[top : top + size, left : left + size]


def crop_regions(
    regions: npt.NDArray[Any], *, offset: Window, size: int, of: int, cells: int
) -> npt.NDArray[np.float32]:
    """Crop masks as their image is cropped.

    Args:
        regions: k x n x n, the masks of the whole image.
        offset: Row and column, in image pixels, at which the crop starts.
        size: Side of the crop in image pixels.
        of: Side of the whole image in pixels.
        cells: Side of the result.

    Returns:
        float32, k x cells x cells: the area-weighted mean of the masks over each cell.
    """
    n = regions.shape[-1]
    rows, columns = (_overlap(start * n / of, size * n / of, n=n, cells=cells) for start in offset)
    return rows @ regions.astype(np.float32) @ columns.T


def turn(array: npt.NDArray[Any], symmetry: int, axes: tuple[int, int]) -> npt.NDArray[Any]:
    """Apply one of the square's eight symmetries: ``symmetry % 4`` quarter turns, then a flip from 4 on."""
    turned = np.rot90(array, symmetry % 4, axes)
    return np.flip(turned, axes[1]) if symmetry >= 4 else turned


def _overlap(start: float, length: float, *, n: int, cells: int) -> npt.NDArray[np.float32]:
    """Return the share of each of ``cells`` equal parts of [start, start + length] in each of n unit intervals."""
    edges = start + np.linspace(0, length, cells + 1)
    starts, ends = edges[:-1, None], edges[1:, None]
    units = np.arange(n)
    covered = np.minimum(ends, units + 1) - np.maximum(starts, units)
    return (np.clip(covered, 0, None) * (cells / length)).astype(np.float32)


class Cropd(RandomizableTransform, MapTransform):
    """Crop the image, and the masks with it, at a random place or at the centre.

    The item's ``image`` is square, height x width x channel; ``regions``, where there is one, is k x n x n.

    Args:
        size: Side of the crop in image pixels.
        cells: Side of the cropped masks.
        random: Whether the place is drawn; else the centre.
    """

    def __init__(self, *, size: int, cells: int, random: bool) -> None:
        MapTransform.__init__(self, (IMAGE, REGIONS), allow_missing_keys=True)
        RandomizableTransform.__init__(self)
        self.size = size
        self.cells = cells
        self.random = random
        self.offset: Window = (0, 0)

    def randomize(self, data: int) -> Self:
        """Draw the place for an image of side ``data``."""
        self.offset = (int(self.R.randint(data - self.size + 1)), int(self.R.randint(data - self.size + 1)))
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw and apply; masks become float32, in their own range.

        Raises:
            SettingsError: If the image is smaller than the crop.
        """
        item = dict(data)
        side = min(item[IMAGE].shape[:2])
        if side < self.size:
            raise SettingsError(f"transforms.size is {self.size} but the image has {side} pixels; decode it larger")
        if self.random:
            self.randomize(side)
        else:
            self.offset = ((side - self.size) // 2, (side - self.size) // 2)
        item[IMAGE] = crop_image(item[IMAGE], offset=self.offset, size=self.size)
        if REGIONS in item:
            item[REGIONS] = crop_regions(item[REGIONS], offset=self.offset, size=self.size, of=side, cells=self.cells)
        return item


class RandomSymmetryd(RandomizableTransform, MapTransform):
    """Flip and turn the image, and the masks with it, by one of the symmetries of the square.

    Args:
        flips: Whether mirror images are among them.
        turns: Whether quarter turns are among them. Without, flips are about either axis or both.
    """

    def __init__(self, *, flips: bool, turns: bool) -> None:
        MapTransform.__init__(self, (IMAGE, REGIONS), allow_missing_keys=True)
        RandomizableTransform.__init__(self)
        self.choices = _SYMMETRIES[flips, turns]
        self.symmetry = 0

    def randomize(self, data: Any = None) -> Self:  # noqa: ANN401 - MONAI's signature
        """Draw the symmetry."""
        self.symmetry = self.choices[int(self.R.randint(len(self.choices)))]
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw and apply."""
        item = dict(data)
        self.randomize()
        for key in self.key_iterator(item):
            item[key] = turn(item[key], self.symmetry, (0, 1) if key == IMAGE else (1, 2))
        return item


_SYMMETRIES = {
    (False, False): (0,),
    (False, True): (0, 1, 2, 3),
    (True, False): (0, 2, 4, 6),
    (True, True): (0, 1, 2, 3, 4, 5, 6, 7),
}
"""By (flips, turns). 4 is a left-right flip, 6 a half turn and that, which is a top-bottom flip."""
