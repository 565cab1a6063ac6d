"""Colours of a phantom: skin by its individual typology angle, and what grows in it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.float32]
"""sRGB, 3 values from 0 to 1."""

LIGHTEST, DARKEST = 58.0, -32.0
"""Range of the individual typology angle, in degrees: from very light to dark skin."""

TONES = ((55.0, "very light"), (41.0, "light"), (28.0, "intermediate"), (10.0, "tan"), (-30.0, "brown"))
"""Individual typology angle above which a skin is called so, in degrees (Chardon et al. 1991)."""
DARKEST_TONE = "dark"
"""At most the last of these angles."""

_XYZ_TO_RGB = ((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570))
_WHITE = (0.95047, 1.0, 1.08883)


@dataclass(frozen=True, slots=True)
class Skin:
    """A patient's skin.

    Attributes:
        ita: Individual typology angle in degrees, atan((L* - 50) / b*): above 55 very light, below -30 dark (Chardon
            et al., Int J Cosmet Sci 1991).
        red: CIE a*.
        yellow: CIE b*.
    """

    ita: float
    red: float
    yellow: float

    @property
    def lightness(self) -> float:
        """CIE L*."""
        return float(50 + self.yellow * np.tan(np.radians(self.ita)))


@dataclass(frozen=True, slots=True)
class Pigment:
    """A lesion's own colour, relative to the skin around it.

    Attributes:
        depth: How much darker than the skin, in CIE L*.
        redder: Difference in a*.
        yellower: Difference in b*.
    """

    depth: float
    redder: float
    yellower: float


@dataclass(frozen=True, slots=True)
class Device:
    """A dermatoscope and its light.

    Attributes:
        gains: Of red, green and blue.
        falloff: How much darker than the centre the corners are, as a share.
    """

    gains: tuple[float, float, float]
    falloff: float


def tone_name(ita: float) -> str:
    """Name the tone of skin of an individual typology angle (degrees)."""
    return next((name for above, name in TONES if ita > above), DARKEST_TONE)


def throw_skin(rng: np.random.Generator) -> Skin:
    """Throw a skin of any tone, lightest to darkest alike."""
    return Skin(
        ita=float(rng.uniform(DARKEST, LIGHTEST)),
        red=float(rng.uniform(9, 15)),
        yellow=float(rng.uniform(13, 18)),
    )


def throw_pigment(rng: np.random.Generator) -> Pigment:
    """Throw a brown between light and dark."""
    return Pigment(depth=float(rng.uniform(15, 25)), redder=float(rng.uniform(0, 5)), yellower=float(rng.uniform(0, 7)))


def throw_device(rng: np.random.Generator) -> Device:
    """Throw a dermatoscope with a slight colour cast."""
    red, green, blue = rng.uniform(0.94, 1.06, size=3).tolist()
    return Device(gains=(red, green, blue), falloff=float(rng.uniform(0, 0.16)))


def skin_colour(skin: Skin) -> Colour:
    """Return the skin in sRGB."""
    return lab_to_rgb(skin.lightness, skin.red, skin.yellow)


def lesion_colour(skin: Skin, pigment: Pigment, *, darker: float = 0.0) -> Colour:
    """Return the lesion in sRGB, or its darker parts; dark skin leaves less room below it."""
    room = (skin.lightness - 12) / 60
    depth = (pigment.depth + darker) * min(1.0, 0.25 + 0.75 * room)
    return lab_to_rgb(
        max(4.0, skin.lightness - depth),
        skin.red + pigment.redder,
        skin.yellow * 0.9 + pigment.yellower - 0.12 * darker,
    )


def lab_to_rgb(lightness: float, red: float, yellow: float) -> Colour:
    """Convert CIE L*a*b* (D65) to sRGB, clipped to 0..1 (IEC 61966-2-1)."""
    middle = (lightness + 16) / 116
    x, y, z = (
        white * (f**3 if f > 6 / 29 else 3 * (6 / 29) ** 2 * (f - 4 / 29))
        for white, f in zip(_WHITE, (middle + red / 500, middle, middle - yellow / 200), strict=True)
    )
    return np.array([_encode(a * x + b * y + c * z) for a, b, c in _XYZ_TO_RGB], dtype=np.float32)


def _encode(linear: float) -> float:
    linear = min(max(linear, 0.0), 1.0)
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
