"""How far the order of the concepts by importance depends on which patients happen to be in the test set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concepts.statistics.bootstrap import COVERAGE, Resampled
from concepts.statistics.estimate import Estimate
from concepts.statistics.intervals import kendall_tau

Figure = NDArray[np.float64]


@dataclass(frozen=True)
class RankStability:
    """The place of one concept over resamples of the test set.

    Attributes:
        rank: On the test set itself, 1 the most important; its interval is the middle 95 % over the resamples, n counts
            the cases.
        first: Share of the resamples in which it is the most important.
        same: Share of the resamples in which it has the rank of the test set itself.
    """

    rank: Estimate
    first: float
    same: float


@dataclass(frozen=True)
class OrderStability:
    """The order of all concepts over resamples of the test set.

    Attributes:
        tau: Mean of Kendall's tau between the order on the test set and that on each resample, with the middle 95 %.
        resamples: How many resamples had an importance for every concept.
        concepts: By concept.
    """

    tau: Estimate
    resamples: int
    concepts: Mapping[str, RankStability]

    def to_json(self) -> dict[str, Any]:
        """As the run folder holds it."""
        return {
            "tau": self.tau.to_json(),
            "resamples": self.resamples,
            "concepts": {
                name: {"rank": one.rank.to_json(), "first": one.first, "same": one.same}
                for name, one in self.concepts.items()
            },
        }


def order_stability(ratios: Mapping[str, Resampled]) -> OrderStability | None:
    """Stability of the order by importance.

    The resamples draw whole groups, and permutations anew (`pipeline.explanation.importance`), so both chances are in
    it; the chance of training is not. The mean tau over resamples is below what two new test sets would share with the
    truth, and not what they would share with each other.

    Args:
        ratios: By concept, on the same resamples.

    Returns:
        None where fewer than two concepts have an importance, or no resample has all of them.
    """
    known = {name: one for name, one in ratios.items() if np.isfinite(one.value)}
    if len(known) < 2:
        return None
    values = np.array([one.value for one in known.values()])
    replicates = np.stack([one.replicates for one in known.values()], axis=1)
    replicates = replicates[np.isfinite(replicates).all(axis=1)]
    if not len(replicates):
        return None
    own, ranks = _ranks(values[None])[0], _ranks(replicates)
    taus = kendall_tau(values, replicates)
    cases = next(iter(known.values())).n
    low, high = np.percentile(ranks, COVERAGE, axis=0, method="nearest")
    return OrderStability(
        tau=_spread(taus, cases),
        resamples=len(replicates),
        concepts={
            name: RankStability(
                rank=Estimate(float(own[column]), float(low[column]), float(high[column]), cases),
                first=float((ranks[:, column] == 1).mean()),
                same=float((ranks[:, column] == own[column]).mean()),
            )
            for column, name in enumerate(known)
        },
    )


def _ranks(rows: Figure) -> NDArray[np.int64]:
    """Rank of every value in its row, the largest 1; of equal ones the first comes first."""
    order = np.argsort(-rows, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, rows.shape[1] + 1)[None].repeat(len(rows), axis=0), axis=1)
    return ranks


def _spread(values: Figure, cases: int) -> Estimate:
    usable = values[np.isfinite(values)]
    if not len(usable):
        return Estimate(float("nan"), float("nan"), float("nan"), cases)
    low, high = np.percentile(usable, COVERAGE)
    return Estimate(float(usable.mean()), float(low), float(high), cases)
