"""Which of the six colours of the ABCD rule a lesion shows, from its pixels and its mask."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from concepts.errors import DataError
from concepts.example import ConceptEntry, Origin, Polarity

MULTIPLE_COLOURS = "multiple_colours"
# Typical sRGB values of each colour; ours, chosen by eye: no source gives values that hold for every camera.
PROTOTYPES = {
    "white": ((235, 225, 220),),
    "red": ((190, 70, 75), (165, 50, 60)),
    "light_brown": ((175, 125, 90), (155, 105, 70)),
    "dark_brown": ((100, 60, 40), (75, 45, 30)),
    "blue_grey": ((110, 120, 140), (75, 90, 115)),
    "black": ((30, 22, 22), (15, 15, 18)),
}
LIGHTER_THAN_SKIN = 5.0
"""By how much white is lighter than the skin around, in L*."""
SKIN_MARGIN = 0.1
"""Width of the skin looked at around the lesion, as a share of the square root of the lesion's area."""
Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ColoursRule:
    """When a colour counts, and how many are many.

    Attributes:
        share: Smallest share of the lesion's area that a colour must cover, in 0..1.
        many: So many colours or more are multiple.
    """

    share: float = 0.05
    many: int = 3

    def __post_init__(self) -> None:
        if not (0 < self.share < 1 and 1 <= self.many <= len(PROTOTYPES)):
            raise DataError(f"colour rule {self.share:g}, {self.many}: allowed is a share in 0..1 and 1 to 6 colours")

    @property
    def text(self) -> str:
        """The rule in words, with its numbers."""
        return (
            "number of white, red, light brown, dark brown, blue-grey and black that each cover "
            f"{self.share:.0%} of the lesion mask or more: present from {self.many}, absent below"
        )

    @property
    def entry(self) -> ConceptEntry:
        """The concept as a release declares it."""
        return ConceptEntry.from_vocabulary(MULTIPLE_COLOURS, origin=Origin.MEASURED, rule=self.text)

    def colours(self, shares: dict[str, float]) -> tuple[str, ...]:
        """Return the colours that count, in the order of the ABCD rule."""
        return tuple(colour for colour, share in shares.items() if share >= self.share)

    def polarity(self, shares: dict[str, float]) -> Polarity:
        """Present from the number of colours that are many, else absent."""
        return Polarity.PRESENT if len(self.colours(shares)) >= self.many else Polarity.ABSENT


def colour_shares(image: Image, mask: Mask) -> dict[str, float]:
    """Measure how much of a lesion each of the six colours covers.

    Every pixel goes to the nearest typical colour in CIELAB (Euclidean, D65), or to the skin where the median colour of
    a ring around the lesion is nearer. White must be lighter than that skin. The colours depend on camera and light:
    a rough first answer for a reader to correct, not a colorimetric one.

    Args:
        image: H x W x 3, RGB, 0..255.
        mask: H x W, true inside the lesion.

    Returns:
        By concept identifier (white, red, light_brown, dark_brown, blue_grey, black), a share in 0..1; they sum to 1
        less what looks like skin.

    Raises:
        DataError: If image and mask do not fit, or the mask is empty.

    Source: the C of the ABCD rule (Nachbar et al., J Am Acad Dermatol 1994; Stolz et al., Eur J Dermatol 1994), who
    judge by eye and count white only where lighter than the skin; nearest typical colours instead of their eye.
    """
    _check(image, mask)
    skin = _skin(image, mask)
    names = [name for name, colours in PROTOTYPES.items() for _ in colours]
    references = lab(np.array([colour for colours in PROTOTYPES.values() for colour in colours], dtype=np.uint8))
    pixels = lab(image[mask])
    distances = np.stack([np.linalg.norm(pixels - reference, axis=1) for reference in references], axis=1)
    if skin is not None:
        too_dark = pixels[:, :1] < skin[0] + LIGHTER_THAN_SKIN
        distances = np.where(too_dark & (np.array(names) == "white"), np.inf, distances)
        distances = np.column_stack([distances, np.linalg.norm(pixels - skin, axis=1)])
    nearest = np.bincount(distances.argmin(axis=1), minlength=len(names) + 1) / len(pixels)
    return {colour: float(sum(nearest[i] for i, name in enumerate(names) if name == colour)) for colour in PROTOTYPES}


def lab(colours: Image) -> Numbers:
    """Convert sRGB colours to CIELAB.

    Args:
        colours: N x 3, 0..255.

    Returns:
        N x 3: L* in 0..100, a* and b* in about -128..127; white point D65, 2 degree observer.

    Source: IEC 61966-2-1 (sRGB) and CIE 15:2004 (L*a*b*).

    Example:
        >>> lab(np.array([[255, 255, 255]], dtype=np.uint8)).round(1).tolist()
        [[100.0, 0.0, 0.0]]
    """
    encoded = colours.astype(np.float64) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    relative = linear @ to_xyz.T / to_xyz.sum(axis=1)
    cubic = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = cubic.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def _check(image: Image, mask: Mask) -> None:
    if image.dtype != np.uint8 or image.shape != (*mask.shape, 3):
        raise DataError(
            f"an image of {image.dtype} {image.shape} does not go with a mask {mask.shape}; "
            "give H x W x 3 RGB of 0..255 and H x W"
        )
    if not mask.any():
        raise DataError(f"the lesion mask ({mask.shape[1]} x {mask.shape[0]} pixels) is empty; leave the image out")


def _skin(image: Image, mask: Mask) -> Numbers | None:
    """Median CIELAB of a ring around the lesion, a gap away from it; None where the picture shows none."""
    width = SKIN_MARGIN * np.sqrt(mask.sum())
    away = ndimage.distance_transform_edt(~mask)
    ring = (away > width) & (away <= 2 * width + 1)
    return None if not ring.any() else np.median(lab(image[ring]), axis=0)
