"""Intervals of shares and of differences, and the correlation of two orders; the mathematics is scipy's."""

from math import hypot, isfinite, nan
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from concepts.statistics.estimate import Estimate, is_known

LEVEL = 0.05
"""Share of 95 % intervals that miss the truth."""


def wilson(successes: int, n: int) -> Estimate:
    """Give a share its 95 % interval; NaN where n is 0.

    Source: Wilson 1927, JASA 22:209.

    Example:
        >>> share = wilson(3, 4)
        >>> f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})"
        '0.75 (0.30 to 0.95)'
    """
    from scipy.stats import binomtest  # a second to import, for one in a hundred callers of this module

    if n == 0:
        return Estimate(nan, nan, nan, 0)
    interval = binomtest(successes, n).proportion_ci(confidence_level=1 - LEVEL, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), n)


def difference_of(figure: Estimate, baseline: Estimate) -> Estimate:
    """Subtract a baseline from a figure by their intervals alone, taken as independent.

    Where both rest on the same images they are correlated, mostly positively, and the interval is wider than it need
    be: it errs towards noise. Its n is the smaller one.

    Source: Zou & Donner 2008, Statistics in Medicine 27:1693, eq. 10 (method of variance estimates recovery).
    """
    n = min(figure.n, baseline.n)
    if not (is_known(figure) and is_known(baseline)):
        return Estimate(nan, nan, nan, n)
    value = figure.value - baseline.value
    below = hypot(figure.value - figure.low, baseline.high - baseline.value)
    above = hypot(figure.high - figure.value, baseline.value - baseline.low)
    return Estimate(value, value - below, value + above, n)


def kendall_tau(values: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Correlate the order of k values with that of others: Kendall's tau-b.

    Args:
        values: k, or B x k.
        others: k, or B x k.

    Returns:
        A number, or B of them: 1 for the same order, -1 for the opposite one; NaN where all values of one side tie, or
        one is NaN.

    Source: Kendall 1945, Biometrika 33:239.
    """
    from scipy.stats import kendalltau  # a second to import, see `wilson`

    pairs = np.broadcast_arrays(np.asarray(values, dtype=np.float64), np.asarray(others, dtype=np.float64))
    return np.asarray(kendalltau(*pairs, axis=-1).statistic, dtype=np.float64)


def is_finite(figure: Estimate | None) -> bool:
    """Say whether there is a figure with a value."""
    return figure is not None and isfinite(figure.value)


def critical_value(level: float) -> float:
    """Return the normal deviate that is exceeded, on either side together, with a probability of ``level``."""
    return NormalDist().inv_cdf(1 - level / 2)
