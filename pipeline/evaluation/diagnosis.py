"""How well a network tells diagnoses apart, and how far its probabilities can be trusted."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from concepts.errors import DataError
from concepts.statistics.bootstrap import Resampled, Weights, auc, difference, mean_of, ratio, recentred, resample
from concepts.statistics.estimate import Estimate
from pipeline.results.evaluation import NetworkResult

MACRO = "macro"
CALIBRATION_BINS = 15
ROUNDING = 1e-9


def diagnosis_figures(
    probabilities: ArrayLike, labels: ArrayLike, *, classes: Sequence[str], weights: Weights
) -> NetworkResult:
    """Measure one network on one test set.

    A diagnosis without a case, or with no case outside it, is NaN and left out of the means.

    Args:
        probabilities: N x D, rows add up to 1.
        labels: N indices into ``classes``.
        classes: Names of the D diagnoses.
        weights: B x N, from `group_weights`.

    Raises:
        DataError: If the shapes do not agree or a label is not a class.
    """
    probability, label = _checked(probabilities, labels, classes, weights)
    by_class = class_aucs(probability, label, classes=classes, weights=weights)

    def sensitivities(specificity: float) -> dict[str, Estimate]:
        return {
            name: sensitivity(probability[:, column], label == column, weights, specificity=specificity).estimate()
            for column, name in enumerate(classes)
        }

    return NetworkResult(
        auc={MACRO: macro(by_class).estimate()} | {name: figure.estimate() for name, figure in by_class.items()},
        balanced_accuracy=balanced_accuracy(probability, label, weights).estimate(),
        sensitivity_at_specificity_80=sensitivities(0.8),
        sensitivity_at_specificity_90=sensitivities(0.9),
        ece=calibration_error(probability, label, weights),
    )


def auc_difference(
    whitened: ArrayLike, plain: ArrayLike, labels: ArrayLike, *, classes: Sequence[str], weights: Weights
) -> Estimate:
    """Subtract the plain network's macro AUC from the whitened one's, on the same cases and the same resamples.

    Args:
        whitened: N x D probabilities.
        plain: N x D probabilities.
        labels: N indices into ``classes``.
        classes: Names of the diagnoses.
        weights: B x N.

    Raises:
        DataError: If the shapes do not agree or a label is not a class.
    """
    first, second = (
        macro(class_aucs(*_checked(probabilities, labels, classes, weights), classes=classes, weights=weights))
        for probabilities in (whitened, plain)
    )
    return difference(first, second).estimate()


def class_aucs(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], *, classes: Sequence[str], weights: Weights
) -> dict[str, Resampled]:
    """Compute the AUC of each diagnosis against the rest."""
    return {name: auc(probabilities[:, column], labels == column, weights) for column, name in enumerate(classes)}


def macro(by_class: Mapping[str, Resampled]) -> Resampled:
    """Take the unweighted mean over the diagnoses that can be assessed."""
    return mean_of([figure for figure in by_class.values() if np.isfinite(figure.value)])


def balanced_accuracy(probabilities: NDArray[np.float64], labels: NDArray[np.int64], weights: Weights) -> Resampled:
    """Take the mean, over the diagnoses that occur, of the share of their cases that are called right."""
    present = np.unique(labels)
    cases = (labels[:, None] == present).astype(np.float64)
    right = cases * (probabilities.argmax(axis=1) == labels)[:, None]
    return resample(lambda weight: ratio(weight @ right, weight @ cases).mean(axis=1), weights)


def sensitivity(
    scores: NDArray[np.float64], positives: NDArray[np.bool_], weights: Weights, *, specificity: float
) -> Resampled:
    """Find the highest sensitivity among the thresholds at which the specificity reaches a target.

    The threshold is chosen anew on each resample, so the interval contains the uncertainty of choosing it; but it is
    chosen on the cases it is measured on, as an ROC curve is read, not on a separate set.

    Args:
        scores: N.
        positives: N.
        weights: B x N.
        specificity: In (0, 1].
    """
    negative, positive = np.flatnonzero(~positives), np.flatnonzero(positives)
    negative, positive = negative[np.argsort(scores[negative])], positive[np.argsort(scores[positive])]
    missed = np.searchsorted(scores[positive], scores[negative], side="right")

    def statistic(weight: Weights) -> NDArray[np.float64]:
        if not len(negative) or not len(positive):
            return np.full(len(weight), np.nan)
        spared = np.cumsum(weight[:, negative], axis=1, dtype=np.float64)
        threshold = (spared >= specificity * spared[:, -1:] * (1 - ROUNDING)).argmax(axis=1)
        cumulative = np.cumsum(weight[:, positive], axis=1, dtype=np.float64)
        below = np.where(missed[threshold] > 0, cumulative[np.arange(len(weight)), missed[threshold] - 1], 0.0)
        return np.where(spared[:, -1] > 0, 1 - ratio(below, cumulative[:, -1]), np.nan)

    return resample(statistic, weights)


def calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.int64], weights: Weights) -> Estimate:
    """Measure the expected calibration error of the most probable diagnosis: 0 where confidence is the share right.

    The cases lie in 15 bins of equal mass by confidence (equal confidences share a bin; the bins are those of the data,
    on every resample), ECE = sum_bins (n_bin / n) |right_bin - confidence_bin|. Equal mass instead of the equal width
    of Guo et al. 2017 (arXiv 1706.04599) keeps bins from being empty. The figure is biased upwards where bins are
    small; its interval is the spread of the resamples about it.
    """
    confidence = probabilities.max(axis=1)
    gap = (probabilities.argmax(axis=1) == labels) - confidence
    edges = np.quantile(confidence, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1])
    bins = np.searchsorted(edges, confidence, side="right")[:, None] == np.arange(CALIBRATION_BINS)
    gaps = bins * gap[:, None]
    figure = resample(lambda weight: ratio(np.abs(weight @ gaps).sum(axis=1), weight.sum(axis=1)), weights)
    spread = recentred(figure).estimate()
    return Estimate(spread.value, float(np.maximum(spread.low, 0.0)), float(np.minimum(spread.high, 1.0)), spread.n)


def _checked(
    probabilities: ArrayLike, labels: ArrayLike, classes: Sequence[str], weights: Weights
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    probability, label = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    expected = (len(label), len(classes))
    if probability.shape != expected or weights.shape[1:] != label.shape:
        raise DataError(
            f"probabilities {probability.shape} and weights {weights.shape} do not go with {expected[0]} labels of "
            f"{expected[1]} diagnoses; expected {expected} and (resamples, {expected[0]})"
        )
    if len(label) and not 0 <= label.min() <= label.max() < len(classes):
        raise DataError(
            f"labels run from {label.min()} to {label.max()}; allowed are 0 to {len(classes) - 1}, the indices of "
            f"{', '.join(classes)}"
        )
    return probability, label
