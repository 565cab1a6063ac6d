"""Concepts that are measured rather than seen: the shape of a lesion, from its mask."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from concepts.errors import DataError
from concepts.example import ConceptEntry, Example, MaskFile, Origin, Polarity
from concepts.measures.lesion_mask import Mask, coverage, cropped

SIDE = 160
"""Longest side, in pixels, at which the overlap is measured; the full grid changes it by 0.0015 on average and
0.013 at most (ISIC 2018)."""

ASYMMETRY = "asymmetry"
Image = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AsymmetryMeasure:
    """How far a lesion differs from its mirror images: 0 the same, 1 no overlap.

    Attributes:
        major: Mirrored about the long principal axis.
        minor: Mirrored about the short principal axis.
    """

    major: float
    minor: float

    @property
    def largest(self) -> float:
        """The larger of the two."""
        return max(self.major, self.minor)


def asymmetry(mask: Mask) -> AsymmetryMeasure:
    """Measure how far a lesion differs from its mirror images: 0 the same, 1 no overlap.

    The axes run through the centroid along the eigenvectors of the second moments. About each of them the lesion A is
    mirrored to A', and the asymmetry is 1 - |A ∩ A'| / |A ∪ A'|. It does not depend on where the lesion lies, how it
    is turned or how large it is. Do not use it on a lesion that leaves the picture (see `is_cut_off`).

    Args:
        mask: H x W, true inside the lesion.

    Raises:
        DataError: If the mask is not two-dimensional or is empty.

    Source: the A of the ABCD rule (Nachbar et al., J Am Acad Dermatol 1994; Stolz et al., Eur J Dermatol 1994). They
    judge by eye, place the axes where asymmetry is lowest, and count colour and structure too; we measure the outline
    only, about the principal axes.
    """
    aligned = _aligned(coverage(cropped(mask), side=SIDE))
    return AsymmetryMeasure(major=_difference(aligned, aligned[:, ::-1]), minor=_difference(aligned, aligned[::-1]))


def is_cut_off(mask: Mask) -> bool:
    """Tell whether the lesion touches the edge of the picture, so that its shape and size are not known."""
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


@dataclass(frozen=True, slots=True)
class AsymmetryRule:
    """When a lesion counts as clearly asymmetric, and when as clearly symmetric.

    The thresholds are fixed numbers, not quantiles of a cohort, so that no test image has a say in them. The defaults
    part the lesions of ISIC 2018 that lie whole in the picture (1,959 of 2,594) into 34 % symmetric, 30 % asymmetric
    and a middle that is left out.

    Attributes:
        symmetric: Largest difference from either mirror image that still is clearly symmetric.
        asymmetric: Smallest difference from one mirror image that is clearly asymmetric.
    """

    symmetric: float = 0.11
    asymmetric: float = 0.17

    def __post_init__(self) -> None:
        if not 0 <= self.symmetric < self.asymmetric <= 1:
            raise DataError(
                f"asymmetry thresholds {self.symmetric:g} and {self.asymmetric:g}: allowed is "
                "0 <= symmetric < asymmetric <= 1"
            )

    @property
    def text(self) -> str:
        """The rule in words, with its numbers."""
        return (
            "difference of the lesion mask from its mirror image about a principal axis, 1 - common / joint area: "
            f"present from {self.asymmetric:g} about either axis, absent up to {self.symmetric:g} about both, "
            "left out between and where the lesion touches the edge of the picture"
        )

    @property
    def entry(self) -> ConceptEntry:
        """The concept as a release declares it."""
        return ConceptEntry.from_vocabulary(ASYMMETRY, origin=Origin.MEASURED, rule=self.text)

    def polarity(self, measure: AsymmetryMeasure) -> Polarity | None:
        """Present, absent, or None in the middle."""
        if measure.largest >= self.asymmetric:
            return Polarity.PRESENT
        return Polarity.ABSENT if measure.largest <= self.symmetric else None


def asymmetry_example(
    mask: Mask, *, image_id: str, image_digest: str, region: MaskFile, rule: AsymmetryRule
) -> Example | None:
    """Say what a lesion's mask tells about its asymmetry.

    Args:
        mask: H x W, true inside the lesion.
        image_id: The image, as its sample calls it.
        image_digest: SHA-256 of the image file's bytes.
        region: The mask's file; where the asymmetry is, when it is present.
        rule: The thresholds.

    Returns:
        An example, or None where the lesion is neither clearly asymmetric nor clearly symmetric, or is cut off by
        the edge of the picture.

    Raises:
        DataError: If the mask is empty.
    """
    measure = asymmetry(mask)
    polarity = None if is_cut_off(mask) else rule.polarity(measure)
    if polarity is None:
        return None
    return Example(
        image_id=image_id,
        image_digest=image_digest,
        concept=ASYMMETRY,
        polarity=polarity,
        region=region if polarity is Polarity.PRESENT else None,
        provenance=f"measured on {region.path}: {measure.major:.2f} about the long axis, {measure.minor:.2f} the short",
    )


def _aligned(shape: Image) -> Image:
    """Turn the lesion so that its long axis runs down the rows, with its centroid in the middle pixel."""
    # Without smoothing, the stairs of a slanting outline would count as asymmetry, more so in small lesions.
    smooth = ndimage.gaussian_filter(np.pad(shape, 4), sigma=1)
    points = np.argwhere(smooth > 0)
    weights = smooth[smooth > 0]
    centre = np.average(points, axis=0, weights=weights)
    moments = np.cov((points - centre).T, aweights=weights)
    axes = np.linalg.eigh(moments).eigenvectors.T[::-1]
    reach = np.ceil(np.abs((points - centre) @ axes.T).max(axis=0))
    grid = np.stack(np.meshgrid(*(np.arange(-side, side + 1) for side in reach), indexing="ij"), axis=-1)
    aligned: Image = ndimage.map_coordinates(smooth, np.moveaxis(grid @ axes + centre, -1, 0), order=1)
    return aligned


def _difference(image: Image, mirrored: Image) -> float:
    return float(1 - np.minimum(image, mirrored).sum() / np.maximum(image, mirrored).sum())
