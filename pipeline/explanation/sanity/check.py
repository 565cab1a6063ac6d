"""Sanity checks of a run's explanation: what is left of its figures where weights or concept labels are randomised."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from concepts.statistics.bootstrap import Resampled, Weights
from pipeline.choices import Activation
from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.data.splits import Part
from pipeline.evaluation.evaluate import bootstrap_weights
from pipeline.evaluation.evaluation_data import class_indices
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.evaluation.purity import assess, concept_aucs
from pipeline.explanation.discovery.salient import coordinates, tail_of_coordinates
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.explanation.importance import OVERALL, Excess, ImportanceTable
from pipeline.explanation.permutation import Layer, permuted_losses
from pipeline.explanation.sanity.null_check import against_null
from pipeline.explanation.sanity.randomised import randomised_tail
from pipeline.explanation.sanity.relabelled import relabelled_axes
from pipeline.run.progress import Tracker
from pipeline.whitening.activation import axis_activations
from pipeline.whitening.surgery import whitening_layers

SANITY = 6
"""Distinguishes the generator of the sanity checks from the run's others."""
BATCH = 128
PURITY_DRAWS = 5
"""Permutations of the labels for purity, which runs no network, for each one for importance."""

Ratios = dict[str, list[Resampled]]
"""By diagnosis (or overall): the k concepts' ratios."""


@dataclass(frozen=True)
class Ground:
    """What every check stands on.

    Attributes:
        labels: N indices of the test cases' diagnoses.
        weights: B x N resamples.
        classes: The D diagnoses.
        generator: Of everything random.
    """

    labels: NDArray[np.int64]
    weights: Weights
    classes: Sequence[str]
    generator: np.random.Generator

    def ratios(self, layer: Layer, axes: int) -> Ratios:
        """Importance of the first axes of a layer, each permuted once: a pass each, and one more."""
        labels = torch.from_numpy(self.labels)
        intact = permuted_losses(layer, labels, axes=0, order=None, batch_size=BATCH)
        excess = Excess(intact, self.labels, self.weights, self.generator)
        found = []
        for axis in range(axes):
            order = torch.from_numpy(self.generator.permutation(len(labels)))
            losses = permuted_losses(layer, labels, axes=axis, order=order, batch_size=BATCH)
            found.append(excess.ratios(losses[None]))
        return {target: [row[column] for row in found] for column, target in enumerate([*self.classes, OVERALL])}


def check_sanity(
    network: ExplainedNetwork,
    *,
    outputs: LayerOutputs,
    table: ImportanceTable,
    tracker: Tracker,
) -> dict[str, Any]:
    """Importance and purity against randomised weights of the tail and against permuted concept labels.

    Weights: the tail with its parameters in random order; the axes stay. Labels: those of the training images in random
    order, a whole row at a time, so that concepts still go together as they did; axes are then aligned exactly with
    them, without training, and read off the same maps. Each draw costs k + 1 runs of the tail over the test images for
    either check.

    Args:
        network: The whitened one, with its experiment and images.
        outputs: Of the layer for the test images, in order.
        table: Importance of the named axes.
        tracker: Where progress is shown.
    """
    settings, cohort = network.settings, network.cohort
    draws, named = settings.explanation.sanity, len(cohort.concepts)
    if draws == 0 or named == 0:
        return {}
    test = cohort.part(Part.TEST)
    ground = Ground(
        labels=class_indices(test, cohort.classes),
        weights=bootstrap_weights(settings, cohort.groups(test)),
        classes=cohort.classes,
        generator=np.random.default_rng([settings.seed, SANITY]),
    )
    axes = _relabelled(network, ground, tracker)
    with tracker.task("randomised weights and labels", 2 * draws) as advance:
        weights = random_weight_ratios(outputs, named, draws=draws, ground=ground, advance=advance)
        labels = random_label_ratios(outputs, axes[:draws], ground=ground, advance=advance)
    return {
        "sanity": {
            "draws": draws,
            "importance_randomised_weights": _importance_checks(table, weights, cohort.concepts, ground),
            "importance_permuted_labels": _importance_checks(table, labels, cohort.concepts, ground),
            "purity_permuted_labels": _purity_checks(settings, cohort, outputs, axes, ground),
        }
    }


def random_weight_ratios(
    outputs: LayerOutputs, named: int, *, draws: int, ground: Ground, advance: Callable[[int], None]
) -> list[Ratios]:
    """Importance of the named axes for tails whose weights are in random order."""
    found = []
    for _ in range(draws):
        tail = randomised_tail(_module(outputs), outputs.maps, outputs.rest, generator=ground.generator)
        found.append(ground.ratios(Layer(tail, outputs.maps, outputs.rest), named))
        advance(1)
    return found


def random_label_ratios(
    outputs: LayerOutputs, axes: Sequence[Tensor], *, ground: Ground, advance: Callable[[int], None]
) -> list[Ratios]:
    """Importance of other axes (each k x C) of the same maps for the same tail."""
    found = []
    for directions in axes:
        own = coordinates(outputs.maps, directions)
        moved = Layer(tail_of_coordinates(outputs.tail, directions), own, (outputs.maps, own, *outputs.rest))
        found.append(ground.ratios(moved, len(directions)))
        advance(1)
    return found


def axis_aucs(
    maps: Tensor,
    axes: Tensor,
    labels: NDArray[np.float64],
    *,
    activation: Activation,
    weights: Weights,
    assessable: Sequence[bool],
) -> tuple[Resampled, ...]:
    """AUC of each of k axes (k x C) for its own concept."""
    scores = axis_activations(coordinates(maps, axes), activation).double().numpy()
    return concept_aucs(scores, labels, weights, assessable=assessable)


def _module(outputs: LayerOutputs) -> nn.Module:
    tail = outputs.tail
    if not isinstance(tail, nn.Module):
        raise TypeError(f"the tail is a {type(tail).__name__}; only a module has weights to randomise")
    return tail


def _relabelled(network: ExplainedNetwork, ground: Ground, tracker: Tracker) -> list[Tensor]:
    """Axes aligned with permuted labels, many times."""
    settings, cohort = network.settings, network.cohort
    train = cohort.part(Part.TRAIN)
    pooled = [axis_activations(maps, Activation.MEAN).float() for maps in network.train_maps(tracker)]
    labels, vectors = cohort.concept_labels(train), torch.cat(pooled)
    return [
        relabelled_axes(
            whitening_layers(network.module)[network.layer],
            vectors,
            labels[ground.generator.permutation(len(labels))],
            objective=settings.training.alignment.objective,
            shrinkage=settings.training.alignment.shrinkage,
        )
        for _ in range(PURITY_DRAWS * settings.explanation.sanity)
    ]


def _importance_checks(
    table: ImportanceTable, draws: Sequence[Ratios], concepts: Sequence[str], ground: Ground
) -> Mapping[str, Any]:
    return {
        target: {
            concept: against_null(
                table.resampled[target][concept], [draw[target][column] for draw in draws], ground.generator
            )
            for column, concept in enumerate(concepts)
        }
        for target in table.resampled
    }


def _purity_checks(
    settings: RunSettings, cohort: Cohort, outputs: LayerOutputs, axes: Sequence[Tensor], ground: Ground
) -> Mapping[str, Any]:
    labels = cohort.concept_labels(cohort.part(Part.TEST))
    positives = (cohort.concept_labels(cohort.part(Part.TRAIN)) == 1).sum(axis=0).tolist()
    fine = [one.assessable for one in assess(labels, positives, minimum=settings.concepts.minimum_positives)]
    identity = torch.eye(outputs.maps.shape[1], dtype=torch.float64)[: len(cohort.concepts)]
    own, *permuted = (
        axis_aucs(
            outputs.maps,
            one,
            labels,
            activation=settings.model.activation,
            weights=ground.weights,
            assessable=fine,
        )
        for one in (identity, *axes)
    )
    return {
        concept: against_null(own[column], [draw[column] for draw in permuted], ground.generator)
        for column, concept in enumerate(cohort.concepts)
    }
