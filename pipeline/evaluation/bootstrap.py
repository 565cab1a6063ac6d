"""Intervals by resampling groups, and the statistics fast enough to be resampled a thousand times."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from concepts.errors import DataError
from concepts.statistics.bootstrap import percentile_interval, ratio
from concepts.statistics.estimate import Estimate

Weights = NDArray[np.floating]
Statistic = Callable[[Weights], NDArray[np.float64]]


@dataclass(frozen=True)
class Resampled:
    """A figure on the data themselves and on each resample of them.

    Two figures from the same weights are paired: their difference and mean have the right interval.

    Attributes:
        value: The figure on the data.
        replicates: The figure on each of B resamples; NaN where it is undefined.
        n: Number of cases behind the figure.
    """

    value: float
    replicates: NDArray[np.float64]
    n: int

    def estimate(self) -> Estimate:
        """The figure with the middle 95 % of its usable resamples (percentile interval).

        No interval (NaN) where the figure is undefined, or undefined in more than `MOST_UNUSABLE` of the resamples.
        An AUC of exactly 1 gets an interval of length zero: resampling cannot show what was never seen.

        Source: Efron & Tibshirani 1993, section 13.3.
        """
        return Estimate(self.value, *percentile_interval(self.replicates, self.value), self.n)


def group_weights(groups: Sequence[str], *, resamples: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Bootstrap weights that draw whole groups (patients), since cases of one group are alike.

    Use one set of weights for every figure of one test set, so that figures are paired.

    Args:
        groups: The group of each of N cases.
        resamples: Number of resamples B.
        generator: Where the draws come from.

    Returns:
        B x N: how often the group of each case was drawn, G draws from G groups. All zero where there is but one
        group: no figure is then defined on a resample, and none gets an interval.

    Raises:
        DataError: If there is no case.
    """
    if len(groups) == 0:
        raise DataError("no cases to resample; at least one is needed: check that the split has a test part")
    names, members = np.unique(np.asarray(groups), return_inverse=True)
    count = len(names)
    if count == 1:
        return np.zeros((resamples, len(groups)), dtype=np.float32)
    draws = generator.integers(count, size=(resamples, count)) + count * np.arange(resamples)[:, None]
    drawn = np.bincount(draws.ravel(), minlength=resamples * count).reshape(resamples, count)
    return drawn.astype(np.float32)[:, members]


def resample(statistic: Statistic, weights: Weights, *, n: int | None = None) -> Resampled:
    """A statistic on the data and on each resample.

    Args:
        statistic: From weights (K x N) to K figures; it is called once with all weights 1.
        weights: B x N, from `group_weights`.
        n: Number of cases behind the figure; default N.
    """
    cases = weights.shape[1]
    value = float(statistic(np.ones((1, cases)))[0])
    return Resampled(value, np.asarray(statistic(weights), dtype=np.float64), cases if n is None else n)


def mean_of(figures: Sequence[Resampled]) -> Resampled:
    """The mean of paired figures; undefined on a resample where one of them is, and where there is none.

    Its n is the largest among them.
    """
    if not figures:
        return Resampled(float("nan"), np.full(1, np.nan), 0)
    value = float(np.mean([figure.value for figure in figures]))
    replicates = np.mean([figure.replicates for figure in figures], axis=0)
    return Resampled(value, replicates, max(figure.n for figure in figures))


def difference(first: Resampled, second: Resampled) -> Resampled:
    """First minus second, paired resample by resample; its n is the smaller one."""
    return Resampled(first.value - second.value, first.replicates - second.replicates, min(first.n, second.n))


def recentred(figure: Resampled) -> Resampled:
    """The same figure with its resamples moved so that their mean is its value.

    For figures that are biased upwards by repeated cases alone, such as the calibration error: a percentile interval
    might not even contain the value. What is kept is the spread.
    """
    usable = figure.replicates[np.isfinite(figure.replicates)]
    shift = figure.value - usable.mean() if len(usable) else 0.0
    return Resampled(figure.value, figure.replicates + shift, figure.n)


def weighted_auc(scores: ArrayLike, positives: ArrayLike, weights: Weights | None = None) -> NDArray[np.float64]:
    """Area under the ROC curve for many weightings of the same cases at once.

    One sort of the negatives, cumulative weights, and a look-up for each positive: the weighted share of pairs in which
    the positive scores higher, ties counting a half (Mann & Whitney 1947).

    Args:
        scores: N.
        positives: N, true for positives.
        weights: B x N, not negative; default: one row of ones.

    Returns:
        B values in [0, 1]; NaN where positives or negatives have no weight, or a score is NaN.
    """
    score, positive = np.asarray(scores, dtype=np.float64), np.asarray(positives, dtype=bool)
    weight = np.ones((1, len(score))) if weights is None else weights
    if np.isnan(score).any():
        return np.full(len(weight), np.nan)
    cumulative, left, right = _negatives_below(score, positive, weight)
    of_positives = weight[:, positive].astype(np.float64)
    wins = np.einsum("bp,bp->b", of_positives, cumulative[:, left] + cumulative[:, right]) / 2
    return ratio(wins, of_positives.sum(axis=1) * cumulative[:, -1])


def auc(scores: ArrayLike, labels: ArrayLike, weights: Weights) -> Resampled:
    """AUC of scores over the labelled cases, resampled.

    Args:
        scores: N.
        labels: N: 1 or true for positives, 0 or false for negatives, NaN where not known (left out).
        weights: B x N.

    Returns:
        The AUC, NaN where there are no positives or no negatives; n is the number of labelled cases.
    """
    label, score = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    known = ~np.isnan(label)
    score, positive, weight = score[known], label[known] == 1, weights[:, known]
    return resample(lambda one: weighted_auc(score, positive, one), weight)


def _negatives_below(
    score: NDArray[np.float64], positive: NDArray[np.bool_], weight: Weights
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Cumulative weights of the sorted negatives (B x (negatives + 1)); each positive's places among them."""
    negatives = np.flatnonzero(~positive)
    negatives = negatives[np.argsort(score[negatives])]
    cumulative = np.zeros((len(weight), len(negatives) + 1))
    np.cumsum(weight[:, negatives], axis=1, dtype=np.float64, out=cumulative[:, 1:])
    left = np.searchsorted(score[negatives], score[positive], side="left")
    right = np.searchsorted(score[negatives], score[positive], side="right")
    return cumulative, left, right
