"""Which artefacts are shortcuts, as training and validation images show it; test images have no say.

An artefact is *named* as a shortcut for a diagnosis where two things hold beyond chance. It goes with the diagnosis in
the training images; and on validation images the log-odds of the diagnosis fall, in images with it more than in others
of the same diagnosis, when the layer's directions for it are taken away. A network may react to an artefact that goes
with no diagnosis (that is a lack of robustness), and an artefact may go with a diagnosis that the network does not read
from it; neither is a shortcut.

Each association is a sum over groups (patients) of scores whose expectation is zero where there is none. Flipping the
sign of whole groups, for all associations alike, shows what chance gives for the largest of them. The two steps use
different images, so the second need only be adjusted for the pairs that passed the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.cases.contributions import log_odds
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace, logits_without
from pipeline.explanation.shortcuts.artefacts import ArtefactLabels, LabelledPart
from pipeline.results.shortcuts import NamedShortcut, ShortcutVerdict

LEVEL = 0.05
"""Chance that any artefact at all is named wrongly; half of it for each of the two steps."""
FEWEST = 10
"""Images on the thinner side below which nothing is said."""
FLIPS = 9999
BLOCK = 1000
"""Sign flips computed at a time."""

Values = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Verdicts:
    """What training and validation images say about A artefacts and D diagnoses.

    Attributes:
        artefacts: Those with enough training images.
        classes: The diagnoses.
        tie: A x D, adjusted p-values of "the artefact goes with the diagnosis".
        use: A x D, of "the diagnosis is read from it"; adjusted for the pairs that passed the first step, and for the
            other pairs among themselves.
        effects: A x D, mean fall of the log-odds in the validation images that have the artefact.
        thinnest: A x D, images on the thinnest side of what the two tests compare.
    """

    artefacts: tuple[str, ...]
    classes: tuple[str, ...]
    tie: Values
    use: Values
    effects: Values
    thinnest: Counts

    @property
    def is_named(self) -> NDArray[np.bool_]:
        """A x D: which are shortcuts."""
        return np.maximum(self.tie, self.use) <= LEVEL / 2

    def verdict(self, row: int, column: int) -> ShortcutVerdict:
        """Say what holds for one artefact and diagnosis."""
        if self.is_named[row, column]:
            return ShortcutVerdict.NAMED
        return ShortcutVerdict.NOT_NAMED if self.thinnest[row, column] >= FEWEST else ShortcutVerdict.TOO_FEW

    def named(self) -> tuple[NamedShortcut, ...]:
        """List the shortcuts, the strongest effect first."""
        pairs = sorted(np.argwhere(self.is_named).tolist(), key=lambda pair: -float(self.effects[tuple(pair)]))
        return tuple(
            NamedShortcut(artefact=self.artefacts[row], diagnosis=self.classes[column]) for row, column in pairs
        )


def frequent_artefacts(labels: ArtefactLabels) -> tuple[str, ...]:
    """List the artefacts that at least `FEWEST` images have, and at least `FEWEST` lack."""
    is_frequent = np.minimum(labels.present, labels.absent) >= FEWEST
    return tuple(name for name, frequent in zip(labels.names, is_frequent, strict=True) if frequent)


def log_odds_falls(outputs: LayerOutputs, spaces: Sequence[ArtefactSpace]) -> Values:
    """Measure by how much taking an artefact's directions away lowers the log-odds of each diagnosis.

    Returns:
        N x A x D, in nats.
    """
    intact = log_odds(outputs.logits.double())
    falls = [(intact - log_odds(logits_without(outputs, space).double())).numpy() for space in spaces]
    return np.stack(falls, axis=1)


def judge_artefacts(
    train: LabelledPart, validation: LabelledPart, falls: Values, *, generator: np.random.Generator
) -> Verdicts:
    """Decide which artefacts are shortcuts.

    Args:
        train: The training images.
        validation: The validation images, with the same artefacts.
        falls: N x A x D of the validation images, from `log_odds_falls`.
        generator: Draws the signs.
    """
    tie, use = _p_values(train, validation, falls, generator)
    labels = validation.artefacts.table
    present = [falls[labels[:, row] == 1, row] for row in range(labels.shape[1])]
    effects = [changes.mean(axis=0) if len(changes) else np.full(falls.shape[2], np.nan) for changes in present]
    return Verdicts(
        artefacts=train.artefacts.names,
        classes=train.data.classes,
        tie=tie,
        use=use,
        effects=np.stack(effects),
        thinnest=_thinnest(train, validation),
    )


def centred(values: Values, strata: NDArray[np.int64]) -> Values:
    """Subtract from values their mean in each stratum; what is not known becomes 0.

    Args:
        values: N or N x m.
        strata: N.

    Example:
        >>> centred(np.array([1.0, 3.0, np.nan, 5.0]), np.array([0, 0, 0, 1])).tolist()
        [-1.0, 1.0, 0.0, 0.0]
    """
    differences = np.zeros_like(values, dtype=np.float64)
    for stratum in np.unique(strata):
        inside = values[strata == stratum]
        finite = np.isfinite(inside)
        mean = np.where(finite, inside, 0.0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
        differences[strata == stratum] = np.where(finite, inside - mean, 0.0)
    return differences


def tie_scores(table: Values, diagnoses: NDArray[np.int64], classes: int) -> Values:
    """Return N x (A D) scores of "the artefact goes with the diagnosis": products of the centred indicators.

    Args:
        table: N x A; 1 present, 0 absent, NaN not known.
        diagnoses: N indices.
        classes: D.
    """
    everyone = np.zeros(len(table), dtype=np.int64)
    artefacts = centred(table, everyone)
    indicators = centred((diagnoses[:, None] == np.arange(classes)).astype(np.float64), everyone)
    return (artefacts[:, :, None] * indicators[:, None]).reshape(len(table), -1)


def use_scores(table: Values, falls: Values, diagnoses: NDArray[np.int64]) -> Values:
    """Return N x (A D) scores of "the log-odds fall more where the artefact is", inside each diagnosis.

    Args:
        table: N x A; 1 present, 0 absent, NaN not known.
        falls: N x A x D, by how much taking the artefact's directions away lowers the log-odds of each diagnosis.
        diagnoses: N indices.
    """
    return (centred(table, diagnoses)[:, :, None] * centred(falls, diagnoses)).reshape(len(table), -1)


def largest_score_tests(
    scores: Values, groups: Sequence[str], *, generator: np.random.Generator, flips: int = FLIPS
) -> Values:
    """Test which of m associations are greater than zero, keeping the chance of any false one among them.

    Args:
        scores: N x m, each column the product of two centred variables.
        groups: N, cases of one group count as one draw.
        generator: Draws the signs.
        flips: How many times.

    Returns:
        m one-sided p-values ("greater than zero"), adjusted for all m.

    Source: sign flips of score contributions, Hemerik, Goeman & Finos 2020 (J. R. Stat. Soc. B 82, 841); single-step
    adjustment by the largest statistic, Westfall & Young 1993, algorithm 2.5.
    """
    _, members = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((int(members.max()) + 1, scores.shape[1]))
    np.add.at(sums, members, scores)
    spread = np.sqrt((sums**2).sum(axis=0))
    scaled = np.divide(sums, spread, out=np.zeros_like(sums), where=spread > 0)
    statistics: Values = scaled.sum(axis=0)
    reached = np.ones(scores.shape[1])
    for start in range(0, flips, BLOCK):
        signs = generator.choice((-1.0, 1.0), size=(min(BLOCK, flips - start), len(scaled)))
        largest = (signs @ scaled).max(axis=1)
        reached += (largest[:, None] >= statistics - 1e-12).sum(axis=0)
    return reached / (flips + 1)


def _p_values(
    train: LabelledPart, validation: LabelledPart, falls: Values, generator: np.random.Generator
) -> tuple[Values, Values]:
    """Return A x D adjusted p-values of the tie and of the use."""
    classes = len(train.data.classes)
    ties = tie_scores(train.artefacts.table, train.data.labels, classes)
    tie = largest_score_tests(ties, train.data.groups, generator=generator)
    uses = use_scores(validation.artefacts.table, falls, validation.data.labels)
    use = np.ones_like(tie)
    passed = tie <= LEVEL / 2
    for family in (passed, ~passed):
        if family.any():
            use[family] = largest_score_tests(uses[:, family], validation.data.groups, generator=generator)
    shape = (len(train.artefacts.names), classes)
    return tie.reshape(shape), use.reshape(shape)


def _thinnest(train: LabelledPart, validation: LabelledPart) -> Counts:
    """Count A x D images on the thinnest side.

    That is the fewest of the training images with the artefact, without it, with the diagnosis and without; and of the
    validation images that the second test compares: inside each diagnosis, images with the artefact and without.
    """
    cases = np.bincount(train.data.labels, minlength=len(train.data.classes))
    diagnosis = np.minimum(cases, len(train.data) - cases)
    artefact = np.minimum(train.artefacts.present, train.artefacts.absent)
    compared = _compared(validation.artefacts.table, validation.data.labels)
    return np.minimum(np.minimum(artefact, compared)[:, None], diagnosis)


def _compared(table: Values, strata: NDArray[np.int64]) -> Counts:
    inside = [table[strata == stratum] for stratum in np.unique(strata)]
    pairs = [np.minimum((labels == 1).sum(axis=0), (labels == 0).sum(axis=0)) for labels in inside]
    return np.sum(pairs, axis=0)
