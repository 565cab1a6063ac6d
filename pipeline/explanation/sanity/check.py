"""Sanity checks of a run's explanation: what is left of its figures where weights or concept labels are randomised."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from concepts.statistics.bootstrap import Resampled, mean_with_spread
from concepts.statistics.estimate import Estimate
from pipeline.choices import Activation
from pipeline.config import AlignmentSettings
from pipeline.evaluation.evaluation_data import EvaluationData
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.evaluation.purity import assess, concept_aucs
from pipeline.explanation.discovery.salient import coordinates, tail_of_coordinates
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.explanation.importance import Excess, ImportanceTable
from pipeline.explanation.permutation import Layer, permuted_losses
from pipeline.explanation.sanity.randomised import randomised_tail, relabelled_axes
from pipeline.results.importance import OVERALL
from pipeline.results.trust import NullCheck, SanityResult
from pipeline.run.progress import Tracker
from pipeline.run.seeds import Stream, random_generator
from pipeline.whitening.activation import axis_activations

BATCH = 128
PURITY_DRAWS = 5
"""Permutations of the labels for purity, which runs no network, for each one for importance."""

Ratios = dict[str, list[Resampled]]
"""By diagnosis (or overall): the k concepts' ratios."""


def check_sanity(
    network: ExplainedNetwork,
    table: ImportanceTable,
    *,
    draws: int,
    alignment: AlignmentSettings,
    minimum_positives: int,
    tracker: Tracker,
) -> SanityResult | None:
    """Hold importance and purity against randomised weights of the tail and against permuted concept labels.

    Weights: the tail with its parameters in random order; the axes stay. Labels: those of the training images in random
    order, a whole row at a time, so that concepts still go together as they did; axes are then aligned exactly with
    them, without training, and read off the same maps. Each draw costs k + 1 runs of the tail over the test images for
    either check.

    Args:
        network: The whitened one, with its images.
        table: Importance of the named axes on the test images.
        draws: Randomised networks, and permutations of the labels.
        alignment: How the network's axes were aligned.
        minimum_positives: Fewest training images of a concept with which its axis is stable.
        tracker: Where progress is shown.

    Returns:
        None where there are no draws or no named axes.
    """
    train, test = network.parts.train, network.parts.test
    if draws == 0 or not test.concepts:
        return None
    outputs = network.test_outputs(tracker)
    generator = random_generator(test.seed, Stream.SANITY)
    axes = axes_of_permuted_labels(network, alignment, draws=PURITY_DRAWS * draws, generator=generator, tracker=tracker)
    with tracker.task("randomised weights and labels", 2 * draws) as advance:
        weights = random_weight_ratios(outputs, test, draws=draws, generator=generator, advance=advance)
        labels = random_label_ratios(outputs, test, axes[:draws], generator=generator, advance=advance)
    assessments = assess(test.concept_labels, train.positives, minimum=minimum_positives)
    return SanityResult(
        draws=draws,
        importance_randomised_weights=importance_checks(table, weights, generator),
        importance_permuted_labels=importance_checks(table, labels, generator),
        purity_permuted_labels=purity_checks(
            outputs.maps,
            test,
            axes,
            activation=network.activation,
            assessable=[assessment.assessable for assessment in assessments],
            generator=generator,
        ),
    )


def axes_of_permuted_labels(
    network: ExplainedNetwork,
    alignment: AlignmentSettings,
    *,
    draws: int,
    generator: np.random.Generator,
    tracker: Tracker,
) -> list[Tensor]:
    """Align the named axes with permuted labels of the training images, many times; each k x C."""
    labels = network.parts.train.concept_labels
    pooled = torch.cat([axis_activations(maps, Activation.MEAN).float() for maps in network.train_maps(tracker)])
    return [
        relabelled_axes(
            network.whitening,
            pooled,
            labels[generator.permutation(len(labels))],
            objective=alignment.objective,
            shrinkage=alignment.shrinkage,
        )
        for _ in range(draws)
    ]


def random_weight_ratios(
    outputs: LayerOutputs,
    test: EvaluationData,
    *,
    draws: int,
    generator: np.random.Generator,
    advance: Callable[[int], None],
) -> list[Ratios]:
    """Measure the importance of the named axes for tails whose weights are in random order."""
    drawn = []
    for _ in range(draws):
        tail = randomised_tail(_module(outputs), outputs.maps, outputs.rest, generator=generator)
        layer = Layer(tail, outputs.maps, outputs.rest)
        drawn.append(permuted_ratios(layer, test, axes=len(test.concepts), generator=generator))
        advance(1)
    return drawn


def random_label_ratios(
    outputs: LayerOutputs,
    test: EvaluationData,
    axes: Sequence[Tensor],
    *,
    generator: np.random.Generator,
    advance: Callable[[int], None],
) -> list[Ratios]:
    """Measure the importance of other axes (each k x C) of the same maps for the same tail."""
    drawn = []
    for directions in axes:
        values = coordinates(outputs.maps, directions)
        layer = Layer(tail_of_coordinates(outputs.tail, directions), values, (outputs.maps, values, *outputs.rest))
        drawn.append(permuted_ratios(layer, test, axes=len(directions), generator=generator))
        advance(1)
    return drawn


def permuted_ratios(layer: Layer, test: EvaluationData, *, axes: int, generator: np.random.Generator) -> Ratios:
    """Measure the importance of the first axes of a layer, each permuted once: a pass each, and one more."""
    labels = torch.from_numpy(test.labels)
    intact = permuted_losses(layer, labels, axes=0, order=None, batch_size=BATCH)
    excess = Excess(intact, test.labels, test.weights, generator)
    by_axis = []
    for axis in range(axes):
        order = torch.from_numpy(generator.permutation(len(labels)))
        losses = permuted_losses(layer, labels, axes=axis, order=order, batch_size=BATCH)
        by_axis.append(excess.ratios(losses[None]))
    return {target: [ratios[column] for ratios in by_axis] for column, target in enumerate([*test.classes, OVERALL])}


def importance_checks(
    table: ImportanceTable, draws: Sequence[Ratios], generator: np.random.Generator
) -> dict[str, dict[str, NullCheck]]:
    """Hold each concept's importance for each target against its draws."""
    return {
        target: {
            concept: against_null(figure, [draw[target][column] for draw in draws], generator)
            for column, (concept, figure) in enumerate(figures.items())
        }
        for target, figures in table.resampled.items()
    }


def purity_checks(
    maps: Tensor,
    test: EvaluationData,
    axes: Sequence[Tensor],
    *,
    activation: Activation,
    assessable: Sequence[bool],
    generator: np.random.Generator,
) -> Mapping[str, NullCheck]:
    """Hold the AUC of each named axis for its concept against that of other axes (each k x C) of the same maps.

    Args:
        maps: N x C x H x W or N x C, of the test images; named axes first.
        test: The test images.
        axes: Of each draw.
        activation: How the map of an axis becomes one number.
        assessable: By concept; the AUC of one that is not is NaN.
        generator: Picks the draw of each resample.
    """

    def aucs(directions: Tensor) -> Sequence[Resampled]:
        scores = axis_activations(coordinates(maps, directions), activation).double().numpy()
        return concept_aucs(scores, test.concept_labels, test.weights, assessable=assessable)

    named = aucs(torch.eye(maps.shape[1], dtype=torch.float64)[: len(test.concepts)])
    drawn = [aucs(directions) for directions in axes]
    return {
        concept: against_null(named[column], [figures[column] for figures in drawn], generator)
        for column, concept in enumerate(test.concepts)
    }


def against_null(figure: Resampled, draws: Sequence[Resampled], generator: np.random.Generator) -> NullCheck:
    """Hold a figure against draws of its null.

    Every resample of the cases takes one draw at random, so that the interval of the difference contains how much draws
    differ among each other. Draws whose figure is undefined are left out. The figure is meaningless where the interval
    of the difference does not lie above 0.

    Args:
        figure: On the data and B resamples.
        draws: The same figure under each draw, on the same resamples.
        generator: Picks the draw of each resample.

    Source: the idea is that of Adebayo et al. 2018 (arXiv 1810.03292): an explanation that stays the same when weights
    or labels are randomised explains nothing. They compare pictures; here figures have intervals.
    """
    usable = [draw for draw in draws if np.isfinite(draw.value)]
    if not usable or not np.isfinite(figure.value):
        return NullCheck(
            figure=figure.estimate(), null=_unknown(len(usable)), difference=_unknown(figure.n), meaningless=None
        )
    values = np.array([draw.value for draw in usable])
    rows = generator.integers(len(usable), size=len(figure.replicates))
    replicates = np.stack([draw.replicates for draw in usable])[rows, np.arange(len(rows))]
    null = mean_with_spread(values, len(usable))
    difference = Resampled(figure.value - null.value, figure.replicates - replicates, figure.n).estimate()
    return NullCheck(
        figure=figure.estimate(),
        null=null,
        difference=difference,
        meaningless=difference.low <= 0 if np.isfinite(difference.low) else None,
    )


def _unknown(cases: int) -> Estimate:
    return Estimate(float("nan"), float("nan"), float("nan"), cases)


def _module(outputs: LayerOutputs) -> nn.Module:
    tail = outputs.tail
    if not isinstance(tail, nn.Module):
        raise TypeError(f"the tail is a {type(tail).__name__}; only a module has weights to randomise")
    return tail
