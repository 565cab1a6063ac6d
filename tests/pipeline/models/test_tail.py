"""Cutting a network: both sides together are the network, at any module that runs once."""

import pytest
import torch
from torch import nn

from concepts.errors import SettingsError
from pipeline.choices import Activation
from pipeline.config import ModelSettings
from pipeline.models.backbones import build_backbone
from pipeline.models.tail import split_at, turned
from pipeline.whitening.surgery import insert_after, replace_norm, whitening_layers

CUTS = {
    "mobilenet_v1": ("stem", "blocks.3.depthwise.conv", "blocks.10.pointwise.norm", "blocks.12", "classifier"),
    "resnet18": ("conv1", "layer2", "layer4.1", "layer4.1.bn1", "layer4.1.bn2", "layer4.0.downsample.1"),
}
SLOW = {
    "resnet34": ("layer4.2.bn1",),
    "resnet50": ("layer3.5", "layer4.2.bn3"),
    "densenet121": ("features.denseblock4.denselayer3.layers.norm1", "features.norm5"),
    "efficientnet-b0": ("_blocks.2.4._bn1", "_blocks.5.13._se_reduce", "_conv_head"),
}


def make(name):
    torch.manual_seed(0)
    width = 0.25 if name in ("mobilenet_v1", "resnet18") else None
    return build_backbone(ModelSettings(architecture=name, width=width), 3).network.eval()


def images(count=2, side=48):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def assert_sides_are_whole(network, module):
    x = images()
    with torch.no_grad():
        whole = network(x)
        head, tail = split_at(network, module)
        feature, rest = head(x)
        kept = feature.clone(), [tensor.clone() for tensor in rest]
        torch.testing.assert_close(tail(feature, rest), whole)
        torch.testing.assert_close(tail(feature, rest), whole, msg="the tail changed its arguments")
        assert torch.equal(feature, kept[0])
        assert all(torch.equal(tensor, before) for tensor, before in zip(rest, kept[1], strict=True))
        assert all(len(tensor) == len(x) for tensor in rest)
        one_by_one = [tail(feature[[n]], tuple(tensor[[n]] for tensor in rest)) for n in range(len(x))]
        torch.testing.assert_close(torch.cat(one_by_one), whole, atol=1e-5, rtol=1e-4)
        outputs = []
        hook = network.get_submodule(module).register_forward_hook(lambda *call: outputs.append(call[2].clone()))
        network(x)
        hook.remove()
        torch.testing.assert_close(outputs[0], feature)


@pytest.mark.parametrize("name", CUTS)
def test_head_and_tail_are_the_network(name):
    network = make(name)
    for module in CUTS[name]:
        assert_sides_are_whole(network, module)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_head_and_tail_are_the_network_when_it_is_large(name):
    network = make(name)
    for module in SLOW[name]:
        assert_sides_are_whole(network, module)


@pytest.mark.parametrize("operate", [insert_after, replace_norm])
def test_a_whitened_network_is_cut_at_its_axes(operate):
    network = make("mobilenet_v1")
    operate(network, "blocks.8.pointwise.norm", concepts=("streaks", "globules"), activation=Activation.MEAN)
    (name,) = whitening_layers(network)
    assert_sides_are_whole(network.eval(), name)


@pytest.mark.parametrize("turns", [2, 4])
@pytest.mark.parametrize("module", ["layer2", "layer4.1.bn1"])
def test_a_head_that_averages_over_turns_turns_with_its_image(module, turns):
    network, x, step = make("resnet18"), images(side=64), 4 // turns
    with torch.no_grad():
        head, _ = split_at(network, module, turns=turns)
        upright, lying = head(x), head(turned(x, step))
        once, lying_once = (split_at(network, module)[0](images)[0] for images in (x, turned(x, step)))
    torch.testing.assert_close(lying[0], turned(upright[0], step), atol=1e-5, rtol=1e-4)
    assert len(lying[1]) == len(upright[1])
    for maps, other in zip(lying[1], upright[1], strict=True):
        torch.testing.assert_close(maps, turned(other, step), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(lying_once, turned(once, step), atol=1e-3)


def test_the_tail_holds_only_what_follows():
    network = make("resnet18")
    _, tail = split_at(network, "layer4.1.bn1")
    names = {name for name, _ in tail.named_parameters()}
    assert names == {f"traced.{name}" for name in ("layer4.1.conv2.weight", "layer4.1.bn2.weight", "layer4.1.bn2.bias",
                                                   "fc.weight", "fc.bias")}  # fmt: skip
    assert tail.traced.get_parameter("fc.weight") is network.fc.weight


def test_gradients_reach_the_feature():
    head, tail = split_at(make("resnet18"), "layer4.1.bn1")
    feature, rest = head(images())
    feature = feature.detach().requires_grad_()
    tail(feature, tuple(tensor.detach() for tensor in rest)).sum().backward()
    assert feature.grad is not None
    assert feature.grad.abs().sum() > 0


def test_cutting_leaves_the_modes_of_all_modules():
    network = make("mobilenet_v1").train()
    network.stem.eval()
    before = [module.training for module in network.modules()]
    split_at(network, "blocks.3")
    assert [module.training for module in network.modules()] == before


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.idle = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        x = self.first(x)
        return self.second(x) if x.sum() > 0 else self.second(-x)


class Repeating(nn.Module):
    def __init__(self):
        super().__init__()
        self.step, self.aside = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        self.aside(x)
        return self.step(self.step(x))


class Parametrised(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale, self.first = nn.Parameter(torch.full((3,), 2.0)), nn.Linear(3, 3)

    def forward(self, x):
        return self.first(x * self.scale) * self.scale + x


def test_bare_parameters_and_the_input_serve_both_sides():
    network, x = Parametrised(), torch.rand(4, 3)
    head, tail = split_at(network, "first")
    torch.testing.assert_close(tail(*head(x)), network(x))


def test_an_untraceable_network_is_refused():
    with pytest.raises(SettingsError, match=r"Branching cannot be cut at 'first' \(.*\); use a network") as caught:
        split_at(Branching(), "first")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("network", "module", "message"),
    [
        (Repeating(), "step", r"'step' runs 2 times in a forward pass; name a module that runs once"),
        (Repeating(), "aside", r"the output does not depend on 'aside'"),
        (Repeating(), "stap", r"Repeating has no module 'stap'; the closest names are step"),
        (Repeating(), "", r"Repeating has no module ''"),
    ],
)
def test_modules_that_cannot_be_cut_at_are_refused(network, module, message):
    with pytest.raises(SettingsError, match=message):
        split_at(network, module)
