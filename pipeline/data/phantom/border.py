"""The outline of a phantom lesion: its own mirror image, or clearly not."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Profile = NDArray[np.float32]
"""Distance of the border from the centre in `ANGLES` equal steps around it, as a share of the image's side."""

ANGLES = 512

_ANGLES = np.arange(ANGLES) * (2 * np.pi / ANGLES)

STREAK_REACH = 1.24
"""Streaks go no further out than this multiple of the border's distance."""

CRESTS = (3, 4, 5, 7)

MARGIN = 0.02
"""What a lesion with its streaks leaves free at the edge of the image, as a share of the side."""


@dataclass(frozen=True, slots=True)
class Bulge:
    """A part of the border pushed outwards, or drawn in.

    Attributes:
        angle: Where, in radians from the long axis.
        width: Standard deviation in radians.
        height: As a share of the distance from the centre; negative for a notch.
    """

    angle: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Border:
    """The outline of a lesion.

    Attributes:
        radius: Geometric mean of the two half axes, as a share of the image's side.
        aspect: Short axis over long axis.
        waves: Crests around the outline, their height as a share of the distance, and their phase; low, so that a
            lesion without bulges stays close to its mirror image.
        bulges: What makes it asymmetric; used only where the lesion is.
        softness: Width of the transition from lesion to skin, as a share of the image's side.
    """

    radius: float
    aspect: float
    waves: tuple[tuple[int, float, float], ...]
    bulges: tuple[Bulge, ...]
    softness: float


def throw_border(rng: np.random.Generator) -> Border:
    """Throw an outline, with the bulge and the notch that it gets if the lesion is asymmetric."""
    return Border(
        radius=float(rng.uniform(0.23, 0.33)),
        aspect=float(rng.uniform(0.74, 0.98)),
        waves=tuple((crests, float(rng.uniform(0, 0.02)), float(rng.uniform(0, 2 * np.pi))) for crests in CRESTS),
        bulges=_throw_bulges(rng),
        softness=float(rng.uniform(0.015, 0.045)),
    )


def profiles(border: Border) -> tuple[Profile, Profile]:
    """Return the outline without and with its bulges: polar, in `ANGLES` steps from the long axis, shares of the side.

    Both enclose the same area, and both lie with their streaks inside the image.
    """
    long, short = border.radius / math.sqrt(border.aspect), border.radius * math.sqrt(border.aspect)
    plain = long * short / np.hypot(short * np.cos(_ANGLES), long * np.sin(_ANGLES))
    for crests, height, phase in border.waves:
        plain *= 1 + height * np.cos(crests * _ANGLES + phase)
    pushed = plain * (1 + sum(_push(bulge) for bulge in border.bulges))
    pushed *= math.sqrt(float(plain @ plain) / float(pushed @ pushed))
    shrinkage = min(1.0, (0.5 - MARGIN) / (STREAK_REACH * max(plain.max(), pushed.max())))
    return (plain * shrinkage).astype(np.float32), (pushed * shrinkage).astype(np.float32)


def room(outlines: tuple[Profile, Profile]) -> float:
    """Return how far the centre may lie from the image's, with either outline and the longest streaks."""
    return max(0.0, 0.5 - STREAK_REACH * max(float(outline.max()) for outline in outlines))


def _throw_bulges(rng: np.random.Generator) -> tuple[Bulge, ...]:
    """Throw a bulge and a notch beside it, both away from the mirror axes."""
    angle = float(rng.integers(4) * np.pi / 2 + rng.uniform(0.5, 1.07))
    notch = angle + float(rng.choice([-1, 1]) * rng.uniform(1.05, 1.3))
    return (
        Bulge(angle=angle, width=float(rng.uniform(0.3, 0.38)), height=float(rng.uniform(0.45, 0.65))),
        Bulge(angle=notch, width=float(rng.uniform(0.38, 0.48)), height=-float(rng.uniform(0.42, 0.5))),
    )


def _push(bulge: Bulge) -> NDArray[np.float64]:
    away = (_ANGLES - bulge.angle + np.pi) % (2 * np.pi) - np.pi
    return np.asarray(bulge.height * np.exp(-0.5 * (away / bulge.width) ** 2))
