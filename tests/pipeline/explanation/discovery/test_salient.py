import numpy as np
import pytest
import torch

from concepts.errors import SettingsError
from pipeline.explanation.discovery.salient import (
    coordinates,
    random_directions,
    salient_directions,
    tail_of_coordinates,
)
from pipeline.explanation.permutation import Layer, permuted_losses

NAMED, CHANNELS, CASES = 3, 10, 40


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(weight: torch.Tensor):
    """A tail that pools and reads the maps by D x C weights, not linearly."""
    return lambda maps, rest: torch.tanh(maps.mean(dim=(2, 3))) @ weight.T + sum(rest, torch.zeros(()))


def linear(weight: torch.Tensor):
    return lambda maps, rest: maps.mean(dim=(2, 3)) @ weight.T


def test_the_one_direction_that_a_network_reads_is_found():
    read = draw(0, CHANNELS)
    read[:NAMED] = 0
    weight = torch.stack([read, -read])
    salient = salient_directions(linear(weight), draw(1, CASES, CHANNELS, 2, 2), (), named=NAMED, count=3)
    assert abs(float(salient.directions[0] @ read / read.norm())) == pytest.approx(1, abs=1e-9)
    assert float(salient.shares[0]) == pytest.approx(1, abs=1e-9)


def test_directions_are_orthonormal_free_and_ordered():
    salient = salient_directions(
        network(draw(2, 3, CHANNELS)), draw(3, CASES, CHANNELS, 2, 2), (), named=NAMED, count=99
    )
    assert salient.directions.shape == (CHANNELS - NAMED, CHANNELS)
    assert torch.allclose(salient.directions @ salient.directions.T, torch.eye(7, dtype=torch.float64), atol=1e-9)
    assert torch.equal(salient.directions[:, :NAMED], torch.zeros(7, NAMED, dtype=torch.float64))
    assert (salient.shares.diff() <= 1e-12).all()
    assert float(salient.shares.sum()) == pytest.approx(1)


def test_a_rotation_among_the_free_axes_turns_the_directions_with_it():
    weight, maps = draw(4, 3, CHANNELS), draw(5, CASES, CHANNELS, 2, 2)
    turn = torch.eye(CHANNELS, dtype=torch.float64)
    turn[NAMED:, NAMED:] = torch.linalg.qr(draw(6, 7, 7)).Q
    tail = network(weight)

    def turned_tail(moved, rest):
        return tail(torch.einsum("cd,ndhw->nchw", turn.T, moved), rest)

    turned_maps = torch.einsum("cd,ndhw->nchw", turn, maps)
    first = salient_directions(tail, maps, (), named=NAMED, count=3)
    second = salient_directions(turned_tail, turned_maps, (), named=NAMED, count=3)
    assert torch.allclose(first.directions @ turn.T, second.directions, atol=1e-7)
    assert torch.allclose(coordinates(maps, first.directions), coordinates(turned_maps, second.directions), atol=1e-7)


def test_batches_make_no_difference():
    tail, maps = network(draw(7, 3, CHANNELS)), draw(8, CASES, CHANNELS, 2, 2)
    batched, together = (
        salient_directions(tail, maps, (), named=NAMED, count=2, batch_size=size) for size in (7, CASES)
    )
    assert torch.allclose(batched.directions, together.directions, atol=1e-9)


def test_the_tail_of_coordinates_is_the_tail_and_moves_only_along_the_directions():
    weight, maps = draw(9, 3, CHANNELS), draw(10, CASES, CHANNELS, 2, 2)
    tail, rest = network(weight), (draw(11, CASES, 1),)
    basis = salient_directions(tail, maps, rest, named=NAMED, count=2).directions
    along = coordinates(maps, basis)
    moved = tail_of_coordinates(tail, basis)
    assert torch.allclose(moved(along, (maps, along, *rest)), tail(maps, rest))
    order = torch.from_numpy(np.random.default_rng(0).permutation(CASES))
    by_hand = maps + torch.einsum("mc,nmhw->nchw", basis[:1], along[order, :1] - along[:, :1])
    labels = torch.arange(CASES) % 3
    layer = Layer(moved, along, (maps, along, *rest))
    losses = permuted_losses(layer, labels, axes=0, order=order, batch_size=8)
    expected = permuted_losses(Layer(tail, by_hand, rest), labels, axes=0, order=None, batch_size=8)
    assert np.allclose(losses, expected)


def test_random_directions_are_free_and_orthogonal_to_the_given_ones():
    given = salient_directions(
        network(draw(12, 3, CHANNELS)), draw(13, CASES, CHANNELS, 2, 2), (), named=NAMED, count=2
    )
    drawn = random_directions(given.directions, named=NAMED, count=99, generator=torch.Generator().manual_seed(0))
    both = torch.cat([given.directions, drawn])
    assert both.shape == (CHANNELS - NAMED, CHANNELS)
    assert torch.allclose(both @ both.T, torch.eye(CHANNELS - NAMED, dtype=torch.float64), atol=1e-9)
    assert float(drawn[:, :NAMED].abs().max()) < 1e-9


def test_a_layer_without_free_axes_is_refused():
    with pytest.raises(SettingsError, match="needs a free one"):
        salient_directions(linear(draw(0, 2, 3)), draw(1, 4, 3, 1, 1), (), named=3, count=1)
