"""The pigment network of the phantom, even as in a typical one or uneven as in an atypical one. Sizes are in units."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from pipeline.data.phantom.frame import Plane, step
from pipeline.data.phantom.layer import Layer, Scene, single
from pipeline.data.phantom.places import cover
from pipeline.data.phantom.skin import lesion_colour

DARKER_LINES = 24.0
"""Lines, globules and streaks are so much darker than the lesion, in CIE L*."""

BENT = 3.0
"""How far the mesh of an atypical network is bent, in units: holes become twice as large here, half as large there."""

UNEVEN = 0.85
"""How far the level at which its lines are cut goes up and down: lines run together here, and end there."""


@dataclass(frozen=True, slots=True)
class PigmentNetwork:
    """A honeycomb of brown lines around lighter holes, over part of the lesion.

    Attributes:
        spacing: From hole to hole.
        width: Of the lines, as the level at which the honeycomb is cut.
        turn: Of the honeycomb, in radians.
        phases: Where it starts.
        warp: How far it is bent.
        middle: Angle of the middle of the part that it covers, in radians.
        extent: How far it reaches to both sides of it, in radians.
        strength: Opacity of the lines.
    """

    spacing: float
    width: float
    turn: float
    phases: tuple[float, float]
    warp: float
    middle: float
    extent: float
    strength: float

    @classmethod
    def throw(cls, rng: np.random.Generator) -> Self:
        """Throw a network over at least two thirds of the way around the lesion."""
        first, second, turn, middle = rng.uniform(0, 2 * np.pi, size=4).tolist()
        return cls(
            spacing=float(rng.uniform(6.2, 8.2)),
            width=float(rng.uniform(-0.75, -0.45)),
            turn=turn,
            phases=(first, second),
            warp=float(rng.uniform(0.5, 1.3)),
            middle=middle,
            extent=float(rng.uniform(2.1, 3.4)),
            strength=float(rng.uniform(0.7, 0.95)),
        )

    def paint(self, scene: Scene) -> Layer:
        """Paint lines cut from the sum of three plane waves; the sites of veil and regression stay free."""
        holes = self.holes(scene.frame.x, scene.frame.y)
        part = self.part(scene)
        opacity = np.float32(self.strength) * part * step(-holes, -self.width, 0.7)
        colour = lesion_colour(scene.skin, scene.pigment, darker=DARKER_LINES)
        return single(opacity, colour, part > 0)

    def holes(self, across: Plane, down: Plane) -> Plane:
        """Return how deep in a hole each point is, by its coordinates in units; -1.5 to 3."""
        wavelength = 0.15
        x = across + np.float32(self.warp) * np.sin(np.float32(wavelength) * down + np.float32(self.phases[0]))
        y = down + np.float32(self.warp) * np.sin(np.float32(wavelength) * across + np.float32(self.phases[1]))
        wave = 4 * np.pi / (np.sqrt(3) * self.spacing)
        turns = self.turn + np.arange(3) * 2 * np.pi / 3
        phases = (*self.phases, -sum(self.phases))
        planes = [
            np.cos(np.float32(wave * np.cos(turn)) * x + np.float32(wave * np.sin(turn)) * y + np.float32(phase))
            for turn, phase in zip(turns, phases, strict=True)
        ]
        return np.asarray(planes[0] + planes[1] + planes[2])

    def part(self, scene: Scene) -> Plane:
        """Return where the network is, 0 to 1."""
        frame, places = scene.frame, scene.places
        towards = frame.x * np.float32(np.cos(self.middle)) + frame.y * np.float32(np.sin(self.middle))
        around = step(towards / (frame.distance + np.float32(1)), np.cos(min(self.extent, np.pi)) - 0.1, 0.2)
        free = (1 - cover(places.veil, frame)) * (1 - cover(places.regression, frame))
        return step(around * free * step(-frame.depth, -0.93, 0.1), 0.5, 0.8)


@dataclass(frozen=True, slots=True)
class AtypicalNetwork:
    """A pigment network with uneven spacing, thickness and darkness of its lines, over the same part of the lesion.

    Attributes:
        network: The even one that it would be; it lies in the same place.
        phases: Where the unevenness starts, six angles in radians.
    """

    network: PigmentNetwork
    phases: tuple[float, ...]

    @classmethod
    def throw(cls, rng: np.random.Generator) -> Self:
        """Throw the even network first, from the same numbers, so that nothing but the evenness differs."""
        network = PigmentNetwork.throw(rng)
        return cls(network, tuple(rng.uniform(0, 2 * np.pi, size=6).tolist()))

    def paint(self, scene: Scene) -> Layer:
        """Paint lines cut from the bent mesh at a level that goes up and down."""
        frame, even = scene.frame, self.network
        x = frame.x + np.float32(BENT) * self._wave(frame.y, 0.25, 0)
        y = frame.y + np.float32(BENT) * self._wave(frame.x, 0.25, 1)
        thickness = np.float32(UNEVEN) * self._wave(frame.x, 0.17, 2) * self._wave(frame.y, 0.17, 3)
        dark = np.float32(0.75) + np.float32(0.25) * self._wave(frame.x + frame.y, 0.11, 4)
        part = even.part(scene)
        lines = step(thickness - even.holes(x, y), -even.width, 0.7)
        opacity = np.float32(even.strength) * part * lines * dark
        return single(opacity, lesion_colour(scene.skin, scene.pigment, darker=DARKER_LINES), part > 0)

    def _wave(self, along: Plane, frequency: float, number: int) -> Plane:
        return np.asarray(np.sin(np.float32(frequency) * along + np.float32(self.phases[number])))
