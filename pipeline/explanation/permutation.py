"""What each case loses when maps of a layer are permuted across cases and the tail of the network runs again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.models.linear_start import linear_start

Tail = Callable[[Tensor, tuple[Tensor, ...]], Tensor]
Losses = NDArray[np.float64]


class Joint(StrEnum):
    """Axes that are permuted together, by the same permutation."""

    NAMED = "named"
    FREE = "free"
    ALL = "all"


@dataclass(frozen=True)
class Layer:
    """The output of a layer for all cases, and what comes after it.

    Attributes:
        tail: ``tail(maps, rest)`` gives logits; it must treat each case by itself, as in evaluation mode.
        maps: N x C x H x W or N x C, where the tail expects them (same device).
        rest: Other inputs of the tail, e.g. a skip connection; first dimension N. They stay with their case.
    """

    tail: Tail
    maps: Tensor
    rest: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Effort:
    """How much is computed; one pass is one run of the tail over all cases.

    Attributes:
        permutations: Passes for each named axis.
        joint_permutations: Passes for each of three joint permutations (named axes, free axes, all), from which the
            unnamed share comes.
        free_axes: Number of free axes, drawn at random, that make up the null band.
        free_permutations: Passes for each of these; fewer make the band a little wider.
        batch_size: Cases that the tail takes at a time; without influence on the result.
    """

    permutations: int = 20
    joint_permutations: int = 10
    free_axes: int = 20
    free_permutations: int = 5
    batch_size: int = 64

    def passes(self, named: int, channels: int) -> int:
        """Count the passes for a layer with so many named axes among its channels."""
        free = min(self.free_axes, channels - named)
        return 1 + named * self.permutations + free * self.free_permutations + 3 * self.joint_permutations


@dataclass(frozen=True)
class PermutedLosses:
    """Losses of each case for each diagnosis, intact and permuted.

    Attributes:
        intact: N x D.
        single: By axis: P x N x D, the axis permuted alone. The named axes, and a sample of the free ones.
        joint: P x N x D, several axes permuted together; the same permutations for all three.
    """

    intact: Losses
    single: Mapping[int, Losses]
    joint: Mapping[Joint, Losses]


def measure(
    layer: Layer,
    labels: Tensor,
    *,
    named: int,
    effort: Effort,
    generator: np.random.Generator,
    advance: Callable[[int], None] | None = None,
) -> PermutedLosses:
    """Run the tail on intact maps, on those with one axis permuted, and on those with many permuted together.

    Args:
        layer: The layer's output and the tail.
        labels: N indices of the diagnoses.
        named: Number k of named axes, which come first.
        effort: How much is computed.
        generator: Draws the permutations and the sample of free axes.
        advance: Called with 1 after each of `Effort.passes` passes.
    """

    def losses(axes: slice | int, order: Tensor | None) -> Losses:
        by_case = permuted_losses(layer, labels, axes=axes, order=order, batch_size=effort.batch_size)
        if advance is not None:
            advance(1)
        return by_case

    cases, channels = layer.maps.shape[:2]
    intact = losses(0, None)
    alone = SingleAxis(layer, labels, batch_size=effort.batch_size)
    single = {}
    for axis in [*range(named), *sample_free(named, channels, effort.free_axes, generator)]:
        count = effort.permutations if axis < named else effort.free_permutations
        single[axis] = np.stack(alone.losses(axis, _orders(generator, cases, count), advance=advance))
    orders = _orders(generator, cases, effort.joint_permutations)
    groups = {Joint.NAMED: slice(0, named), Joint.FREE: slice(named, channels), Joint.ALL: slice(0, channels)}
    joint = {kind: np.stack([losses(axes, order) for order in orders]) for kind, axes in groups.items()}
    return PermutedLosses(intact, single, joint)


def sample_free(named: int, channels: int, count: int, generator: np.random.Generator) -> list[int]:
    """Draw at most ``count`` of the axes that no concept has, without replacement, in ascending order."""
    free = channels - named
    drawn: list[int] = (generator.choice(free, size=min(count, free), replace=False) + named).tolist() if free else []
    return sorted(drawn)


def permuted_losses(
    layer: Layer, labels: Tensor, *, axes: slice | int, order: Tensor | None, batch_size: int
) -> Losses:
    """Compute losses N x D (see `one_against_rest`) with the maps of some axes taken from other cases.

    Args:
        layer: The layer's output and the tail.
        labels: N indices.
        axes: Which axes.
        order: N, the case from which each case gets these maps; None leaves all as they are.
        batch_size: Cases that the tail takes at a time.
    """

    def maps_of(rows: slice) -> Tensor:
        maps = layer.maps[rows]
        if order is not None:
            maps = maps.clone()
            maps[:, axes] = layer.maps[order[rows], axes]
        return maps

    return _losses(layer, labels, maps_of, batch_size)


class SingleAxis:
    """Losses with one axis permuted alone.

    Where the tail starts linearly (`pipeline.models.linear_start`), a permuted axis changes only what it adds to the
    start's output: the start then runs once for each axis and not for each permutation. What is kept for that is, once
    for all axes and once for the present one, of the size of the start's output for all cases. Losses agree with those
    of `permuted_losses` up to rounding, and are equal where the axis is not read.

    Args:
        layer: The layer's output and the tail.
        labels: N indices.
        batch_size: Cases that the tail takes at a time.
    """

    def __init__(self, layer: Layer, labels: Tensor, *, batch_size: int) -> None:
        self.layer, self.labels, self.batch_size = layer, labels, batch_size
        self.start = linear_start(layer.tail)
        if self.start is not None:
            self.started = Layer(self.start.after, self._of_all(self.start.all_axes), layer.rest)

    def losses(self, axis: int, orders: Sequence[Tensor], *, advance: Callable[[int], None] | None) -> list[Losses]:
        """Compute N x D losses for each order (N, the case from which each case gets the axis's map)."""
        start, losses = self.start, []
        part = None if start is None else self._of_all(lambda maps: start.one_axis(maps, axis))
        for order in orders:
            losses.append(self._permuted(axis, order) if part is None else self._moved(part, order))
            if advance is not None:
                advance(1)
        return losses

    def _permuted(self, axis: int, order: Tensor) -> Losses:
        return permuted_losses(self.layer, self.labels, axes=axis, order=order, batch_size=self.batch_size)

    def _moved(self, part: Tensor, order: Tensor) -> Losses:
        def maps_of(rows: slice) -> Tensor:
            return self.started.maps[rows] + (part[order[rows]] - part[rows])

        return _losses(self.started, self.labels, maps_of, self.batch_size)

    @torch.inference_mode()
    def _of_all(self, work: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.cat([work(maps) for maps in self.layer.maps.split(self.batch_size)])


def _losses(layer: Layer, labels: Tensor, maps_of: Callable[[slice], Tensor], batch_size: int) -> Losses:
    logits = []
    with torch.inference_mode():
        for start in range(0, len(labels), batch_size):
            rows = slice(start, start + batch_size)
            logits.append(layer.tail(maps_of(rows), tuple(bypass[rows] for bypass in layer.rest)).cpu())
    return one_against_rest(torch.cat(logits), labels.cpu())


def one_against_rest(logits: Tensor, labels: Tensor) -> Losses:
    """Compute the binary cross-entropy of each case for each diagnosis against the rest, from softmax probabilities.

    Args:
        logits: N x D, D at least 2.
        labels: N indices.

    Returns:
        N x D, in nats: -log p_d where the case has diagnosis d, else -log(1 - p_d); finite for any finite logits.

    Example:
        >>> one_against_rest(torch.tensor([[0.0, 0.0]]), torch.tensor([0])).round(3).tolist()
        [[0.693, 0.693]]
    """
    raw = logits.double()
    is_class = torch.eye(raw.shape[1], dtype=torch.bool)
    side = torch.where(is_class[labels], raw, other_logits(raw))
    return (raw.logsumexp(dim=1, keepdim=True) - side).clamp(min=0).numpy()


def other_logits(logits: Tensor) -> Tensor:
    """Put together, for each of D diagnoses, the logits of all others: N x D of N x D."""
    itself = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    return logits[:, None, :].masked_fill(itself, -torch.inf).logsumexp(dim=2)


def _orders(generator: np.random.Generator, cases: int, permutations: int) -> list[Tensor]:
    return [torch.from_numpy(generator.permutation(cases)) for _ in range(permutations)]
