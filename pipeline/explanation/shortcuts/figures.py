"""What test images say about artefacts: how strongly the layer carries each, and what it does to each diagnosis."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from concepts.statistics.bootstrap import Resampled, Weights, auc, difference, ratio, resample
from concepts.statistics.estimate import Estimate
from pipeline.data.phantom.lesion import ARTEFACTS
from pipeline.data.phantom.patients import counterpart
from pipeline.evaluation.diagnosis import balanced_accuracy, class_aucs, macro
from pipeline.evaluation.evaluation_data import EvaluationData
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.cases.contributions import log_odds
from pipeline.explanation.importance import balanced
from pipeline.explanation.permutation import one_against_rest
from pipeline.explanation.shortcuts.artefact_space import BATCH, ArtefactSpace, logits_without
from pipeline.explanation.shortcuts.artefacts import LabelledPart
from pipeline.explanation.shortcuts.repainting import Repainting, with_artefact
from pipeline.results.shortcuts import CounterpartFigures
from pipeline.run.seeds import Stream, random_generator

REPAINTED = 200
"""Most test images that are drawn again with and without an artefact."""
DONORS = 5
"""Images with an artefact from which each image without it gets what the layer has of it."""
FIGURES = ("macro_auc", "balanced_accuracy")

Values = NDArray[np.float64]
Rows = NDArray[np.int64]
Figures = tuple[Estimate, ...]
"""One figure for each of D diagnoses."""


@dataclass(frozen=True)
class ArtefactMeasures:
    """The figures of artefacts on the test images of a run.

    Changes are of the log-odds of a diagnosis, in nats.

    Attributes:
        part: N test images with their artefacts.
        outputs: Of the layer for them, in order.
        repainting: Draws them again; None where they cannot be drawn.
    """

    part: LabelledPart
    outputs: LayerOutputs
    repainting: Repainting | None = None

    @property
    def _data(self) -> EvaluationData:
        return self.part.data

    def reading(self, artefact: str, space: ArtefactSpace) -> Estimate:
        """AUC with which the energy along an artefact's directions tells images with it from images without."""
        labels = self.part.artefacts.column(artefact)
        return auc(space.energy(self.outputs.maps), labels, self._data.weights).estimate()

    def taken_out(self, artefact: str, space: ArtefactSpace) -> Figures:
        """Change in images that have the artefact when the layer's directions for it are set to their reference."""
        without = log_odds(logits_without(self.outputs, space).double())
        change = (without - log_odds(self.outputs.logits.double())).numpy()
        return mean_changes(change, self.part.artefacts.is_present(artefact), self._data.weights)

    def put_in(self, artefact: str, space: ArtefactSpace) -> Figures:
        """Change in images without the artefact that get what the layer has in images of the same diagnosis with it."""
        generator = random_generator(self._data.seed, Stream.DONORS)
        donors = draw_donors(self.part.artefacts.column(artefact), self._data.labels, generator)
        takers = np.asarray((donors >= 0).all(axis=0))
        change = np.full(self.outputs.logits.shape, np.nan)
        if takers.any():
            rows = np.flatnonzero(takers)
            given = [_changes_when_given(self.outputs, space, rows, donor_rows) for donor_rows in donors[:, takers]]
            change[takers] = np.mean(given, axis=0)
        return mean_changes(change, takers, self._data.weights)

    def loss_ratios(self, space: ArtefactSpace) -> Figures:
        """Balanced loss with the artefact's directions away over the loss with them, in all images."""
        ratios = loss_ratios(self.outputs.logits, logits_without(self.outputs, space), self._data)
        return tuple(figure.estimate() for figure in ratios)

    def drawn(self, artefact: str) -> tuple[Figures, Figures] | None:
        """Change when the phantom draws the artefact into images without it, and when it leaves it out of the others.

        Exact: nothing else in the image changes. None where images cannot be drawn again.
        """
        if self.repainting is None or artefact not in ARTEFACTS:
            return None
        generator = random_generator(self._data.seed, Stream.REPAINTING)
        rows = np.sort(generator.permutation(len(self.repainting.lesions))[:REPAINTED])
        lesions = [self.repainting.lesions[row] for row in rows]
        painted = ([with_artefact(lesion, artefact, present=there) for lesion in lesions] for there in (True, False))
        present, absent = (log_odds(self.repainting.logits_of(changed).double()) for changed in painted)
        has_it = np.array([artefact in lesion.artefacts for lesion in lesions])
        change, weights = (present - absent).numpy(), self._data.weights[:, rows]
        return mean_changes(change, ~has_it, weights), mean_changes(-change, has_it, weights)

    def counterpart(self) -> dict[str, CounterpartFigures]:
        """Accuracy on the test images, and on the same without the planted shortcut; empty where none was planted."""
        if self.repainting is None or not self.repainting.has_shortcut:
            return {}
        untied = self.repainting.logits_of([counterpart(lesion) for lesion in self.repainting.lesions])
        tied_figures, untied_figures = (accuracy(logits, self._data) for logits in (self.outputs.logits, untied))
        return {
            figure: CounterpartFigures(
                with_shortcut=tied_figures[figure].estimate(),
                without_shortcut=untied_figures[figure].estimate(),
                difference=difference(untied_figures[figure], tied_figures[figure]).estimate(),
            )
            for figure in FIGURES
        }


def mean_changes(changes: Values, rows: NDArray[np.bool_], weights: Weights) -> Figures:
    """Average the changes over some images.

    Args:
        changes: N x D.
        rows: N, true for the images that count.
        weights: B x N, from `group_weights`.

    Returns:
        D figures; NaN where no image counts.
    """

    def mean(column: Values) -> Estimate:
        return resample(lambda weight: ratio(weight @ column, weight.sum(axis=1)), weights[:, rows]).estimate()

    return tuple(mean(column) for column in changes[rows].T)


def draw_donors(labels: Values, diagnoses: Rows, generator: np.random.Generator) -> Rows:
    """Draw for each image without an artefact `DONORS` images of the same diagnosis with it.

    Args:
        labels: N; 1 present, 0 absent, NaN not known.
        diagnoses: N indices.
        generator: Draws, with replacement.

    Returns:
        `DONORS` x N rows; -1 for images with the artefact, or without donors.
    """
    donors = np.full((DONORS, len(labels)), -1)
    for diagnosis in np.unique(diagnoses):
        same = diagnoses == diagnosis
        takers, givers = np.flatnonzero(same & (labels == 0)), np.flatnonzero(same & (labels == 1))
        if len(takers) and len(givers):
            donors[:, takers] = givers[generator.integers(len(givers), size=(DONORS, len(takers)))]
    return donors


def loss_ratios(logits: Tensor, changed: Tensor, data: EvaluationData) -> list[Resampled]:
    """Return for each diagnosis the balanced loss of changed logits over that of the logits.

    Args:
        logits: N x D.
        changed: N x D.
        data: The N images.
    """
    is_case = data.labels[:, None] == np.arange(len(data.classes))
    losses = [one_against_rest(each, torch.from_numpy(data.labels)) for each in (logits, changed)]

    def ratios(weights: Weights) -> Values:
        before, after = (balanced(weights, loss[None], is_case)[:, 0] for loss in losses)
        return ratio(after, before)

    values, replicates = ratios(np.ones((1, len(data))))[0], ratios(data.weights.astype(np.float64))
    return [Resampled(float(values[column]), replicates[:, column], len(data)) for column in range(len(data.classes))]


def accuracy(logits: Tensor, data: EvaluationData) -> dict[str, Resampled]:
    """Return macro AUC and balanced accuracy, by name."""
    probabilities: Values = logits.double().softmax(dim=1).numpy()
    figures = (
        macro(class_aucs(probabilities, data.labels, classes=data.classes, weights=data.weights)),
        balanced_accuracy(probabilities, data.labels, data.weights),
    )
    return dict(zip(FIGURES, figures, strict=True))


@torch.no_grad()
def _changes_when_given(outputs: LayerOutputs, space: ArtefactSpace, takers: Rows, donors: Rows) -> Values:
    """Return M x D changes when each of M takers gets what its donor has along the directions."""
    logits = []
    for start in range(0, len(takers), BATCH):
        batch, givers = takers[start : start + BATCH], donors[start : start + BATCH]
        maps = space.transplanted(outputs.maps[batch], outputs.maps[givers])
        logits.append(outputs.tail(maps, tuple(extra[batch] for extra in outputs.rest)).cpu())
    return (log_odds(torch.cat(logits).double()) - log_odds(outputs.logits[takers].double())).numpy()
