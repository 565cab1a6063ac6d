"""Weights files: what fits is loaded, what does not is listed, another network's file is refused whole."""

import pickle
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from concepts.errors import WeightsError
from pipeline.config import ModelSettings
from pipeline.models.backbones import build_backbone
from pipeline.models.weights import load_weights

PLANES = (64, 128, 256, 512)


def build(name, num_classes=3, width=None):
    # Not initialised, which would take most of the time: the values come from the file.
    with torch.device("meta"):
        network = build_backbone(ModelSettings(architecture=name, width=width), num_classes).network
    return network.to_empty(device="cpu")


def norm_entries(prefix, channels):
    values = {key: torch.rand(channels) for key in ("weight", "bias", "running_mean", "running_var")}
    return {f"{prefix}.{key}": value for key, value in values.items()} | {
        f"{prefix}.num_batches_tracked": torch.tensor(7)
    }


def torchvision_resnet(layers):
    """The state dict that torchvision's basic-block ResNets have, written from its naming and not from our network."""
    state = {"conv1.weight": torch.rand(64, 3, 7, 7)} | norm_entries("bn1", 64)
    inputs = 64
    for stage, (count, planes) in enumerate(zip(layers, PLANES, strict=True), 1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            state[f"{name}.conv1.weight"] = torch.rand(planes, inputs, 3, 3)
            state[f"{name}.conv2.weight"] = torch.rand(planes, planes, 3, 3)
            state |= norm_entries(f"{name}.bn1", planes) | norm_entries(f"{name}.bn2", planes)
            if inputs != planes:
                state[f"{name}.downsample.0.weight"] = torch.rand(planes, inputs, 1, 1)
                state |= norm_entries(f"{name}.downsample.1", planes)
            inputs = planes
    return state | {"fc.weight": torch.rand(1000, 512), "fc.bias": torch.rand(1000)}


def torchvision_densenet121(*, old):
    """Torchvision's DenseNet121, as its module names it or, ``old``, as its published file does (``norm.1``)."""
    dot = "." if old else ""
    state = {"features.conv0.weight": torch.rand(64, 3, 7, 7)} | norm_entries("features.norm0", 64)
    channels = 64
    for stage, count in enumerate((6, 12, 24, 16), 1):
        for layer in range(1, count + 1):
            name = f"features.denseblock{stage}.denselayer{layer}"
            state |= norm_entries(f"{name}.norm{dot}1", channels) | norm_entries(f"{name}.norm{dot}2", 128)
            state[f"{name}.conv{dot}1.weight"] = torch.rand(128, channels, 1, 1)
            state[f"{name}.conv{dot}2.weight"] = torch.rand(32, 128, 3, 3)
            channels += 32
        if stage < 4:
            name = f"features.transition{stage}"
            state |= norm_entries(f"{name}.norm", channels)
            state[f"{name}.conv.weight"] = torch.rand(channels // 2, channels, 1, 1)
            channels //= 2
    state |= norm_entries("features.norm5", channels)
    return state | {"classifier.weight": torch.rand(1000, channels), "classifier.bias": torch.rand(1000)}


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Flatten())


def assert_one_line(caught, *parts):
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_a_torchvision_resnet_loads_but_for_its_head(tmp_path):
    state, network = torchvision_resnet((2, 2, 2, 2)), build("resnet18")
    save_file(state, tmp_path / "resnet18.safetensors")
    report = load_weights(network, tmp_path / "resnet18.safetensors")
    assert set(report.dropped) == set(report.missing) == {"fc.weight", "fc.bias"}
    loaded = network.state_dict()
    body = [name for name in state if not name.startswith("fc.") and not name.endswith("num_batches_tracked")]
    assert set(report.loaded) == set(body)
    assert all(torch.equal(loaded[name], state[name]) for name in body)


@pytest.mark.parametrize("old", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_torchvision_densenet_loads_in_both_spellings(tmp_path, old):
    state, network = torchvision_densenet121(old=old), build("densenet121")
    torch.save(state, tmp_path / "densenet121.pth")
    report = load_weights(network, tmp_path / "densenet121.pth")
    assert set(report.dropped) == {"classifier.weight", "classifier.bias"}
    assert set(report.missing) == {"class_layers.out.weight", "class_layers.out.bias"}
    layer = network.features.denseblock3.denselayer7.layers
    name = "features.denseblock3.denselayer7." + ("norm.2" if old else "norm2")
    assert torch.equal(layer.norm2.running_var, state[f"{name}.running_var"])


@pytest.mark.slow
def test_a_densenets_head_of_the_same_size_is_loaded(tmp_path):
    state, network = torchvision_densenet121(old=False), build("densenet121", 1000)
    save_file(state, tmp_path / "densenet121.safetensors")
    report = load_weights(network, tmp_path / "densenet121.safetensors")
    assert report.dropped == report.missing == ()
    assert torch.equal(network.class_layers.out.bias, state["classifier.bias"])


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_wrappers_are_taken_off(tmp_path, wrap, prefix):
    source, target = small(), small()
    state = {prefix + name: tensor for name, tensor in source.state_dict().items()}
    torch.save(wrap(state), tmp_path / "w.pt")
    report = load_weights(target, tmp_path / "w.pt")
    assert report.dropped == report.missing == ()
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))


@pytest.mark.parametrize(("file", "ours"), [((3, 4, 6, 3), "resnet18"), ((2, 2, 2, 2), "resnet34")])
def test_a_deeper_or_shallower_network_of_the_same_names_is_refused(tmp_path, file, ours):
    network = build(ours)
    for tensor in network.state_dict().values():
        tensor.zero_()
    save_file(torchvision_resnet(file), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="weights of another network") as caught:
        load_weights(network, tmp_path / "other.safetensors")
    assert_one_line(caught, "other.safetensors", "absent", "model.architecture")
    assert not any(tensor.any() for tensor in network.state_dict().values())


def test_another_width_is_refused_with_both_shapes(tmp_path):
    save_file(torchvision_resnet((2, 2, 2, 2)), tmp_path / "wide.safetensors")
    with pytest.raises(WeightsError, match="weights of another network: 0 of the") as caught:
        load_weights(build("resnet18", width=0.5), tmp_path / "wide.safetensors")
    assert_one_line(caught, "conv1.weight", "(32, 3, 7, 7)", "(64, 3, 7, 7)", "model.width")


def test_one_clash_in_the_body_is_enough_to_refuse(tmp_path):
    state = torchvision_resnet((2, 2, 2, 2)) | {"layer4.1.bn2.weight": torch.rand(511)}
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError, match=re.escape("layer4.1.bn2.weight, is (512,) in the network and (511,)")):
        load_weights(build("resnet18"), tmp_path / "odd.safetensors")


class Trap:
    def __reduce__(self):
        return (print, ("the trap sprang",))


def write_truncated(path):
    save_file(small().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("absent.pt", lambda path: None),
        ("trap.pt", lambda path: torch.save({"a": Trap()}, path)),
        ("plain.pth", lambda path: path.write_bytes(pickle.dumps({"a": Trap()}, protocol=2))),
        ("text.pt", lambda path: path.write_text("not weights")),
        ("empty.pt", lambda path: path.write_bytes(b"")),
        ("empty.safetensors", lambda path: path.write_bytes(b"")),
        ("cut.safetensors", write_truncated),
        ("numbers.pt", lambda path: torch.save({"a": 1.0}, path)),
        ("list.pt", lambda path: torch.save([torch.zeros(1)], path)),
    ],
)
def test_unusable_files_are_refused_in_one_line(tmp_path, capsys, name, write):
    write(tmp_path / name)
    with pytest.raises(WeightsError) as caught:
        load_weights(small(), tmp_path / name)
    assert_one_line(caught, name)
    assert "sprang" not in capsys.readouterr().out
