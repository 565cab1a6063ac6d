"""Where an axis is active, and how often that is where the concept is.

The pointing game: does the most active position of a map lie in the concept's mask? A position is a cell of the layer's
grid, and a cell belongs to the mask where any part of it does; chance is the share of such cells, so that large
structures earn nothing. The same game is played by Grad-CAM on the plain network, which knows no concepts and points
to where the called diagnosis comes from.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.evaluation.bootstrap import Resampled, Weights, difference, ratio, resample
from pipeline.explanation.permutation import Tail

Cells = NDArray[np.bool_]
INSIDE = 0.25
"""Share of a mask's pixel from which it counts as inside: thin lines fill few pixels of a reduced mask by half."""
FIGURES = ("hit_rate", "chance", "grad_cam", "above_grad_cam")
FEWEST_MASKS = 10
"""Test images with a mask below which no hit rate is given."""


def hits(maps: Tensor, cells: Tensor) -> NDArray[np.float64]:
    """Whether the most active position of each map lies in the mask.

    Args:
        maps: N x h x w.
        cells: N x h x w, true in the mask.

    Returns:
        N: 1 hit, 0 miss; equal maxima count by their share in the mask.
    """
    flat, inside = maps.flatten(1), cells.flatten(1).double()
    top = (flat == flat.amax(dim=1, keepdim=True)).double()
    found: NDArray[np.float64] = ((top * inside).sum(dim=1) / top.sum(dim=1)).numpy()
    return found


def mask_cells(regions: Tensor, height: int, width: int) -> Tensor:
    """Masks at any resolution to the cells of a grid that they touch.

    Args:
        regions: N x H x W, share of each pixel that is inside, 0 to 1.
        height: h of the grid.
        width: w of the grid.

    Returns:
        N x h x w, true where any pixel that is inside falls into the cell.
    """
    pooled: Tensor = functional.adaptive_max_pool2d((regions >= INSIDE).double()[:, None], (height, width))
    return pooled[:, 0] > 0


def gradient_maps(tail: Tail, maps: Tensor, rest: tuple[Tensor, ...], *, batch_size: int = 64) -> Tensor:
    """Grad-CAM of the leading diagnosis at a layer.

    Args:
        tail: Gives logits, differentiable.
        maps: N x C x H x W, output of the layer.
        rest: Other inputs of the tail, first dimension N.
        batch_size: Cases that the tail takes at a time.

    Returns:
        N x H x W: relu of the channels weighted by the mean gradient of the highest logit.

    Source: Selvaraju et al. 2017 (arXiv 1610.02391), equations 1 and 2.
    """
    found = []
    for start in range(0, len(maps), batch_size):
        rows = slice(start, start + batch_size)
        with torch.enable_grad():
            some = maps[rows].detach().clone().requires_grad_()
            logits = tail(some, tuple(one[rows].detach().clone() for one in rest))
            (slope,) = torch.autograd.grad(logits.amax(dim=1).sum(), some)
        found.append((slope.mean(dim=(2, 3), keepdim=True) * some).sum(dim=1).clamp(min=0).detach())
    return torch.cat(found)


def pointing_figures(
    axis_maps: Tensor,
    plain_maps: Tensor,
    regions: Sequence[Tensor],
    *,
    concepts: Sequence[str],
    weights: Weights,
) -> dict[str, Any]:
    """Hit rates by concept over the test images in which it has a mask.

    Args:
        axis_maps: N x k x h x w, maps of the named axes.
        plain_maps: N x h' x w', Grad-CAM of the plain network.
        regions: For each of N images k x H x W, 0 to 1; NaN where there is no mask.
        concepts: k names.
        weights: B x N, from `group_weights`.

    Returns:
        By concept ``hit_rate``, ``chance``, ``grad_cam``, ``above_grad_cam`` (estimates) and ``reason``, which is null
        where there were enough masks.
    """
    table: dict[str, Any] = {}
    for axis, concept in enumerate(concepts):
        rows = [row for row, planes in enumerate(regions) if _has_mask(planes[axis])]
        if len(rows) < FEWEST_MASKS:
            reason = f"{len(rows)} test images with a mask of it; {FEWEST_MASKS} are needed"
            table[concept] = dict.fromkeys(FIGURES) | {"reason": reason}
            continue
        planes = torch.stack([regions[row][axis] for row in rows])
        own, other = axis_maps[rows, axis], plain_maps[rows]
        cells, coarse = mask_cells(planes, *own.shape[1:]), mask_cells(planes, *other.shape[1:])
        weight = weights[:, rows]
        axis_rate, cam_rate = (_mean(one, weight) for one in (hits(own, cells), hits(other, coarse)))
        chance = _mean(cells.double().mean(dim=(1, 2)).numpy(), weight)
        figures = (axis_rate, chance, cam_rate, difference(axis_rate, cam_rate))
        estimates = (figure.estimate() for figure in figures)
        table[concept] = dict(zip(FIGURES, estimates, strict=True)) | {"reason": None}
    return table


def _has_mask(plane: Tensor) -> bool:
    return bool(torch.isfinite(plane).all()) and bool((plane >= INSIDE).any())


def _mean(values: NDArray[np.float64], weights: Weights) -> Resampled:
    return resample(lambda weight: ratio(weight @ values, weight.sum(axis=1)), weights)
