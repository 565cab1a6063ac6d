"""What lies on the skin or in the optics, one class each: shares of the image's side, or units where said."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom.frame import UNIT_SIDE, Pencil, Plane, Point, length, pixel_centres, step
from pipeline.data.phantom.layer import Layer, Scene, single
from pipeline.data.phantom.skin import Colour, lab_to_rgb

BLACK: Colour = np.array([0.05, 0.045, 0.05], dtype=np.float32)
WHITE: Colour = np.ones(3, dtype=np.float32)

STICKERS = ((72.0, 30.0, 65.0), (60.0, -45.0, 40.0), (55.0, -5.0, -42.0), (48.0, 58.0, 35.0), (84.0, -2.0, 75.0))
"""CIE L*a*b* of colour patches: orange, green, blue, red, yellow."""


@dataclass(frozen=True, slots=True, eq=False)
class Hair:
    """Long thin dark hairs across the whole image.

    Attributes:
        bends: Start, bend and end of each hair, n x 3 x 2.
        widths: In units.
        strength: Opacity.
    """

    bends: NDArray[np.float64]
    widths: NDArray[np.float64]
    strength: float

    @classmethod
    def throw(cls, rng: np.random.Generator) -> Self:
        """Throw 5 to 11 hairs, roughly in one direction."""
        count = int(rng.integers(5, 12))
        angle = rng.uniform(0, np.pi) + rng.normal(0, 0.3, count)
        along = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        middle = 0.5 + across * rng.uniform(-0.42, 0.42, (count, 1))
        half = along * rng.uniform(0.35, 0.75, (count, 1))
        bend = middle + across * rng.normal(0, 0.16, (count, 1))
        return cls(
            bends=np.stack([middle - half, bend, middle + half], axis=1),
            widths=rng.uniform(0.9, 1.4, count),
            strength=float(rng.uniform(0.8, 0.95)),
        )

    def paint(self, scene: Scene) -> Layer:
        """Paint quadratic Bézier curves."""
        size = scene.frame.size
        pencil = Pencil(size)
        t = np.linspace(0, 1, 13)[:, None]
        for (start, bend, end), width in zip(self.bends * size, self.widths, strict=True):
            curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
            pencil.line(curve, width=width * size / UNIT_SIDE)
        opacity = np.float32(self.strength) * pencil.lift()
        return single(opacity, lab_to_rgb(9, 4, 5), opacity > 0.1)


@dataclass(frozen=True, slots=True)
class Ruler:
    """A millimetre scale along one side.

    Attributes:
        side: 0 top, 1 right, 2 bottom, 3 left.
        pitch: From tick to tick.
        start: Of the first tick, as a share of the pitch.
        length: Of a short tick; each fifth is twice as long.
    """

    side: int
    pitch: float
    start: float
    length: float

    @classmethod
    def throw(cls, rng: np.random.Generator) -> Self:
        """Throw a side, and a pitch that gives about twenty ticks."""
        return cls(
            side=int(rng.integers(4)),
            pitch=float(rng.uniform(0.042, 0.056)),
            start=float(rng.uniform(0, 5)),
            length=float(rng.uniform(0.035, 0.05)),
        )

    def paint(self, scene: Scene) -> Layer:
        """Paint black ticks on a line."""
        size = scene.frame.size
        pencil = Pencil(size)
        width = 0.0105 * size
        pencil.line(self._stroke((-0.1, 0.012), (1.1, 0.012)) * size, width=width)
        for count in range(round(1 / self.pitch) + 2):
            at = (count + self.start % 1) * self.pitch
            length = self.length * (2 if (count + int(self.start)) % 5 == 0 else 1)
            pencil.line(self._stroke((at, 0.0), (at, length)) * size, width=width)
        return single(np.float32(0.95) * pencil.lift(), BLACK)

    def _stroke(self, *points: Point) -> NDArray[np.float64]:
        """Turn points given along the side and inwards from it into x and y."""
        along, inwards = np.array(points).T
        turned = [(along, inwards), (1 - inwards, along), (along, 1 - inwards), (inwards, along)][self.side]
        return np.stack(turned, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Ink:
    """Strokes of a surgical marker beside the lesion.

    Attributes:
        angles: Middle of each stroke, in radians around the image's centre.
        spans: Half its length, in radians.
        distance: Of each from the image's centre, at its start and its end.
        width: In units.
        hue: CIE b*, from violet to blue.
    """

    angles: NDArray[np.float64]
    spans: NDArray[np.float64]
    distance: NDArray[np.float64]
    width: float
    hue: float

    @classmethod
    def throw(cls, rng: np.random.Generator) -> Self:
        """Throw one to three strokes near corners, where there is no lesion."""
        count = int(rng.integers(1, 4))
        corners = rng.permutation(4)[:count]
        return cls(
            angles=np.pi / 4 + corners * np.pi / 2 + rng.normal(0, 0.08, count),
            spans=rng.uniform(0.28, 0.42, count),
            distance=rng.uniform(0.5, 0.57, (count, 2)),
            width=float(rng.uniform(4.0, 6.5)),
            hue=float(rng.uniform(-58, -42)),
        )

    def paint(self, scene: Scene) -> Layer:
        """Paint violet arcs."""
        size = scene.frame.size
        pencil = Pencil(size)
        for angle, span, (first, last) in zip(self.angles, self.spans, self.distance, strict=True):
            around = np.linspace(angle - span, angle + span, 9)
            away = np.linspace(first, last, 9) * size
            points = size / 2 + away[:, None] * np.stack([np.cos(around), np.sin(around)], axis=1)
            pencil.line(points, width=self.width * size / UNIT_SIDE)
        opacity = np.float32(0.8) * pencil.lift()
        return single(opacity, lab_to_rgb(28, 42, self.hue))


@dataclass(frozen=True, slots=True)
class DarkCorner:
    """The black rim of a round lens.

    Attributes:
        x: Offset of the lens from the image's centre.
        y: The same, downwards.
        radius: Of the lens.
    """

    x: float
    y: float
    radius: float

    @classmethod
    def throw(cls, rng: np.random.Generator) -> Self:
        """Throw a lens that covers the four corners and nothing of the middle."""
        x, y = rng.uniform(-0.015, 0.015, size=2).tolist()
        return cls(x=x, y=y, radius=float(rng.uniform(0.52, 0.58)))

    def paint(self, scene: Scene) -> Layer:
        """Paint black outside a circle."""
        size = scene.frame.size
        opacity = step(_distance((0.5 + self.x, 0.5 + self.y), size), self.radius * size, 0.02 * size)
        return single(opacity, np.float32(0.5) * BLACK, opacity > 0)


@dataclass(frozen=True, slots=True)
class ColourPatch:
    """A round coloured sticker in a corner.

    Attributes:
        corner: 0 to 3.
        reach: Of its centre from the image's, along the diagonal.
        radius: Of the sticker.
        colour: Which of `STICKERS`.
    """

    corner: int
    reach: float
    radius: float
    colour: int

    @classmethod
    def throw(cls, rng: np.random.Generator) -> Self:
        """Throw a corner; part of the sticker lies outside the image."""
        return cls(
            corner=int(rng.integers(4)),
            reach=float(rng.uniform(0.66, 0.72)),
            radius=float(rng.uniform(0.17, 0.22)),
            colour=int(rng.integers(len(STICKERS))),
        )

    def paint(self, scene: Scene) -> Layer:
        """Paint a flat disc."""
        size = scene.frame.size
        across, down = [(-1, -1), (1, -1), (1, 1), (-1, 1)][self.corner]
        offset = self.reach / np.sqrt(2)
        away = _distance((0.5 + across * offset, 0.5 + down * offset), size)
        return single(step(-away, -self.radius * size, 0.012 * size), lab_to_rgb(*STICKERS[self.colour]))


@dataclass(frozen=True, slots=True, eq=False)
class GelBubble:
    """Bubbles in the contact gel: clear discs with a bright rim and a highlight.

    Attributes:
        centres: n x 2.
        radii: Of each.
    """

    centres: NDArray[np.float64]
    radii: NDArray[np.float64]

    @classmethod
    def throw(cls, rng: np.random.Generator) -> Self:
        """Throw 2 to 4 bubbles anywhere."""
        count = int(rng.integers(2, 5))
        return cls(centres=rng.uniform(0.1, 0.9, (count, 2)), radii=rng.uniform(0.045, 0.09, count))

    def paint(self, scene: Scene) -> Layer:
        """Paint rim and highlight in white, with a thin shadow inside the rim."""
        size = scene.frame.size
        rim, shadow, inside = (np.zeros((size, size), dtype=np.float32) for _ in range(3))
        radii = self.radii * size
        shine = Pencil(size)
        shine.dots(self.centres * size - 0.4 * radii[:, None], np.maximum(0.01 * size, 0.2 * radii))
        for (x, y), radius in zip(self.centres, radii, strict=True):
            away = _distance((float(x), float(y)), size) - np.float32(radius)
            width = 0.009 * size
            np.maximum(rim, np.clip(1.5 - np.abs(away) / np.float32(width), 0, 1), out=rim)
            np.maximum(shadow, np.clip(1 - np.abs(away + 2 * width) / np.float32(1.5 * width), 0, 1), out=shadow)
            np.maximum(inside, step(-away, 0.0, 1.0), out=inside)
        paints = (
            (np.float32(0.12) * inside, WHITE),
            (np.float32(0.35) * shadow, BLACK),
            (np.float32(0.8) * rim, WHITE),
            (np.float32(0.9) * shine.lift(), WHITE),
        )
        return Layer(paints=paints, mask=(inside > 0) | (rim > 0))


def _distance(centre: Point, size: int) -> Plane:
    """Return the distance of each pixel from a point given as shares of the side, in pixels."""
    columns, rows = pixel_centres(size)
    return length(columns - np.float32(centre[0] * size), rows - np.float32(centre[1] * size))
