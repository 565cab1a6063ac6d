import pytest
import torch
from torch import nn

from concepts.errors import SettingsError
from pipeline.choices import FreeAxes
from pipeline.config import parse_overrides
from pipeline.training.axis_dropout import drop_free_axes, free_axes_dropped
from pipeline.training.freeze import freeze
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.surgery import insert_after


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


@pytest.mark.parametrize("evaluation", FreeAxes)
def test_free_axes_are_dropped_whole_in_training_and_weigh_as_asked_in_evaluation(evaluation):
    torch.manual_seed(0)
    layer = ConceptWhitening(6, concepts=("a", "b"))
    x = torch.randn(200, 6, 4, 4)
    plain = layer.train()(x)
    drop_free_axes(layer, 0.6, evaluation)
    dropped = layer(x)
    torch.testing.assert_close(dropped[:, :2], plain[:, :2])
    gone = (dropped[:, 2:] == 0).flatten(1).all(dim=1)
    assert 90 < int(gone.sum()) < 150
    torch.testing.assert_close(dropped[~gone], plain[~gone])
    matrix, offset = layer.affine_map()
    whole = torch.einsum("ij,njhw->nihw", matrix, x) + offset[:, None, None]
    weight = {FreeAxes.WHOLE: 1.0, FreeAxes.EXPECTED: 0.4}[evaluation]
    seen = layer.eval()(x)
    torch.testing.assert_close(seen[:, :2], whole[:, :2])
    torch.testing.assert_close(seen[:, 2:], whole[:, 2:] * weight)


@pytest.mark.parametrize("evaluation", FreeAxes)
def test_a_network_keeps_the_function_that_its_evaluation_had_under_dropout(evaluation):
    torch.manual_seed(0)
    net, x = network(), torch.randn(16, 3, 8, 8)
    insert_after(net, "1", concepts=("a", "b"))
    net.train()(x)
    with torch.no_grad():
        before = net.eval()(x)
        with free_axes_dropped(net, 0.75, evaluation):
            inside = net(x)
        after = net(x)
    torch.testing.assert_close(after, inside, atol=1e-5, rtol=1e-5)
    assert torch.allclose(inside, before, atol=1e-4) == (evaluation is FreeAxes.WHOLE)


def test_a_training_that_is_cut_off_folds_nothing():
    torch.manual_seed(0)
    net, x = network(), torch.randn(16, 3, 8, 8)
    insert_after(net, "1", concepts=("a",))
    before = net.eval()(x)
    with pytest.raises(KeyboardInterrupt), free_axes_dropped(net, 0.5, FreeAxes.EXPECTED):
        raise KeyboardInterrupt
    torch.testing.assert_close(net(x), before)


def test_an_expectation_that_no_readout_could_take_up_is_refused():
    asked = ["training.free_axis_dropout=0.5", "model.placement=replace"]
    with pytest.raises(SettingsError, match=r"model\.placement=insert"):
        parse_overrides(asked)
    parse_overrides([*asked, "training.free_axes_in_evaluation=whole"])
    parse_overrides([*asked, "training.whitened_epochs=0"])
