"""Intervals by drawing items again and again, many figures from one set of draws."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from concepts.statistics.estimate import Estimate

Weights = NDArray[np.float64]
Statistic = Callable[[Weights], NDArray[np.float64]]

RESAMPLES = 1000
COVERAGE = (2.5, 97.5)
MOST_UNUSABLE = 0.1
"""Share of resamples in which a figure may be undefined before no interval is given."""
BLOCK = 2_000_000
"""Weights held in memory at a time."""


def bootstrap(
    statistic: Statistic, items: int, *, generator: np.random.Generator, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Figures on the data and on resamples of the items.

    Args:
        statistic: From weights (B x N, how often each item was drawn) to figures (B x m). Figures from one call are
            paired: what is computed from several of them has the right interval.
        items: Number of items N.
        generator: Where the draws come from.
        resamples: Number of resamples B.

    Returns:
        (1 + B) x m: the figures on the data themselves, then on each resample; NaN where undefined.
    """
    found = [statistic(np.ones((1, items)))]
    block = max(1, BLOCK // max(1, items))
    for start in range(0, resamples, block):
        found.append(statistic(_drawn(items, min(block, resamples - start), generator)))
    return np.concatenate(found)


def interval_estimate(figures: ArrayLike, n: int) -> Estimate:
    """A figure with the middle 95 % of its usable resamples (percentile interval).

    No interval (NaN) where the figure is undefined, rests on fewer than two items, or is undefined in more than
    `MOST_UNUSABLE` of the resamples.

    Args:
        figures: 1 + B: the figure on the data, then on each resample.
        n: Number of items behind it.
    """
    value, *replicates = np.asarray(figures, dtype=np.float64)
    low, high = percentile_interval(np.asarray(replicates), value) if n >= 2 else (float("nan"), float("nan"))
    return Estimate(float(value), low, high, n)


def percentile_interval(replicates: NDArray[np.float64], value: float = 0.0) -> tuple[float, float]:
    """The middle 95 % of the finite replicates.

    NaN where there is none, more than `MOST_UNUSABLE` of them are not finite, or the value itself is not.

    Source: Efron & Tibshirani 1993, section 13.3.
    """
    usable = replicates[np.isfinite(replicates)]
    if not np.isfinite(value) or len(usable) == 0 or len(usable) < (1 - MOST_UNUSABLE) * len(replicates):
        return float("nan"), float("nan")
    low, high = np.percentile(usable, COVERAGE)
    return float(low), float(high)


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    """Quotient that is NaN, without a warning, where the denominator is 0."""
    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below == 0, np.nan, above / below)


def _drawn(items: int, resamples: int, generator: np.random.Generator) -> Weights:
    if items == 0:
        return np.zeros((resamples, 0))
    draws = generator.integers(items, size=(resamples, items)) + items * np.arange(resamples)[:, None]
    counts = np.bincount(draws.ravel(), minlength=resamples * items)
    return counts.reshape(resamples, items).astype(np.float64)
