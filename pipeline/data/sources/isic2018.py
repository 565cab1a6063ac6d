"""Samples from the ISIC 2018 challenge, tasks 1 and 2: the official folders, and a ``metadata.csv`` from the archive.

The challenge's own files give no diagnoses; the table comes from the ISIC archive, with its older or newer columns (see
`pipeline.data.sources.isic`). A row makes an image part of the cohort: without one it is left out.

Source: Codella et al. 2018, arXiv 1902.03368; images from Codella et al. 2017, arXiv 1710.05006.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from concepts.errors import DataError
from pipeline.data.sample import Sample
from pipeline.data.sources.isic import ADVICE, describe, find_image_id, read_rows, with_digests
from pipeline.data.sources.metadata import Row, collect_samples

IMAGES = "ISIC2018_Task1-2_Training_Input"
LESIONS = "ISIC2018_Task1_Training_GroundTruth"


def load_isic2018(root: Path) -> list[Sample]:
    """Load the samples, with their lesion masks.

    Args:
        root: Folder that holds the challenge's folders and ``metadata.csv``.

    Raises:
        DataError: If a folder, the table or a column is missing, or rows cannot be used; ``rows`` lists them all.
    """
    missing = [folder for folder in (IMAGES, LESIONS) if not (root / folder).is_dir()]
    if missing:
        raise DataError(
            f"{root}: no folder {' and no '.join(missing)}; point data.root at the folder that holds the ISIC 2018 "
            "training sets of tasks 1 and 2, as they come from the challenge"
        )
    rows = read_rows(root)
    return with_digests(collect_samples(rows, partial(_sample, root=root), origin=root, advice=ADVICE))


def _sample(row: Row, *, root: Path) -> Sample:
    image_id = find_image_id(row)
    image, mask = root / IMAGES / f"{image_id}.jpg", root / LESIONS / f"{image_id}_segmentation.png"
    for path in (image, mask):
        if not path.is_file():
            raise DataError(f"{path.relative_to(root)} is missing")
    return replace(describe(row, path=image, image_id=image_id, source="isic2018"), lesion_mask=mask)
