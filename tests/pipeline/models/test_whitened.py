"""What the engine refuses reaches the user in the errors of the house."""

import pytest
import torch
from torch import nn

from concepts.errors import DataError, SettingsError
from pipeline.choices import Activation, Placement
from pipeline.config import parse_overrides
from pipeline.models.checkpoint import WhiteningDescription, put_whitening
from pipeline.models.whitened import subspaces_of, whitening_refusals
from pipeline.whitening.errors import LabelsError, WhiteningError
from pipeline.whitening.subspaces import AxisLayout, Subspace
from pipeline.whitening.surgery import whitening_layers


def whitening(layer, placement=Placement.INSERT, further_layers=()):
    return WhiteningDescription(
        layer=layer,
        further_layers=further_layers,
        placement=placement,
        activation=Activation.MEAN,
        concepts=("streaks",),
    )


def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
    )


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(WhiteningError("no layer"), SettingsError), (LabelsError("no layer"), DataError), (KeyError("x"), KeyError)],
)
def test_each_refusal_has_its_error_and_keeps_its_words(raised, expected):
    with pytest.raises(expected) as caught, whitening_refusals():
        raise raised
    assert str(caught.value) == str(raised)
    assert caught.value is raised or caught.value.__cause__ is raised


def test_refusals_can_decorate():
    @whitening_refusals()
    def fail():
        raise WhiteningError("no layer")

    for _ in range(2):
        with pytest.raises(SettingsError, match="no layer"):
            fail()


def test_labels_that_contradict_the_hierarchy_are_data():
    layout = AxisLayout(("network", "typical"), (Subspace("network", ("typical",)),))
    with pytest.raises(DataError, match="row 0 of a batch"), whitening_refusals():
        layout.inside(torch.tensor([[0.0, 1.0]]))


def test_subspaces_are_those_of_the_settings_in_their_order():
    settings = parse_overrides(["concepts.subspaces={b: {free: 1}, a: {children: [c, d]}}"])
    assert subspaces_of(settings.concepts) == (Subspace("b", (), 1), Subspace("a", ("c", "d"), 0))
    settings = parse_overrides(["concepts.subspaces={a: {children: [a]}}"])
    with pytest.raises(SettingsError, match="a name occurs twice"):
        subspaces_of(settings.concepts)


@pytest.mark.parametrize(("placement", "layer"), [(Placement.INSERT, "1.whitening"), (Placement.REPLACE, "1")])
def test_whitening_goes_where_it_is_placed(placement, layer):
    made = network()
    put_whitening(made, whitening("1", placement, further_layers=("4",)))
    layers = whitening_layers(made)
    assert list(layers) == [layer, layer.replace("1", "4")]
    assert {(whitened.concepts, whitened.activation) for whitened in layers.values()} == {
        (("streaks",), Activation.MEAN)
    }


@pytest.mark.parametrize(("layer", "placement"), [("9", Placement.INSERT), ("0", Placement.REPLACE)])
def test_a_layer_that_cannot_be_whitened_is_a_wrong_setting(layer, placement):
    with pytest.raises(SettingsError, match=f"layer '{layer}'"):
        put_whitening(network(), whitening(layer, placement))
