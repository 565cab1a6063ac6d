"""Moments whose values are known by thought, for one process and, pretended, for several."""

import math

import pytest
import torch
from torch import nn

from pipeline.whitening.batch import Moments, mix_statistics, whiten_batch
from pipeline.whitening.choices import Objective
from pipeline.whitening.distributed import average_gradients, mean_over_processes, uniform_numbers
from pipeline.whitening.early_exit import evaluating, layer_inputs
from pipeline.whitening.layer import ENOUGH_SAMPLES, ConceptWhitening
from pipeline.whitening.statistics import LayerMoments, WeightedMeans
from pipeline.whitening.whiten import ridge, whitening_matrix

NAN = math.nan


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_weighted_mean_of_nothing_is_not_known():
    means = WeightedMeans(torch.zeros(2, 1).double(), torch.zeros(2).double())
    means.add(torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([[2.0], [6.0]]))
    assert means.means[0].item() == 5.0
    assert means.means[1].isnan()
    assert torch.equal(means.over_processes().means[0], means.means[0])


def test_spread_is_the_covariance_of_pooled_images_that_show_the_concept():
    x, labels = draw(6, 3, 2, 2), torch.tensor([[1.0, 0], [0, 0], [1, 0], [NAN, 0], [1, 0], [0, 0]])
    moments = LayerMoments(3, 2, spread_of=[0, 1])
    for part, rows in zip(x.split(2), labels.split(2), strict=True):
        moments.add(part, rows)
    expected = torch.cov(x.mean(dim=(2, 3))[[0, 2, 4]].mT, correction=0)
    torch.testing.assert_close(moments.spread(0), expected)
    assert torch.equal(moments.spread(1), torch.zeros(3, 3, dtype=torch.float64))
    torch.testing.assert_close(moments.over_processes().spread(0), expected)


def test_counts_are_of_positions_and_weights_of_images():
    moments = LayerMoments(2, 1)
    moments.add(draw(5, 2, 3, 4), torch.tensor([[1.0], [0], [1], [NAN], [1]]))
    moments.add(draw(2, 2), torch.tensor([[0.0], [1.0]]))
    assert moments.count.item() == 5 * 12 + 2
    assert moments.present.weights.tolist() == [4.0]
    assert moments.absent.weights.tolist() == [2.0]


def test_regions_weigh_positions_by_their_share_and_vectors_have_none():
    x = torch.zeros(1, 1, 1, 2)
    x[0, 0, 0] = torch.tensor([4.0, 8.0])
    regions = torch.tensor([[[[1.0, 0.25]]]])
    moments = LayerMoments(1, 1)
    moments.add(x, torch.tensor([[1.0]]), regions)
    assert moments.inside.weights.item() == 1.25
    assert moments.outside.weights.item() == 0.75
    assert moments.concept_directions(Objective.REGIONS).item() == pytest.approx((4 + 2) / 1.25 - 8)
    vectors = LayerMoments(1, 1)
    vectors.add(torch.ones(1, 1), torch.tensor([[1.0]]), regions)
    assert vectors.inside.weights.item() == 0


def test_moments_carry_no_gradient():
    x = draw(3, 2, 2, 2).requires_grad_()
    moments = LayerMoments(2, 1)
    moments.add(x, torch.tensor([[1.0], [0.0], [1.0]]))
    assert not moments.concept_directions(Objective.CONTRAST).requires_grad
    assert not moments.covariance.requires_grad


def test_a_mixture_has_the_moments_of_both_parts_together():
    first, second = draw(30, 3), draw(10, 3, seed=1) + 5
    both = torch.cat([first, second])

    def moments(x):
        return Moments(x.mean(dim=0), torch.cov(x.mT, correction=0), float(len(x)))

    running = (moments(second).mean, moments(second).covariance)
    mean, cov = mix_statistics(moments(first), running, share=0.75)
    torch.testing.assert_close(mean, both.mean(dim=0))
    torch.testing.assert_close(cov, torch.cov(both.mT, correction=0))
    alone = mix_statistics(moments(first), running, share=1.0)
    assert torch.equal(alone[0], first.mean(dim=0))


@pytest.mark.parametrize(("count", "share"), [(6, 0.5), (12, 1.0), (24, 1.0)])
def test_a_small_batch_is_mixed_with_the_running_statistics_by_its_share(count, share):
    x, running = draw(count, 3), (torch.full((3,), 2.0).double(), 3 * torch.eye(3).double())
    z, mean, cov = whiten_batch(x, torch.eye(3).double(), running=running, eps=0.0, enough=12)
    batch = Moments(x.mean(dim=0), torch.cov(x.mT, correction=0), float(count))
    mixed_mean, mixed_cov = mix_statistics(batch, running, share=share)
    torch.testing.assert_close(z, (x - mixed_mean) @ whitening_matrix(mixed_cov, eps=0.0))
    torch.testing.assert_close(mean, batch.mean)
    torch.testing.assert_close(cov, batch.covariance)


def test_a_layer_trusts_a_batch_alone_from_four_positions_per_channel():
    assert ENOUGH_SAMPLES == 4
    for count, is_white in ((8, True), (7, False)):
        x = draw(count, 2)
        layer = ConceptWhitening(2, eps=0.0).double()
        z = layer(x)
        white = torch.allclose(torch.cov(z.mT, correction=0), torch.eye(2).double(), atol=1e-6)
        assert white == is_white


def test_the_ridge_is_relative_with_a_floor():
    assert ridge(torch.diag(torch.tensor([1.0, 3.0])).double(), eps=0.1).item() == pytest.approx(0.2)
    assert ridge(torch.zeros(2, 2).double(), eps=0.1).item() == pytest.approx(1e-10)
    assert ridge(-torch.eye(2).double(), eps=0.1).item() == pytest.approx(1e-10)
    assert whitening_matrix(torch.eye(1).double()).item() == pytest.approx((1 + 1e-5) ** -0.5, abs=1e-9)


def test_running_averages_weigh_the_first_batches_evenly_and_later_ones_by_momentum():
    layer, batches = ConceptWhitening(2, momentum=0.25).double(), [draw(40, 2, seed=seed) + seed for seed in range(6)]
    for batch in batches[:4]:
        layer(batch)
    torch.testing.assert_close(layer.mean, torch.stack([batch.mean(dim=0) for batch in batches[:4]]).mean(dim=0))
    before = layer.mean.clone()
    layer(batches[5])
    torch.testing.assert_close(layer.mean, 0.75 * before + 0.25 * batches[5].mean(dim=0))
    assert layer.num_batches_tracked == 5
    assert layer.trained


def test_statistics_that_are_given_count_as_many_batches_and_are_not_trained():
    layer = ConceptWhitening(2, momentum=0.1)
    layer(draw(20, 2).float())
    layer.set_statistics(torch.ones(2), 2 * torch.eye(2))
    assert layer.num_batches_tracked == 10
    assert not layer.trained
    layer.train()(torch.zeros(40, 2))
    torch.testing.assert_close(layer.mean, torch.full((2,), 0.9))


def test_a_layer_shows_what_it_is():
    text = repr(ConceptWhitening(4, ["a"], activation="max"))
    assert text == "ConceptWhitening(4, concepts=('a',), activation=max, eps=1e-05)"


def test_a_direction_that_is_not_known_leaves_the_last_one():
    layer = ConceptWhitening(2, ["a", "b"])
    layer.set_concept_directions(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    layer.set_concept_directions(torch.tensor([[5.0, NAN], [7.0, 8.0]]))
    assert layer.concept_directions.tolist() == [[1.0, 2.0], [7.0, 8.0]]


def test_the_affine_map_is_what_evaluation_does_and_its_inverse_undoes_it():
    layer = ConceptWhitening(3).double().eval()
    layer.set_statistics(draw(3), torch.cov(draw(20, 3).mT))
    layer.set_rotation(torch.linalg.qr(draw(3, 3, seed=5))[0])
    x = draw(7, 3, seed=2)
    matrix, offset = layer.affine_map()
    torch.testing.assert_close(layer(x), x @ matrix.mT + offset)
    inverse, back = layer.inverse_map()
    torch.testing.assert_close(layer(x) @ inverse.mT + back, x)


def test_an_early_exit_catches_each_layer_in_the_order_of_the_network_and_leaves_no_hook():
    network = nn.Sequential(ConceptWhitening(2), nn.ReLU(), ConceptWhitening(2), nn.Dropout(1.0)).train()
    network[1].eval()
    layers = {"2": network[2], "0": network[0]}
    x = draw(5, 2).float()
    inputs = layer_inputs(network, layers, x)
    assert list(inputs) == ["0", "2"]
    assert torch.equal(inputs["0"], x)
    with torch.no_grad():
        torch.testing.assert_close(inputs["2"], nn.Sequential(*network[:2]).eval()(x))
    assert not any(layer._forward_pre_hooks for layer in layers.values())
    with pytest.raises(RuntimeError), evaluating(network):
        raise RuntimeError
    assert network[3].training


def test_hooks_are_removed_where_the_forward_pass_fails():
    network = nn.Sequential(ConceptWhitening(2), nn.Linear(3, 2), ConceptWhitening(2))
    with pytest.raises(RuntimeError):
        layer_inputs(network, {"0": network[0], "2": network[2]}, torch.zeros(4, 2))
    assert not network[0]._forward_pre_hooks


def test_each_process_draws_its_rows_of_what_one_would_draw(monkeypatch):
    torch.manual_seed(3)
    together = torch.rand(6, 2)
    monkeypatch.setattr("pipeline.whitening.distributed.is_distributed", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        torch.manual_seed(3)
        rows = uniform_numbers(2, 2, device=torch.device("cpu"))
        assert torch.equal(rows, together[rank::3])


def test_gradients_and_means_are_over_all_processes(monkeypatch):
    """Pretend a second process that holds three times what this one does."""
    monkeypatch.setattr("pipeline.whitening.distributed.is_distributed", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor: tensor.mul_(4))
    parameters = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(3))]
    parameters[0].grad, parameters[2].grad = torch.tensor([1.0, 2.0]), torch.full((3,), 3.0)
    average_gradients(parameters)
    assert [parameter.grad if parameter.grad is None else parameter.grad.tolist() for parameter in parameters] == [
        [2, 4],
        None,
        [6, 6, 6],
    ]
    assert mean_over_processes(torch.tensor(5.0), torch.tensor(2.0)).item() == 5.0


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_two_processes_with_equal_halves_whiten_as_one_does(monkeypatch, offset):
    """Pretend a second process that holds what this one does: sums double, means and gradients stay."""
    rotation = torch.linalg.qr(draw(3, 3, seed=4))[0]
    running = (torch.zeros(3).double(), torch.eye(3).double())
    outcomes = []
    for processes in (1, 2):
        if processes == 2:
            monkeypatch.setattr("pipeline.whitening.batch.is_distributed", lambda: True)
            monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor: tensor.mul_(2))
        x = (draw(9, 3) + offset).requires_grad_()
        z, mean, cov = whiten_batch(x, rotation, running=running, eps=1e-3, enough=12 * processes)
        (gradient,) = torch.autograd.grad(z.pow(3).sum(), x)
        outcomes.append((z.detach(), mean, cov, gradient))
    for alone, together in zip(*outcomes, strict=True):
        torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-6)
