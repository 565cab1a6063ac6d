"""How far readers agree: five coefficients, each with its equation and its source, as functions of item weights.

A coefficient is NaN where it says nothing: no item has two verdicts, or (Cohen, Fleiss, Krippendorff) all verdicts fall
into one category, so that there is nothing to tell apart. For an interval, draw items with
`concepts.statistics.bootstrap.bootstrap`. Readers are not drawn: the interval speaks of other images, not of other
readers.

Notation: r_i readers judged item i, n_ik of them chose category k, of q categories; n' items have r_i >= 2.
"""

from collections.abc import Callable
from enum import StrEnum
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from concepts.statistics.bootstrap import Statistic, Weights, ratio
from concepts.statistics.ratings import Ratings


class Measure(StrEnum):
    """A coefficient of agreement."""

    PERCENT = "percent_agreement"
    """Share of pairs of verdicts on one item that are the same, averaged over items; chance is not taken off."""
    COHEN = "cohen_kappa"
    """Agreement of two readers beyond what their own habits give by chance; of more readers, the mean over pairs."""
    FLEISS = "fleiss_kappa"
    """Agreement beyond chance of any number of readers. Falls to 0 or below, however well readers agree, where nearly
    all verdicts are of one category."""
    GWET_AC1 = "gwet_ac1"
    """Agreement beyond chance that stays meaningful where one category is rare: for concepts that few lesions show."""
    KRIPPENDORFF = "krippendorff_alpha"
    """Agreement beyond chance from all pairs of verdicts, with a correction for few items; nominal categories."""


def coefficient(measure: Measure, ratings: Ratings) -> Statistic:
    """Return a coefficient as a function of item weights: B x N to B values, NaN where undefined.

    Example:
        >>> ratings = Ratings(np.array([[1, 1], [0, 0], [1, 0], [0, 0]]), categories=2)
        >>> coefficient(Measure.PERCENT, ratings)(np.ones((1, 4))).tolist()
        [0.75]
    """
    return _STATISTICS[measure](ratings)


def _percent(ratings: Ratings) -> Statistic:
    """Compute P_a = 1/n' sum over items of sum_k n_ik (n_ik - 1) / (r_i (r_i - 1)).

    Source: Fleiss, Psychol Bull 1971, 76:378, his P-bar; over items with two or more verdicts as in Gwet, Handbook of
    Inter-Rater Reliability, 4th ed. 2014, chapter 2.
    """
    counts = ratings.counts
    readers = counts.sum(axis=1)
    paired = readers >= 2
    same = (counts * (counts - 1)).sum(axis=1) / np.where(paired, readers * (readers - 1), 1)
    features = np.column_stack([np.where(paired, same, 0), paired])
    return lambda weights: ratio(*(weights @ features).T)


def _shares(ratings: Ratings, weights: Weights) -> NDArray[np.float64]:
    """Compute pi_k, B x q: 1/n sum over items of n_ik / r_i; items with one verdict count too."""
    counts = ratings.counts
    readers = counts.sum(axis=1, keepdims=True)
    features = np.hstack([counts / np.maximum(readers, 1), readers > 0])
    sums = weights @ features
    return ratio(sums[:, :-1], sums[:, -1:])


def _beyond_chance(observed: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    return ratio(observed - expected, 1 - expected)


def _fleiss(ratings: Ratings) -> Statistic:
    """Compute kappa = (P_a - P_e) / (1 - P_e), P_e = sum_k pi_k^2.

    Source: Fleiss, Psychol Bull 1971, 76:378, equations 3 to 7, for a fixed number of readers; with missing readers
    as in Gwet, Handbook of Inter-Rater Reliability, 4th ed. 2014, chapter 2.
    """
    observed = _percent(ratings)
    return lambda weights: _beyond_chance(observed(weights), (_shares(ratings, weights) ** 2).sum(axis=1))


def _gwet(ratings: Ratings) -> Statistic:
    """Compute AC1 = (P_a - P_e) / (1 - P_e), P_e = 1/(q - 1) sum_k pi_k (1 - pi_k); undefined for q = 1.

    Source: Gwet, Br J Math Stat Psychol 2008, 61:29; missing readers as for Fleiss' kappa.
    """
    observed = _percent(ratings)

    def statistic(weights: Weights) -> NDArray[np.float64]:
        shares = _shares(ratings, weights)
        expected = ratio((shares * (1 - shares)).sum(axis=1), ratings.categories - 1)
        return _beyond_chance(observed(weights), expected)

    return statistic


def _krippendorff(ratings: Ratings) -> Statistic:
    """Compute alpha = 1 - (n - 1) (n - sum_k o_kk) / (n^2 - sum_k n_k^2) over items with two or more verdicts.

    o_kk = sum over items of n_ik (n_ik - 1) / (r_i - 1), n_k = sum over items of n_ik, n = sum_k n_k.

    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011, section C. He draws pairs for his interval;
    we draw items, as for the other coefficients.
    """
    counts = ratings.counts
    readers = counts.sum(axis=1)
    paired = np.where((readers >= 2)[:, None], counts, 0)
    same = (paired * (paired - 1)).sum(axis=1) / np.maximum(readers - 1, 1)
    features = np.column_stack([same, paired])

    def statistic(weights: Weights) -> NDArray[np.float64]:
        sums = weights @ features
        totals = sums[:, 1:]
        pairable = totals.sum(axis=1)
        unlike = (pairable - 1) * (pairable - sums[:, 0])
        return 1 - ratio(unlike, pairable**2 - (totals**2).sum(axis=1))

    return statistic


def _cohen(ratings: Ratings) -> Statistic:
    """Average kappa over pairs of readers; pairs without a common item, or with one category, are left out of it.

    Source: Light, Psychol Bull 1971, 76:365.
    """
    pairs = list(combinations(range(ratings.codes.shape[1]), 2))

    def statistic(weights: Weights) -> NDArray[np.float64]:
        kappas = np.array([_pair_kappa(ratings, pair, weights) for pair in pairs]).reshape(-1, len(weights))
        defined = np.isfinite(kappas)
        return ratio(np.where(defined, kappas, 0).sum(axis=0), defined.sum(axis=0))

    return statistic


def _pair_kappa(ratings: Ratings, pair: tuple[int, int], weights: Weights) -> NDArray[np.float64]:
    """Compute kappa = (p_o - p_e) / (1 - p_e) over the items that both readers judged.

    p_o = sum_k p_kk, p_e = sum_k p_k. p_.k, where p_kl is the share of items with verdicts k and l.

    Source: Cohen, Educ Psychol Meas 1960, 20:37.
    """
    first, second = ratings.codes[:, pair[0]], ratings.codes[:, pair[1]]
    q = ratings.categories
    both = np.flatnonzero((first >= 0) & (second >= 0))
    cells = np.zeros((len(both), q * q))
    cells[np.arange(len(both)), first[both] * q + second[both]] = 1
    table = (weights[:, both] @ cells).reshape(len(weights), q, q)
    total = table.sum(axis=(1, 2))
    observed = ratio(np.trace(table, axis1=1, axis2=2), total)
    expected = ratio((table.sum(axis=1) * table.sum(axis=2)).sum(axis=1), total**2)
    return _beyond_chance(observed, expected)


_STATISTICS: dict[Measure, Callable[[Ratings], Statistic]] = {
    Measure.PERCENT: _percent,
    Measure.COHEN: _cohen,
    Measure.FLEISS: _fleiss,
    Measure.GWET_AC1: _gwet,
    Measure.KRIPPENDORFF: _krippendorff,
}
