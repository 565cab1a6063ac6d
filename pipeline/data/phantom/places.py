"""Where in a lesion each structure would go, thrown for all of them, present or not, so that none hides another."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom.frame import Frame, Plane, length, step

SITES = 34
"""Sites for small round bodies, spread evenly over the lesion as on a sunflower."""

OUTERMOST = 0.84
"""Depth of the outermost site; the border is at 1."""

GOLDEN = np.pi * (3 - np.sqrt(5))


@dataclass(frozen=True, slots=True)
class Blot:
    """A patch without structure.

    Attributes:
        depth: Of its centre; the border is at 1.
        angle: Of its centre, in radians from the long axis.
        radius: As a share of the lesion's mean radius.
        lobes: Height and phase of the 2 and 3 lobes of its outline.
    """

    depth: float
    angle: float
    radius: float
    lobes: tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where the structures of a lesion go.

    Attributes:
        veil: The blue-whitish veil.
        regression: The regression, on the other side.
        depths: Of the `SITES` sites; globules take them from the front, cysts from the back.
        angles: Of the sites, in radians from the long axis.
    """

    veil: Blot
    regression: Blot
    depths: NDArray[np.float64]
    angles: NDArray[np.float64]


def throw_places(rng: np.random.Generator) -> Places:
    """Throw places for all structures; sites near each other come near each other in the order, roughly.

    Sites on the regression stand in the middle of the order, where neither globules nor cysts are likely to take them:
    white bodies would be lost there.
    """
    angle = float(rng.uniform(0, 2 * np.pi))
    veil = _throw_blot(angle, rng)
    regression = _throw_blot(angle + np.pi, rng)
    count = np.arange(SITES)
    depths = OUTERMOST * np.sqrt((count + 0.5) / SITES) + rng.uniform(-0.02, 0.02, SITES)
    angles = rng.uniform(0, 2 * np.pi) + GOLDEN * count
    towards = rng.uniform(0, 2 * np.pi)
    order = depths * np.cos(angles - towards) + rng.normal(0, 0.45, SITES)
    order[_is_on(regression, depths, angles)] *= 0.05
    front_to_back = np.argsort(order)
    return Places(veil=veil, regression=regression, depths=depths[front_to_back], angles=angles[front_to_back])


def cover(blot: Blot, frame: Frame, *, softness: float = 3.0) -> Plane:
    """Return the opacity of a blot, 0 to 1, kept in its half of the lesion; ``softness`` in units."""
    x, y = frame.seen_from(blot.depth, blot.angle)
    distance = length(x, y) + np.float32(1e-3)
    cosine, sine = x / distance, y / distance
    double, double_sine = 2 * cosine * cosine - 1, 2 * sine * cosine
    triple, triple_sine = cosine * (2 * double - 1), sine * (2 * double + 1)
    (two, two_phase), (three, three_phase) = blot.lobes
    lobed = 1 + _wave(two, two_phase, double, double_sine) + _wave(three, three_phase, triple, triple_sine)
    mean = float(frame.border.mean()) / frame.unit
    inside = step(np.float32(blot.radius * mean) * lobed - distance, 0.0, softness)
    towards = frame.x * np.float32(np.cos(blot.angle)) + frame.y * np.float32(np.sin(blot.angle))
    return np.asarray(inside * step(-frame.depth, -0.9, 0.1) * step(towards, 1.5, 1.5))


def _throw_blot(angle: float, rng: np.random.Generator) -> Blot:
    lobes = [(float(rng.uniform(0.08, 0.2)), float(rng.uniform(0, 2 * np.pi))) for _ in range(2)]
    return Blot(
        depth=float(rng.uniform(0.44, 0.52)),
        angle=angle,
        radius=float(rng.uniform(0.36, 0.46)),
        lobes=(lobes[0], lobes[1]),
    )


def _is_on(blot: Blot, depths: NDArray[np.float64], angles: NDArray[np.float64]) -> NDArray[np.bool_]:
    away = np.abs(depths * np.exp(1j * angles) - blot.depth * np.exp(1j * blot.angle))
    return np.asarray(away < blot.radius)


def _wave(height: float, phase: float, cosine: Plane, sine: Plane) -> Plane:
    return np.float32(height * np.cos(phase)) * cosine + np.float32(height * np.sin(phase)) * sine
