"""Where an axis is active, and how often that is where the concept is.

An evidence map is the axis's map, averaged over a square of one or three cells: axes of patches (a veil) are most
active along the patch's edge, and their single highest cell often lies just beside it, while an average blurs small
structures (cysts). Which of the two is chosen for each axis on validation images that have masks.

The pointing game: does the most active position of a map lie in the concept's mask? A position is a cell of the layer's
grid, and a cell belongs to the mask where any part of it does; chance is the share of such cells, so that large
structures earn nothing. The same game is played by Grad-CAM on the plain network, which knows no concepts and points
to where the called diagnosis comes from; it gets the better of the two widths for each concept, judged on the test
images themselves, in its favour.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from concepts.statistics.bootstrap import Weights, difference, known_mean
from pipeline.explanation.permutation import Tail
from pipeline.results.cases import PointingRates, PointingResult

Cells = NDArray[np.bool_]
INSIDE = 0.25
"""Share of a mask's pixel from which it counts as inside: thin lines fill few pixels of a reduced mask by half."""
FIGURES = ("hit_rate", "chance", "grad_cam", "above_grad_cam")
FEWEST_MASKS = 10
"""Images with a mask below which no hit rate is given and no width is chosen."""
WIDTHS = (1, 3)
"""Sides, in cells, of the neighbourhoods over which a map may be averaged."""


@dataclass(frozen=True)
class Game:
    """The pointing game of one concept, or of several one after the other.

    Attributes:
        rows: n, which images.
        axis: n, hits of the axis's evidence map.
        chance: n, share of the cells in the mask.
        grad_cam: n, hits of Grad-CAM.
    """

    rows: NDArray[np.int64]
    axis: NDArray[np.float64]
    chance: NDArray[np.float64]
    grad_cam: NDArray[np.float64]


def averaged(maps: Tensor, width: int) -> Tensor:
    """Average each cell's neighbourhood; at the border, of what there is of it.

    Args:
        maps: N x h x w.
        width: Side of the neighbourhood in cells, odd; 1 leaves the maps as they are.

    Returns:
        N x h x w.
    """
    if width == 1:
        return maps
    means: Tensor = functional.avg_pool2d(maps[:, None], width, stride=1, padding=width // 2, count_include_pad=False)
    return means[:, 0]


def choose_width(maps: Tensor, planes: Tensor) -> int:
    """Choose the width whose averages point into the mask most often; the narrowest where there are too few masks.

    Args:
        maps: N x h x w, of one axis on validation images.
        planes: N x H x W, masks of its concept, 0 to 1; NaN where there is none.
    """
    rows = [row for row, plane in enumerate(planes) if _has_mask(plane)]
    if len(rows) < FEWEST_MASKS:
        return WIDTHS[0]
    cells = mask_cells(planes[rows], *maps.shape[1:])
    return max(WIDTHS, key=lambda width: (hits(averaged(maps[rows], width), cells).mean(), -width))


def hits(maps: Tensor, cells: Tensor) -> NDArray[np.float64]:
    """Say whether the most active position of each map lies in the mask.

    Args:
        maps: N x h x w.
        cells: N x h x w, true in the mask.

    Returns:
        N: 1 hit, 0 miss; equal maxima count by their share in the mask.
    """
    flat, inside = maps.flatten(1), cells.flatten(1).double()
    top = (flat == flat.amax(dim=1, keepdim=True)).double()
    return ((top * inside).sum(dim=1) / top.sum(dim=1)).numpy()


def mask_cells(regions: Tensor, height: int, width: int) -> Tensor:
    """Turn masks at any resolution into the cells of a grid that they touch.

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
    """Compute Grad-CAM of the leading diagnosis at a layer.

    Args:
        tail: Gives logits, differentiable.
        maps: N x C x H x W, output of the layer.
        rest: Other inputs of the tail, first dimension N.
        batch_size: Cases that the tail takes at a time.

    Returns:
        N x H x W: relu of the channels weighted by the mean gradient of the highest logit.

    Source: Selvaraju et al. 2017 (arXiv 1610.02391), equations 1 and 2.
    """
    batches = []
    for start in range(0, len(maps), batch_size):
        rows = slice(start, start + batch_size)
        with torch.enable_grad():
            batch = maps[rows].detach().clone().requires_grad_()
            logits = tail(batch, tuple(skip[rows].detach().clone() for skip in rest))
            (slope,) = torch.autograd.grad(logits.amax(dim=1).sum(), batch)
        batches.append((slope.mean(dim=(2, 3), keepdim=True) * batch).sum(dim=1).clamp(min=0).detach())
    return torch.cat(batches)


def pointing_game(
    axis_maps: Tensor,
    plain_maps: Tensor,
    regions: Sequence[Tensor],
    *,
    concepts: Sequence[str],
    widths: Sequence[int],
    weights: Weights,
) -> PointingResult:
    """Play the pointing game over the test images that have a mask, by concept and over all pairs of both.

    Args:
        axis_maps: N x k x h x w, maps of the named axes.
        plain_maps: N x h' x w', Grad-CAM of the plain network.
        regions: For each of N images k x H x W, 0 to 1; NaN where there is no mask.
        concepts: k names.
        widths: k, from `choose_width` on other images.
        weights: B x N, from `group_weights`.
    """
    rates: dict[str, PointingRates] = {}
    games = []
    for axis, (concept, width) in enumerate(zip(concepts, widths, strict=True)):
        rows = [row for row, planes in enumerate(regions) if _has_mask(planes[axis])]
        if len(rows) < FEWEST_MASKS:
            reason = f"{len(rows)} test images with a mask of it; {FEWEST_MASKS} are needed"
            rates[concept] = PointingRates(width=width, reason=reason, **dict.fromkeys(FIGURES))
            continue
        planes = torch.stack([regions[row][axis] for row in rows])
        games.append(_play(averaged(axis_maps[rows, axis], width), plain_maps[rows], planes, np.array(rows)))
        rates[concept] = _rates([games[-1]], weights, width=width)
    return PointingResult(concepts=rates, overall=_rates(games, weights) if games else None)


def _play(axis_maps: Tensor, plain_maps: Tensor, planes: Tensor, rows: NDArray[np.int64]) -> Game:
    cells, coarse = mask_cells(planes, *axis_maps.shape[1:]), mask_cells(planes, *plain_maps.shape[1:])
    chance = cells.double().mean(dim=(1, 2)).numpy()
    by_width = (hits(averaged(plain_maps, width), coarse) for width in WIDTHS)
    return Game(rows, hits(axis_maps, cells), chance, max(by_width, key=lambda rate: float(rate.mean())))


def _rates(games: Sequence[Game], weights: Weights, *, width: int | None = None) -> PointingRates:
    of_rows = weights[:, np.concatenate([game.rows for game in games])]
    axis = known_mean(np.concatenate([game.axis for game in games]), of_rows)
    grad_cam = known_mean(np.concatenate([game.grad_cam for game in games]), of_rows)
    return PointingRates(
        hit_rate=axis.estimate(),
        chance=known_mean(np.concatenate([game.chance for game in games]), of_rows).estimate(),
        grad_cam=grad_cam.estimate(),
        above_grad_cam=difference(axis, grad_cam).estimate(),
        width=width,
    )


def _has_mask(plane: Tensor) -> bool:
    return bool(torch.isfinite(plane).all()) and bool((plane >= INSIDE).any())
