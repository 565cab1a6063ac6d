import pytest
import torch
from torch import nn

from pipeline.config import ModelSettings
from pipeline.models.backbones import build_backbone
from pipeline.training.alignment import align
from pipeline.whitening.fold import ChannelMap, fold_concept_whitening
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.surgery import insert_after, replace_norm, whitening_layers


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network(channels=8):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
        nn.Conv2d(channels, channels, 3, groups=channels), nn.BatchNorm2d(channels), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 6), nn.BatchNorm1d(6), nn.Linear(6, 2),
    )  # fmt: skip


def whitened(operation, name, **options):
    made = network()
    made.train()(draw(16, 3, 12, 12))
    operation(made, name, concepts=["a", "b"], **options)
    labels = torch.arange(16).remainder(3)[:, None].eq(torch.arange(2)).float()
    align(made, [{"image": draw(16, 3, 12, 12), "concepts": labels}])
    return made.eval()


def assert_same_function(network, other, x):
    expected = network(x)
    assert (other(x) - expected).abs().max() <= 1e-5 * expected.abs().max()


SURGERIES = [
    (replace_norm, "1", {}),
    (replace_norm, "4", {}),
    (replace_norm, "9", {}),
    (insert_after, "1", {}),
    (insert_after, "0", {}),
    (insert_after, "3", {}),
    (insert_after, "2", {"num_features": 8}),
    (insert_after, "8", {}),
    (insert_after, "4", {"tied": True}),
]


@pytest.mark.parametrize(("operation", "name", "options"), SURGERIES)
def test_folded_is_unfolded(operation, name, options):
    made = whitened(operation, name, **options)
    folded = fold_concept_whitening(made)
    assert not whitening_layers(folded)
    assert not any(isinstance(module, ConceptWhitening) for module in folded.modules())
    assert whitening_layers(made)
    with torch.no_grad():
        assert_same_function(made, folded, draw(5, 3, 12, 12, seed=1))


@pytest.mark.parametrize(("operation", "name", "options"), SURGERIES)
def test_activations_as_a_second_output(operation, name, options):
    made = whitened(operation, name, **options)
    (layer,) = whitening_layers(made).values()
    kept = []
    layer.register_forward_hook(lambda module, _, z: kept.append(module.pool(z)))
    x = draw(5, 3, 12, 12, seed=1)
    with torch.no_grad():
        folded = fold_concept_whitening(made, activations=True)
        expected = made(x)
        output, activations = folded(x)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(activations, kept[-1], rtol=1e-4, atol=1e-4)


def test_what_the_convolution_can_take_leaves_nothing_behind():
    for operation, name in ((replace_norm, "1"), (insert_after, "1"), (insert_after, "0")):
        folded = fold_concept_whitening(whitened(operation, name))
        assert not any(isinstance(module, ChannelMap) for module in folded.modules())
    depthwise = fold_concept_whitening(whitened(replace_norm, "4"))
    assert sum(isinstance(module, ChannelMap) for module in depthwise.modules()) == 1


@pytest.mark.parametrize(("operation", "layer"), [(replace_norm, "layer4.1.bn1"), (insert_after, "layer3")])
def test_residual_networks(operation, layer):
    torch.manual_seed(0)
    made = build_backbone(ModelSettings(architecture="resnet18", width=0.25), 3).network
    made.train()(draw(4, 3, 64, 64))
    operation(made, layer, concepts=["a"])
    align(made.eval(), [{"image": draw(4, 3, 64, 64), "concepts": torch.tensor([[1.0], [0], [1], [0]])}])
    with torch.no_grad():
        assert_same_function(made, fold_concept_whitening(made), draw(2, 3, 64, 64, seed=1))
