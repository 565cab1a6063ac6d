"""What is known of artefacts in the images of a cohort, and from whom: readers, the phantom, or the picture itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from concepts.example import Origin
from concepts.selection import label_table
from concepts.vocabulary import ancestors, load_vocabulary
from pipeline.data.cohort import Cohort
from pipeline.data.sample import Sample
from pipeline.explanation.discovery.traits import planted_artefacts
from pipeline.explanation.shortcuts.measured import MEASURED, measured_labels
from pipeline.run.progress import Silent, Tracker

ARTEFACT = "artefact"
"""Concept of the vocabulary whose sub-concepts are artefacts."""


class LabelSource(StrEnum):
    """Whose label of an artefact it is; what one says is never filled up with what another says."""

    READERS = "readers"
    PLANTED = "planted"
    MEASURED = "measured in the picture"


@dataclass(frozen=True)
class ArtefactLabels:
    """Which artefacts images have.

    Attributes:
        names: A artefacts.
        sources: Whose labels those of each artefact are.
        table: N x A; 1 present, 0 absent, NaN not known.
    """

    names: tuple[str, ...]
    sources: tuple[LabelSource, ...]
    table: NDArray[np.float64]

    @property
    def present(self) -> NDArray[np.int64]:
        """A: in how many images each is."""
        count: NDArray[np.int64] = (self.table == 1).sum(axis=0)
        return count

    @property
    def absent(self) -> NDArray[np.int64]:
        """A: in how many images each is known not to be."""
        count: NDArray[np.int64] = (self.table == 0).sum(axis=0)
        return count

    def of(self, names: Sequence[str]) -> "ArtefactLabels":
        """Those of some artefacts, in the order in which they are named."""
        columns = [self.names.index(name) for name in names]
        return ArtefactLabels(tuple(names), tuple(self.sources[one] for one in columns), self.table[:, columns])


def artefact_labels(cohort: Cohort, samples: Sequence[Sample], *, tracker: Tracker | None = None) -> ArtefactLabels:
    """The artefacts that the release has as concepts, with an axis or without; else the planted ones; else measured.

    For each artefact the first of these that knows it counts, for all images.

    Args:
        cohort: The cohort.
        samples: N of its images.
        tracker: Where progress is shown, if images must be measured.
    """
    terms = load_vocabulary().concepts
    origins = {entry.id: entry.origin for entry in cohort.release.concepts}
    judged_ones = [one for one in cohort.release.concept_ids if one in terms and ARTEFACT in ancestors(terms, one)]
    images = [sample.image_id for sample in samples]
    judged = label_table(cohort.release, images, concepts=judged_ones, unmarked_is_absent=cohort.unmarked_is_absent)
    known = {
        concept: (LabelSource.PLANTED if origins[concept] is Origin.PLANTED else LabelSource.READERS, judged[:, column])
        for column, concept in enumerate(judged_ones)
    }
    for trait in planted_artefacts(cohort, samples):
        known.setdefault(trait.name, (LabelSource.PLANTED, trait.values))
    rest = [name for name in MEASURED if name not in known]
    for name, found in measured_labels(cohort, samples, rest, tracker=tracker or Silent()).items():
        known[name] = (LabelSource.MEASURED, found)
    sources, columns = zip(*known.values(), strict=True)
    return ArtefactLabels(tuple(known), sources, np.stack(columns, axis=1))


def own_axis(cohort: Cohort, artefact: str) -> int | None:
    """The named axis of an artefact; None where it has none."""
    return cohort.concepts.index(artefact) if artefact in cohort.concepts else None
