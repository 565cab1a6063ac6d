"""Samples from the ISIC 2018 challenge, tasks 1 and 2: the official folders, and a ``metadata.csv`` from the archive.

The challenge's files give no diagnoses; the table comes from the ISIC archive, with its older or newer columns (see
`pipeline.data.sources.isic`). An image without a row is not part of the cohort.

Source: Codella et al. 2018, arXiv 1902.03368; images from Codella et al. 2017, arXiv 1710.05006.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from concepts.errors import DataError
from concepts.sources.isic2018 import IMAGES, LESIONS, image_path, lesion_path, require_folders
from pipeline.data.sample import Sample
from pipeline.data.sources.isic import ADVICE, describe, find_image_id, read_rows, with_digests
from pipeline.data.sources.metadata import Row, collect_samples


def load_isic2018(root: Path) -> list[Sample]:
    """Load the samples, with their lesion masks.

    Args:
        root: Folder that holds the challenge's folders and ``metadata.csv``.

    Raises:
        DataError: If a folder, the table or a column is missing, or rows cannot be used; ``rows`` lists them all.
    """
    require_folders(root, (IMAGES, LESIONS))
    rows = read_rows(root)
    return with_digests(collect_samples(rows, partial(_sample, root=root), origin=root, advice=ADVICE))


def _sample(row: Row, *, root: Path) -> Sample:
    image_id = find_image_id(row)
    image, mask = root / image_path(image_id), root / lesion_path(image_id)
    for path in (image, mask):
        if not path.is_file():
            raise DataError(f"{path.relative_to(root)} is missing")
    return replace(describe(row, path=image, image_id=image_id, source="isic2018"), lesion_mask=mask)
