"""A phantom lesion: every parameter of it, and its drawing.

All randomness is thrown when a `Lesion` is made; `draw` only applies it. Each structure and each artefact takes its
parameters from a seed of its own, so that one can be left out or put in (``dataclasses.replace(lesion,
artefacts=frozenset())``) without a change to anything else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.data.phantom.artefacts import ColourPatch, DarkCorner, GelBubble, Hair, Ink, Ruler
from pipeline.data.phantom.border import Border, profiles, room, throw_border
from pipeline.data.phantom.frame import Mask, Plane, Pose, make_frame, pixel_centres, step, throw_pose
from pipeline.data.phantom.layer import Element, Scene, coat
from pipeline.data.phantom.network import AtypicalNetwork, PigmentNetwork
from pipeline.data.phantom.places import throw_places
from pipeline.data.phantom.rule import NETWORK, NETWORK_TYPES
from pipeline.data.phantom.skin import Device, Pigment, Skin, lesion_colour, skin_colour, throw_pigment
from pipeline.data.phantom.structures import (
    BlueWhitishVeil,
    Globules,
    MiliaLikeCysts,
    Regression,
    Streaks,
)

STRUCTURES: Mapping[str, type[Element]] = {
    "pigment_network": PigmentNetwork,
    "regression": Regression,
    "blue_whitish_veil": BlueWhitishVeil,
    "streaks": Streaks,
    "globules": Globules,
    "milia_like_cysts": MiliaLikeCysts,
}
"""The planted concepts that are painted, from the lowest to the uppermost. Asymmetry is one of border and colour."""

ARTEFACT_LAYERS: Mapping[str, type[Element]] = {
    "dark_corner": DarkCorner,
    "colour_patch": ColourPatch,
    "ink": Ink,
    "ruler": Ruler,
    "gel_bubble": GelBubble,
    "hair": Hair,
}
"""The artefacts, from the lowest to the uppermost; all lie above the lesion."""

ARTEFACTS = ("hair", "ruler", "ink", "dark_corner", "colour_patch", "gel_bubble")

ASYMMETRY = "asymmetry"

LESION = "lesion"

SEAM = 6.0
"""Width of the seam between the two colours of an asymmetric lesion, in units."""

SECOND_REDDER, SECOND_PALER = 13.0, 9.0
"""By how much the second colour differs from the first, in CIE a* and L*."""

NOISE = 0.022
"""Largest deviation by the sensor's noise (uniform, the same in all colours), as a share of the range."""


@dataclass(frozen=True, slots=True)
class Lesion:
    """Everything that decides an image, down to the last pixel.

    Attributes:
        size: Side of the image in pixels.
        seed: Decides the lesion itself: the parameters of its structures and where they go.
        image_seed: Decides this image of it: the artefacts' parameters and the noise.
        concepts: Those present; of `rule.CONCEPTS`, and of `rule.NETWORK_TYPES` where these were asked for.
        artefacts: Those present; of `ARTEFACTS`.
        border: The outline.
        pigment: The lesion's colour.
        skin: The patient's skin.
        device: The dermatoscope.
        pose: How the lesion lies in this image.
    """

    size: int
    seed: int
    image_seed: int
    concepts: frozenset[str]
    artefacts: frozenset[str]
    border: Border
    pigment: Pigment
    skin: Skin
    device: Device
    pose: Pose


@dataclass(frozen=True, eq=False)
class Drawing:
    """A drawn lesion.

    Attributes:
        image: size x size x 3, uint8, RGB.
        masks: size x size, bool, of each present concept and artefact, and of the ``lesion``.
    """

    image: NDArray[np.uint8]
    masks: Mapping[str, Mask]


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """What of an image does not come from the lesion: who has it, with what it is taken, what lies on it."""

    size: int
    skin: Skin
    device: Device
    image_seed: int
    artefacts: frozenset[str] = frozenset()


def throw_lesion(seed: int, concepts: frozenset[str], photograph: Photograph) -> Lesion:
    """Throw every parameter of a lesion with these concepts, photographed."""
    return Lesion(
        size=photograph.size,
        seed=seed,
        image_seed=photograph.image_seed,
        concepts=concepts,
        artefacts=photograph.artefacts,
        border=throw_border(child(seed, "border")),
        pigment=throw_pigment(child(seed, "pigment")),
        skin=photograph.skin,
        device=photograph.device,
        pose=throw_pose(child(photograph.image_seed, "pose")),
    )


def draw(lesion: Lesion) -> Drawing:
    """Draw a lesion and the masks of what is in it.

    The masks of the structures do not depend on which others are present, and the artefacts' not on the lesion. The
    mask of asymmetry is the lesion's, that of a type of network the network's.
    """
    scene = _scene(lesion)
    image, masks = _bare(lesion, scene)
    if ASYMMETRY in lesion.concepts:
        masks[ASYMMETRY] = masks[LESION]
    for elements, present, seed in (
        (STRUCTURES, lesion.concepts, lesion.seed),
        (ARTEFACT_LAYERS, lesion.artefacts, lesion.image_seed),
    ):
        for name, element in elements.items():
            if name in present:
                layer = _variant(name, element, lesion).throw(child(seed, name)).paint(scene)
                coat(image, layer)
                masks[name] = layer.mask
    masks |= {kind: masks[NETWORK] for kind in NETWORK_TYPES if kind in lesion.concepts}
    return Drawing(image=_expose(image, lesion), masks=masks)


def _variant(name: str, element: type[Element], lesion: Lesion) -> type[Element]:
    return AtypicalNetwork if name == NETWORK and NETWORK_TYPES[1] in lesion.concepts else element


def child(seed: int, purpose: str) -> np.random.Generator:
    """Return a generator for one purpose: equal seeds and purposes give equal numbers, whatever else is drawn."""
    return np.random.Generator(np.random.Philox(key=(seed << 32 | crc32(purpose.encode())) % 2**128))


def _scene(lesion: Lesion) -> Scene:
    outlines = profiles(lesion.border)
    outline = outlines[ASYMMETRY in lesion.concepts]
    return Scene(
        frame=make_frame(outline, lesion.pose, room=room(outlines), size=lesion.size),
        places=throw_places(child(lesion.seed, "places")),
        skin=lesion.skin,
        pigment=lesion.pigment,
    )


def _bare(lesion: Lesion, scene: Scene) -> tuple[NDArray[np.float32], dict[str, Mask]]:
    """Paint skin, and a lesion without structures on it: 3 x size x size."""
    skin, light, dark = (
        colour[:, None, None]
        for colour in (
            skin_colour(lesion.skin),
            lesion_colour(lesion.skin, lesion.pigment, darker=-2.0),
            lesion_colour(lesion.skin, lesion.pigment, darker=3.0),
        )
    )
    clouds = _clouds(lesion.size, child(lesion.image_seed, "clouds"))
    ground = skin * (1 + np.float32(0.025) * clouds)
    body = (light + dark) / 2 + clouds * ((dark - light) / 2)
    if ASYMMETRY in lesion.concepts:
        body = body + _other_half(lesion, scene) * (_second_colour(lesion) - (light + dark) / 2)
    depth = scene.frame.depth
    softness = 2 * lesion.border.softness / lesion.border.radius
    image = ground + step(-depth, -1.0, softness) * (body - ground)
    return image.astype(np.float32, copy=False), {LESION: depth < 1}


def _other_half(lesion: Lesion, scene: Scene) -> Plane:
    """Return 1 in the half of the lesion that its bulge points to, 0 in the other, with a soft seam between."""
    angle = lesion.border.bulges[0].angle
    towards = scene.frame.x * np.float32(np.cos(angle)) + scene.frame.y * np.float32(np.sin(angle))
    return step(towards, 0.0, SEAM)


def _second_colour(lesion: Lesion) -> NDArray[np.float32]:
    """Return a paler and redder brown than the lesion's: asymmetry is of colour as well as of shape (ABCD rule)."""
    pigment = replace(lesion.pigment, redder=lesion.pigment.redder + SECOND_REDDER)
    return lesion_colour(lesion.skin, pigment, darker=-SECOND_PALER)[:, None, None]


def _clouds(size: int, rng: np.random.Generator) -> Plane:
    """Throw gentle clouds, about -1 to 1."""
    coarse = Image.fromarray(rng.uniform(-1, 1, (9, 9)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _expose(image: NDArray[np.float32], lesion: Lesion) -> NDArray[np.uint8]:
    """Apply light, noise and rounding: the same for every pixel whatever is drawn there."""
    rng = child(lesion.image_seed, "exposure")
    columns, rows = pixel_centres(lesion.size)
    x, y = columns / lesion.size - np.float32(0.5), rows / lesion.size - np.float32(0.5)
    across, down = rng.uniform(-0.1, 0.1, size=2).astype(np.float32)
    light = 1 + across * x + down * y - np.float32(2 * lesion.device.falloff) * (x * x + y * y)
    noise = rng.random((lesion.size, lesion.size), dtype=np.float32) * np.float32(2 * 255 * NOISE)
    image *= light
    image *= np.array(lesion.device.gains, dtype=np.float32)[:, None, None] * np.float32(255)
    image += noise + np.float32(0.5 - 255 * NOISE)
    return np.stack(list(np.clip(image, 0, 255).astype(np.uint8)), axis=-1)
