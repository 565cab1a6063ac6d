"""The exported ONNX file gives what the unfolded network gives, and says what its numbers mean."""

import json
import sys

import numpy as np
import pytest
import torch

from concepts.errors import DermaxisError, RunError
from pipeline.config import RunSettings, dump_settings
from pipeline.export import onnx as export
from pipeline.export.classifier import OneTensorClassifier, load_classifier
from pipeline.export.onnx import export_onnx, largest_difference
from pipeline.models.checkpoint import ModelDescription, build_network, load_model, save_model
from pipeline.run.folder import RunFolder, open_run
from pipeline.whitening.surgery import whitening_layers

CLASSES = ("melanoma", "nevus", "seborrheic_keratosis")
CONCEPTS = ("streaks", "globules")
SIZE = 64


def describe(**whitening) -> ModelDescription:
    return ModelDescription(
        architecture="resnet18",
        width=0.125,
        classes=CLASSES,
        size=SIZE,
        fit="squash",
        margin=4,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.25, 0.3),
        whitening={"layer": "layer3", "placement": "insert", "activation": "pool_max", "concepts": CONCEPTS}
        | whitening,
    )


def write_run(folder, description) -> RunFolder:
    folder.mkdir()
    torch.manual_seed(0)
    network = build_network(description)
    for layer in whitening_layers(network).values():
        channels = layer.num_features
        factor = torch.randn(3 * channels, channels) / channels**0.5
        layer.set_statistics(torch.randn(channels), factor.mT @ factor)
        layer.set_rotation(torch.linalg.qr(torch.randn(channels, channels)).Q)
    run = RunFolder(folder)
    run.write_text("settings.yaml", dump_settings(RunSettings()))
    save_model(folder / "model", network, description)
    return run


def images(count):
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(count))


@torch.no_grad()
def unfolded_outputs(run, batch):
    """Logits, probabilities and concept activations by the network as it was trained."""
    network, description = load_model(run.path / "model")
    (layer,) = whitening_layers(network).values()
    seen = []
    layer.register_forward_hook(lambda module, _, z: seen.append(module.pool(z)))
    mean, std = (torch.tensor(values)[:, None, None] for values in (description.mean, description.std))
    logits = network((batch - mean) / std)
    return logits, logits.softmax(dim=1), seen[0]


def assert_close(outputs, expected, *, within=1e-4):
    for output, tensor in zip(outputs, expected, strict=True):
        scale = max(1.0, float(tensor.abs().max()))
        np.testing.assert_allclose(np.asarray(output), tensor.numpy(), rtol=0, atol=within * scale)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunFolder:
    return write_run(tmp_path_factory.mktemp("onnx") / "run", describe())


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """The file; made once, for the export takes seconds."""
    for package in export.PACKAGES:
        pytest.importorskip(package)
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export_onnx(run.path, path)
    return path


@pytest.mark.parametrize("placement", ["insert", "replace"])
@pytest.mark.parametrize("activation", ["mean", "pool_max"])
def test_the_classifier_gives_what_the_unfolded_network_gives(tmp_path, placement, activation):
    layer = "layer4.1.bn1" if placement == "replace" else "layer3"
    made = write_run(tmp_path / "run", describe(placement=placement, layer=layer, activation=activation))
    classifier, description = load_classifier(made)
    batch = images(3)
    expected = unfolded_outputs(made, batch)
    assert not whitening_layers(classifier)
    with torch.no_grad():
        outputs = classifier(batch)
        joined = OneTensorClassifier(classifier.network, mean=description.mean, std=description.std)(batch)
    assert_close(outputs, expected, within=1e-5)
    assert_close([joined], [torch.cat(expected[1:], dim=1)], within=1e-5)


@pytest.mark.slow
def test_onnxruntime_gives_what_the_unfolded_network_gives(run, exported):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported))
    assert [tensor.name for tensor in session.get_inputs()] == ["image"]
    assert [tensor.name for tensor in session.get_outputs()] == ["logits", "probabilities", "concept_activations"]
    for count in (1, 5):
        outputs = session.run(None, {"image": images(count).numpy()})
        assert_close(outputs, unfolded_outputs(run, images(count)))


@pytest.mark.slow
def test_the_file_says_what_its_numbers_mean(run, exported):
    import onnx

    properties = {entry.key: entry.value for entry in onnx.load(exported).metadata_props}
    assert json.loads(properties["classes"]) == list(CLASSES)
    assert json.loads(properties["concepts"]) == list(CONCEPTS)
    assert json.loads(properties["preprocessing"])["size"] == SIZE
    assert properties["run"] == run.id
    assert "Not a medical device" in properties["intended_use"]


@pytest.mark.slow
def test_a_difference_from_pytorch_is_noticed(run, exported):
    classifier, _ = load_classifier(run)
    assert largest_difference(classifier, exported, size=SIZE) <= export.TOLERANCE
    classifier.mean += 0.01
    assert largest_difference(classifier, exported, size=SIZE) > export.TOLERANCE


def test_a_file_that_differs_does_not_appear(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "check_packages", lambda _: None)
    monkeypatch.setattr(export, "_write", lambda classifier, size, path: path.write_bytes(b"graph"))
    monkeypatch.setattr(export, "_describe", lambda path, properties: None)
    for difference in (1.0, float("nan")):
        monkeypatch.setattr(export, "largest_difference", lambda *_, size, difference=difference: difference)
        with pytest.raises(DermaxisError, match="differs from PyTorch"):
            export_onnx(run.path, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_with_its_extra(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(export, "PACKAGES", ("onnxruntime",))
    with pytest.raises(DermaxisError, match=r"onnxruntime: pip install 'dermaxis\[onnx\]'"):
        export_onnx(run.path, tmp_path / "model.onnx")


def test_what_cannot_be_exported_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "check_packages", lambda _: None)
    with pytest.raises(RunError, match="no run folder"):
        export_onnx(tmp_path / "none", tmp_path / "model.onnx")
    unfinished = write_run(tmp_path / "unfinished.partial", describe())
    with pytest.raises(RunError, match=r"unfinished.*--resume"):
        export_onnx(unfinished.path, tmp_path / "model.onnx")
    nameless = write_run(tmp_path / "nameless", describe(concepts=()))
    with pytest.raises(RunError, match="no axis with the name of a concept"):
        export_onnx(nameless.path, tmp_path / "model.onnx")
    with pytest.raises(DermaxisError, match="a file in a folder that exists"):
        export_onnx(run.path, tmp_path / "nowhere" / "model.onnx")
    assert open_run(run.path).is_whole
