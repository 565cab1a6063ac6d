"""Which images the network trains on, which choose the checkpoint, and which are used in tests only.

Related images (of one patient, of one lesion, or near-duplicates) form a group, and a group is never divided: a network
that was trained on a lesion recognises it, and every figure on its other pictures is then too good.
"""

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from concepts.csv_cells import csv_text, plain
from concepts.errors import DataError, LeakError
from concepts.files import write_atomically
from concepts.reading import table_text
from pipeline.data.sample import Sample
from pipeline.data.stratify import assign_groups, proportional_quotas
from pipeline.run.seeds import Stream, random_generator

COLUMNS = ("image_id", "part", "group")
MOST_NAMES = 3
"""Images that an error names."""


class Part(StrEnum):
    """What the images of a part are for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Split:
    """The part of each image, and the group by which it got there.

    Attributes:
        parts: By image, its part.
        groups: By image, the identifier of its group.
    """

    parts: Mapping[str, Part]
    groups: Mapping[str, str]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the table that `write_split` writes; the order of the images does not matter."""
        return hashlib.sha256(_table(self).encode()).hexdigest()

    def image_ids(self, part: Part) -> tuple[str, ...]:
        """Return the images of a part, sorted."""
        return tuple(sorted(image_id for image_id, other in self.parts.items() if other is part))


def group_ids(samples: Sequence[Sample], duplicates: NDArray[np.int64] | None) -> list[str]:
    """Group samples that are linked, directly or through others, by anything that makes them related.

    Two images are linked that have the same patient, the same lesion, the same file content, or the same near-duplicate
    label. Links add up: where a near-duplicate joins two patients, their images form one group.

    Args:
        samples: N samples.
        duplicates: N labels, equal for near-duplicates, as `pipeline.data.duplicates.near_duplicate_groups` gives
            them; None where they are not known.

    Returns:
        N identifiers, each named after the first patient in the group, else the first lesion, else the first image:
        ``patient:…``, ``lesion:…`` or ``image:…``.
    """
    labels = [None] * len(samples) if duplicates is None else [int(label) for label in duplicates]
    links = [
        *_links(sample.patient_id for sample in samples),
        *_links(sample.lesion_id for sample in samples),
        *_links(sample.digest or None for sample in samples),
        *_links(labels),
    ]
    components = _components(links, len(samples))
    members: dict[int, list[Sample]] = defaultdict(list)
    for component, sample in zip(components, samples, strict=True):
        members[component].append(sample)
    names = {component: _group_name(related) for component, related in members.items()}
    return [names[component] for component in components]


def make_split(samples: Sequence[Sample], *, groups: Sequence[str], validation: float, test: float, seed: int) -> Split:
    """Draw a split by group that keeps the diagnoses in proportion and has each of them in every part.

    The order of the samples makes no difference.

    Args:
        samples: The cohort.
        groups: The group of each sample.
        validation: Share of the images for validation, above 0.
        test: Share of the images for testing, above 0; something must remain for training.
        seed: Of the random order in which groups are assigned.

    Raises:
        DataError: If a diagnosis has too few groups to be in every part.
    """
    names, diagnoses, counts = _count_by_group(samples, groups)
    generator = random_generator(seed, Stream.SPLIT)
    assigned = assign_groups(counts, (1 - validation - test, validation, test), generator)
    _refuse_uncovered(counts, assigned, diagnoses)
    part_of = {name: list(Part)[number] for name, number in zip(names, assigned, strict=True)}
    pairs = sorted((sample.image_id, group) for sample, group in zip(samples, groups, strict=True))
    return Split({image_id: part_of[group] for image_id, group in pairs}, dict(pairs))


def check_split(split: Split, samples: Sequence[Sample], groups: Sequence[str]) -> None:
    """Make sure that a split is of these samples and divides none of their groups.

    Args:
        split: The split.
        samples: The cohort.
        groups: The group of each sample, as it is known now; it may differ from what the split was drawn with.

    Raises:
        LeakError: If a group, of those given or the split's own, is in more than one part; ``rows`` lists all such.
        DataError: If a sample is not in the split or is listed twice, or the split holds an image that is no sample.
    """
    image_ids = {sample.image_id for sample in samples}
    if len(image_ids) < len(samples):
        repeated, _ = Counter(sample.image_id for sample in samples).most_common(1)[0]
        raise DataError(f"image '{repeated}' is listed twice among the samples; an image has one row")
    _refuse_strangers(image_ids - set(split.parts), "samples are not in the split")
    _refuse_strangers(set(split.parts) - image_ids, "images of the split are not among the samples")
    current = {sample.image_id: group for sample, group in zip(samples, groups, strict=True)}
    leaks = _leaks(split.parts, current) or _leaks(split.parts, split.groups)
    if leaks:
        more = f" (and {len(leaks) - 1} more groups)" if len(leaks) > 1 else ""
        raise LeakError(f"{leaks[0]}{more}; keep related images in one part, or draw a new split", rows=leaks)


def write_split(split: Split, path: Path) -> None:
    """Write ``image_id,part,group``, sorted by image; the file's SHA-256 is the split's digest."""
    write_atomically(path, _table(split))


def read_split(path: Path) -> Split:
    """Read what `write_split` wrote, or a table made by hand.

    Raises:
        DataError: If the file or a column is missing, or a row has an unknown part, no group, or an image that was
            listed before.
    """
    try:
        text = table_text(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the split cannot be read ({error}); a run writes one as split.csv") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError(f"{path} row {reader.line_num}: not CSV ({error}); save it as CSV in UTF-8") from error
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        columns = ", ".join(reader.fieldnames or ())[:200] or "no columns"
        raise DataError(f"{path}: no column '{missing[0]}'; it has {columns}; expected {', '.join(COLUMNS)}")
    parts: dict[str, Part] = {}
    groups: dict[str, str] = {}
    for line, row in rows:
        image_id, part, group = _checked(row, parts, origin=f"{path} row {line}")
        parts[image_id], groups[image_id] = part, group
    return Split(parts, groups)


def limit_samples(samples: Sequence[Sample], limit: int, seed: int) -> list[Sample]:
    """Draw a random subset with the diagnoses in proportion, for trials.

    A rare diagnosis keeps up to three images where the limit allows, so that a split remains possible. Groups may come
    apart: what is left out is not used at all.

    Args:
        samples: The cohort.
        limit: How many to keep, 1 or more.
        seed: Of the draw.

    Returns:
        ``min(limit, len(samples))`` samples in their order.
    """
    if limit >= len(samples):
        return list(samples)
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        rows_of[sample.diagnosis].append(row)
    diagnoses = sorted(rows_of)
    sizes = np.array([len(rows_of[diagnosis]) for diagnosis in diagnoses])
    quotas = proportional_quotas(sizes, limit, least=len(Part))
    generator = random_generator(seed, Stream.LIMIT)
    rows = [
        generator.choice(rows_of[diagnosis], quota, replace=False)
        for diagnosis, quota in zip(diagnoses, quotas, strict=True)
    ]
    return [samples[row] for row in np.sort(np.concatenate(rows))]


def _links(keys: Iterable[Hashable]) -> list[tuple[int, int]]:
    """Return pairs of rows that chain together all rows with the same key; None is no key."""
    rows: dict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        if key is not None:
            rows[key].append(row)
    return [pair for related in rows.values() for pair in pairwise(related)]


def _components(links: Sequence[tuple[int, int]], n: int) -> list[int]:
    first, second = np.array(links, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links), dtype=bool), (first, second)), shape=(n, n))
    return [int(label) for label in connected_components(graph, directed=False)[1]]


def _group_name(related: Sequence[Sample]) -> str:
    patients = sorted(sample.patient_id for sample in related if sample.patient_id is not None)
    lesions = sorted(sample.lesion_id for sample in related if sample.lesion_id is not None)
    if patients:
        return f"patient:{patients[0]}"
    return f"lesion:{lesions[0]}" if lesions else f"image:{min(sample.image_id for sample in related)}"


def _count_by_group(samples: Sequence[Sample], groups: Sequence[str]) -> tuple[list[str], list[str], NDArray[np.int64]]:
    """Return the groups' names, the diagnoses' names, and the number of images by group and diagnosis."""
    names, rows = np.unique(np.array(groups), return_inverse=True)
    diagnoses, columns = np.unique(np.array([sample.diagnosis for sample in samples]), return_inverse=True)
    counts = np.zeros((len(names), len(diagnoses)), dtype=np.int64)
    np.add.at(counts, (rows, columns), 1)
    return [str(name) for name in names], [str(diagnosis) for diagnosis in diagnoses], counts


def _refuse_uncovered(counts: NDArray[np.int64], assigned: NDArray[np.int64], diagnoses: Sequence[str]) -> None:
    for diagnosis, images in zip(diagnoses, counts.T, strict=True):
        if len(np.unique(assigned[images > 0])) < len(Part):
            raise DataError(
                f"diagnosis '{diagnosis}' cannot be in train, validation and test: its {images.sum()} images are in "
                f"{(images > 0).sum()} groups of related images, and a group is not divided; add images of other "
                "patients, or exclude the diagnosis with data.diagnoses"
            )


def _leaks(parts: Mapping[str, Part], groups: Mapping[str, str]) -> list[str]:
    """Return one sentence for each group in more than one part."""
    members: dict[str, dict[Part, list[str]]] = defaultdict(lambda: defaultdict(list))
    for image_id, group in sorted(groups.items()):
        members[group][parts[image_id]].append(image_id)
    return [
        f"group '{group}' is in "
        + " and ".join(f"{part} ({_first_few(by_part[part])})" for part in Part if part in by_part)
        for group, by_part in members.items()
        if len(by_part) > 1
    ]


def _refuse_strangers(image_ids: set[str], what: str) -> None:
    if image_ids:
        raise DataError(f"{len(image_ids)} {what}: {_first_few(sorted(image_ids))}; use the data set that was split")


def _first_few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _table(split: Split) -> str:
    rows = ((image_id, split.parts[image_id], split.groups[image_id]) for image_id in sorted(split.parts))
    return csv_text(COLUMNS, rows)


def _checked(row: Mapping[str, str | None], earlier: Mapping[str, Part], *, origin: str) -> tuple[str, Part, str]:
    image_id, part, group = (plain(row[column] or "") for column in COLUMNS)
    if not image_id or not group:
        raise DataError(f"{origin}: image_id and group must not be empty")
    if image_id in earlier:
        raise DataError(f"{origin}: image '{image_id}' was listed before; an image has one row")
    if part not in list(Part):
        raise DataError(f"{origin}: unknown part '{part}'; expected {', '.join(Part)}")
    return image_id, Part(part), group
