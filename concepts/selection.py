"""What training takes from a release: labels and regions of its images, and whether they suffice."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from concepts.errors import LeakError, ReleaseError
from concepts.example import Example, Polarity
from concepts.release import Release, shorten


def label_table(
    release: Release, image_ids: Sequence[str], *, concepts: Sequence[str], unmarked_is_absent: bool
) -> NDArray[np.float64]:
    """Label each image with what the release says about each concept.

    Where a concept is present, so is the broader one that the release declares as its parent, marked or not.

    Args:
        release: A release.
        image_ids: The N images, in the order of the rows; those that the release does not know get NaN throughout.
        concepts: The k concepts, in the order of the columns.
        unmarked_is_absent: Whether an image in which nobody marked the concept counts as a (weak) negative.

    Returns:
        N x k: 1 present, 0 absent, NaN not known.

    Raises:
        ReleaseError: If the release has no such concept.
    """
    values = {Polarity.PRESENT: 1.0, Polarity.ABSENT: 0.0, Polarity.UNMARKED: 0.0 if unmarked_is_absent else np.nan}
    table = np.full((len(image_ids), len(concepts)), np.nan)
    for row, column, example in _cells(release, image_ids, concepts):
        table[row, column] = values[example.polarity]
    for child, parent in declared_parents(release, concepts).items():
        table[table[:, concepts.index(child)] == 1, concepts.index(parent)] = 1
    return table


def declared_parents(release: Release, concepts: Collection[str]) -> dict[str, str]:
    """Return by concept its parent, where the release declares it and both are among these concepts."""
    pairs = ((entry.id, entry.parent) for entry in release.concepts if entry.id in concepts)
    return {child: parent for child, parent in pairs if parent is not None and parent in concepts}


def refuse_orphans(release: Release, parents: Mapping[str, str]) -> None:
    """Refuse a release in which a concept is present where its parent is absent.

    Args:
        release: A release.
        parents: By concept, its parent, both in the release.

    Raises:
        ReleaseError: If there is such an image; names the first few.
    """
    absent = {
        (example.image_id, example.concept) for example in release.examples if example.polarity is Polarity.ABSENT
    }
    orphans = [
        f"{example.image_id} ({example.concept} without {parents[example.concept]})"
        for example in release.examples
        if example.polarity is Polarity.PRESENT and (example.image_id, parents.get(example.concept)) in absent
    ]
    if orphans:
        raise ReleaseError(
            f"{release.name}@{release.version}: a concept is present where its parent is absent, in "
            f"{len(orphans)} images: {shorten(orphans)}; correct one of the two examples of each"
        )


def region_table(
    release: Release, image_ids: Sequence[str], *, concepts: Sequence[str], root: Path
) -> list[list[Path | None]]:
    """Look up the mask file of each concept in each image; None where there is none.

    Args:
        release: A release.
        image_ids: The N images, in the order of the rows.
        concepts: The k concepts, in the order of the columns.
        root: The data root, to which the regions' paths are relative.

    Raises:
        ReleaseError: If the release has no such concept.
    """
    table: list[list[Path | None]] = [[None] * len(concepts) for _ in image_ids]
    for row, column, example in _cells(release, image_ids, concepts):
        table[row][column] = root / example.region.path if example.region else None
    return table


def refuse_held_out(examples: Iterable[Example], held_out: Collection[str]) -> None:
    """Refuse examples of images that are kept for testing.

    Args:
        examples: What is about to be learnt from.
        held_out: Identifiers or digests of the images kept away from training.

    Raises:
        LeakError: If there are any; names the first few images and how many there are.
    """
    held_out = set(held_out)
    leaked = sorted({e.image_id for e in examples if e.image_id in held_out or e.image_digest in held_out})
    if leaked:
        raise LeakError(
            f"{len(leaked)} held-out images are among the concept examples to learn from: {shorten(leaked)}; "
            "only examples of training images are allowed: restrict the release to them"
        )


def check_usable(
    release: Release,
    image_ids: Sequence[str],
    *,
    concepts: Sequence[str],
    unmarked_is_absent: bool,
) -> None:
    """Refuse concepts to which no axis can be given on the examples of the training images.

    Args:
        release: A release.
        image_ids: The training images.
        concepts: The concepts that axes are to be given to.
        unmarked_is_absent: Whether an image in which nobody marked the concept counts as a (weak) negative.

    Raises:
        ReleaseError: If a concept is not in the release, or present in none of the images.
    """
    table = label_table(release, image_ids, concepts=concepts, unmarked_is_absent=unmarked_is_absent)
    empty = [concept for concept, labels in zip(concepts, table.T, strict=True) if not (labels == 1).any()]
    if empty:
        raise ReleaseError(
            f"{release.name}@{release.version}: no example is present in the {len(image_ids)} training images for: "
            f"{', '.join(empty)}; leave these out of concepts.names or add examples"
        )


def _cells(release: Release, image_ids: Sequence[str], concepts: Sequence[str]) -> Iterable[tuple[int, int, Example]]:
    unknown = [concept for concept in concepts if concept not in release.concept_ids]
    if unknown:
        raise ReleaseError(
            f"{release.name}@{release.version} has no concept {shorten([repr(concept) for concept in unknown])}; "
            f"it has: {', '.join(release.concept_ids)}"
        )
    examples = {(example.image_id, example.concept): example for example in release.examples}
    return [
        (row, column, examples[image_id, concept])
        for row, image_id in enumerate(image_ids)
        for column, concept in enumerate(concepts)
        if (image_id, concept) in examples
    ]
