import pytest
import torch
from torch import nn

from pipeline.config import ModelSettings
from pipeline.models.backbones import build_backbone
from pipeline.training.alignment import align
from pipeline.whitening.errors import WhiteningError
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.surgery import insert_after, replace_norm, turn, whitening_layers


def images(count=6, size=64, seed=0):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def batches(k, seed=0):
    labels = torch.randint(0, 2, (6, k), generator=torch.Generator().manual_seed(seed)).float()
    return [{"image": images(seed=seed), "concepts": labels}]


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    ("architecture", "layer"),
    [("mobilenet_v1", "blocks.5.pointwise.norm"), ("resnet18", "layer4.1.bn1"), ("resnet18", "layer3")],
)
def test_insertion_and_alignment_leave_the_function_alone(architecture, layer, tied):
    torch.manual_seed(0)
    network = build_backbone(ModelSettings(architecture=architecture, width=0.25), 3).network
    network.train()(images())
    before = network.eval()(images(2, seed=1))
    insert_after(network, layer, concepts=["a", "b"], tied=tied)
    assert (network(images(2, seed=1)) - before).abs().max() <= 1e-4
    align(network, batches(2))
    assert (network(images(2, seed=1)) - before).abs().max() <= 1e-4
    assert (whitening_layers(network)[f"{layer}.whitening"].rotation - torch.eye(1)).abs().max() > 0.01


def test_turning_an_inserted_layer_leaves_the_function_alone_even_after_training():
    network = small_network()
    whitened = insert_after(network, "1", concepts=["a"])
    network.train()(images(4, 16))
    with torch.no_grad():
        whitened.readout.weight.add_(0.1)
    before = network.eval()(images(2, 16))
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(3)))[0]
    turn(network, whitened.whitening, rotation)
    torch.testing.assert_close(network(images(2, 16)), before, atol=1e-5, rtol=1e-4)


def test_a_tied_readout_is_the_identity_in_training():
    network = small_network()
    expected = small_network().train()(images(4, 16))
    insert_after(network, "1", tied=True)
    torch.testing.assert_close(network.train()(images(4, 16)), expected)


def test_a_learned_readout_is_trained_and_its_layer_is_differentiated_through():
    network = small_network()
    whitened = insert_after(network, "1")
    network.train()(images(4, 16)).sum().backward()
    assert whitened.readout.weight.grad.abs().max() > 0
    assert network[0].weight.grad.abs().max() > 0


def test_a_replaced_normalisation_passes_its_statistics_on():
    network = small_network()
    network.train()(images(4, 16))
    norm = replace_norm(network, "1", concepts=["a"])
    layer = network[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(layer, ConceptWhitening)
    x = torch.randn(3, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer.eval()(x), norm.eval()(x), atol=1e-3, rtol=1e-3)
    assert list(whitening_layers(network)) == ["1"]


def test_the_network_stays_as_it_was_where_surgery_is_refused():
    network = small_network()
    with pytest.raises(WhiteningError, match=r"layer '0' is a Conv2d.*1, 5"):
        replace_norm(network, "0")
    with pytest.raises(WhiteningError, match="no such module"):
        insert_after(network, "blocks.99")
    with pytest.raises(WhiteningError, match="channels are not known"):
        insert_after(network, "2")
    replace_norm(network, "1")
    with pytest.raises(WhiteningError, match="whitened already"):
        insert_after(network, "1")
    with pytest.raises(WhiteningError, match="neighbours"):
        insert_after(network, "3")
    assert isinstance(network[3], nn.Conv2d)
    insert_after(network, "5")
    assert list(whitening_layers(network)) == ["1", "5.whitening"]


class Untraceable(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = small_network()

    def forward(self, x):
        return self.body(x) if x.mean() > -100 else x


def test_neighbours_are_refused_in_networks_that_cannot_be_traced():
    network = Untraceable()
    replace_norm(network, "body.1")
    with pytest.raises(WhiteningError, match="neighbours"):
        insert_after(network, "body.3")
    insert_after(network, "body.5")
