"""Importance: what a diagnosis loses when an axis no longer belongs to its case.

The map of an axis is permuted across the cases of the whole test set, and the tail of the network, after the layer,
runs again. Importance is the loss then over the loss before; 1 means that the diagnosis does not use the axis.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from concepts.errors import DataError
from concepts.statistics.bootstrap import COVERAGE, Resampled, Weights, ratio
from pipeline.explanation.permutation import Effort, Joint, Layer, Losses, PermutedLosses, Tail, measure
from pipeline.results.importance import OVERALL, AxisImportance, TargetImportance
from pipeline.results.result import Band

Table = NDArray[np.float64]


@dataclass(frozen=True)
class ImportanceTable:
    """Importance by diagnosis, and overall.

    Attributes:
        targets: By diagnosis (or ``overall``).
        resampled: By diagnosis (or ``overall``), then by concept: the ratios on each resample, for paired figures.
    """

    targets: Mapping[str, TargetImportance]
    resampled: Mapping[str, Mapping[str, Resampled]]


def importance(
    tail: Tail,
    maps: Tensor,
    rest: tuple[Tensor, ...],
    labels: Tensor,
    *,
    concepts: Sequence[str],
    classes: Sequence[str],
    weights: Weights,
    generator: np.random.Generator,
    effort: Effort | None = None,
    advance: Callable[[int], None] | None = None,
) -> ImportanceTable:
    """Measure the permutation importance of every named axis for every diagnosis.

    Loss: for each diagnosis against the rest, the mean binary cross-entropy of its cases and that of the other cases,
    averaged; overall, the mean over the diagnoses that occur. Ratio: mean loss over the permutations, over the loss
    without. Its interval contains the choice of patients (weights) and that of permutations (drawn anew for each
    resample). An axis that the tail does not read has exactly the ratio 1 and the interval [1, 1].

    The null band is made of single free axes. Free axes may well be used, so a named axis inside the band is not shown
    to be unimportant, only no more important than an unnamed one; for "not important" look at 1 and the interval.

    Unnamed share: the free axes' part of what is lost when the whole layer is permuted, as their Shapley value, the
    mean of what permuting them costs first (the named axes intact) and last (the named axes permuted already). The same
    permutations serve for all three, so the parts of named and free axes add up to 1. Limited to [0, 1]; NaN where
    permuting the whole layer costs nothing. Inputs of the tail that bypass the layer belong to neither.

    Args:
        tail: ``tail(maps, rest)`` gives logits N x D; it must treat each case by itself, as in evaluation mode.
        maps: N x C x H x W or N x C, output of the concept-whitening layer for all cases; named axes first.
        rest: Other inputs of the tail, first dimension N; they stay with their case.
        labels: N indices into ``classes``.
        concepts: The k names of the first k axes.
        classes: The D diagnoses, at least two.
        weights: B x N, from `group_weights`.
        generator: Draws the permutations and the sample of free axes.
        effort: How much is computed; default: `Effort()`.
        advance: Called with 1 after each of `Effort.passes` passes.

    Raises:
        DataError: If the numbers of cases, axes or diagnoses do not agree.

    Source: Chen, Bei & Rudin 2020 (arXiv 2002.01650), "concept importance", after Breiman 2001 and Fisher, Rudin &
    Dominici 2019. Their code permutes inside a mini-batch, once; here it is done across the whole set, many times, so
    that the result does not depend on the batch size.
    """
    layer = Layer(tail, maps, rest)
    _check(layer, labels, concepts=concepts, classes=classes, weights=weights)
    losses = measure(
        layer, labels, named=len(concepts), effort=effort or Effort(), generator=generator, advance=advance
    )
    return importance_table(
        losses, labels.cpu().numpy(), concepts=concepts, classes=classes, weights=weights, generator=generator
    )


def importance_table(
    losses: PermutedLosses,
    labels: NDArray[np.int64],
    *,
    concepts: Sequence[str],
    classes: Sequence[str],
    weights: Weights,
    generator: np.random.Generator,
) -> ImportanceTable:
    """Turn losses into figures; arguments as in `importance`."""
    excess = Excess(losses.intact, labels, weights, generator)
    named = [excess.ratios(losses.single[axis]) for axis in range(len(concepts))]
    free = [excess.values(permuted) for axis, permuted in losses.single.items() if axis >= len(concepts)]
    shares = excess.unnamed_shares(losses.joint)
    targets, resampled = {}, {}
    for column, target in enumerate([*classes, OVERALL]):
        ratios = {concept: figures[column] for concept, figures in zip(concepts, named, strict=True)}
        axes = axis_importances(ratios, [float(figures[column]) for figures in free])
        targets[target] = TargetImportance(concepts=axes, unnamed_share=shares[column].estimate())
        resampled[target] = ratios
    return ImportanceTable(targets, resampled)


def axis_importances(named: Mapping[str, Resampled], free: Sequence[float]) -> dict[str, AxisImportance]:
    """Rank the named axes, and set them against the middle 95 % of the free ones.

    Args:
        named: By concept, the ratio.
        free: Ratios of single free axes, without NaN unless all are.
    """
    low, high = np.percentile(free, COVERAGE) if len(free) else (np.nan, np.nan)
    band = Band(low=float(low), high=float(high))
    assessed = [concept for concept, ratio in named.items() if np.isfinite(ratio.value)]
    order = sorted(assessed, key=lambda concept: -named[concept].value)
    ranks = {concept: rank for rank, concept in enumerate(order, start=1)}
    return {
        concept: AxisImportance(ratio=ratio.estimate(), rank=ranks.get(concept), null=band)
        for concept, ratio in named.items()
    }


class Excess:
    """Balanced losses beyond the intact ones, on the data and on each resample.

    They are averages of the cases' own differences, so that what changes no case is exactly without importance. Columns
    are the D diagnoses and, last, overall.

    Args:
        intact: N x D losses.
        labels: N indices of the diagnoses.
        weights: B x N, from `group_weights`.
        generator: Draws the permutations anew for each resample.
    """

    def __init__(
        self, intact: Losses, labels: NDArray[np.int64], weights: Weights, generator: np.random.Generator
    ) -> None:
        self.case_losses, self.weights, self.generator = intact, weights.astype(np.float64), generator
        self.belongs = labels[:, None] == np.arange(intact.shape[1])
        self.even = np.ones((1, len(labels)))
        self.intact = balanced(self.even, intact[None], self.belongs)[0, 0]
        self.intact_replicates = balanced(self.weights, intact[None], self.belongs)[:, 0]

    def values(self, permuted: Losses) -> Table:
        """Give D + 1 ratios on the data themselves, from P x N x D losses."""
        return 1 + ratio(self._value(permuted), self.intact)

    def ratios(self, permuted: Losses) -> list[Resampled]:
        """Give D + 1 ratios from P x N x D losses."""
        replicates = self._replicates(permuted, self._draws(len(permuted)))
        return self._resampled(self.values(permuted), 1 + ratio(replicates, self.intact_replicates))

    def unnamed_shares(self, joint: Mapping[Joint, Losses]) -> list[Resampled]:
        """Give D + 1 shares of the free axes in what the layer carries."""
        draws = self._draws(len(joint[Joint.ALL]))
        values = {kind: self._value(permuted) for kind, permuted in joint.items()}
        replicates = {kind: self._replicates(permuted, draws) for kind, permuted in joint.items()}
        return self._resampled(free_share(values), free_share(replicates))

    def _value(self, permuted: Losses) -> Table:
        return balanced(self.even, permuted - self.case_losses, self.belongs)[0].mean(axis=0)

    def _replicates(self, permuted: Losses, draws: Table) -> Table:
        by_permutation = balanced(self.weights, permuted - self.case_losses, self.belongs)
        return np.einsum("bp,bpd->bd", draws, by_permutation)

    def _draws(self, permutations: int) -> Table:
        """B x P: the share of each permutation in a resample of the permutations."""
        even = np.full(permutations, 1 / permutations)
        return self.generator.multinomial(permutations, even, size=len(self.weights)) / permutations

    def _resampled(self, values: Table, replicates: Table) -> list[Resampled]:
        cases = len(self.belongs)
        return [Resampled(float(value), column, cases) for value, column in zip(values, replicates.T, strict=True)]


def balanced(weights: Weights, losses: Losses, belongs: NDArray[np.bool_]) -> Table:
    """Average losses so that the cases of a diagnosis and all others count alike, and average over the diagnoses.

    A diagnosis without cases, or with no case outside it, is NaN and left out of the mean; one that is only missing
    from a resample makes that resample's mean NaN.

    Args:
        weights: B x N.
        losses: P x N x D.
        belongs: N x D, true where the case has the diagnosis.

    Returns:
        B x P x (D + 1); the last column is the mean.
    """
    columns = []
    for diagnosis in range(belongs.shape[1]):
        sides = weights * belongs[:, diagnosis], weights * ~belongs[:, diagnosis]
        means = [ratio(side @ losses[:, :, diagnosis].T, side.sum(axis=1, keepdims=True)) for side in sides]
        columns.append((means[0] + means[1]) / 2)
    by_diagnosis = np.stack(columns, axis=-1)
    occurs = belongs.any(axis=0) & ~belongs.all(axis=0)
    overall = ratio(by_diagnosis[..., occurs].sum(axis=-1, keepdims=True), occurs.sum())
    return np.concatenate([by_diagnosis, overall], axis=-1)


def free_share(excess: Mapping[Joint, Table]) -> Table:
    """Give the Shapley value of the free axes, as a share of what permuting all axes costs; 0 to 1, NaN where nothing.

    Args:
        excess: What permuting the named axes, the free ones, and all of them costs.

    Example:
        >>> cost = {Joint.NAMED: np.array([3.0]), Joint.FREE: np.array([1.0]), Joint.ALL: np.array([4.0])}
        >>> free_share(cost).tolist()
        [0.25]
    """
    free = (excess[Joint.FREE] + excess[Joint.ALL] - excess[Joint.NAMED]) / 2
    return np.clip(ratio(free, np.maximum(excess[Joint.ALL], 0.0)), 0.0, 1.0)


def _check(layer: Layer, labels: Tensor, *, concepts: Sequence[str], classes: Sequence[str], weights: Weights) -> None:
    cases = {"maps": len(layer.maps), "labels": len(labels), "weights": weights.shape[1]}
    cases |= {f"rest[{index}]": len(bypass) for index, bypass in enumerate(layer.rest)}
    if len(set(cases.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in cases.items())
        raise DataError(f"the numbers of cases differ ({counts}); all must be those of one test set")
    if len(concepts) > layer.maps.shape[1]:
        raise DataError(f"{len(concepts)} concepts for a layer of {layer.maps.shape[1]} axes; name at most that many")
    if len(classes) < 2:
        raise DataError(f"{len(classes)} diagnosis; importance needs at least two to tell apart")
