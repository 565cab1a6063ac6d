"""Which artefacts are shortcuts, as training and validation images have it; test images have no say.

An artefact is *named* as a shortcut for a diagnosis where two things were found beyond chance. It goes with the
diagnosis in the training images; and on validation images the log-odds of the diagnosis fall, in images that have it
more than in others of the same diagnosis, when the layer's directions for it are taken away. A network may react to an
artefact that goes with no diagnosis (that is a lack of robustness), and an artefact may go with a diagnosis that the
network does not read from it; neither is a shortcut.

The two steps are of different images, so the second need only be adjusted for the pairs that passed the first.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from pipeline.data.cohort import Cohort
from pipeline.data.splits import Part
from pipeline.evaluation.evaluation_data import class_indices
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.cases.contributions import log_odds
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.explanation.shortcuts.artefact_directions import artefact_directions
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace
from pipeline.explanation.shortcuts.artefacts import ArtefactLabels, artefact_labels
from pipeline.explanation.shortcuts.removal import logits_without
from pipeline.explanation.shortcuts.score_tests import centred, largest_score_tests
from pipeline.run.progress import Tracker

SHORTCUTS = 6
"""Distinguishes the generator of the audit from the run's others."""
LEVEL = 0.05
"""Chance that any artefact at all is named wrongly; half of it for each of the two steps."""
FEWEST = 10
"""Images on the thinner side below which nothing is said."""

Values = NDArray[np.float64]
Counts = NDArray[np.int64]


class ShortcutVerdict(StrEnum):
    """What is said of an artefact and a diagnosis."""

    NAMED = "named as shortcut"
    NOT_NAMED = "not named"
    TOO_FEW = "too few images to say"


@dataclass(frozen=True)
class Verdicts:
    """What training and validation images say of A artefacts and D diagnoses.

    Attributes:
        artefacts: Those with enough training images.
        spaces: Where the layer has each.
        tie: A x D, adjusted p-values of "the artefact goes with the diagnosis".
        use: A x D, of "the diagnosis is read from it"; adjusted for the pairs that passed the first step, and for the
            others by themselves.
        effects: A x D, mean fall of the log-odds in the validation images that have the artefact.
        thinnest: A x D, images on the thinnest side of what the two tests compare.
    """

    artefacts: tuple[str, ...]
    spaces: tuple[ArtefactSpace, ...]
    tie: Values
    use: Values
    effects: Values
    thinnest: Counts

    @property
    def named(self) -> NDArray[np.bool_]:
        """A x D: which are shortcuts."""
        return np.maximum(self.tie, self.use) <= LEVEL / 2

    def verdict(self, row: int, column: int) -> ShortcutVerdict:
        """Of one artefact and diagnosis."""
        if self.named[row, column]:
            return ShortcutVerdict.NAMED
        return ShortcutVerdict.NOT_NAMED if self.thinnest[row, column] >= FEWEST else ShortcutVerdict.TOO_FEW

    def ranking(self) -> list[tuple[int, int]]:
        """The named pairs of artefact and diagnosis, the strongest effect first."""
        pairs = [(int(one), int(other)) for one, other in np.argwhere(self.named)]
        return sorted(pairs, key=lambda pair: -float(self.effects[pair]))


def judge_artefacts(network: ExplainedNetwork, *, tracker: Tracker) -> Verdicts | None:
    """Fit the directions on training images and decide on validation images.

    Returns:
        None where no artefact has `FEWEST` training images with and without it.
    """
    cohort = network.cohort
    train, validation = cohort.part(Part.TRAIN), cohort.part(Part.VALIDATION)
    every = artefact_labels(cohort, train)
    enough = np.minimum(every.present, every.absent) >= FEWEST
    labels = every.of([name for name, kept in zip(every.names, enough, strict=True) if kept])
    if not labels.names:
        return None
    generator = np.random.default_rng([network.settings.seed, SHORTCUTS])
    spaces = artefact_directions(network, labels, generator=generator, tracker=tracker)
    outputs = network.validation_outputs(tracker)
    seen = artefact_labels(cohort, validation).of(labels.names)
    falls = np.stack([log_odds_falls(outputs, space) for space in spaces], axis=1)
    tested = _tests(cohort, labels, seen, falls, generator)
    present = [falls[seen.table[:, row] == 1, row] for row in range(len(spaces))]
    effects = np.stack([one.mean(axis=0) if len(one) else np.full(falls.shape[2], np.nan) for one in present])
    return Verdicts(labels.names, spaces, *tested, effects=effects, thinnest=_thinnest(cohort, labels, seen))


def log_odds_falls(outputs: LayerOutputs, space: ArtefactSpace) -> Values:
    """N x D: by how much taking an artefact's directions away lowers the log-odds of each diagnosis, in nats."""
    intact, without = (log_odds(one.double()) for one in (outputs.logits, logits_without(outputs, space)))
    found: Values = (intact - without).numpy()
    return found


def tie_scores(table: Values, diagnoses: NDArray[np.int64], classes: int) -> Values:
    """N x (A D) scores of "the artefact goes with the diagnosis": products of the centred indicators.

    Args:
        table: N x A; 1 present, 0 absent, NaN not known.
        diagnoses: N indices.
        classes: D.
    """
    everyone = np.zeros(len(table), dtype=np.int64)
    artefacts = centred(table, everyone)
    own = centred((diagnoses[:, None] == np.arange(classes)).astype(np.float64), everyone)
    return (artefacts[:, :, None] * own[:, None]).reshape(len(table), -1)


def use_scores(table: Values, falls: Values, diagnoses: NDArray[np.int64]) -> Values:
    """N x (A D) scores of "the log-odds fall more where the artefact is", inside each diagnosis.

    Args:
        table: N x A; 1 present, 0 absent, NaN not known.
        falls: N x A x D, by how much taking the artefact's directions away lowers the log-odds of each diagnosis.
        diagnoses: N indices.
    """
    return (centred(table, diagnoses)[:, :, None] * centred(falls, diagnoses)).reshape(len(table), -1)


def _tests(
    cohort: Cohort, labels: ArtefactLabels, seen: ArtefactLabels, falls: Values, generator: np.random.Generator
) -> tuple[Values, Values]:
    train, validation = cohort.part(Part.TRAIN), cohort.part(Part.VALIDATION)
    scores = tie_scores(labels.table, class_indices(train, cohort.classes), len(cohort.classes))
    tie = largest_score_tests(scores, cohort.groups(train), generator=generator).adjusted
    scores = use_scores(seen.table, falls, class_indices(validation, cohort.classes))
    use = np.ones_like(tie)
    passed = tie <= LEVEL / 2
    for family in (passed, ~passed):
        if family.any():
            found = largest_score_tests(scores[:, family], cohort.groups(validation), generator=generator)
            use[family] = found.adjusted
    shape = (len(labels.names), len(cohort.classes))
    return tie.reshape(shape), use.reshape(shape)


def _thinnest(cohort: Cohort, labels: ArtefactLabels, seen: ArtefactLabels) -> Counts:
    """A x D: the fewest of the training images with, without, of the diagnosis and not; and of what can be compared.

    What the second test compares is, inside each diagnosis, images with the artefact and images without.
    """
    train = class_indices(cohort.part(Part.TRAIN), cohort.classes)
    own = np.bincount(train, minlength=len(cohort.classes))
    diagnosis = np.minimum(own, len(train) - own)
    artefact = np.minimum(labels.present, labels.absent)
    compared = _compared(seen.table, class_indices(cohort.part(Part.VALIDATION), cohort.classes))
    thinnest: Counts = np.minimum(np.minimum(artefact, compared)[:, None], diagnosis)
    return thinnest


def _compared(table: Values, strata: NDArray[np.int64]) -> Counts:
    inside = [table[strata == stratum] for stratum in np.unique(strata)]
    pairs = [np.minimum((one == 1).sum(axis=0), (one == 0).sum(axis=0)) for one in inside]
    found: Counts = np.sum(pairs, axis=0)
    return found
