"""Concepts of the phantom: known without doubt, because they were drawn into the lesions."""

from collections.abc import Mapping, Sequence
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from concepts.errors import DataError
from concepts.example import ConceptEntry, Example, MaskFile, Origin, Polarity
from concepts.reading import MOST_TABLE_MEMORY, table_text
from concepts.release import Release, freeze, shorten
from concepts.sources.masks import read_each, read_mask, require_files
from concepts.vocabulary import ancestors, load_vocabulary

MASKS = "masks"
METADATA = "metadata.csv"
LICENCE = "CC0-1.0"
ARTEFACT = "artefact"


def phantom_release(root: Path, image_digests: Mapping[str, str]) -> Release:
    """Freeze the first release of the concepts planted in a phantom cohort; artefacts are left out.

    Args:
        root: Folder of the phantom cohort, with ``metadata.csv`` and ``masks/``.
        image_digests: By image, the SHA-256 of its file; only these images are read.

    Raises:
        DataError: If the table is missing or has no planted concepts; else as for `phantom_examples`.
    """
    concepts, examples = phantom_examples(root, image_digests, table=read_concept_table(root))
    return freeze(
        "phantom",
        1,
        concepts=concepts,
        examples=examples,
        description="Concepts drawn into generated lesions",
        licence=LICENCE,
    )


def read_concept_table(root: Path) -> pd.DataFrame:
    """Which concepts are planted in which images, from ``metadata.csv``: the columns named as a concept's identifier.

    Raises:
        DataError: If the file is missing or malformed, or has no column ``image_id`` or none of a concept.
    """
    try:
        text = table_text(root / METADATA, most_memory=MOST_TABLE_MEMORY)
        table = pd.read_csv(StringIO(text), dtype={"image_id": str})
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{root / METADATA}: the table cannot be read ({reason}); generate the phantom again"
        ) from error
    terms = load_vocabulary().concepts
    concepts = [column for column in table if column in terms and ARTEFACT not in ancestors(terms, str(column))]
    if "image_id" not in table or not concepts:
        raise DataError(
            f"{root / METADATA}: needs a column image_id and one for each planted concept, has "
            f"{', '.join(map(str, table))}; generate the phantom again"
        )
    return table.set_index("image_id")[concepts]


def phantom_examples(
    root: Path, image_digests: Mapping[str, str], *, table: pd.DataFrame
) -> tuple[tuple[ConceptEntry, ...], tuple[Example, ...]]:
    """Read the planted concepts and their examples.

    Args:
        root: Folder of the phantom cohort, with ``masks/<image>_<concept>.png`` for every concept that is present.
        image_digests: By image, the SHA-256 of its file; only these images are read.
        table: One row for each image (the index is its identifier), one column for each concept: 1 planted, 0 not.

    Returns:
        The concepts in the order of the columns, and an example of each for every image: present with its region, or
        absent.

    Raises:
        DataError: If an image has no row or two, a value is neither 0 nor 1, a concept is not in the vocabulary, or
            the mask of a planted concept is missing, unreadable or empty.
    """
    concepts = [str(column) for column in table.columns]
    entries = tuple(ConceptEntry.from_vocabulary(concept, origin=Origin.PLANTED) for concept in concepts)
    planted = _planted(table, list(image_digests), concepts)
    require_files(root, [_path(image_id, concept) for image_id, there in planted.items() for concept in there])
    read = partial(_image_examples, root=root, planted=planted, concepts=dict(zip(concepts, entries, strict=True)))
    examples = read_each(read, list(image_digests.items()), root=root)
    return entries, tuple(example for of_image in examples for example in of_image)


def _path(image_id: str, concept: str) -> str:
    return f"{MASKS}/{image_id}_{concept}.png"


def _planted(table: pd.DataFrame, image_ids: Sequence[str], concepts: Sequence[str]) -> dict[str, list[str]]:
    """By image, the columns of the concepts that were drawn into it."""
    twice = table.index[table.index.duplicated()].astype(str).tolist()
    if twice:
        raise DataError(f"concept table: more than one row for {shorten(twice)}; each image has one")
    missing = [image_id for image_id in image_ids if image_id not in table.index]
    if missing:
        raise DataError(
            f"concept table: no row for {len(missing)} of the images: {shorten(missing)}; generate it again"
        )
    cells = table.loc[list(image_ids)].to_numpy()
    wrong = [
        f"row {image_ids[row]}, column {concepts[column]}: {cells[row, column]}"
        for row, column in np.argwhere(~np.isin(cells, [0, 1])).tolist()
    ]
    if wrong:
        raise DataError(f"concept table: only 0 and 1 are allowed, found {shorten(wrong)}; generate it again")
    return {
        image_id: [concept for concept, value in zip(concepts, row, strict=True) if value == 1]
        for image_id, row in zip(image_ids, cells, strict=True)
    }


def _image_examples(
    image: tuple[str, str], *, root: Path, planted: Mapping[str, list[str]], concepts: Mapping[str, ConceptEntry]
) -> list[Example]:
    image_id, image_digest = image
    return [
        Example(
            image_id=image_id,
            image_digest=image_digest,
            concept=entry.id,
            polarity=Polarity.PRESENT if column in planted[image_id] else Polarity.ABSENT,
            region=_region(root, _path(image_id, column)) if column in planted[image_id] else None,
            provenance="planted",
        )
        for column, entry in concepts.items()
    ]


def _region(root: Path, relative: str) -> MaskFile:
    region, mask = read_mask(root, relative)
    if not mask.any():
        raise DataError(f"{relative}: the mask of a planted concept is empty")
    return region
