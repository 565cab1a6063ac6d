"""Where a lesion lies in its image: pixels seen from the lesion, and points of the lesion as pixels."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipeline.data.phantom.border import ANGLES, Profile

Plane = NDArray[np.float32]
"""size x size."""

Mask = NDArray[np.bool_]

Values = NDArray[np.float64]
"""n."""

Point = tuple[float, float]
"""x and y in pixels."""

FINENESS = 4
"""Strokes are drawn on a grid so many times finer, and averaged."""

_DIAMONDS = 1024
_CORNERS = np.exp(0.5j * np.pi * np.arange(5))
_DIAMOND_STEPS = (
    np.angle(np.interp((np.arange(_DIAMONDS) + 0.5) * 4 / _DIAMONDS, np.arange(5), _CORNERS)) * ANGLES / (2 * np.pi)
).astype(np.int64) % ANGLES
"""For each step of the diamond angle, the step of the angle."""

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
    """Throw any turn, and a centre near that of the image."""
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
    depth: Plane

    def points(self, depths: Values, angles: Values) -> NDArray[np.float64]:
        """Return the pixels (n x 2, x and y) at depths (1 at the border) and angles in radians from the long axis."""
        steps = np.rint(angles * (ANGLES / (2 * np.pi))).astype(np.int64) % ANGLES
        distances, turned = depths * self.border[steps], angles + self.turn
        return np.stack([distances * np.cos(turned), distances * np.sin(turned)], axis=1) + self.centre

    def seen_from(self, depth: float, angle: float) -> tuple[Plane, Plane]:
        """Coordinates x and y of each pixel from another point of the lesion, in units, along the lesion's axes."""
        distance = depth * float(self.border[round(angle * ANGLES / (2 * np.pi)) % ANGLES]) / self.unit
        return self.x - np.float32(distance * np.cos(angle)), self.y - np.float32(distance * np.sin(angle))


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
    distance = length(x, y)
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
        depth=distance / (border / np.float32(unit))[_DIAMOND_STEPS].take(_diamond(x, y)),
    )


def length(x: Plane, y: Plane) -> Plane:
    """Return the lengths of vectors; faster than `numpy.hypot`, whose guard against overflow is not needed here."""
    return np.sqrt(x * x + y * y)


def step(values: Plane, at: float, width: float) -> Plane:
    """Rise from 0 to 1 within ``width`` around ``at``."""
    return np.clip((values - np.float32(at)) * np.float32(1 / width) + np.float32(0.5), 0, 1)


def _diamond(x: Plane, y: Plane) -> NDArray[np.int32]:
    """Return each pixel's direction by its diamond angle y / (|x| + |y|): much cheaper than arctan2."""
    quarter = y / (np.abs(x) + np.abs(y) + np.float32(1e-6))
    around = np.where(x < 0, 2 - quarter, quarter)
    return (around * np.float32(_DIAMONDS / 4)).astype(np.int32) & (_DIAMONDS - 1)


@cache
def pixel_centres(size: int) -> tuple[Plane, Plane]:
    """Return the columns and the rows of the pixels' centres, in pixels."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32) + np.float32(0.5)
    return columns, rows


class Pencil:
    """Draws smooth lines and dots: opaque on a fine grid, then averaged. Coordinates and widths are in pixels."""

    def __init__(self, size: int) -> None:
        self._image = Image.new("L", (size * FINENESS, size * FINENESS))
        self._draw = ImageDraw.Draw(self._image)

    def line(self, points: NDArray[np.float64], *, width: float) -> None:
        """Draw a line through n x 2 points."""
        self._draw.line((points * FINENESS).ravel().tolist(), fill=255, width=max(1, round(width * FINENESS)))

    def polygon(self, points: NDArray[np.float64]) -> None:
        """Fill a polygon with n x 2 corners."""
        self._draw.polygon((points * FINENESS).ravel().tolist(), fill=255)

    def dots(self, centres: NDArray[np.float64], radii: Values, *, opacity: float = 1.0) -> None:
        """Draw discs around n x 2 points, over what is there already."""
        low, high = (centres - radii[:, None]) * FINENESS, (centres + radii[:, None]) * FINENESS
        for box in np.hstack([low, high]).tolist():
            self._draw.ellipse(box, fill=round(255 * opacity))

    def lift(self) -> Plane:
        """Return the drawing as opacity, 0 to 1."""
        return np.asarray(self._image.reduce(FINENESS), dtype=np.float32) * np.float32(1 / 255)
