"""What goes with the activation of an axis: rank correlations with everything else that is known of the images."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from concepts.statistics.bootstrap import Resampled, Weights, ratio, resample
from concepts.statistics.estimate import Estimate

FEWEST = 10
"""Images on either side of a yes-or-no trait, or of any other in all, below which no correlation is given."""
LEVEL = 0.05
"""Chance that any of the relations that are called beyond chance is not, over all that were looked at."""


class TraitKind(StrEnum):
    """Where a trait comes from."""

    CONCEPT_AXIS = "concept_axis"
    """Activation of a named axis."""
    CONCEPT = "concept"
    """What the release says."""
    ARTEFACT = "artefact"
    """What was planted, or is labelled, of artefacts."""
    METADATA = "metadata"
    """Age, sex, site and the like."""
    PICTURE = "picture"
    """Measured on the picture."""


@dataclass(frozen=True)
class Trait:
    """Something known of N images.

    Attributes:
        name: What it is called.
        kind: Where it comes from.
        values: N; NaN where not known.
    """

    name: str
    kind: TraitKind
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Relation:
    """How a trait goes with an axis.

    Attributes:
        trait: Its name.
        kind: Its kind.
        correlation: Spearman's, -1 to 1, with interval and n.
        beyond_chance: Whether it is not 0 by Holm's procedure over all relations that were looked at.
    """

    trait: str
    kind: TraitKind
    correlation: Estimate
    beyond_chance: bool

    def to_json(self) -> dict[str, Any]:
        """As the run folder holds it."""
        return {
            "trait": self.trait,
            "kind": str(self.kind),
            "correlation": self.correlation.to_json(),
            "beyond_chance": self.beyond_chance,
        }


def relations(activations: ArrayLike, traits: Sequence[Trait], weights: Weights) -> list[list[Relation]]:
    """For each axis its relations to the traits, strongest first; traits with too little to compare are left out.

    Args:
        activations: N x m.
        traits: Of the same N images.
        weights: B x N, from `group_weights`.

    Source: Spearman 1904; standard errors by the bootstrap over groups; Holm 1979 over axes and traits together.
    """
    table = np.asarray(activations, dtype=np.float64)
    usable = [trait for trait in traits if _is_usable(trait.values)]
    found = [[_correlation(column, trait.values, weights) for trait in usable] for column in table.T]
    flags = iter(holm([_p_value(one) for row in found for one in row], level=LEVEL))
    listed = []
    for row in found:
        own = [
            Relation(trait.name, trait.kind, one.estimate(), next(flags))
            for trait, one in zip(usable, row, strict=True)
        ]
        listed.append(sorted(own, key=lambda one: -abs(np.nan_to_num(one.correlation.value))))
    return listed


def holm(p_values: Sequence[float], *, level: float) -> list[bool]:
    """Which hypotheses are rejected so that the chance of any false rejection is at most the level; NaN never is."""
    order = sorted(range(len(p_values)), key=lambda one: np.nan_to_num(p_values[one], nan=2.0))
    rejected = [False] * len(p_values)
    for place, one in enumerate(order):
        if not p_values[one] <= level / (len(p_values) - place):
            break
        rejected[one] = True
    return rejected


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64], weights: Weights) -> Resampled:
    known = np.isfinite(second)
    ranks = [rankdata(one[known]) for one in (first, second)]
    x, y = (one - one.mean() for one in ranks)
    columns = np.stack([x, y, x * x, y * y, x * y], axis=1)

    def statistic(weight: Weights) -> NDArray[np.float64]:
        total = weight.sum(axis=1, keepdims=True)
        a, b, aa, bb, ab = ratio(weight @ columns, total).T
        return np.asarray(ratio(ab - a * b, np.sqrt(np.maximum((aa - a * a) * (bb - b * b), 0.0))))

    return resample(statistic, weights[:, known])


def _p_value(figure: Resampled) -> float:
    """Two-sided, from the bootstrap's standard error on Fisher's scale; NaN where there is none."""
    replicates = figure.replicates[np.isfinite(figure.replicates)]
    if len(replicates) < 2 or not np.isfinite(figure.value):
        return float("nan")
    bound = 1 - 1e-12
    error = float(np.arctanh(np.clip(replicates, -bound, bound)).std(ddof=1))
    if error == 0:
        return float("nan")
    return 2 * (1 - NormalDist().cdf(abs(float(np.arctanh(np.clip(figure.value, -bound, bound)))) / error))


def _is_usable(values: NDArray[np.float64]) -> bool:
    known = values[np.isfinite(values)]
    distinct, counts = np.unique(known, return_counts=True)
    if len(distinct) < 2:
        return False
    return len(known) >= 2 * FEWEST if len(distinct) > 2 else bool(counts.min() >= FEWEST)
