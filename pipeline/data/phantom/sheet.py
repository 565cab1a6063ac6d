"""A contact sheet of the phantom: every concept and artefact, with, without and outlined."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from pipeline.data.phantom.lesion import ARTEFACTS, Lesion, Photograph, child, draw, throw_lesion
from pipeline.data.phantom.rule import CONCEPTS, throw_concepts, throw_tendency
from pipeline.data.phantom.skin import throw_device, throw_skin

CELL = 128
LABEL = 150
HEADER = 22
COLUMNS = ("alone", "alone", "alone", "among others", "among others", "left out", "outlined")

OUTLINE = (0, 255, 70)

Pixels = NDArray[np.uint8]


def contact_sheet(seed: int = 0) -> Image.Image:
    """Draw concepts on the left and artefacts on the right, one a row.

    The last two columns repeat the lesion before them: without the concept, and with its mask outlined. Saved as
    ``docs/pictures/phantom.png`` with 5 bits a colour (`PIL.ImageOps.posterize`), which halves the file.
    """
    blocks = [_block(CONCEPTS, seed), _block(ARTEFACTS, seed)]
    width, height = sum(block.width for block in blocks), max(block.height for block in blocks)
    sheet = Image.new("RGB", (width, height), "white")
    sheet.paste(blocks[0], (0, 0))
    sheet.paste(blocks[1], (blocks[0].width, 0))
    return sheet


def outlined(image: Pixels, mask: NDArray[np.bool_]) -> Pixels:
    """Draw the outline of a mask (H x W) onto a copy of an image (H x W x 3)."""
    around = ndimage.binary_dilation(mask) & ~mask
    return np.where(around[..., None], np.array(OUTLINE, dtype=np.uint8), image)


def _block(names: tuple[str, ...], seed: int) -> Image.Image:
    block = Image.new("RGB", (LABEL + CELL * len(COLUMNS), HEADER + CELL * len(names)), "white")
    pen, font = ImageDraw.Draw(block), ImageFont.load_default(15)
    for column, title in enumerate(COLUMNS):
        pen.text((LABEL + CELL * (column + 0.5), HEADER / 2), title, fill="black", font=font, anchor="mm")
    for row, name in enumerate(names):
        top = HEADER + CELL * row
        pen.text((LABEL - 8, top + CELL / 2), name.replace("_", " "), fill="black", font=font, anchor="rm")
        for column, picture in enumerate(_row(name, seed)):
            block.paste(Image.fromarray(picture), (LABEL + CELL * column, top))
    return block


def _row(name: str, seed: int) -> list[Pixels]:
    alone, among = COLUMNS.count("alone"), COLUMNS.count("among others")
    lesions = [
        _example(name, child(seed, f"{name} {number}"), others=number >= alone) for number in range(alone + among)
    ]
    last = lesions[-1]
    drawing = draw(last)
    without = replace(last, concepts=last.concepts - {name}, artefacts=last.artefacts - {name})
    return [
        *(draw(lesion).image for lesion in lesions),
        draw(without).image,
        outlined(drawing.image, drawing.masks[name]),
    ]


def _example(name: str, rng: np.random.Generator, *, others: bool) -> Lesion:
    chosen = throw_concepts(throw_tendency(rng), rng) if others else frozenset[str]()
    seed, image_seed = rng.integers(2**53, size=2).tolist()
    photograph = Photograph(
        size=CELL,
        skin=throw_skin(rng),
        device=throw_device(rng),
        image_seed=image_seed,
        artefacts=frozenset({name} & set(ARTEFACTS)),
    )
    return throw_lesion(seed, chosen | ({name} & set(CONCEPTS)), photograph)
