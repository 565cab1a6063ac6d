"""Shares of a batch in several processes are normalised as the whole batch is by PyTorch's own layers."""

import copy

import pytest
import torch
from fake_processes import in_processes
from torch import distributed, nn

from pipeline.training.whole_batch import normalise_batch, see_whole_batch

ROWS, CHANNELS, WORLD = 7, 3, 2
SHAPES = {1: (), 2: (2, 4)}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
"""By the number in the layer's name."""


def batch(dims: int, dtype=torch.float64) -> torch.Tensor:
    """Rows far from 0, of another spread in each channel; two processes get four of them and three."""
    rows = torch.randn(ROWS, CHANNELS, *SHAPES[dims], generator=torch.Generator().manual_seed(0), dtype=dtype)
    spreads = torch.tensor([1.0, 3.0, 0.2], dtype=dtype).view(1, -1, *[1] * len(SHAPES[dims]))
    return rows * spreads + 2 * spreads + 1


def norm_of(dims: int, **options) -> nn.Module:
    norm = NORMS[dims](CHANNELS, **{"eps": 0.1, "momentum": 0.3} | options).double()
    if norm.affine:
        norm.weight.data = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
        norm.bias.data = torch.tensor([0.0, 1.0, -3.0], dtype=torch.float64)
    return norm


def through(norm: nn.Module, x: torch.Tensor, slopes: torch.Tensor):
    """The output, and the gradients of the rows and of the parameters for these slopes of the loss."""
    x = x.clone().requires_grad_()
    output = norm(x)
    output.backward(slopes)
    return output.detach(), x.grad, [parameter.grad for parameter in norm.parameters()]


@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}])
@pytest.mark.parametrize("dims", NORMS)
def test_shares_are_normalised_as_the_whole(dims, options):
    x, whole = batch(dims), norm_of(dims, **options)
    slopes = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    norms = [copy.deepcopy(whole) for _ in range(WORLD)]

    def share(rank: int):
        see_whole_batch(norms[rank])
        norms[rank](torch.zeros_like(x[rank::WORLD]))
        return through(norms[rank], x[rank::WORLD], slopes[rank::WORLD])

    shares = in_processes(share, WORLD)
    whole(torch.zeros_like(x))
    output, rows, parameters = through(whole, x, slopes)
    for rank, (share_output, share_rows, _) in enumerate(shares):
        torch.testing.assert_close(share_output, output[rank::WORLD])
        torch.testing.assert_close(share_rows, rows[rank::WORLD])
    for number, grad in enumerate(parameters):
        torch.testing.assert_close(sum(share[2][number] for share in shares), grad)
    for norm in norms:
        torch.testing.assert_close(dict(norm.named_buffers()), dict(whole.named_buffers()))


@pytest.mark.parametrize("dims", NORMS)
def test_gradients_are_those_of_the_function(dims, monkeypatch):
    monkeypatch.setattr(distributed, "all_reduce", lambda _: None)
    norm = norm_of(dims)
    inputs = (batch(dims).requires_grad_(), norm.weight, norm.bias)

    def output(x, weight, bias):
        return normalise_batch(x, weight, bias, eps=0.1)[0]

    assert torch.autograd.gradcheck(output, inputs, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_narrow_batches_stay_narrow_and_their_statistics_are_wide(dtype, monkeypatch):
    monkeypatch.setattr(distributed, "all_reduce", lambda _: None)
    x = batch(2, dtype).requires_grad_()
    output, mean, variance = normalise_batch(x, None, None, eps=0.0)
    output.square().sum().backward()
    assert (output.dtype, x.grad.dtype, mean.dtype, variance.dtype) == (dtype, dtype, torch.float64, torch.float64)
    precise = x.detach().double()
    torch.testing.assert_close(mean, precise.mean(dim=(0, 2, 3)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(variance, precise.var(dim=(0, 2, 3)), rtol=1e-4, atol=1e-4)
    assert not mean.requires_grad
    assert not variance.requires_grad


def test_the_batch_normalised_has_the_bias_for_mean_and_the_weight_for_deviation(monkeypatch):
    monkeypatch.setattr(distributed, "all_reduce", lambda _: None)
    weight, bias = torch.tensor([2.0, 1.0, 0.5]).double(), torch.tensor([0.0, 1.0, -3.0]).double()
    output, *_ = normalise_batch(batch(2), weight, bias, eps=0.0)
    torch.testing.assert_close(output.mean(dim=(0, 2, 3)), bias)
    torch.testing.assert_close(output.std(dim=(0, 2, 3), correction=0), weight)


@pytest.mark.parametrize("dims", NORMS)
def test_evaluation_uses_the_running_statistics_of_each_process(dims):
    norm, x = norm_of(dims), batch(dims)
    norm(x)
    norm.eval()
    expected = norm(x)

    def share(rank: int) -> torch.Tensor:
        mine = copy.deepcopy(norm)
        see_whole_batch(mine)
        return mine(x[rank::WORLD])

    for rank, output in enumerate(in_processes(share, WORLD)):
        torch.testing.assert_close(output, expected[rank::WORLD])
    torch.testing.assert_close(norm(x), expected)


class Derived(nn.BatchNorm2d):
    """A normalisation of another kind."""


def test_only_what_depends_on_the_batch_changes_and_only_among_others():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5), Derived(3))
    classes = [type(module) for module in network]
    see_whole_batch(network)
    assert [type(module) for module in network] == classes

    def changed(_rank: int) -> list[bool]:
        mine = copy.deepcopy(network)
        see_whole_batch(mine)
        assert all(isinstance(module, before) for module, before in zip(mine, classes, strict=True))
        return [type(module) is not before for module, before in zip(mine, classes, strict=True)]

    assert in_processes(changed) == [[False, True, True, False]] * 2
