"""How far the order of the concepts by importance depends on which patients happen to be in the test set."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from concepts.statistics.bootstrap import COVERAGE, Resampled, mean_with_spread
from concepts.statistics.estimate import Estimate
from concepts.statistics.intervals import kendall_tau
from pipeline.results.trust import OrderStability, RankStability

Table = NDArray[np.float64]


def order_stabilities(
    resampled: Mapping[str, Mapping[str, Resampled]],
) -> dict[str, OrderStability | None]:
    """Measure, for each target, how stable the order of the concepts is; see `order_stability`."""
    return {target: order_stability(ratios) for target, ratios in resampled.items()}


def order_stability(ratios: Mapping[str, Resampled]) -> OrderStability | None:
    """Measure how stable the order of the concepts by importance is.

    The resamples draw whole groups, and permutations anew (`pipeline.explanation.importance`), so both chances are in
    it; the chance of training is not. The mean tau over resamples is below what two new test sets would share with the
    truth, and not what they would share with each other.

    Args:
        ratios: By concept, on the same resamples.

    Returns:
        None where fewer than two concepts have an importance, or no resample has all of them.
    """
    assessed = {concept: ratio for concept, ratio in ratios.items() if np.isfinite(ratio.value)}
    if len(assessed) < 2:
        return None
    values = np.array([ratio.value for ratio in assessed.values()])
    replicates = np.stack([ratio.replicates for ratio in assessed.values()], axis=1)
    replicates = replicates[np.isfinite(replicates).all(axis=1)]
    if not len(replicates):
        return None
    cases = next(iter(assessed.values())).n
    ranks = descending_ranks(values[None])[0]
    columns = zip(assessed, ranks.tolist(), descending_ranks(replicates).T, strict=True)
    return OrderStability(
        tau=mean_with_spread(kendall_tau(values, replicates), cases),
        resamples=len(replicates),
        concepts={concept: _rank_stability(rank, resampled, cases) for concept, rank, resampled in columns},
    )


def descending_ranks(rows: Table) -> NDArray[np.int64]:
    """Rank every value in its row, the largest 1; of equal ones the first comes first.

    Example:
        >>> descending_ranks(np.array([[1.0, 3.0, 2.0, 3.0]])).tolist()
        [[4, 1, 3, 2]]
    """
    order = np.argsort(-rows, axis=1, kind="stable")
    return np.argsort(order, axis=1) + 1


def _rank_stability(rank: int, resampled: NDArray[np.int64], cases: int) -> RankStability:
    low, high = np.percentile(resampled, COVERAGE, method="nearest")
    return RankStability(
        rank=Estimate(float(rank), float(low), float(high), cases),
        first=float((resampled == 1).mean()),
        same=float((resampled == rank).mean()),
    )
