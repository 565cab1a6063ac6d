"""Importance: what a diagnosis loses when an axis no longer belongs to its case.

The map of an axis is permuted across the cases of the whole test set, and the tail of the network, after the layer,
runs again. Importance is the loss then over the loss before; 1 means that the diagnosis does not use the axis.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from concepts.errors import DataError
from concepts.statistics.bootstrap import COVERAGE, Resampled, Weights, ratio
from concepts.statistics.estimate import Estimate
from pipeline.explanation.permutation import Effort, Joint, Layer, Losses, PermutedLosses, Tail, measure

OVERALL = "overall"
UNNAMED_SHARE = "unnamed_share"

Figure = NDArray[np.float64]


@dataclass(frozen=True)
class AxisImportance:
    """Importance of one named axis for one diagnosis.

    Attributes:
        ratio: Loss with the axis permuted over loss without; 1 is no importance, NaN where the diagnosis cannot be
            assessed.
        rank: Place among the named axes, 1 the most important; None where the ratio is NaN.
        null: The middle 95 % of the ratios of single free axes: inside it, the axis matters no more than a direction
            that nobody named. NaN where there are no free axes.
    """

    ratio: Estimate
    rank: int | None
    null: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """As the run folder holds it; what is not finite becomes null."""
        low, high = (end if np.isfinite(end) else None for end in self.null)
        return {"ratio": self.ratio.to_json(), "rank": self.rank, "null": {"low": low, "high": high}}


@dataclass(frozen=True)
class ImportanceTable:
    """Importance by diagnosis, and overall.

    Attributes:
        axes: By diagnosis (or ``overall``), then by concept.
        unnamed_share: By diagnosis (or ``overall``): the share of the layer's importance that no named axis carries.
        free_ratios: By diagnosis (or ``overall``): the ratios of the free axes that the null band is made of.
        resampled: By diagnosis (or ``overall``), then by concept: the ratios on each resample, for paired figures.
    """

    axes: Mapping[str, Mapping[str, AxisImportance]]
    unnamed_share: Mapping[str, Estimate]
    free_ratios: Mapping[str, tuple[float, ...]]
    resampled: Mapping[str, Mapping[str, Resampled]]

    def to_json(self) -> dict[str, Any]:
        """``{diagnosis: {concept: {ratio, rank, null}, "unnamed_share": estimate}}``."""
        return {
            target: {concept: axis.to_json() for concept, axis in axes.items()}
            | {UNNAMED_SHARE: self.unnamed_share[target].to_json()}
            for target, axes in self.axes.items()
        }


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
    """Permutation importance of every named axis for every diagnosis.

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
    """The figures from the losses; arguments as in `importance`."""
    excess = Excess(losses.intact, labels, weights, generator)
    named = [excess.ratios(losses.single[axis]) for axis in range(len(concepts))]
    free = [excess.values(found) for axis, found in losses.single.items() if axis >= len(concepts)]
    targets = [*classes, OVERALL]
    axes = {
        target: _axes([figures[column] for figures in named], [one[column] for one in free], concepts)
        for column, target in enumerate(targets)
    }
    shares = {target: one.estimate() for target, one in zip(targets, excess.unnamed_shares(losses.joint), strict=True)}
    ratios = {target: tuple(float(one[column]) for one in free) for column, target in enumerate(targets)}
    resampled = {
        target: {concept: figures[column] for concept, figures in zip(concepts, named, strict=True)}
        for column, target in enumerate(targets)
    }
    return ImportanceTable(axes=axes, unnamed_share=shares, free_ratios=ratios, resampled=resampled)


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
        self.own = labels[:, None] == np.arange(intact.shape[1])
        self.ones = np.ones((1, len(labels)))
        self.intact = balanced(self.ones, intact[None], self.own)[0, 0]
        self.intact_replicates = balanced(self.weights, intact[None], self.own)[:, 0]

    def values(self, permuted: Losses) -> Figure:
        """D + 1 ratios on the data themselves."""
        return 1 + ratio(self._value(permuted), self.intact)

    def ratios(self, permuted: Losses) -> list[Resampled]:
        """D + 1 ratios from P x N x D losses."""
        replicates = self._replicates(permuted, self._draws(len(permuted)))
        return self._resampled(self.values(permuted), 1 + ratio(replicates, self.intact_replicates))

    def unnamed_shares(self, joint: Mapping[Joint, Losses]) -> list[Resampled]:
        """D + 1 shares of the free axes in what the layer carries."""
        draws = self._draws(len(joint[Joint.ALL]))
        values = {kind: self._value(permuted) for kind, permuted in joint.items()}
        replicates = {kind: self._replicates(permuted, draws) for kind, permuted in joint.items()}
        return self._resampled(_share(values), _share(replicates))

    def _value(self, permuted: Losses) -> Figure:
        mean: Figure = balanced(self.ones, permuted - self.case_losses, self.own)[0].mean(axis=0)
        return mean

    def _replicates(self, permuted: Losses, draws: Figure) -> Figure:
        found = balanced(self.weights, permuted - self.case_losses, self.own)
        return np.einsum("bp,bpd->bd", draws, found)

    def _draws(self, permutations: int) -> Figure:
        """B x P: the share of each permutation in a resample of the permutations."""
        even = np.full(permutations, 1 / permutations)
        drawn: Figure = self.generator.multinomial(permutations, even, size=len(self.weights)) / permutations
        return drawn

    def _resampled(self, values: Figure, replicates: Figure) -> list[Resampled]:
        cases = len(self.own)
        return [Resampled(float(value), column, cases) for value, column in zip(values, replicates.T, strict=True)]


def balanced(weights: Weights, losses: Losses, own: NDArray[np.bool_]) -> Figure:
    """Losses in which the cases of a diagnosis and all others count alike, and their mean over the diagnoses.

    A diagnosis without cases, or with no case outside it, is NaN and left out of the mean; one that is only missing
    from a resample makes that resample's mean NaN.

    Args:
        weights: B x N.
        losses: P x N x D.
        own: N x D, true where the case has the diagnosis.

    Returns:
        B x P x (D + 1); the last column is the mean.
    """
    parts = []
    for one in range(own.shape[1]):
        sides = weights * own[:, one], weights * ~own[:, one]
        means = [ratio(side @ losses[:, :, one].T, side.sum(axis=1, keepdims=True)) for side in sides]
        parts.append((means[0] + means[1]) / 2)
    by_diagnosis = np.stack(parts, axis=-1)
    occurs = own.any(axis=0) & ~own.all(axis=0)
    overall = ratio(by_diagnosis[..., occurs].sum(axis=-1, keepdims=True), occurs.sum())
    return np.concatenate([by_diagnosis, overall], axis=-1)


def _axes(named: Sequence[Resampled], free: Sequence[float], concepts: Sequence[str]) -> dict[str, AxisImportance]:
    band = (float("nan"), float("nan"))
    if free:
        low, high = np.percentile(free, COVERAGE)
        band = float(low), float(high)
    ranks = _ranks([one.value for one in named])
    return {
        concept: AxisImportance(one.estimate(), rank, band)
        for concept, one, rank in zip(concepts, named, ranks, strict=True)
    }


def _share(excess: Mapping[Joint, Figure]) -> Figure:
    """Shapley value of the free axes, as a share of what permuting all axes costs."""
    free = (excess[Joint.FREE] + excess[Joint.ALL] - excess[Joint.NAMED]) / 2
    return np.clip(ratio(free, np.maximum(excess[Joint.ALL], 0.0)), 0.0, 1.0)


def _ranks(values: Sequence[float]) -> list[int | None]:
    finite = [axis for axis, value in enumerate(values) if np.isfinite(value)]
    places = {axis: place for place, axis in enumerate(sorted(finite, key=lambda axis: -values[axis]), start=1)}
    return [places.get(axis) for axis in range(len(values))]


def _check(layer: Layer, labels: Tensor, *, concepts: Sequence[str], classes: Sequence[str], weights: Weights) -> None:
    cases = {"maps": len(layer.maps), "labels": len(labels), "weights": weights.shape[1]}
    cases |= {f"rest[{index}]": len(one) for index, one in enumerate(layer.rest)}
    if len(set(cases.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in cases.items())
        raise DataError(f"numbers of cases differ ({counts}); all must be those of one test set")
    if len(concepts) > layer.maps.shape[1]:
        raise DataError(f"{len(concepts)} concepts for a layer of {layer.maps.shape[1]} axes; name at most that many")
    if len(classes) < 2:
        raise DataError(f"{len(classes)} diagnosis; importance needs at least two to tell apart")
