"""What test images say of artefacts: how strongly the layer carries each, and what it does to each diagnosis."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from concepts.statistics.bootstrap import Resampled, Weights, auc, difference, ratio, resample
from pipeline.data.phantom.lesion import ARTEFACTS
from pipeline.data.splits import Part
from pipeline.evaluation.diagnosis import balanced_accuracy, class_aucs, macro
from pipeline.evaluation.evaluate import bootstrap_weights
from pipeline.evaluation.evaluation_data import class_indices
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.cases.contributions import log_odds
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.explanation.importance import balanced
from pipeline.explanation.permutation import one_against_rest
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace
from pipeline.explanation.shortcuts.artefacts import artefact_labels
from pipeline.explanation.shortcuts.removal import BATCH, logits_without
from pipeline.explanation.shortcuts.repainting import drawn_logits, painted_lesions, with_artefact, without_shortcut
from pipeline.explanation.shortcuts.verdicts import SHORTCUTS
from pipeline.run.progress import Tracker

REPAINTED = 200
"""Most test images that are drawn again with and without an artefact."""
DONORS = 5
"""Images with an artefact from which each image without it gets what the layer has of it."""
FIGURES = ("macro_auc", "balanced_accuracy")

Values = NDArray[np.float64]
Entry = dict[str, Any]


class ArtefactMeasures:
    """The figures of artefacts on the test images of a run.

    Args:
        network: Cut at its layer.
        outputs: Of the layer for the test images, in order.
    """

    def __init__(self, network: ExplainedNetwork, outputs: LayerOutputs) -> None:
        cohort, settings = network.cohort, network.settings
        self.network, self.outputs = network, outputs
        self.samples = cohort.part(Part.TEST)
        self.diagnoses = class_indices(self.samples, cohort.classes)
        self.labels = artefact_labels(cohort, self.samples)
        self.weights = bootstrap_weights(settings, cohort.groups(self.samples))
        self.lesions = painted_lesions(settings, self.samples)
        drawn = np.random.default_rng([settings.seed, SHORTCUTS, 1]).permutation(len(self.lesions))
        self.repainted = np.sort(drawn[:REPAINTED])

    def counts(self, artefact: str) -> dict[str, int]:
        """Test images with and without an artefact."""
        labels = self._column(artefact)
        return {"present": int((labels == 1).sum()), "absent": int((labels == 0).sum())}

    def reading(self, artefact: str, space: ArtefactSpace) -> Resampled:
        """AUC with which the energy along an artefact's directions tells images with it from images without."""
        return auc(space.energy(self.outputs.maps), self._column(artefact), self.weights)

    def effects(self, artefact: str, space: ArtefactSpace) -> dict[str, Entry]:
        """By diagnosis, what its log-odds and its loss do without the artefact, and with it.

        ``taken_out``: change in images that have it when the layer's directions are set to their reference. ``put_in``:
        change in images without it when they get what the layer has along these directions for images of the same
        diagnosis with it. ``loss_ratio``: balanced loss with the directions away over the loss with them, all images.
        """
        without = logits_without(self.outputs, space)
        change = (log_odds(without.double()) - log_odds(self.outputs.logits.double())).numpy()
        put_in = self._transplanted(artefact, space)
        losses = self._loss_ratios(without)
        present = self._column(artefact) == 1
        return {
            diagnosis: {
                "taken_out": _mean(change[:, column], present, self.weights),
                "put_in": _mean(put_in[:, column], np.isfinite(put_in[:, column]), self.weights),
                "loss_ratio": losses[column].estimate(),
            }
            for column, diagnosis in enumerate(self.network.cohort.classes)
        }

    def drawn(self, artefact: str) -> dict[str, Entry]:
        """By diagnosis, the change of its log-odds when the phantom draws the artefact in, or leaves it out.

        Exact: nothing else in the image changes. Empty where images cannot be drawn again.
        """
        if not self.lesions or artefact not in ARTEFACTS:
            return {}
        lesions = [self.lesions[row] for row in self.repainted]
        had = np.array([artefact in one.artefacts for one in lesions])
        there, gone = (
            log_odds(
                drawn_logits(self.network, [with_artefact(one, artefact, present=present) for one in lesions]).double()
            )
            for present in (True, False)
        )
        change, weights = (there - gone).numpy(), self.weights[:, self.repainted]
        return {
            diagnosis: {
                "drawn_in": _mean(change[:, column], ~had, weights),
                "drawn_out": _mean(-change[:, column], had, weights),
            }
            for column, diagnosis in enumerate(self.network.cohort.classes)
        }

    def counterpart(self) -> Entry:
        """Accuracy on the test images, and on the same without the planted shortcut; empty where none was planted."""
        if not self.lesions or self.network.settings.data.phantom.shortcut is None:
            return {}
        without = without_shortcut(self.network.settings, self.lesions)
        own, other = (
            accuracy(logits, self.diagnoses, self.network.cohort.classes, self.weights)
            for logits in (self.outputs.logits, drawn_logits(self.network, without))
        )
        return {
            figure: {
                "with_shortcut": own[figure].estimate(),
                "without_shortcut": other[figure].estimate(),
                "difference": difference(other[figure], own[figure]).estimate(),
            }
            for figure in FIGURES
        }

    def _column(self, artefact: str) -> Values:
        column: Values = self.labels.table[:, self.labels.names.index(artefact)]
        return column

    def _transplanted(self, artefact: str, space: ArtefactSpace) -> Values:
        """N x D changes of the log-odds, the mean over `DONORS` donors; NaN where the artefact is or no donor is."""
        labels = self._column(artefact)
        generator = np.random.default_rng([self.network.settings.seed, SHORTCUTS, 2])
        change = np.full(self.outputs.logits.shape, np.nan)
        for diagnosis in np.unique(self.diagnoses):
            same = self.diagnoses == diagnosis
            takers, givers = np.flatnonzero(same & (labels == 0)), np.flatnonzero(same & (labels == 1))
            if len(takers) and len(givers):
                drawn = givers[generator.integers(len(givers), size=(DONORS, len(takers)))]
                change[takers] = np.mean([self._given(space, takers, donors) for donors in drawn], axis=0)
        return change

    @torch.no_grad()
    def _given(self, space: ArtefactSpace, takers: NDArray[np.int64], donors: NDArray[np.int64]) -> Values:
        parts = []
        for start in range(0, len(takers), BATCH):
            own, other = takers[start : start + BATCH], donors[start : start + BATCH]
            maps = space.transplanted(self.outputs.maps[own], self.outputs.maps[other])
            parts.append(self.outputs.tail(maps, tuple(one[own] for one in self.outputs.rest)).cpu())
        given = log_odds(torch.cat(parts).double()) - log_odds(self.outputs.logits[takers].double())
        found: Values = given.numpy()
        return found

    def _loss_ratios(self, without: Tensor) -> list[Resampled]:
        """By diagnosis: balanced loss without the artefact's directions over the loss with them."""
        classes = len(self.network.cohort.classes)
        own = self.diagnoses[:, None] == np.arange(classes)
        labels = torch.from_numpy(self.diagnoses)
        losses = [one_against_rest(one, labels) for one in (self.outputs.logits, without)]

        def ratios(weights: Weights) -> Values:
            intact, changed = (balanced(weights, one[None], own)[:, 0] for one in losses)
            return ratio(changed, intact)

        value, replicates = ratios(np.ones((1, len(own))))[0], ratios(self.weights.astype(np.float64))
        return [Resampled(float(value[one]), replicates[:, one], len(own)) for one in range(classes)]


def artefact_figures(
    figures: ArtefactMeasures, spaces: Mapping[str, ArtefactSpace], *, tracker: Tracker
) -> dict[str, tuple[Entry, dict[str, Entry]]]:
    """By artefact, its own figures and those of each diagnosis."""
    found = {}
    with tracker.task("artefacts put in and taken out", len(spaces)) as advance:
        for name, space in spaces.items():
            drawn = figures.drawn(name)
            effects = figures.effects(name, space)
            own = {"directions": space.beyond_chance, "reading_auc": figures.reading(name, space).estimate()}
            found[name] = (own, {key: effect | drawn.get(key, {}) for key, effect in effects.items()})
            advance(1)
    return found


def accuracy(
    logits: Tensor, labels: NDArray[np.int64], classes: Sequence[str], weights: Weights
) -> dict[str, Resampled]:
    """Macro AUC and balanced accuracy."""
    probabilities: Values = logits.double().softmax(dim=1).numpy()
    figures = (
        macro(class_aucs(probabilities, labels, classes=classes, weights=weights)),
        balanced_accuracy(probabilities, labels, weights),
    )
    return dict(zip(FIGURES, figures, strict=True))


def _mean(values: Values, kept: NDArray[np.bool_], weights: Weights) -> Any:  # noqa: ANN401
    some = values[kept]
    return resample(lambda one: ratio(one @ some, one.sum(axis=1)), weights[:, kept]).estimate()
