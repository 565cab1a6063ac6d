"""What a structure or an artefact adds to an image: paint, and a mask of where it is."""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom.frame import Frame, Mask, Plane
from pipeline.data.phantom.places import Places
from pipeline.data.phantom.skin import Colour, Pigment, Skin

VISIBLE = 0.25
"""Where no region is given, a layer's mask is where its opacity exceeds this."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What a layer may know of the lesion that it is painted on.

    Nothing here depends on which other structures are present, so none can be told from the drawing of another.
    """

    frame: Frame
    places: Places
    skin: Skin
    pigment: Pigment


@dataclass(frozen=True, eq=False)
class Layer:
    """Paint on an image.

    Attributes:
        paints: Opacity (size x size, 0 to 1) and colour of each coat, in the order in which they are laid.
        mask: Where the structure is.
    """

    paints: tuple[tuple[Plane, Colour], ...]
    mask: Mask


class Element(Protocol):
    """A concept or an artefact: its randomness is thrown first, and applied afterwards."""

    @classmethod
    def throw(cls, rng: np.random.Generator) -> Self:
        """Throw the parameters."""

    def paint(self, scene: Scene) -> Layer:
        """Apply them; the same parameters give the same paint."""


def coat(image: NDArray[np.float32], layer: Layer) -> None:
    """Lay a layer on an image (3 x size x size, 0 to 1), in place."""
    for opacity, colour in layer.paints:
        rows, columns = np.flatnonzero(opacity.any(axis=1)), np.flatnonzero(opacity.any(axis=0))
        if rows.size:
            box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            part = image[:, *box]
            part += opacity[box] * (colour[:, None, None] - part)


def single(opacity: Plane, colour: Colour, mask: Mask | None = None) -> Layer:
    """Make a layer of one coat; its mask is, unless given, where the coat is visible."""
    return Layer(paints=((opacity, colour),), mask=opacity > VISIBLE if mask is None else mask)
