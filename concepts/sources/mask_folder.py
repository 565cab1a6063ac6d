"""A folder of lesion masks, found by the names of their images, as judgements on what can be measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from concepts.errors import DataError
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement
from concepts.reading import check_pixels
from concepts.sources.lesion_masks import LesionRules, lesion_judgements
from concepts.sources.masks import UNREADABLE, read_each, read_mask

ENDINGS = ("_segmentation.png", "_lesion.bmp", "_mask.png", ".png", ".bmp")
"""What follows the image's name: as in ISIC 2018, PH2, and by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFolder:
    """Where masks and images lie, and how they are measured.

    Attributes:
        masks: Folder of the masks; not zero inside the lesion.
        images: Folder to which the images' paths are relative; None: nothing is said of colours.
        spacing: Side of a pixel in mm; None: where the rule is in mm, nothing is said of size.
        rules: The thresholds.
    """

    masks: Path
    images: Path | None = None
    spacing: float | None = None
    rules: LesionRules = field(default_factory=LesionRules)


def measured_judgements(records: Sequence[ImageRecord], folder: MaskFolder) -> tuple[Judgement, ...]:
    """Judge images by their masks, see `lesion_judgements`; images without a mask are skipped.

    Raises:
        DataError: If the folder is not there or holds no mask of these images, or a mask or image cannot be used;
            ``rows`` lists all.
    """
    if not folder.masks.is_dir():
        raise DataError(f"{folder.masks}: there is no such folder; give the one with the lesion masks")
    with_mask = [(record, path) for record in records if (path := _mask_of(record.id, folder.masks)) is not None]
    if not with_mask:
        tried = ", ".join(f"NAME{ending}" for ending in ENDINGS)
        raise DataError(f"{folder.masks}: holds no mask of the set's {len(records)} images; looked for {tried}")
    by_image = read_each(partial(_of_image, folder=folder), with_mask, root=folder.masks)
    return tuple(judgement for of_image in by_image for judgement in of_image)


def _mask_of(image_id: str, masks: Path) -> str | None:
    return next((f"{image_id}{ending}" for ending in ENDINGS if (masks / f"{image_id}{ending}").is_file()), None)


def _of_image(record_and_mask: tuple[ImageRecord, str], *, folder: MaskFolder) -> tuple[Judgement, ...]:
    record, name = record_and_mask
    size = (record.width, record.height) if record.width and record.height else None
    _, mask = read_mask(folder.masks, name, size=size)
    pixels = _pixels(folder.images / record.path) if folder.images is not None else None
    try:
        return lesion_judgements(mask, record.id, image=pixels, spacing=folder.spacing, rules=folder.rules)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def _pixels(path: Path) -> NDArray[np.uint8]:
    """H x W x 3, upright."""
    try:
        with Image.open(path) as image:
            check_pixels(image.size)
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UNREADABLE as error:
        raise DataError(f"{path}: the image cannot be read ({error})") from error
