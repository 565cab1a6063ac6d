"""What goes with the activation of an axis: rank correlations with everything else that is known of the images."""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from concepts.statistics.bootstrap import Resampled, Weights, ratio, resample
from pipeline.explanation.discovery.traits import Trait
from pipeline.results.discovery import TraitRelation

FEWEST = 10
"""Images on either side of a yes-or-no trait below which no correlation is given; of any other trait, half of all."""
LEVEL = 0.05
"""Chance that any of the relations that are called beyond chance is not, over all that were compared."""


def relations(activations: ArrayLike, traits: Sequence[Trait], weights: Weights) -> list[list[TraitRelation]]:
    """Relate each axis to the traits, strongest first; traits with too little to compare are left out.

    Args:
        activations: N x m.
        traits: Of the same N images.
        weights: B x N, from `group_weights`.

    Source: Spearman 1904; standard errors by the bootstrap over groups; Holm 1979 over axes and traits together.
    """
    table = np.asarray(activations, dtype=np.float64)
    usable = [trait for trait in traits if _is_usable(trait.values)]
    correlations = [[_correlation(column, trait.values, weights) for trait in usable] for column in table.T]
    flags = iter(holm([_p_value(figure) for row in correlations for figure in row], level=LEVEL))
    return [_ranked([_relation(*pair, next(flags)) for pair in zip(usable, row, strict=True)]) for row in correlations]


def holm(p_values: Sequence[float], *, level: float) -> list[bool]:
    """Reject hypotheses so that the chance of any false rejection is at most the level; one with NaN never is.

    Example:
        >>> holm([0.01, 0.04, 0.03, 0.005], level=0.05)
        [True, False, False, True]
    """
    order = sorted(range(len(p_values)), key=lambda index: np.nan_to_num(p_values[index], nan=2.0))
    rejected = [False] * len(p_values)
    for rank, index in enumerate(order):
        if not p_values[index] <= level / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected


def _relation(trait: Trait, correlation: Resampled, beyond_chance: bool) -> TraitRelation:
    return TraitRelation(
        trait=trait.name, kind=trait.kind, correlation=correlation.estimate(), beyond_chance=beyond_chance
    )


def _ranked(listed: Sequence[TraitRelation]) -> list[TraitRelation]:
    return sorted(listed, key=lambda relation: -abs(np.nan_to_num(relation.correlation.value)))


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64], weights: Weights) -> Resampled:
    finite = np.isfinite(second)
    x, y = (ranks - ranks.mean() for ranks in (rankdata(values[finite]) for values in (first, second)))
    columns = np.stack([x, y, x * x, y * y, x * y], axis=1)

    def statistic(weight: Weights) -> NDArray[np.float64]:
        total = weight.sum(axis=1, keepdims=True)
        a, b, aa, bb, ab = ratio(weight @ columns, total).T
        return np.asarray(ratio(ab - a * b, np.sqrt(np.maximum((aa - a * a) * (bb - b * b), 0.0))))

    return resample(statistic, weights[:, finite])


def _p_value(figure: Resampled) -> float:
    """Return the two-sided p-value from the bootstrap's standard error on Fisher's scale; NaN where there is none."""
    replicates = figure.replicates[np.isfinite(figure.replicates)]
    if len(replicates) < 2 or not np.isfinite(figure.value):
        return float("nan")
    bound = 1 - 1e-12
    error = float(np.arctanh(np.clip(replicates, -bound, bound)).std(ddof=1))
    if error == 0:
        return float("nan")
    return 2 * (1 - NormalDist().cdf(abs(float(np.arctanh(np.clip(figure.value, -bound, bound)))) / error))


def _is_usable(values: NDArray[np.float64]) -> bool:
    finite = values[np.isfinite(values)]
    distinct, counts = np.unique(finite, return_counts=True)
    if len(distinct) < 2:
        return False
    return len(finite) >= 2 * FEWEST if len(distinct) > 2 else bool(counts.min() >= FEWEST)
