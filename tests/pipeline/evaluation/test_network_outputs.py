"""What is gathered of the networks is of the network, the layer and the images that its name says."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from fakes import made_data
from torch import nn

from pipeline.choices import Activation
from pipeline.data.splits import Part
from pipeline.evaluation.evaluation_data import EvaluatedParts
from pipeline.evaluation.network_outputs import EvaluatedNetworks, PartLoaders, gather_outputs
from pipeline.evaluation.outputs import layer_outputs
from pipeline.evaluation.trajectory import activations_by_layer
from pipeline.evaluation.whiteness import layer_residual
from pipeline.models.concept_head import put_head
from pipeline.run.progress import Silent
from pipeline.whitening.activation import axis_activations
from pipeline.whitening.surgery import insert_after

COUNTS = {"train": 10, "validation": 4, "test": 6}


class Small(nn.Module):
    """Three convolutions and a readout, with weights of their own."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(
            OrderedDict(
                first=nn.Conv2d(3, 4, 3, padding=1),
                act=nn.ReLU(),
                second=nn.Conv2d(4, 4, 3, padding=1),
                third=nn.Conv2d(4, 4, 3, padding=1),
            )
        )
        self.head = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images).mean(dim=(2, 3)))


def batches(images):
    return [{"image": part} for part in images.split(4)]


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return {
        "train": torch.randn(10, 3, 6, 6, generator=generator),
        "test": 2 * torch.randn(6, 3, 6, 6, generator=generator) + 0.5,
    }


@pytest.fixture
def loaders(images):
    return PartLoaders(train=batches(images["train"]), test=batches(images["test"]))


@pytest.fixture
def parts():
    """Groups of two on test images, of five in training."""
    return EvaluatedParts(
        **{
            name: made_data(
                ["melanoma", "nevus"] * (count // 2),
                np.zeros((count, 1)),
                part=Part(name),
                groups=[f"{name}{row // (5 if name == 'train' else 2)}" for row in range(count)],
            )
            for name, count in COUNTS.items()
        }
    )


@pytest.fixture
def networks():
    whitened, auxiliary = Small(2), Small(3)
    insert_after(whitened, "body.first", concepts=("streaks",), activation=Activation.MAX)
    put_head(auxiliary, "body.first", ("streaks",), activation=Activation.MAX)
    nn.init.normal_(auxiliary.concept_head.weight, generator=torch.Generator().manual_seed(1))
    return EvaluatedNetworks(
        plain=Small(1),
        whitened=whitened,
        auxiliary=auxiliary,
        layer="body.first",
        whitening="body.first.whitening",
    )


def gather(networks, loaders, parts, *, turns=1):
    return gather_outputs(networks, loaders, parts, activation=Activation.MAX, turns=turns, tracker=Silent())


@torch.no_grad()
def probabilities(network, images):
    return network.eval()(images).double().softmax(dim=1).numpy()


def test_probabilities_are_each_networks_own_on_test_images(networks, loaders, parts, images):
    outputs = gather(networks, loaders, parts)
    for name in ("plain", "whitened", "auxiliary"):
        expected = probabilities(getattr(networks, name), images["test"])
        np.testing.assert_allclose(getattr(outputs, name).probabilities, expected, atol=1e-6)


@torch.no_grad()
def test_features_are_of_the_layer_pooled_as_asked(networks, loaders, parts, images):
    outputs = gather(networks, loaders, parts)
    plain = networks.plain.body.first
    assert list(outputs.plain.activations) == list(outputs.train_features) == [Activation.MEAN, Activation.MAX]
    for how in (Activation.MEAN, Activation.MAX):
        for features, part in ((outputs.plain.activations, "test"), (outputs.train_features, "train")):
            expected = axis_activations(plain(images[part]), how).numpy()
            np.testing.assert_allclose(features[how], expected, atol=1e-6)
    axes = networks.whitened.body.first.whitening(networks.whitened.body.first.module(images["test"]))
    assert list(outputs.whitened.activations) == list(Activation)
    for how, activations in outputs.whitened.activations.items():
        np.testing.assert_allclose(activations, axis_activations(axes, how).numpy(), atol=1e-5)


@torch.no_grad()
def test_concept_outputs_are_those_of_the_head(networks, loaders, parts, images):
    head = networks.auxiliary.eval().concept_head
    expected = head.pool(head(networks.auxiliary.body.first(images["test"])))
    outputs = gather(networks, loaders, parts)
    np.testing.assert_allclose(outputs.auxiliary.concepts, expected.numpy(), atol=1e-6)
    assert np.ptp(outputs.auxiliary.concepts) > 0


def test_a_run_without_an_auxiliary_network_gathers_none(networks, loaders, parts):
    fields = vars(networks) | {"auxiliary": None}
    assert gather(EvaluatedNetworks(**fields), loaders, parts).auxiliary is None


def test_the_residual_is_of_the_images_and_groups_of_its_part(networks, loaders, parts):
    residual = gather(networks, loaders, parts).residual
    for part in ("train", "test"):
        expected = layer_residual(
            networks.whitened,
            networks.whitening,
            getattr(loaders, part),
            groups=getattr(parts, part).groups,
            tracker=Silent(),
            title="",
        )
        assert getattr(residual, part) == expected
        assert expected.low < expected.value < expected.high
    assert (residual.train.n, residual.test.n) == (10, 6)
    assert residual.test.value != pytest.approx(residual.train.value, rel=0.05), "test images vary twice as much"


def test_test_images_are_averaged_over_turns_and_the_residual_is_not(networks, loaders, parts):
    upright, turned = gather(networks, loaders, parts), gather(networks, loaders, parts, turns=4)
    for name, layer in (("plain", networks.layer), ("whitened", networks.whitening), ("auxiliary", networks.layer)):
        expected = layer_outputs(
            getattr(networks, name), layer, loaders.test, turns=4, tracker=Silent(), title=""
        ).probabilities
        np.testing.assert_allclose(getattr(turned, name).probabilities, expected, atol=1e-6)
        assert not np.allclose(getattr(upright, name).probabilities, expected)
    assert turned.residual == upright.residual


def test_layers_are_gathered_only_where_there_are_several(networks, loaders, parts):
    assert gather(networks, loaders, parts).layers == {}
    insert_after(networks.whitened, "body.third", concepts=("streaks",), activation=Activation.MAX)
    layers = gather(networks, loaders, parts).layers
    expected = activations_by_layer(networks.whitened, loaders.test, tracker=Silent(), title="")
    assert list(layers) == ["body.first", "body.third"]
    for name, activations in layers.items():
        assert activations.shape == (6, 1)
        np.testing.assert_array_equal(activations, expected[f"{name}.whitening"])
