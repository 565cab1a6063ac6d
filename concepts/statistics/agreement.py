"""How far readers agree: five coefficients, each with its equation, its source and a bootstrap interval over items.

Ratings are an N x R matrix: items (images) in rows, readers in columns, categories as any finite numbers, NaN or None
where a reader gave no verdict. A coefficient is NaN where it says nothing: no item has two verdicts, or (Cohen, Fleiss,
Krippendorff) all verdicts fall into one category, so that there is nothing to tell apart. Its n counts the items with
two verdicts or more. Items are drawn for the interval and readers are not: it speaks of other images, not of other
readers.

Notation: r_i readers judged item i, n_ik of them chose category k, of q categories; n' items have r_i >= 2.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from concepts.statistics.bootstrap import RESAMPLES, Statistic, Weights, bootstrap, interval_estimate, ratio
from concepts.statistics.estimate import Estimate
from concepts.statistics.ratings import Ratings, coded, condense


class Measure(StrEnum):
    """A coefficient of agreement."""

    PERCENT = "percent_agreement"
    COHEN = "cohen_kappa"
    FLEISS = "fleiss_kappa"
    GWET_AC1 = "gwet_ac1"
    KRIPPENDORFF = "krippendorff_alpha"


def percent_agreement(ratings: ArrayLike, *, generator: np.random.Generator, resamples: int = RESAMPLES) -> Estimate:
    """Share of pairs of verdicts on one item that are the same, averaged over items; chance is not taken off.

    P_a = 1/n' sum over items of sum_k n_ik (n_ik - 1) / (r_i (r_i - 1)).

    Args:
        ratings: N x R.
        generator: Where the resamples come from.
        resamples: Number of resamples of the items.

    Raises:
        DataError: If the ratings are no matrix of numbers.

    Source: Fleiss, Psychol Bull 1971, 76:378, his P-bar; over items with two or more verdicts as in Gwet, Handbook of
    Inter-Rater Reliability, 4th ed. 2014, chapter 2.
    """
    return agreement(Measure.PERCENT, ratings, generator=generator, resamples=resamples)


def cohen_kappa(ratings: ArrayLike, *, generator: np.random.Generator, resamples: int = RESAMPLES) -> Estimate:
    """Agreement of two readers beyond what their own habits give by chance; for more readers, the mean over pairs.

    kappa = (p_o - p_e) / (1 - p_e), p_o = sum_k p_kk, p_e = sum_k p_k. p_.k over the items that both judged. Pairs of
    readers for whom it is undefined (no common item, one category) are left out of the mean.

    Args:
        ratings: N x R.
        generator: Where the resamples come from.
        resamples: Number of resamples of the items.

    Raises:
        DataError: If the ratings are no matrix of numbers.

    Source: Cohen, Educ Psychol Meas 1960, 20:37; the mean over pairs: Light, Psychol Bull 1971, 76:365.
    """
    return agreement(Measure.COHEN, ratings, generator=generator, resamples=resamples)


def fleiss_kappa(ratings: ArrayLike, *, generator: np.random.Generator, resamples: int = RESAMPLES) -> Estimate:
    """Agreement of any number of readers beyond chance, readers interchangeable, their number free to vary.

    kappa = (P_a - P_e) / (1 - P_e), P_a as in `percent_agreement`, P_e = sum_k pi_k^2, pi_k = 1/n sum over items of
    n_ik / r_i. Falls to 0 or below, however well readers agree, where nearly all verdicts are of one category.

    Args:
        ratings: N x R.
        generator: Where the resamples come from.
        resamples: Number of resamples of the items.

    Raises:
        DataError: If the ratings are no matrix of numbers.

    Source: Fleiss, Psychol Bull 1971, 76:378, equations 3 to 7, for a fixed number of readers; with missing readers
    as in Gwet, Handbook of Inter-Rater Reliability, 4th ed. 2014, chapter 2: items with one verdict count in pi_k only.
    """
    return agreement(Measure.FLEISS, ratings, generator=generator, resamples=resamples)


def gwet_ac1(
    ratings: ArrayLike,
    *,
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
    categories: Sequence[float] | None = None,
) -> Estimate:
    """Agreement beyond chance that stays meaningful where one category is rare.

    AC1 = (P_a - P_e) / (1 - P_e), P_e = 1/(q - 1) sum_k pi_k (1 - pi_k), P_a and pi_k as in `fleiss_kappa`. Use it for
    concepts that few lesions show. Undefined for q = 1; with q = 2 and one of them never used it is P_a.

    Args:
        ratings: N x R.
        generator: Where the resamples come from.
        resamples: Number of resamples of the items.
        categories: All that a reader could have chosen; default: those that occur.

    Raises:
        DataError: If the ratings are no matrix of numbers, or one is none of the categories.

    Source: Gwet, Br J Math Stat Psychol 2008, 61:29; missing readers as for `fleiss_kappa`.
    """
    return agreement(Measure.GWET_AC1, ratings, generator=generator, resamples=resamples, categories=categories)


def krippendorff_alpha(ratings: ArrayLike, *, generator: np.random.Generator, resamples: int = RESAMPLES) -> Estimate:
    """Agreement beyond chance from all pairs of verdicts, with a correction for few items; nominal categories.

    alpha = 1 - (n - 1) (n - sum_k o_kk) / (n^2 - sum_k n_k^2), o_kk = sum over items of n_ik (n_ik - 1) / (r_i - 1),
    n_k = sum over items of n_ik, n = sum_k n_k; over items with two or more verdicts.

    Args:
        ratings: N x R.
        generator: Where the resamples come from.
        resamples: Number of resamples of the items.

    Raises:
        DataError: If the ratings are no matrix of numbers.

    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011, section C. He draws pairs for his interval;
    we draw items, as for the other coefficients.
    """
    return agreement(Measure.KRIPPENDORFF, ratings, generator=generator, resamples=resamples)


def agreement(
    measure: Measure,
    ratings: ArrayLike,
    *,
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
    categories: Sequence[float] | None = None,
) -> Estimate:
    """A coefficient by its name; arguments and errors as for the function of that name."""
    checked = coded(ratings, categories=categories)
    unlike, members = condense(checked)
    statistic = coefficient(measure, unlike)
    figures = bootstrap(
        lambda weights: statistic(weights @ members)[:, None],
        len(checked.codes),
        generator=generator,
        resamples=resamples,
    )
    return interval_estimate(figures[:, 0], checked.compared)


def coefficient(measure: Measure, ratings: Ratings) -> Statistic:
    """A coefficient as a function of item weights: B x N to B values, NaN where undefined."""
    return _STATISTICS[measure](ratings)


def _percent(ratings: Ratings) -> Statistic:
    counts = ratings.counts
    readers = counts.sum(axis=1)
    paired = readers >= 2
    same = (counts * (counts - 1)).sum(axis=1) / np.where(paired, readers * (readers - 1), 1)
    features = np.column_stack([np.where(paired, same, 0), paired])
    return lambda weights: ratio(*(weights @ features).T)


def _shares(ratings: Ratings, weights: Weights) -> NDArray[np.float64]:
    """B x q: pi_k."""
    counts = ratings.counts
    readers = counts.sum(axis=1, keepdims=True)
    features = np.hstack([counts / np.maximum(readers, 1), readers > 0])
    sums = weights @ features
    return ratio(sums[:, :-1], sums[:, -1:])


def _beyond_chance(observed: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    return ratio(observed - expected, 1 - expected)


def _fleiss(ratings: Ratings) -> Statistic:
    observed = _percent(ratings)
    return lambda weights: _beyond_chance(observed(weights), (_shares(ratings, weights) ** 2).sum(axis=1))


def _gwet(ratings: Ratings) -> Statistic:
    observed = _percent(ratings)

    def statistic(weights: Weights) -> NDArray[np.float64]:
        shares = _shares(ratings, weights)
        expected = ratio((shares * (1 - shares)).sum(axis=1), ratings.categories - 1)
        return _beyond_chance(observed(weights), expected)

    return statistic


def _krippendorff(ratings: Ratings) -> Statistic:
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
    pairs = list(combinations(range(ratings.codes.shape[1]), 2))

    def statistic(weights: Weights) -> NDArray[np.float64]:
        kappas = np.array([_pair_kappa(ratings, pair, weights) for pair in pairs]).reshape(-1, len(weights))
        defined = np.isfinite(kappas)
        return ratio(np.where(defined, kappas, 0).sum(axis=0), defined.sum(axis=0))

    return statistic


def _pair_kappa(ratings: Ratings, pair: tuple[int, int], weights: Weights) -> NDArray[np.float64]:
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
