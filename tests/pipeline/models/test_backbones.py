"""Backbones: what each promises of its network and its recommended layer."""

import pytest
import torch
from torch import nn

from concepts.errors import SettingsError
from pipeline.choices import Placement
from pipeline.config import ModelSettings
from pipeline.models.backbones import build_backbone

NAMES = ("resnet18", "resnet34", "resnet50", "densenet121", "efficientnet-b0", "mobilenet_v1")


@pytest.mark.parametrize("name", NAMES)
def test_a_backbone_keeps_its_promises(name):
    backbone = build_backbone(ModelSettings(architecture=name, placement=Placement.INSERT), 5)
    layer = backbone.network.get_submodule(backbone.layer)
    shapes = []
    layer.register_forward_hook(lambda _module, _inputs, output: shapes.append(output.shape))
    with torch.no_grad():
        logits = backbone.network.eval()(torch.zeros(1, 3, 64, 64))
    assert logits.shape == (1, 5)
    assert len(shapes) == 1
    assert shapes[0][1] <= 1024
    assert not any(getattr(module, "inplace", False) for module in backbone.network.modules())
    assert all(0 < value < 1 for value in backbone.mean + backbone.std)


@pytest.mark.parametrize("name", NAMES)
def test_the_layer_to_replace_is_a_batch_norm(name):
    with torch.device("meta"):
        backbone = build_backbone(ModelSettings(architecture=name, placement=Placement.REPLACE), 3)
    assert isinstance(backbone.network.get_submodule(backbone.layer), nn.BatchNorm2d)


@pytest.mark.parametrize(("name", "own"), [("mobilenet_v1", 0.75), ("resnet18", 1.0)])
def test_no_width_is_the_architectures_own(name, own):
    def shapes(width):
        with torch.device("meta"):
            network = build_backbone(ModelSettings(architecture=name, width=width), 3).network
        return [tensor.shape for tensor in network.parameters()]

    assert shapes(None) == shapes(own)
    assert shapes(None) != shapes(own / 2)


def test_an_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(SettingsError, match=r"'vgg16' is not known; choose one of resnet18.*mobilenet_v1"):
        build_backbone(ModelSettings(architecture="vgg16"), 3)


def test_a_width_where_there_is_none_is_refused():
    with pytest.raises(SettingsError, match=r"model\.width: densenet121 has no width to set \(got 0\.5\)"):
        build_backbone(ModelSettings(architecture="densenet121", width=0.5), 3)
