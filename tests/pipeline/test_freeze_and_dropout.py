import pytest
import torch
from torch import nn

from concepts.errors import SettingsError
from pipeline.training.axis_dropout import drop_free_axes
from pipeline.training.freeze import freeze
from pipeline.whitening.layer import ConceptWhitening


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def test_a_frozen_module_does_not_change_in_training():
    net = network()
    freeze(net, ("0", "1"))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=1.0)
    net.train()
    net(torch.randn(4, 3, 8, 8)).square().mean().backward()
    optimizer.step()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"2.weight", "2.bias"}


def test_freezing_what_is_not_there_names_what_is():
    with pytest.raises(SettingsError, match=r"no module 'stem'.*0, 1, 2"):
        freeze(network(), ("stem",))


def test_free_axes_are_dropped_whole_and_only_in_training():
    torch.manual_seed(0)
    layer = ConceptWhitening(6, concepts=("a", "b"))
    x = torch.randn(200, 6, 4, 4)
    plain = layer.train()(x)
    drop_free_axes(layer, 0.5)
    dropped = layer(x)
    torch.testing.assert_close(dropped[:, :2], plain[:, :2])
    gone = (dropped[:, 2:] == 0).flatten(1).all(dim=1)
    assert 60 < int(gone.sum()) < 140
    torch.testing.assert_close(dropped[~gone], plain[~gone])
    assert not (layer.eval()(x)[:, 2:] == 0).flatten(1).all(dim=1).any()
