"""MobileNet v1: TensorFlow's padding at every size, the published keys, and weights that suit real images."""

import math

import pytest
import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional

from pipeline.images.reader import read_image
from pipeline.models.mobilenet import MobileNetV1, SameConv2d
from pipeline.models.weights import load_weights


def padded_by_definition(x, weight, stride):
    total = [max((math.ceil(side / stride) - 1) * stride + 3 - side, 0) for side in x.shape[2:]]
    (top, bottom), (left, right) = ((pixels // 2, pixels - pixels // 2) for pixels in total)
    return functional.conv2d(functional.pad(x, (left, right, top, bottom)), weight, stride=stride)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 7), (8, 8), (7, 8), (8, 11), (1, 2)])
def test_padding_is_tensorflows_same(size, stride):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, *size, generator=generator)
    conv = SameConv2d(4, 6, stride=stride)
    torch.testing.assert_close(conv(x), padded_by_definition(x, conv.weight, stride))


@pytest.mark.parametrize("size", [32, 33, 47, 64])
def test_maps_are_a_thirty_second_rounded_up_at_each_halving(size):
    maps = torch.zeros(1, 3, size, size)
    network = MobileNetV1(3, width=0.25).eval()
    with torch.no_grad():
        maps = network.blocks(network.stem(maps))
    expected = size
    for _ in range(5):
        expected = math.ceil(expected / 2)
    assert maps.shape == (1, 256, expected, expected)


def test_batched_equals_one_by_one_and_channels_last():
    network = MobileNetV1(3, width=0.25).eval()
    x = torch.randn(3, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        batched = network(x)
        torch.testing.assert_close(batched, torch.cat([network(image[None]) for image in x]), atol=1e-5, rtol=1e-4)
        last = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(batched, last, atol=1e-5, rtol=1e-4)


def test_a_narrow_network_keeps_eight_channels():
    assert MobileNetV1(3, width=0.01).stem.conv.out_channels == 8


@pytest.mark.data
class TestPublishedWeights:
    @pytest.fixture
    def path(self, data_folder):
        path = data_folder.parent / "weights" / "mobilenet_v1_075_imagenet.safetensors"
        if not path.is_file():
            pytest.skip(f"{path} is absent")
        return path

    def test_they_fit_to_the_last_tensor(self, path):
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
        report = load_weights(MobileNetV1(1000), path)
        assert set(report.loaded) == names
        assert report.dropped == report.missing == ()

    def test_another_number_of_classes_drops_the_head_alone(self, path):
        report = load_weights(MobileNetV1(3), path)
        assert set(report.dropped) == set(report.missing) == {"classifier.weight", "classifier.bias"}

    def test_real_images_reach_every_norm_nearly_standardised(self, path, data_folder):
        network = MobileNetV1(1000)
        load_weights(network, path)
        folder = data_folder / "isic2018" / "ISIC2018_Task1-2_Training_Input"
        ratios = {}

        def record(name):
            def hook(norm, inputs):
                variance = inputs[0].var(dim=(0, 2, 3)) / (norm.running_var + norm.eps)
                ratios[name] = float(variance.median())

            return hook

        for name, module in network.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                module.register_forward_pre_hook(record(name))
        images = [torch.tensor(read_image(file)).permute(2, 0, 1) for file in sorted(folder.glob("*.jpg"))[:8]]
        batch = torch.cat([functional.interpolate(image[None] / 127.5 - 1, size=(224, 224)) for image in images])
        with torch.no_grad():
            network.eval()(batch)
        assert len(ratios) == 27
        assert all(0.05 < ratio < 5 for ratio in ratios.values()), ratios
