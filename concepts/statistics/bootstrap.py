"""Intervals by resampling: items or whole groups are drawn again and again, many figures from one set of draws.

A statistic is a function of weights: B x N to B figures (or B x m), where a weight says how often an item was drawn.
Figures from the same weights are paired, so that what is computed from several of them has the right interval.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from concepts.errors import DataError
from concepts.statistics.estimate import Estimate

Weights = NDArray[np.floating]
Statistic = Callable[[Weights], NDArray[np.float64]]

RESAMPLES = 1000
COVERAGE = (2.5, 97.5)
MOST_UNUSABLE = 0.1
"""Share of resamples in which a figure may be undefined before no interval is given."""
BLOCK = 2_000_000
"""Weights held in memory at a time by `bootstrap`."""


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
        """Return the figure with the middle 95 % of its usable resamples (percentile interval).

        There is no interval (NaN) where the figure is undefined, rests on fewer than two cases, or is undefined in
        more than `MOST_UNUSABLE` of the resamples. An AUC of exactly 1 gets an interval of length zero: resampling
        cannot show what was never seen.

        Source: Efron & Tibshirani 1993, section 13.3.
        """
        usable = self.replicates[np.isfinite(self.replicates)]
        enough = len(usable) > 0 and len(usable) >= (1 - MOST_UNUSABLE) * len(self.replicates)
        if self.n < 2 or not np.isfinite(self.value) or not enough:
            return Estimate(self.value, float("nan"), float("nan"), self.n)
        low, high = np.percentile(usable, COVERAGE)
        return Estimate(self.value, float(low), float(high), self.n)


def group_weights(groups: Sequence[str], *, resamples: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Draw whole groups (patients), since cases of one group are alike.

    Use one set of weights for every figure of one test set, so that figures are paired.

    Args:
        groups: The group of each of N cases.
        resamples: Number of resamples B.
        generator: Where the draws come from.

    Returns:
        B x N: how often the group of each case was drawn, G draws from G groups. All zero where there is only one
        group: no figure is then defined on a resample, and none gets an interval.

    Raises:
        DataError: If there is no case.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> group_weights(["ann", "ben", "ann"], resamples=2, generator=generator).tolist()
        [[0.0, 2.0, 0.0], [1.0, 1.0, 1.0]]
    """
    if len(groups) == 0:
        raise DataError("no cases to resample; at least one is needed: check that the split has a test part")
    names, members = np.unique(np.asarray(groups), return_inverse=True)
    return _draws(len(names), resamples=resamples, generator=generator)[:, members]


def resample(statistic: Statistic, weights: Weights, *, n: int | None = None) -> Resampled:
    """Compute a statistic on the data and on each resample.

    Args:
        statistic: From weights (K x N) to K figures; it is called once with all weights 1.
        weights: B x N, from `group_weights`.
        n: Number of cases behind the figure; default N.
    """
    cases = weights.shape[1]
    value = float(statistic(np.ones((1, cases)))[0])
    return Resampled(value, np.asarray(statistic(weights), dtype=np.float64), cases if n is None else n)


def bootstrap(
    statistic: Statistic, items: int, *, generator: np.random.Generator, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Compute m figures on the data and on resamples of the items, in blocks that bound the memory.

    Args:
        statistic: From weights (B x N) to figures (B x m).
        items: Number of items N; each is a group of its own.
        generator: Where the draws come from.
        resamples: Number of resamples B.

    Returns:
        (1 + B) x m: the figures on the data themselves, then on each resample; NaN where undefined.
    """
    figures = [statistic(np.ones((1, items)))]
    block = max(1, BLOCK // max(1, items))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        figures.append(statistic(_draws(items, resamples=size, generator=generator)))
    return np.concatenate(figures)


def interval_estimate(figures: NDArray[np.float64], n: int) -> Estimate:
    """Give a column of `bootstrap` its interval, see `Resampled.estimate`.

    Args:
        figures: 1 + B: the figure on the data, then on each resample.
        n: Number of items behind it.
    """
    return Resampled(float(figures[0]), figures[1:], n).estimate()


def known_mean(values: NDArray[np.float64], weights: Weights) -> Resampled:
    """Return the mean of the values that are known, as a share of cases for instance.

    Args:
        values: N numbers; NaN where a case does not count.
        weights: B x N, from `group_weights`.

    Returns:
        The mean, NaN where nothing is known; n counts the values that are.
    """
    is_finite = np.isfinite(values)
    if not is_finite.any():
        return Resampled(float("nan"), np.full(len(weights), np.nan), 0)
    numbers = values[is_finite]
    return resample(lambda weight: ratio(weight @ numbers, weight.sum(axis=1)), weights[:, is_finite])


def mean_of(figures: Sequence[Resampled]) -> Resampled:
    """Average paired figures; undefined on a resample where one of them is, and where there is none.

    Its n is the largest among them.
    """
    if not figures:
        return Resampled(float("nan"), np.full(1, np.nan), 0)
    value = float(np.mean([figure.value for figure in figures]))
    replicates = np.mean([figure.replicates for figure in figures], axis=0)
    return Resampled(value, replicates, max(figure.n for figure in figures))


def difference(first: Resampled, second: Resampled) -> Resampled:
    """Subtract the second figure from the first, paired resample by resample; its n is the smaller one."""
    return Resampled(first.value - second.value, first.replicates - second.replicates, min(first.n, second.n))


def mean_with_spread(values: NDArray[np.float64], n: int) -> Estimate:
    """Give the mean of repetitions with the middle 95 % of them; those that are not known are left out.

    Args:
        values: One for each repetition.
        n: Number of cases behind each.
    """
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, COVERAGE) if len(finite) else (np.nan, np.nan)
    return Estimate(float(finite.mean()) if len(finite) else np.nan, float(low), float(high), n)


def recentred(figure: Resampled) -> Resampled:
    """Move the resamples of a figure so that their mean is its value.

    For figures that are biased upwards by repeated cases alone, such as the calibration error: a percentile interval
    might not even contain the value. The spread stays.
    """
    usable = figure.replicates[np.isfinite(figure.replicates)]
    shift = figure.value - usable.mean() if len(usable) else 0.0
    return Resampled(figure.value, figure.replicates + shift, figure.n)


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    """Divide; NaN, without a warning, where the denominator is 0."""
    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below == 0, np.nan, above / below)


def weighted_auc(scores: ArrayLike, positives: ArrayLike, weights: Weights | None = None) -> NDArray[np.float64]:
    """Compute the area under the ROC curve for many weightings of the same cases at once.

    One sort of the negatives, cumulative weights, and a look-up for each positive: the weighted share of pairs in which
    the positive scores higher, ties counting a half (Mann & Whitney 1947).

    Args:
        scores: N.
        positives: N, true for positives.
        weights: B x N, not negative; default: one row of ones.

    Returns:
        B values in [0, 1]; NaN where positives or negatives have no weight, or a score is NaN.

    Example:
        >>> weighted_auc([0.1, 0.4, 0.4, 0.9], [False, False, True, True]).tolist()
        [0.875]
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
    """Compute the AUC of scores over the labelled cases, resampled.

    Args:
        scores: N.
        labels: N: 1 or true for positives, 0 or false for negatives, NaN where unlabelled (left out).
        weights: B x N.

    Returns:
        The AUC, NaN where there are no positives or no negatives; n is the number of labelled cases.
    """
    label, score = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    labelled = ~np.isnan(label)
    score, positive = score[labelled], label[labelled] == 1
    return resample(lambda weight: weighted_auc(score, positive, weight), weights[:, labelled])


def _draws(units: int, *, resamples: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """B x U: how often each unit was drawn, U draws from U units; all zero where there are fewer than two."""
    if units < 2:
        return np.zeros((resamples, units), dtype=np.float32)
    draws = generator.integers(units, size=(resamples, units)) + units * np.arange(resamples)[:, None]
    counts = np.bincount(draws.ravel(), minlength=resamples * units)
    return counts.reshape(resamples, units).astype(np.float32)


def _negatives_below(
    score: NDArray[np.float64], positive: NDArray[np.bool_], weight: Weights
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Cumulative weights of the sorted negatives (B x (negatives + 1)); each positive's positions among them."""
    negatives = np.flatnonzero(~positive)
    negatives = negatives[np.argsort(score[negatives])]
    cumulative = np.zeros((len(weight), len(negatives) + 1))
    np.cumsum(weight[:, negatives], axis=1, dtype=np.float64, out=cumulative[:, 1:])
    left = np.searchsorted(score[negatives], score[positive], side="left")
    right = np.searchsorted(score[negatives], score[positive], side="right")
    return cumulative, left, right
