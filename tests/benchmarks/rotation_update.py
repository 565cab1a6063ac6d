"""An update of the rotation against a line search along the Cayley curve with dense C x C matrices."""

from collections.abc import Callable

import torch
from timing import Comparison, compare
from torch import Tensor

from pipeline.whitening.rotate import cayley_step, procrustes_rotation

CHANNELS, CONCEPTS = 512, 7
IN_A_ROW = 5
"""Updates measured together; a single one takes twice its half millisecond where other work filled the caches."""

TRIALS = 10
"""Points that the dense search looks at, as many as the published code does at least."""


def closed_form(device: torch.device, *, rounds: int = 15) -> Comparison:
    """The closed form against the dense search."""
    means, present = _problem(device)
    return compare(
        lambda: procrustes_rotation(means, rotation=present),
        lambda: dense_search(present, means),
        rounds=rounds,
        repeat=IN_A_ROW,
    )


def low_rank(device: torch.device, *, rounds: int = 15) -> Comparison:
    """The low-rank Cayley search, needed where the objective is not linear, against the dense one."""
    means, present = _problem(device)

    def objective(named: Tensor) -> Tensor:
        return (named * means.to(named.dtype)).sum()

    return compare(
        lambda: cayley_step(present, objective, num_concepts=CONCEPTS),
        lambda: dense_search(present, means),
        rounds=rounds,
        repeat=IN_A_ROW,
    )


def dense_search(present: Tensor, means: Tensor) -> Tensor:
    """R(t) = (I + t/2 A)^(-1) (I - t/2 A) R with dense A = G R^T - R G^T, the step by bisection of the slope.

    Wen & Yin 2013, equation 7, written out as published implementations of concept whitening do it: each trial solves
    with a C x C matrix, for the point and for the slope there.
    """
    gradient = torch.zeros_like(present)
    gradient[:CONCEPTS] = -means
    skew = gradient @ present.T - present @ gradient.T
    identity = torch.eye(CHANNELS, dtype=present.dtype, device=present.device)
    low, high, step = 0.0, torch.inf, 1.0
    point: Callable[[float], Tensor] = lambda t: torch.linalg.solve(  # noqa: E731
        identity + t / 2 * skew, present - t / 2 * skew @ present
    )
    turned = present
    for _ in range(TRIALS):
        turned = point(step)
        slope = -torch.linalg.solve(identity + step / 2 * skew, skew @ (present + turned) / 2)
        value, start = (gradient * turned).sum(), (gradient * present).sum()
        first, here = (gradient * (-skew @ present)).sum(), (gradient * slope).sum()
        if value > start + 1e-4 * step * first:
            high, step = step, (low + step) / 2
        elif here < 0.9 * first:
            low, step = step, (low + high) / 2 if high < torch.inf else 2 * step
        else:
            break
    return turned


def _problem(device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    present = torch.linalg.qr(torch.randn(CHANNELS, CHANNELS, generator=generator)).Q.to(device)
    means = (0.5 * torch.randn(CONCEPTS, CHANNELS, generator=generator) / CHANNELS**0.5).to(device)
    return means, present
