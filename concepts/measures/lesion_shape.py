"""Border and diameter of a lesion, from its mask: the B and D of ABCD."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from concepts.errors import DataError
from concepts.example import ConceptEntry, Origin, Polarity
from concepts.measures.lesion_mask import Mask, coverage, cropped

BORDER = "border_irregularity"
DIAMETER = "large_diameter"
SIDE = 200
"""Longest side, in pixels, at which the outline is measured."""
SMOOTHING = 0.02
"""Details of the outline that are finer than this share of the lesion's size are not counted."""


def border_irregularity(mask: Mask) -> float:
    """Measure how notched or wavy a lesion's outline is: 0 where it bulges everywhere, as a circle or an ellipse does.

    The length P of the outline against the length P_hull of a band stretched around it: P / P_hull - 1. Both lengths
    are means over the level lines of the smoothed lesion, P = sum of |gradient| (co-area formula), which does not
    depend on how the lesion lies on the pixels. Elongation does not count; holes are filled. Does not depend on
    place, direction or scale. Do not use it on a lesion that leaves the picture, or one under 30 pixels across.

    Args:
        mask: H x W, true inside the lesion.

    Returns:
        0 or more; about 0.1 for a clearly notched lesion.

    Raises:
        DataError: If the mask is not two-dimensional or is empty.

    Source: convexity, the ratio of the two lengths, as among the border features of Lee, McLean and Atkins, Med Image
    Anal 2003, 7:47. The B of the ABCD rule is another thing: how abruptly pigment ends, by eighths of the outline.
    """
    shape = ndimage.binary_fill_holes(_reduced(cropped(mask)))
    smoothing = max(1.0, SMOOTHING * np.sqrt(shape.sum()))
    shape = np.pad(shape, int(np.ceil(4 * smoothing)) + 1)
    length, around = _outline(shape, smoothing), _outline(_hull(shape), smoothing)
    return max(0.0, length / around - 1)


def diameter(mask: Mask, *, spacing: float = 1.0) -> float:
    """Measure the largest distance between two points of a lesion.

    Args:
        mask: H x W, true inside the lesion.
        spacing: Side of a pixel in mm; with the default the result is in pixels.

    Returns:
        In pixels, or in mm where the spacing is given; good to a pixel.

    Raises:
        DataError: If the mask is not two-dimensional or is empty, or the spacing is not above 0.

    Source: the D of the clinical ABCD (Friedman, Rigel and Kopf, CA Cancer J Clin 1985), the largest Feret diameter.

    Example:
        >>> diameter(np.ones((1, 7), dtype=bool), spacing=0.5)
        3.5
    """
    if not 0 < spacing < np.inf:
        raise DataError(f"pixel spacing {spacing:g}: allowed is a number of mm above 0; leave it out where not known")
    shape = cropped(mask)
    edge = np.argwhere(shape & ~ndimage.binary_erosion(shape)).astype(np.float64)
    corners = _corners(edge)
    return float((pdist(corners).max(initial=0.0) + 1) * spacing)


@dataclass(frozen=True, slots=True)
class BorderRule:
    """When an outline counts as clearly irregular, and when as clearly smooth.

    The thresholds are fixed numbers, not quantiles of a cohort. The defaults part lesions of ISIC 2018 that lie whole
    in the picture (70 sampled) into about a third smooth, a third irregular and a middle that is left out.

    Attributes:
        smooth: Largest irregularity that still is clearly smooth.
        irregular: Smallest irregularity that clearly is one.
    """

    smooth: float = 0.003
    irregular: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.smooth < self.irregular:
            raise DataError(
                f"border thresholds {self.smooth:g} and {self.irregular:g}: allowed is 0 <= smooth < irregular"
            )

    @property
    def text(self) -> str:
        """The rule in words, with its numbers."""
        return (
            "length of the lesion mask's outline over that of its convex hull, minus 1: "
            f"present from {self.irregular:g}, absent up to {self.smooth:g}, "
            "left out between and where the lesion touches the edge of the picture"
        )

    @property
    def entry(self) -> ConceptEntry:
        """The concept as a release declares it."""
        return ConceptEntry.from_vocabulary(BORDER, origin=Origin.MEASURED, rule=self.text)

    def polarity(self, irregularity: float) -> Polarity | None:
        """Present, absent, or None in the middle."""
        if irregularity >= self.irregular:
            return Polarity.PRESENT
        return Polarity.ABSENT if irregularity <= self.smooth else None


@dataclass(frozen=True, slots=True)
class DiameterRule:
    """When a lesion counts as large.

    Attributes:
        large: Smallest large diameter, in the unit.
        unit: ``mm``, or ``px`` where all pictures were taken from one distance and no spacing is known.
    """

    large: float = 10.0
    unit: str = "mm"

    def __post_init__(self) -> None:
        if not 0 < self.large < np.inf:
            raise DataError(f"diameter threshold {self.large:g}: allowed is a number of {self.unit} above 0")
        if self.unit not in ("mm", "px"):
            raise DataError(f"unit {self.unit!r:.80} of a diameter; allowed are mm and px")

    @property
    def text(self) -> str:
        """The rule in words, with its number."""
        unknown = "the pixel spacing is not known or " if self.unit == "mm" else ""
        return (
            f"largest diameter of the lesion mask: present from {self.large:g} {self.unit}, absent below, left out "
            f"where {unknown}a smaller part of a lesion touches the edge of the picture"
        )

    @property
    def entry(self) -> ConceptEntry:
        """The concept as a release declares it."""
        return ConceptEntry.from_vocabulary(DIAMETER, origin=Origin.MEASURED, rule=self.text)

    def polarity(self, across: float, *, cut_off: bool) -> Polarity | None:
        """Present, absent, or None where a lesion is cut off and what can be seen of it (in the unit) is not large."""
        if across >= self.large:
            return Polarity.PRESENT
        return None if cut_off else Polarity.ABSENT


def _reduced(mask: Mask) -> Mask:
    reduced: Mask = coverage(mask, side=SIDE) >= 0.5
    return reduced if reduced.any() else np.ones((1, 1), dtype=np.bool_)


def _outline(shape: Mask, smoothing: float) -> float:
    """Length of the outline, in pixels."""
    down = ndimage.gaussian_filter(shape.astype(np.float64), smoothing, order=(1, 0))
    right = ndimage.gaussian_filter(shape.astype(np.float64), smoothing, order=(0, 1))
    return float(np.hypot(down, right).sum())


def _corners(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of the convex hull; all points where they lie on a line."""
    try:
        return np.asarray(points[ConvexHull(points).vertices]) if len(points) > 2 else points
    except QhullError:
        return np.stack([points.min(axis=0), points.max(axis=0)])


def _hull(shape: Mask) -> Mask:
    """Fill the convex hull of a shape."""
    points = np.argwhere(shape)
    try:
        sides = ConvexHull(points).equations if len(points) > 2 else None
    except QhullError:
        sides = None
    if sides is None:
        return shape
    grid = np.indices(shape.shape).reshape(2, -1)
    inside: Mask = (sides[:, :2] @ grid + sides[:, 2:] <= 1e-9).all(axis=0).reshape(shape.shape)
    return inside
