import numpy as np
import pytest
import torch
from torch import nn

from pipeline.choices import Activation
from pipeline.evaluation.outputs import layer_outputs, pooled_features
from pipeline.run.progress import Silent
from pipeline.whitening.activation import axis_activations


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(4, 2)

    def forward(self, x):
        skip = self.first(x)
        return self.head((self.relu(self.second(skip)) + skip).mean(dim=(2, 3)))


@pytest.fixture
def images():
    return torch.randn(7, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def batches(images, size):
    return [{"image": part} for part in images.split(size)]


@pytest.mark.parametrize("size", [1, 3, 7])
def test_outputs_are_the_networks_whatever_the_batches(images, size):
    network = Residual()
    outputs = layer_outputs(network, "second", batches(images, size), tracker=Silent(), title="")
    with torch.no_grad():
        torch.testing.assert_close(outputs.logits, network(images))
        torch.testing.assert_close(outputs.maps, network.second(network.first(images)))
        torch.testing.assert_close(outputs.tail(outputs.maps, outputs.rest), outputs.logits)
    np.testing.assert_allclose(outputs.probabilities.sum(axis=1), 1.0)


def test_running_the_tail_leaves_the_maps_alone(images):
    outputs = layer_outputs(Residual(), "second", batches(images, 7), tracker=Silent(), title="")
    before = outputs.maps.clone()
    outputs.tail(outputs.maps, outputs.rest)
    assert torch.equal(outputs.maps, before)
    assert (before < 0).any()


def test_pooled_features_pool_what_the_layer_gave(images):
    network = Residual()
    maps = layer_outputs(network, "second", batches(images, 7), tracker=Silent(), title="").maps
    seen = []
    pooled = pooled_features(
        network,
        "second",
        batches(images, 3),
        activations=tuple(Activation),
        tracker=Silent(),
        title="",
        visit=lambda part, before: seen.append((len(part), before)),
    )
    for activation, features in pooled.items():
        np.testing.assert_allclose(features, axis_activations(maps, activation).numpy(), atol=1e-6)
    assert seen == [(3, 0), (3, 3), (1, 6)]


def test_a_way_of_pooling_that_is_asked_for_twice_is_done_once(images):
    twice = (Activation.MEAN, Activation.MEAN)
    pooled = pooled_features(Residual(), "second", batches(images, 3), activations=twice, tracker=Silent(), title="")
    assert {activation: len(features) for activation, features in pooled.items()} == {Activation.MEAN: len(images)}
