"""What would change the call: the smallest shift of the named axes after which another diagnosis leads."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.explanation.permutation import Tail

STEPS = 20
LARGEST = 6.0
"""Longest shift looked at, in standard deviations of the whitened space; beyond it nothing like it was ever seen."""
POINTS = 32
REFINEMENTS = 2
"""A flip is shortened to within 1/32^2 of its length."""
OVERSHOOT = 1e-3


@dataclass(frozen=True)
class Flip:
    """A change of the call.

    Attributes:
        diagnosis: Index of the diagnosis that leads after it.
        shifts: k, added to every position of the map of each named axis, in standard deviations of the whitened space.
    """

    diagnosis: int
    shifts: NDArray[np.float64]

    @property
    def size(self) -> float:
        """Length of the shift."""
        return float(np.linalg.norm(self.shifts))


def smallest_flip(tail: Tail, maps: Tensor, rest: tuple[Tensor, ...], *, named: int) -> Flip | None:
    """Look for the shortest shift of the named axes that changes which diagnosis leads.

    For each other diagnosis the boundary is approached by linear steps from the case, and the way there is
    searched for the first point that is enough. A shift that is found does flip the call; that there is no shorter one
    is not proved.

    Args:
        tail: Gives logits N x D, differentiable.
        maps: C x H x W or C, output of the layer for one case; named axes first.
        rest: Other inputs of the tail, first dimension 1.
        named: k.

    Returns:
        The shortest that was found, None where none is shorter than `LARGEST`.

    Source: Moosavi-Dezfooli et al. 2016 (arXiv 1511.04599), in the k named axes instead of the pixels.
    """
    if named == 0:
        return None
    search = _Search(tail, maps.detach().clone(), tuple(skip.detach().clone() for skip in rest), named)
    start = np.zeros((1, named))
    call = int(search.calls(start)[0])
    candidates = [search.towards(other, call) for other in range(search.classes) if other != call]
    flips = [candidate for candidate in candidates if candidate is not None]
    return min(flips, key=lambda candidate: candidate.size) if flips else None


class _Search:
    def __init__(self, tail: Tail, maps: Tensor, rest: tuple[Tensor, ...], named: int) -> None:
        self.tail, self.maps, self.rest, self.named = tail, maps, rest, named
        with torch.no_grad():
            self.classes = tail(maps[None], rest).shape[1]

    def calls(self, shifts: NDArray[np.float64]) -> NDArray[np.int64]:
        """M calls for M x k shifts."""
        with torch.no_grad():
            diagnoses: NDArray[np.int64] = self._run(torch.from_numpy(shifts)).argmax(dim=1).numpy()
        return diagnoses

    def towards(self, other: int, call: int) -> Flip | None:
        shifts = np.zeros(self.named)
        for _ in range(STEPS):
            margin, slope = self._margin(shifts, other, call)
            if margin < 0:
                return self._shortened(shifts, call)
            steepness = float(slope @ slope)
            if steepness < 1e-12:
                return None
            shifts = shifts - (1 + OVERSHOOT) * (margin + OVERSHOOT) / steepness * slope
            if np.linalg.norm(shifts) > LARGEST:
                return None
        return None

    def _shortened(self, shifts: NDArray[np.float64], call: int) -> Flip:
        # The first of evenly spaced points on the way that flips the call; then likewise in the stretch before it.
        near, far = 0.0, 1.0
        for _ in range(REFINEMENTS):
            shares = np.linspace(near, far, POINTS + 1)[1:]
            flipped = self.calls(shares[:, None] * shifts) != call
            first = int(flipped.argmax())
            near, far = (near if first == 0 else float(shares[first - 1])), float(shares[first])
        return Flip(int(self.calls(far * shifts[None])[0]), far * shifts)

    def _margin(self, shifts: NDArray[np.float64], other: int, call: int) -> tuple[float, NDArray[np.float64]]:
        variable = torch.from_numpy(shifts).requires_grad_()
        with torch.enable_grad():
            logits = self._run(variable[None])[0]
            margin = logits[call] - logits[other]
            (slope,) = torch.autograd.grad(margin, variable)
        return float(margin.detach()), slope.double().numpy()

    def _run(self, shifts: Tensor) -> Tensor:
        """M x D logits for M x k shifts."""
        axes = shifts.to(self.maps.dtype).reshape(*shifts.shape, *([1] * (self.maps.ndim - 1)))
        count = len(shifts)
        free = self.maps[self.named :].expand(count, *self.maps[self.named :].shape)
        moved = torch.cat([self.maps[: self.named] + axes, free], dim=1)
        return self.tail(moved, tuple(skip.expand(count, *skip.shape[1:]) for skip in self.rest))
