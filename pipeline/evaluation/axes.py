"""The named axes on test images: purity, what it is compared with, and similarity."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from concepts.statistics.bootstrap import Resampled
from concepts.statistics.estimate import Estimate
from pipeline.choices import Activation
from pipeline.evaluation.baselines import Probe, best_filter, linear_probe
from pipeline.evaluation.evaluation_data import EvaluatedParts, EvaluationData
from pipeline.evaluation.hierarchy import subspace_purity
from pipeline.evaluation.network_outputs import NetworkOutputs
from pipeline.evaluation.purity import Assessability, assess, concept_aucs, mean_auc, purity_matrix
from pipeline.evaluation.similarity import concept_similarity
from pipeline.results.axes import AucMatrix, AxesResult, AxisBaselines, AxisPurity, MeanPurity
from pipeline.results.evaluation import LayerResult
from pipeline.whitening.subspaces import AxisLayout

Figures = Sequence[Resampled]
"""One figure for each concept, in axis order."""


def named_axes(
    outputs: NetworkOutputs, parts: EvaluatedParts, layout: AxisLayout, *, activation: Activation, minimum: int
) -> AxesResult:
    """Measure the named axes on the test images, against baselines that learnt from the training images.

    Args:
        outputs: What the networks gave.
        parts: Their images.
        layout: Which axis is whose.
        activation: The way of pooling that the axes were aligned with; matrix, filters and subspaces are of this one.
        minimum: Fewest training positives with which an axis is stable.
    """
    test, activations = parts.test, outputs.whitened.activations
    counts = assess_axes(parts, minimum=minimum)
    aucs = partial(_aucs, test=test, counts=counts)
    named = slice(len(test.concepts))
    axes = {str(how): aucs(scores[:, named]) for how, scores in activations.items()}
    baselines = {name: aucs(scores) for name, scores in baseline_scores(outputs, parts.train, activation).items()}
    matrix = purity_matrix(activations[activation][:, named], test.concept_labels)
    matrix[:, [not count.assessable for count in counts]] = np.nan
    return AxesResult(
        purity={
            concept: AxisPurity(
                axis_auc={how: figures[column].estimate() for how, figures in axes.items()},
                baselines=_baselines({name: figures[column].estimate() for name, figures in baselines.items()}),
                positives=counts[column].positives,
                negatives=counts[column].negatives,
                train_positives=counts[column].train_positives,
                reason=counts[column].reason,
            )
            for column, concept in enumerate(test.concepts)
        },
        mean=MeanPurity(
            axis_auc={how: mean_auc(figures) for how, figures in axes.items()},
            baselines=_baselines({name: mean_auc(figures) for name, figures in baselines.items()}),
        ),
        matrix=AucMatrix(concepts=test.concepts, auc=tuple(tuple(row) for row in matrix.tolist())),
        similarity=concept_similarity(
            activations[Activation.MEAN], test.concept_labels, test.weights, concepts=test.concepts
        ),
        subspaces=subspace_purity(
            activations[activation],
            test.concept_labels,
            test.weights,
            layout=layout,
            train_positives=parts.train.positives,
            minimum=minimum,
        ),
    )


def axes_by_layer(
    layers: Mapping[str, NDArray[np.float64]], parts: EvaluatedParts, *, minimum: int
) -> dict[str, LayerResult]:
    """Measure the named axes at each of several whitened layers on the test images.

    Args:
        layers: By layer, N x k activations of the named axes.
        parts: The images.
        minimum: Fewest training positives with which an axis is stable.
    """
    counts = assess_axes(parts, minimum=minimum)
    results = {}
    for layer, scores in layers.items():
        figures = _aucs(scores, test=parts.test, counts=counts)
        by_concept = zip(parts.test.concepts, figures, strict=True)
        results[layer] = LayerResult(
            axis_auc={concept: figure.estimate() for concept, figure in by_concept}, mean=mean_auc(figures)
        )
    return results


def assess_axes(parts: EvaluatedParts, *, minimum: int) -> tuple[Assessability, ...]:
    """Count each concept's test images, and its training images, and say whether they suffice."""
    return assess(parts.test.concept_labels, parts.train.positives, minimum=minimum)


def baseline_scores(
    outputs: NetworkOutputs, train: EvaluationData, activation: Activation
) -> dict[str, NDArray[np.float64]]:
    """Score the test images for each concept by what an axis is compared with: M x k by field of `AxisBaselines`.

    Args:
        outputs: What the networks gave.
        train: The training images, from which probes learn and filters are chosen.
        activation: The way of pooling the filters.
    """
    mean = Activation.MEAN
    probe = partial(
        linear_probe,
        outputs.train_features[mean],
        train.concept_labels,
        outputs.plain.activations[mean],
        train_groups=train.groups,
    )
    filters = best_filter(outputs.train_features[activation], train.concept_labels)
    scores = {
        "probe": probe(),
        "best_filter": filters.scores(outputs.plain.activations[activation]),
        "svm": probe(kind=Probe.SVM),
    }
    return scores if outputs.auxiliary is None else scores | {"concept_head": outputs.auxiliary.concepts}


def _aucs(scores: NDArray[np.floating], *, test: EvaluationData, counts: Sequence[Assessability]) -> Figures:
    return concept_aucs(scores, test.concept_labels, test.weights, assessable=[count.assessable for count in counts])


def _baselines(figures: Mapping[str, Estimate]) -> AxisBaselines:
    return AxisBaselines(
        probe=figures["probe"],
        best_filter=figures["best_filter"],
        svm=figures["svm"],
        concept_head=figures.get("concept_head"),
    )
