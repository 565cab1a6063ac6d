"""What is known of artefacts in the images of a cohort: whoever labelled them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from concepts.selection import label_table
from concepts.vocabulary import ancestors, load_vocabulary
from pipeline.data.cohort import Cohort
from pipeline.data.sample import Sample
from pipeline.explanation.discovery.traits import planted_artefacts

ARTEFACT = "artefact"
"""Concept of the vocabulary whose sub-concepts are artefacts."""


@dataclass(frozen=True)
class ArtefactLabels:
    """Which artefacts images have.

    Attributes:
        names: A artefacts.
        table: N x A; 1 present, 0 absent, NaN not known.
    """

    names: tuple[str, ...]
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
        return ArtefactLabels(tuple(names), self.table[:, [self.names.index(name) for name in names]])


def artefact_labels(cohort: Cohort, samples: Sequence[Sample]) -> ArtefactLabels:
    """The artefacts that the release has as concepts, with an axis or without, and those that were planted (phantom).

    Where both know an artefact, the release counts.
    """
    terms = load_vocabulary().concepts
    known = [one for one in cohort.release.concept_ids if one in terms and ARTEFACT in ancestors(terms, one)]
    images = [sample.image_id for sample in samples]
    judged = label_table(cohort.release, images, concepts=known, unmarked_is_absent=cohort.unmarked_is_absent)
    columns = {concept: judged[:, column] for column, concept in enumerate(known)}
    for trait in planted_artefacts(cohort, samples):
        columns.setdefault(trait.name, trait.values)
    table = np.stack(list(columns.values()), axis=1) if columns else np.zeros((len(samples), 0))
    return ArtefactLabels(tuple(columns), table)


def own_axis(cohort: Cohort, artefact: str) -> int | None:
    """The named axis of an artefact; None where it has none."""
    return cohort.concepts.index(artefact) if artefact in cohort.concepts else None
