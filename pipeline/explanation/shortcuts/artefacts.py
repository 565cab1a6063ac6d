"""Which images have which artefacts, and who says so: readers, the phantom, or a measure of the picture itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from concepts.example import Origin
from concepts.selection import label_table
from concepts.vocabulary import ancestors, load_vocabulary
from pipeline.data.cohort import Cohort
from pipeline.data.sample import Sample
from pipeline.evaluation.evaluation_data import EvaluatedParts, EvaluationData
from pipeline.explanation.discovery.traits import planted_artefacts
from pipeline.explanation.shortcuts.measured import MEASURED, measured_labels
from pipeline.results.shortcuts import LabelSource, PresenceCounts
from pipeline.run.progress import Silent, Tracker

ARTEFACT = "artefact"
"""Concept of the vocabulary whose sub-concepts are artefacts."""


@dataclass(frozen=True)
class ArtefactLabels:
    """Which artefacts images have.

    Attributes:
        names: A artefacts.
        sources: Who says which images have each artefact.
        table: N x A; 1 present, 0 absent, NaN not known.
    """

    names: tuple[str, ...]
    sources: tuple[LabelSource, ...]
    table: NDArray[np.float64]

    @property
    def present(self) -> NDArray[np.int64]:
        """A: in how many images each artefact is."""
        return (self.table == 1).sum(axis=0)

    @property
    def absent(self) -> NDArray[np.int64]:
        """A: in how many images each artefact is known not to be."""
        return (self.table == 0).sum(axis=0)

    def column(self, name: str) -> NDArray[np.float64]:
        """Return the N labels of one artefact."""
        return self.table[:, self.names.index(name)]

    def is_present(self, name: str) -> NDArray[np.bool_]:
        """Say for N images whether one artefact is known to be there."""
        return np.asarray(self.column(name) == 1, dtype=np.bool_)

    def rows(self, rows: Sequence[int]) -> "ArtefactLabels":
        """Return the labels of some images."""
        return replace(self, table=self.table[list(rows)])

    def of(self, names: Sequence[str]) -> "ArtefactLabels":
        """Return the labels of some artefacts, in the order in which they are named."""
        columns = [self.names.index(name) for name in names]
        return ArtefactLabels(tuple(names), tuple(self.sources[column] for column in columns), self.table[:, columns])


@dataclass(frozen=True)
class LabelledPart:
    """The images of one part, with the artefacts that they have."""

    data: EvaluationData
    artefacts: ArtefactLabels


@dataclass(frozen=True)
class LabelledParts:
    """The three parts of a cohort, with the artefacts in their images."""

    train: LabelledPart
    validation: LabelledPart
    test: LabelledPart


def presence_counts(labels: NDArray[np.float64]) -> PresenceCounts:
    """Count the images with an artefact and those without.

    Args:
        labels: N; 1 present, 0 absent, NaN not known.
    """
    return PresenceCounts(present=int((labels == 1).sum()), absent=int((labels == 0).sum()))


def artefact_labels(cohort: Cohort, samples: Sequence[Sample], *, tracker: Tracker | None = None) -> ArtefactLabels:
    """Gather the labels of artefacts: those of the release's concepts, else the planted ones, else measured ones.

    For each artefact the first source that has it counts, for all images. A concept of the release need have no axis.

    Args:
        cohort: The cohort.
        samples: N of its images.
        tracker: Shows progress, if images must be measured.
    """
    terms = load_vocabulary().concepts
    origins = {entry.id: entry.origin for entry in cohort.release.concepts}
    judged = [name for name in cohort.release.concept_ids if name in terms and ARTEFACT in ancestors(terms, name)]
    images = [sample.image_id for sample in samples]
    table = label_table(cohort.release, images, concepts=judged, unmarked_is_absent=cohort.unmarked_is_absent)
    columns = {
        name: (LabelSource.PLANTED if origins[name] is Origin.PLANTED else LabelSource.READERS, labels)
        for name, labels in zip(judged, table.T, strict=True)
    }
    for trait in planted_artefacts(cohort.root, samples):
        columns.setdefault(trait.name, (LabelSource.PLANTED, trait.values))
    unlabelled = [name for name in MEASURED if name not in columns]
    for name, labels in measured_labels(cohort.cache, samples, unlabelled, tracker=tracker or Silent()).items():
        columns[name] = (LabelSource.MEASURED, labels)
    sources, tables = zip(*columns.values(), strict=True)
    return ArtefactLabels(tuple(columns), sources, np.stack(tables, axis=1))


def labelled_parts(cohort: Cohort, parts: EvaluatedParts, *, tracker: Tracker) -> LabelledParts:
    """Gather the labels of artefacts in all images of a cohort, part by part.

    Args:
        cohort: The cohort.
        parts: Its three parts.
        tracker: Shows progress, if images must be measured.
    """
    labels = artefact_labels(cohort, cohort.samples, tracker=tracker)
    rows = {sample.image_id: row for row, sample in enumerate(cohort.samples)}

    def part(data: EvaluationData) -> LabelledPart:
        return LabelledPart(data, labels.rows([rows[image_id] for image_id in data.image_ids]))

    return LabelledParts(train=part(parts.train), validation=part(parts.validation), test=part(parts.test))
