"""Contributions: they add up, are exact where they can be, and give an unused axis nothing."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from concepts.errors import DataError
from pipeline.explanation.cases.contributions import (
    all_coalitions,
    coalition_log_odds,
    contributions,
    log_odds,
    shapley,
)


class Tail(nn.Module):
    """A small network with interactions between axes."""

    def __init__(self, channels: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.first = torch.randn(channels, 6, generator=generator, dtype=torch.float64)
        self.second = torch.randn(6, 3, generator=generator, dtype=torch.float64)

    def forward(self, maps: torch.Tensor, rest: tuple[torch.Tensor, ...] = ()) -> torch.Tensor:
        pooled = maps.mean(dim=(2, 3)) if maps.ndim == 4 else maps
        extra = sum((skip.flatten(1).mean(dim=1, keepdim=True) for skip in rest), torch.zeros(len(maps), 1))
        return torch.tanh(pooled.double() @ self.first) @ self.second + extra * torch.tensor([1.0, 0.0, -1.0])


def case(channels: int, seed: int = 1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(channels, 3, 4, generator=generator), (torch.randn(1, 2, generator=generator),)


def by_orders(worth: np.ndarray, players: int) -> np.ndarray:
    """Shapley values from their definition: all orders."""
    values = np.zeros((players, worth.shape[1]))
    orders = list(itertools.permutations(range(players)))
    for order in orders:
        coalition = 0
        for player in order:
            values[player] += worth[coalition | 1 << player] - worth[coalition]
            coalition |= 1 << player
    return values / len(orders)


@pytest.mark.parametrize("players", [1, 2, 4, 5])
def test_shapley_values_are_the_mean_over_all_orders(players):
    worth = np.random.default_rng(players).normal(size=(1 << players, 3))
    np.testing.assert_allclose(shapley(worth), by_orders(worth, players), atol=1e-12)


@pytest.mark.parametrize("named", [0, 1, 4, 8])
def test_contributions_add_up_to_the_difference_of_log_odds(named):
    maps, rest = case(9)
    tail = Tail(9)
    account = contributions(tail, maps, rest, named=named, generator=np.random.default_rng(0))
    np.testing.assert_allclose(account.shares.sum(axis=0), account.outcome - account.baseline, atol=1e-9)
    expected = log_odds(tail(maps[None], rest)).numpy()[0]
    np.testing.assert_allclose(account.outcome, expected, atol=1e-9)
    assert account.shares.shape == (named + 1, 3)
    assert not account.errors.any()


def test_log_odds_are_those_of_the_softmax():
    logits = torch.randn(5, 4, dtype=torch.float64)
    p = logits.softmax(dim=1)
    torch.testing.assert_close(log_odds(logits), (p / (1 - p)).log())


def test_an_axis_that_the_tail_does_not_read_contributes_nothing():
    maps, rest = case(6)
    tail = Tail(6)
    tail.first[2] = 0
    account = contributions(tail, maps, rest, named=4, generator=np.random.default_rng(0))
    np.testing.assert_allclose(account.shares[2], 0, atol=1e-12)
    np.testing.assert_allclose(account.alone[2], 0, atol=1e-12)
    assert np.abs(account.shares[1]).max() > 1e-3


def test_alone_is_what_switching_one_axis_off_costs():
    maps, rest = case(6)
    tail = Tail(6)
    account = contributions(tail, maps, rest, named=3, generator=np.random.default_rng(0))
    without = maps.clone()
    without[1] = 0
    expected = log_odds(tail(maps[None], rest)) - log_odds(tail(without[None], rest))
    np.testing.assert_allclose(account.alone[1], expected[0].numpy(), atol=1e-9)
    free_off = maps.clone()
    free_off[3:] = 0
    expected = log_odds(tail(maps[None], rest)) - log_odds(tail(free_off[None], rest))
    np.testing.assert_allclose(account.alone[3], expected[0].numpy(), atol=1e-9)


def test_sampled_contributions_add_up_and_agree_with_exact_ones_within_their_error():
    maps, rest = case(14)
    tail = Tail(14)
    named = 12
    account = contributions(tail, maps, rest, named=named, generator=np.random.default_rng(0), orders=60)
    np.testing.assert_allclose(account.shares.sum(axis=0), account.outcome - account.baseline, atol=1e-9)
    worth = coalition_log_odds(tail, maps, rest, coalitions=all_coalitions(named + 1), named=named)
    exact = shapley(worth)
    assert (account.errors > 0).all()
    assert (np.abs(account.shares - exact) <= 5 * account.errors + 1e-9).all()
    without = maps.clone()
    without[5] = 0
    expected = log_odds(tail(maps[None], rest)) - log_odds(tail(without[None], rest))
    np.testing.assert_allclose(account.alone[5], expected[0].numpy(), atol=1e-9)


def test_more_names_than_axes_are_refused():
    maps, rest = case(3)
    with pytest.raises(DataError, match="4 named axes for a layer of 3"):
        contributions(Tail(3), maps, rest, named=4, generator=np.random.default_rng(0))


@pytest.mark.parametrize("named", [3, 12])
def test_an_axis_that_is_as_in_its_reference_contributes_nothing(named):
    """Exactly where every coalition is computed, and where orders are drawn."""
    maps, rest = case(13)
    reference = torch.randn(maps.shape, generator=torch.Generator().manual_seed(5))
    reference[0] = maps[0]
    account = contributions(
        Tail(13), maps, rest, named=named, generator=np.random.default_rng(0), reference=reference, orders=4
    )
    np.testing.assert_allclose(account.shares[0], 0, atol=1e-9)
    np.testing.assert_allclose(account.shares.sum(axis=0), account.outcome - account.baseline, atol=1e-9)
    off = log_odds(Tail(13)(reference[None], rest).double())[0].numpy()
    np.testing.assert_allclose(account.baseline, off, atol=1e-6)
