"""A tail that starts linearly: the start and what follows are the tail, and axes add up."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.config import ModelSettings
from pipeline.explanation.permutation import Layer, SingleAxis, permuted_losses
from pipeline.models.backbones import build_backbone
from pipeline.models.linear_start import LinearStart, linear_start
from pipeline.models.tail import split_at
from pipeline.whitening.surgery import insert_after, replace_norm

CASES = 12


class Network(nn.Module):
    """A whitened layer of four channels, then one of several modules, then a classifier."""

    def __init__(self, after: nn.Module) -> None:
        super().__init__()
        self.norm, self.after, self.classifier = nn.BatchNorm2d(4), after, nn.Linear(4, 3)

    def forward(self, x):
        return self.classifier(self.after(self.norm(x)).mean(dim=(2, 3)))


def cut_resnet():
    torch.manual_seed(0)
    network = build_backbone(ModelSettings(architecture="resnet18", width=0.25), 3).network
    replace_norm(network, "layer4.1.bn1", concepts=("streaks",))
    return split_at(settled(network), "layer4.1.bn1")


def cut_mobilenet():
    torch.manual_seed(0)
    network = build_backbone(ModelSettings(architecture="mobilenet_v1", width=0.25), 3).network
    insert_after(network, "blocks.10.pointwise.norm", concepts=("streaks",))
    return split_at(settled(network), "blocks.10.pointwise.norm.whitening")


def settled(network):
    """With running statistics of some images, so that activations do not fade from layer to layer."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(images(seed=3))
    return network.eval()


def images(seed=1):
    return torch.randn(CASES, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=[cut_resnet, cut_mobilenet])
def cut(request):
    """A tail with maps that it takes; a test that changes the tail copies it."""
    head, tail = request.param()
    with torch.no_grad():
        maps, rest = head(images())
    return tail, maps, rest


@torch.no_grad()
def test_start_and_what_follows_are_the_tail(cut):
    tail, maps, rest = cut
    start, kept = linear_start(tail), maps.clone()
    assert isinstance(start, LinearStart)
    assert torch.equal(start.after(start.all_axes(maps), rest), tail(maps, rest))
    assert torch.equal(maps, kept)


@torch.no_grad()
def test_parts_of_all_axes_add_up_to_the_whole(cut):
    tail, maps, _ = cut
    start = linear_start(tail)
    nothing = start.linear(torch.zeros_like(start.channelwise(maps)))
    parts = sum(start.one_axis(maps, axis) for axis in range(maps.shape[1]))
    torch.testing.assert_close(nothing + parts, start.all_axes(maps), atol=1e-4, rtol=1e-4)


def test_losses_of_a_permuted_axis_are_those_of_the_whole_tail(cut):
    tail, maps, rest = cut
    layer, labels = Layer(tail, maps, rest), torch.arange(CASES) % 3
    orders = [torch.from_numpy(np.random.default_rng(seed).permutation(CASES)) for seed in range(3)]
    intact = permuted_losses(layer, labels, axes=0, order=None, batch_size=5)
    alone, passes, changes = SingleAxis(layer, labels, batch_size=5), [], []
    for axis in (0, 7):
        losses = alone.losses(axis, orders, advance=passes.append)
        expected = [permuted_losses(layer, labels, axes=axis, order=order, batch_size=5) for order in orders]
        np.testing.assert_allclose(losses, expected, atol=1e-6)
        changes.append(np.abs(expected - intact).max())
    assert max(changes) > 1e-4
    assert sum(passes) == 6


def test_an_axis_that_is_not_read_changes_no_bit(cut):
    tail, maps, rest = deepcopy(cut)
    linear = linear_start(tail).linear
    with torch.no_grad():
        linear.weight[:, 2] = 0
    layer, labels = Layer(tail, maps, rest), torch.arange(CASES) % 3
    order = torch.arange(CASES).flip(0)
    (losses,) = SingleAxis(layer, labels, batch_size=5).losses(2, [order], advance=None)
    np.testing.assert_array_equal(losses, permuted_losses(layer, labels, axes=2, order=None, batch_size=5))


@pytest.mark.parametrize(
    ("after", "starts"),
    [
        (nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3)), True),
        (nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4), nn.ReLU6(), nn.Conv2d(4, 4, 1)), True),
        (nn.Sequential(nn.Softmax2d(), nn.Conv2d(4, 4, 1)), False),
        (nn.Conv2d(4, 4, 1, groups=2), False),
        (nn.ReLU(), False),
    ],
)
@torch.no_grad()
def test_only_what_is_linear_in_each_axis_counts(after, starts):
    head, tail = split_at(Network(after).eval(), "norm")
    maps, rest = head(torch.randn(3, 4, 6, 6))
    start, kept = linear_start(tail), maps.clone()
    assert (start is not None) == starts
    if start is not None:
        changed = maps.clone()
        changed[:, 1] = maps.flip(0)[:, 1]
        moved = start.all_axes(maps) + start.one_axis(changed, 1) - start.one_axis(maps, 1)
        torch.testing.assert_close(start.after(moved, rest), tail(changed, rest))
        assert torch.equal(maps, kept)


def test_a_function_of_ones_own_is_no_such_tail():
    assert linear_start(lambda maps, rest: maps.mean(dim=(2, 3))) is None
