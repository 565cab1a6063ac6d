"""The planted concepts, one class each: what is thrown, and how it is painted. Sizes are in units (see `Frame`)."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom.border import STREAK_REACH
from pipeline.data.phantom.frame import Pencil, Plane
from pipeline.data.phantom.layer import Layer, Scene, single
from pipeline.data.phantom.network import DARKER_LINES
from pipeline.data.phantom.places import SITES, cover
from pipeline.data.phantom.skin import lab_to_rgb, lesion_colour

HALOS = ((1.5, 0.2), (1.0, 0.4), (0.5, 0.65))
"""The glow around a cyst: widths in units, opacities."""


@dataclass(frozen=True, slots=True, eq=False)
class Globules:
    """Round dark bodies.

    Attributes:
        radii: Of each.
        strength: Opacity.
    """

    radii: NDArray[np.float64]
    strength: float

    @classmethod
    def throw(cls, rng: np.random.Generator) -> Self:
        """Throw 8 to 17 globules, much larger than the lines of a network are wide."""
        return cls(
            radii=rng.uniform(2.0, 3.0, size=int(rng.integers(8, SITES // 2 + 1))),
            strength=float(rng.uniform(0.85, 0.98)),
        )

    def paint(self, scene: Scene) -> Layer:
        """Paint discs on the first sites."""
        opacity = _dots(scene, self.radii, slice(0, len(self.radii)))
        colour = lesion_colour(scene.skin, scene.pigment, darker=DARKER_LINES + 6)
        return single(np.float32(self.strength) * opacity, colour)


@dataclass(frozen=True, slots=True, eq=False)
class Streaks:
    """Dark fingers that cross the border outwards, some with a bulb at the end.

    Attributes:
        angles: Where each crosses the border, in radians from the long axis.
        lengths: Of the part outside, as a share of the distance from the centre.
        widths: At the base.
        bulbs: Radius of the bulb at the end; 0 for none.
    """

    angles: NDArray[np.float64]
    lengths: NDArray[np.float64]
    widths: NDArray[np.float64]
    bulbs: NDArray[np.float64]

    @classmethod
    def throw(cls, rng: np.random.Generator) -> Self:
        """Throw 8 to 18 streaks, over a third of the border or more."""
        count = int(rng.integers(8, 19))
        extent = rng.uniform(0.16, 0.34) * count
        around = np.linspace(0, min(extent, 2 * np.pi * (1 - 1 / count)), count)
        return cls(
            angles=rng.uniform(0, 2 * np.pi) + around + rng.normal(0, 0.04, count),
            lengths=rng.uniform(0.1, STREAK_REACH - 1.06, count),
            widths=rng.uniform(2.0, 3.0, count),
            bulbs=rng.uniform(1.3, 1.9, count) * (rng.random(count) < rng.uniform(0, 0.8)),
        )

    def paint(self, scene: Scene) -> Layer:
        """Paint tapering wedges from inside the border to beyond it."""
        frame = scene.frame
        bases = frame.points(np.full(len(self.angles), 0.82), self.angles)
        tips = frame.points(1 + self.lengths, self.angles)
        along = (tips - bases) / np.linalg.norm(tips - bases, axis=1, keepdims=True)
        across = along[:, ::-1] * (-frame.unit, frame.unit)
        wide, thin = across * self.widths[:, None] / 2, across * 0.55
        pencil = Pencil(frame.size)
        for wedge in np.stack([bases + wide, tips + thin, tips - thin, bases - wide], axis=1):
            pencil.polygon(wedge)
        bulbed = self.bulbs > 0
        pencil.dots(tips[bulbed], self.bulbs[bulbed] * frame.unit)
        colour = lesion_colour(scene.skin, scene.pigment, darker=DARKER_LINES)
        return single(np.float32(0.92) * pencil.lift(), colour)


@dataclass(frozen=True, slots=True)
class BlueWhitishVeil:
    """A blue patch under a white haze, without structure.

    Attributes:
        strength: Opacity.
        blue: CIE b*, negative.
        lightness: CIE L*.
    """

    strength: float
    blue: float
    lightness: float

    @classmethod
    def throw(cls, rng: np.random.Generator) -> Self:
        """Throw a colour from steel blue to blue-white."""
        return cls(
            strength=float(rng.uniform(0.78, 0.95)),
            blue=float(rng.uniform(-32, -22)),
            lightness=float(rng.uniform(42, 54)),
        )

    def paint(self, scene: Scene) -> Layer:
        """Paint the blue first, then the haze in its middle."""
        blot = cover(scene.places.veil, scene.frame, softness=6.0)
        haze = np.float32(0.4) * np.clip(2 * blot * blot - 1, 0, 1)
        deep, white = lab_to_rgb(self.lightness, 0, self.blue), lab_to_rgb(82, 0, -8)
        return Layer(paints=((np.float32(self.strength) * blot, deep), (haze, white)), mask=blot > 0.4)


@dataclass(frozen=True, slots=True, eq=False)
class MiliaLikeCysts:
    """Small round white bodies with a glow.

    Attributes:
        radii: Of each.
        strength: Opacity.
        yellow: CIE b*.
    """

    radii: NDArray[np.float64]
    strength: float
    yellow: float

    @classmethod
    def throw(cls, rng: np.random.Generator) -> Self:
        """Throw 6 to 13 cysts, white or yellowish."""
        return cls(
            radii=rng.uniform(1.4, 2.3, size=int(rng.integers(6, 14))),
            strength=float(rng.uniform(0.88, 1.0)),
            yellow=float(rng.uniform(4, 20)),
        )

    def paint(self, scene: Scene) -> Layer:
        """Paint a halo on the last sites, and a bright core in it."""
        opacity = _dots(scene, self.radii, slice(SITES - len(self.radii), SITES), halos=HALOS)
        return single(np.float32(self.strength) * opacity, lab_to_rgb(95, 0, self.yellow), opacity > 0.2)


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """A scar-like white patch peppered with grey dots.

    Attributes:
        strength: Opacity of the white.
        pepper: x and y of the dots from the middle, as a share of the radius.
    """

    strength: float
    pepper: NDArray[np.float64]

    @classmethod
    def throw(cls, rng: np.random.Generator) -> Self:
        """Throw 14 to 26 dots."""
        count = int(rng.integers(14, 27))
        away, angle = np.sqrt(rng.random(count)) * 0.85, rng.uniform(0, 2 * np.pi, count)
        return cls(
            strength=float(rng.uniform(0.75, 0.92)),
            pepper=np.stack([away * np.cos(angle), away * np.sin(angle)], axis=1),
        )

    def paint(self, scene: Scene) -> Layer:
        """Paint a pinkish white, lighter than the skin around."""
        frame, blot = scene.frame, scene.places.regression
        white = cover(blot, frame)
        middle = frame.points(np.array([blot.depth]), np.array([blot.angle]))
        pepper = middle + _turned(self.pepper, frame.turn) * (blot.radius * float(frame.border.mean()))
        pencil = Pencil(frame.size)
        pencil.dots(pepper, np.full(len(pepper), 0.75 * frame.unit))
        grey = np.float32(0.75) * pencil.lift() * (white > 0.6)
        pale = lab_to_rgb(min(88.0, scene.skin.lightness + 14), 5, 4)
        return Layer(
            paints=((np.float32(self.strength) * white, pale), (grey, lab_to_rgb(42, 0, -6))), mask=white > 0.4
        )


def _dots(scene: Scene, radii: NDArray[np.float64], at: slice, *, halos: tuple[tuple[float, float], ...] = ()) -> Plane:
    """Return the opacity of discs on these sites; halos are rings, the widest first: width in units, opacity."""
    frame, places = scene.frame, scene.places
    centres = frame.points(places.depths[at], places.angles[at])
    pencil = Pencil(frame.size)
    for wider, opacity in (*halos, (0.0, 1.0)):
        pencil.dots(centres, (radii + wider) * frame.unit, opacity=opacity)
    return pencil.lift()


def _turned(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])
