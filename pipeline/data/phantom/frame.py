"""Where a lesion lies in its image: pixels seen from the lesion, and points of the lesion as pixels."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from pipeline.data.phantom.border import ANGLES, Profile

Plane = NDArray[np.float32]
"""size x size."""

Mask = NDArray[np.bool_]

Point = tuple[float, float]
"""x and y in pixels."""

FINENESS = 4
"""Strokes are drawn on a grid so many times finer, and averaged."""

UNIT_SIDE = 128
"""Structures keep their share of the image: one unit is one pixel of an image of this side."""


@dataclass(frozen=True, slots=True)
class Pose:
    """How a lesion lies under the dermatoscope.

    Attributes:
        x: Offset of its centre from the image's, to the right, from -1 to 1 of the room that there is.
        y: The same, downwards.
        turn: Angle of its long axis in radians.
        scale: Magnification.
    """

    x: float
    y: float
    turn: float
    scale: float


def throw_pose(rng: np.random.Generator) -> Pose:
    """Any turn, near the centre."""
    x, y = rng.uniform(-0.7, 0.7, size=2).tolist()
    return Pose(x=x, y=y, turn=float(rng.uniform(0, 2 * np.pi)), scale=float(rng.uniform(0.92, 1.0)))


@dataclass(frozen=True, eq=False)
class Frame:
    """The pixels of an image as seen from the lesion in it. Make one with `make_frame`.

    Attributes:
        size: Side of the image in pixels.
        unit: Pixels to a unit of the lesion, at which structures are sized.
        centre: Of the lesion, in pixels.
        turn: Of the lesion, in radians.
        border: Distance of the border in pixels, in `ANGLES` steps from the long axis.
        x: Of each pixel from the centre, along the long axis, in units.
        y: The same, along the short axis.
        distance: Of each pixel from the centre, in units.
        angle: Step of each pixel around the centre, 0 to `ANGLES` - 1.
        depth: Distance from the centre over that of the border in the same direction: below 1 inside the lesion.
    """

    size: int
    unit: float
    centre: Point
    turn: float
    border: Profile
    x: Plane
    y: Plane
    distance: Plane
    angle: NDArray[np.int32]
    depth: Plane

    def point(self, depth: float, angle: float) -> Point:
        """The pixel at a depth (1 at the border) and an angle in radians from the long axis."""
        distance = depth * self._border_at(angle)
        return (
            self.centre[0] + distance * float(np.cos(angle + self.turn)),
            self.centre[1] + distance * float(np.sin(angle + self.turn)),
        )

    def seen_from(self, depth: float, angle: float) -> tuple[Plane, Plane]:
        """Coordinates x and y of each pixel from another point of the lesion, in units, along the lesion's axes."""
        distance = depth * self._border_at(angle) / self.unit
        return self.x - np.float32(distance * np.cos(angle)), self.y - np.float32(distance * np.sin(angle))

    def _border_at(self, angle: float) -> float:
        return float(self.border[round(angle * ANGLES / (2 * np.pi)) % ANGLES])


def make_frame(profile: Profile, pose: Pose, *, room: float, size: int) -> Frame:
    """See an image of so many pixels from a lesion with this outline and pose.

    Args:
        profile: The outline; see `border.profile`.
        pose: How it lies.
        room: How far its centre may lie from the image's, as a share of the side.
        size: Side of the image in pixels.
    """
    columns, rows = pixel_centres(size)
    limit = room / np.sqrt(2)
    centre = (size * (0.5 + limit * pose.x), size * (0.5 + limit * pose.y))
    unit = pose.scale * size / UNIT_SIDE
    across, down = (
        (columns - np.float32(centre[0])) / np.float32(unit),
        (rows - np.float32(centre[1])) / np.float32(unit),
    )
    cosine, sine = np.float32(np.cos(pose.turn)), np.float32(np.sin(pose.turn))
    x, y = across * cosine + down * sine, down * cosine - across * sine
    distance = np.hypot(x, y)
    angle = (np.arctan2(y, x) * np.float32(ANGLES / (2 * np.pi))).astype(np.int32) % ANGLES
    border = profile * np.float32(size * pose.scale)
    return Frame(
        size=size,
        unit=unit,
        centre=centre,
        turn=pose.turn,
        border=border,
        x=x,
        y=y,
        distance=distance,
        angle=angle,
        depth=distance / (border / np.float32(unit))[angle],
    )


def step(values: Plane, at: float, width: float) -> Plane:
    """Rise from 0 to 1 within ``width`` around ``at``."""
    return np.clip((values - np.float32(at)) * np.float32(1 / width) + np.float32(0.5), 0, 1)


@cache
def pixel_centres(size: int) -> tuple[Plane, Plane]:
    """Columns and rows of the pixels' centres."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32) + np.float32(0.5)
    return columns, rows


class Pencil:
    """Draws smooth lines and dots: opaque on a fine grid, then averaged. Coordinates and widths are in pixels."""

    def __init__(self, size: int) -> None:
        self._image = Image.new("L", (size * FINENESS, size * FINENESS))
        self._draw = ImageDraw.Draw(self._image)

    def line(self, points: Iterable[Point], *, width: float) -> None:
        """A line through points."""
        fine = [(x * FINENESS, y * FINENESS) for x, y in points]
        self._draw.line(fine, fill=255, width=max(1, round(width * FINENESS)), joint="curve")

    def dot(self, centre: Point, *, radius: float, stretch: float = 1.0) -> None:
        """A disc, or an upright ellipse ``stretch`` times as wide as it is high."""
        x, y = centre[0] * FINENESS, centre[1] * FINENESS
        wide, high = radius * FINENESS * np.sqrt(stretch), radius * FINENESS / np.sqrt(stretch)
        self._draw.ellipse((x - wide, y - high, x + wide, y + high), fill=255)

    def polygon(self, points: Iterable[Point]) -> None:
        """A filled polygon."""
        self._draw.polygon([(x * FINENESS, y * FINENESS) for x, y in points], fill=255)

    def lift(self, *, blur: float = 0.0) -> Plane:
        """What was drawn, as opacity from 0 to 1; ``blur`` in pixels."""
        image = self._image.reduce(FINENESS)
        if blur:
            image = image.filter(ImageFilter.GaussianBlur(blur))
        return np.asarray(image, dtype=np.float32) * np.float32(1 / 255)
