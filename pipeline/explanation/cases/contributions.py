"""What each axis contributes to each diagnosis of one case, by switching axes off and running the tail again.

The players are the k named axes and, as one more, all free axes together. Off, an axis has its reference map: for a
named axis what it is on average in training images that do not show the concept, for a free one 0, the mean of the
whitened space. So a concept that is not there contributes about nothing. With the mean of all images as reference, the
absence of a frequent concept would speak for the diagnoses that it speaks against, often more than another one that is
there. What is shared out is the log-odds of a diagnosis against all others, in nats, from all axes off to all axes on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import comb

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from concepts.errors import DataError
from pipeline.explanation.permutation import Tail, other_logits

Figures = NDArray[np.float64]
Coalitions = NDArray[np.bool_]
Worth = Callable[..., Figures]
"""Gives the log-odds, M x D, of M coalitions."""

MOST_EXACT = 11
"""Players up to which every coalition is computed: ten named axes and the free ones, 2,048 passes of the tail."""
SAMPLED_ORDERS = 200
"""Pairs of opposite orders in which players join, where there are more players."""
BATCH = 128
"""Coalitions that the tail takes at a time."""


@dataclass(frozen=True)
class Contributions:
    """The account of one case; players are the named axes in their order and, last, the free axes together.

    Attributes:
        baseline: D, log-odds of each diagnosis with all axes at their reference.
        outcome: D, log-odds as the network gives them.
        shares: P x D Shapley values; each column adds up to ``outcome - baseline``.
        errors: P x D standard errors of the shares; 0 where they are exact.
        alone: P x D, what each log-odds loses when this player alone is switched off.
    """

    baseline: Figures
    outcome: Figures
    shares: Figures
    errors: Figures
    alone: Figures


def contributions(
    tail: Tail,
    maps: Tensor,
    rest: tuple[Tensor, ...],
    *,
    named: int,
    generator: np.random.Generator,
    reference: Tensor | None = None,
    orders: int = SAMPLED_ORDERS,
) -> Contributions:
    """Share the log-odds of one case out among its axes.

    Exact Shapley values for at most `MOST_EXACT` players, else the mean over random orders and their reverses, with the
    standard error over these pairs; they add up exactly in both cases.

    Args:
        tail: ``tail(maps, rest)`` gives logits N x D.
        maps: C x H x W or C, output of the whitened layer for the case; named axes first.
        rest: Other inputs of the tail for the case, first dimension 1.
        named: k, how many axes have a name.
        generator: Draws the orders where they are sampled.
        reference: In the shape of ``maps``, what the axes are where they are off; None for 0 everywhere.
        orders: Pairs of orders to sample.

    Raises:
        DataError: If there are fewer axes than names.

    Source: Shapley 1953; Strumbelj & Kononenko 2014; reversed orders after Mitchell et al. 2022 (arXiv 2104.12199).
    """
    if named > len(maps):
        raise DataError(f"{named} named axes for a layer of {len(maps)}; name at most that many")
    players = named + 1
    worth_of = partial(coalition_log_odds, tail, maps, rest, named=named, reference=reference)
    if players > MOST_EXACT:
        return _sampled(worth_of, players, generator=generator, orders=orders)
    worth = worth_of(coalitions=all_coalitions(players))
    shares, full = shapley(worth), worth[-1]
    alone = np.stack([full - worth[len(worth) - 1 - (1 << player)] for player in range(players)])
    return Contributions(worth[0], full, shares, np.zeros_like(shares), alone)


def all_coalitions(players: int) -> Coalitions:
    """2^P x P: coalition number c has player p where bit p of c is set."""
    numbers = np.arange(1 << players)
    return ((numbers[:, None] >> np.arange(players)) & 1).astype(np.bool_)


def shapley(worth: Figures) -> Figures:
    """Exact Shapley values.

    Args:
        worth: 2^P x D, the worth of each coalition in the order of `all_coalitions`.

    Returns:
        P x D: the mean over all orders of what a player adds when it joins.
    """
    players = len(worth).bit_length() - 1
    members = all_coalitions(players)
    sizes = members.sum(axis=1)
    weight = np.array([1 / (players * comb(players - 1, size)) for size in range(players)])
    values = np.empty((players, worth.shape[1]))
    for player in range(players):
        without = np.flatnonzero(~members[:, player])
        gain = worth[without + (1 << player)] - worth[without]
        values[player] = weight[sizes[without]] @ gain
    return values


@torch.inference_mode()
def coalition_log_odds(
    tail: Tail,
    maps: Tensor,
    rest: tuple[Tensor, ...],
    *,
    coalitions: Coalitions,
    named: int,
    reference: Tensor | None = None,
) -> Figures:
    """M x D log-odds of one case with only the axes of each coalition on; arguments as in `contributions`.

    Args:
        tail: Gives logits.
        maps: C x H x W or C.
        rest: First dimension 1.
        coalitions: M x (k + 1); the last column stands for all free axes.
        named: k.
        reference: Of the axes that are off, in the shape of ``maps``; None for 0.
    """
    off = torch.zeros_like(maps) if reference is None else reference.to(maps)
    owner = np.minimum(np.arange(len(maps)), named)
    on = torch.from_numpy(coalitions[:, owner])
    shape = (-1, len(maps), *([1] * (maps.ndim - 1)))
    logits = []
    for start in range(0, len(on), BATCH):
        present = on[start : start + BATCH].reshape(shape)
        batch = torch.where(present.to(maps.device), maps[None], off[None])
        logits.append(tail(batch, tuple(skip.expand(len(batch), *skip.shape[1:]) for skip in rest)).double().cpu())
    return log_odds(torch.cat(logits)).numpy()


def log_odds(logits: Tensor) -> Tensor:
    """N x D logits to the log-odds of each diagnosis against all others, in nats: log p_d - log(1 - p_d)."""
    return logits - other_logits(logits)


def _sampled(worth_of: Worth, players: int, *, generator: np.random.Generator, orders: int) -> Contributions:
    pairs = []
    for _ in range(orders):
        order = generator.permutation(players)
        pairs.append((_joined(worth_of, order) + _joined(worth_of, order[::-1])) / 2)
    gains = np.stack(pairs)
    errors = gains.std(axis=0, ddof=1) / np.sqrt(orders)
    full = np.ones((players + 2, players), dtype=np.bool_)
    full[np.arange(players), np.arange(players)] = False
    full[-1] = False
    worth = worth_of(coalitions=full)
    return Contributions(worth[-1], worth[-2], gains.mean(axis=0), errors, worth[-2] - worth[:players])


def _joined(worth_of: Worth, order: NDArray[np.int64]) -> Figures:
    """P x D: what each player adds when they join in this order."""
    position = np.argsort(order)
    steps = np.arange(len(order) + 1)[:, None] > position[None, :]
    worth = worth_of(coalitions=steps)
    gains = np.empty((len(order), worth.shape[1]))
    gains[order] = np.diff(worth, axis=0)
    return gains
