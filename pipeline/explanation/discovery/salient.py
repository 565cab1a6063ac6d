"""Which directions among the free axes the diagnosis depends on most.

A rotation among the free axes leaves the network's function and the named axes as they are, so single free axes mean
nothing: any other basis would do. A basis in which to look at them is found from the network itself: the directions
along which the diagnosis changes most.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from concepts.errors import SettingsError
from pipeline.explanation.cases.contributions import log_odds
from pipeline.explanation.permutation import Tail


@dataclass(frozen=True)
class Salient:
    """The directions, the most salient first.

    Attributes:
        directions: m x C, orthonormal, zero on the named axes.
        shares: m, share of the mean squared slope of all free axes that lies along each, 0 to 1.
    """

    directions: Tensor
    shares: Tensor


def salient_directions(
    tail: Tail,
    maps: Tensor,
    rest: tuple[Tensor, ...],
    *,
    named: int,
    count: int,
    batch_size: int = 64,
    advance: Callable[[int], None] | None = None,
) -> Salient:
    """Find the directions in the free subspace along which the log-odds of the diagnoses change most.

    With g the gradient of one diagnosis's log-odds against all others with respect to one position of the free axes,
    these are the leading eigenvectors of the mean of g g^T over cases, diagnoses and positions. In the whitened space
    every direction has the same variance, so slopes along different directions can be compared.

    Args:
        tail: Gives logits N x D, differentiable, each case by itself.
        maps: N x C x H x W or N x C, output of the whitened layer; named axes first.
        rest: Other inputs of the tail, first dimension N.
        named: k.
        count: How many directions; fewer where there are fewer free axes.
        batch_size: Cases that the tail takes at a time.
        advance: Called with the number of cases after each batch.

    Raises:
        SettingsError: If there is no free axis.

    Source: Constantine, Dow & Wang 2014, "Active subspace methods in theory and practice", SIAM J. Sci. Comput. 36(4),
    equation 2.3, here over the positions of a map and several outputs.
    """
    free = maps.shape[1] - named
    if free < 1:
        raise SettingsError(
            f"all {named} axes of the layer are named; discovery needs a free one: name fewer concepts, "
            "or set explanation.discovered=0"
        )
    moments = torch.zeros(free, free, dtype=torch.float64)
    for start in range(0, len(maps), batch_size):
        rows = slice(start, start + batch_size)
        for slopes in _slopes(tail, maps[rows], tuple(extra[rows] for extra in rest)):
            positions = slopes[:, named:].movedim(1, -1).reshape(-1, free).double().cpu()
            moments += positions.T @ positions
        if advance is not None:
            advance(len(maps[rows]))
    values, vectors = torch.linalg.eigh(moments)
    leading = min(count, free)
    order = torch.arange(free - 1, free - 1 - leading, -1)
    directions = torch.zeros(leading, maps.shape[1], dtype=torch.float64)
    directions[:, named:] = _signed(vectors[:, order].T, maps, named)
    total = values.clamp(min=0).sum().clamp(min=torch.finfo(torch.float64).tiny)
    return Salient(directions, values[order].clamp(min=0) / total)


def coordinates(maps: Tensor, directions: Tensor) -> Tensor:
    """Return maps along m directions: N x m x H x W (or N x m) from N x C x H x W (or N x C).

    Example:
        >>> coordinates(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.6, 0.8]])).tolist()
        [[5.0]]
    """
    return torch.tensordot(directions.to(maps.dtype), maps, dims=([1], [1])).movedim(0, 1)


def tail_of_coordinates(tail: Tail, directions: Tensor) -> Tail:
    """Make the tail a function of the coordinates along some orthonormal directions; all else stays with its case.

    Args:
        tail: Gives logits from maps.
        directions: m x C, orthonormal.

    Returns:
        ``tail(moved, (maps, along, *rest))``, where ``along`` are the coordinates of the maps themselves.
    """

    def moved_tail(moved: Tensor, rest: tuple[Tensor, ...]) -> Tensor:
        maps, along, *others = rest
        change = torch.tensordot(directions.to(maps.dtype).T, moved - along, dims=([1], [1])).movedim(0, 1)
        return tail(maps + change, tuple(others))

    return moved_tail


def random_directions(salient: Tensor, *, named: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw orthonormal directions at random among the free axes, orthogonal to the given ones; n x C.

    Args:
        salient: m x C, orthonormal, zero on the named axes.
        named: k.
        count: How many; fewer where the free subspace has no more.
        generator: Draws them.
    """
    channels = salient.shape[1]
    size = max(0, min(count, channels - named - len(salient)))
    drawn = torch.zeros(size, channels, dtype=torch.float64)
    drawn[:, named:] = torch.randn(size, channels - named, dtype=torch.float64, generator=generator)
    drawn -= (drawn @ salient.T) @ salient
    return torch.linalg.qr(drawn.T).Q.T


def _slopes(tail: Tail, maps: Tensor, rest: tuple[Tensor, ...]) -> list[Tensor]:
    """Return for each diagnosis the gradient of its log-odds, of the shape of the maps."""
    with torch.enable_grad():
        features = maps.detach().clone().requires_grad_()
        odds = log_odds(tail(features, tuple(extra.detach().clone() for extra in rest))).sum(dim=0)
        slopes = [torch.autograd.grad(each, features, retain_graph=True)[0] for each in odds]
    return [slope.detach() for slope in slopes]


def _signed(vectors: Tensor, maps: Tensor, named: int) -> Tensor:
    """Turn directions so that the longer tail of each direction's values lies on its positive side."""
    free = maps[:, named:].movedim(1, -1).reshape(-1, maps.shape[1] - named).double().cpu()
    skew = (free @ vectors.T).pow(3).mean(dim=0)
    return vectors * torch.where(skew < 0, -1.0, 1.0)[:, None].double()
