"""The exported bundle is one that MONAI verifies and runs, with the run's own probabilities."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
import torch
from fake_evaluation import UNKNOWN, made_evaluation, made_purity
from monai.bundle import ConfigParser, run, verify_metadata, verify_net_in_out
from PIL import Image

from concepts.errors import DataError, DermaxisError, ImageError, RunError
from concepts.statistics.estimate import Estimate
from pipeline.choices import Fit
from pipeline.config import RunSettings, TransformSettings, dump_settings, parse_overrides
from pipeline.data.decoded import decode_square
from pipeline.data.transforms import eval_transforms
from pipeline.export.bundle import export_bundle
from pipeline.export.inference import NetworkViewReader, PredictionTable, list_images
from pipeline.models.checkpoint import ModelDescription, build_network, load_model, save_model
from pipeline.run.folder import PACKAGES, RunFolder
from pipeline.run.progress import Silent

CLASSES = ("melanoma", "nevus", "seborrheic_keratosis")
CONCEPTS = ("streaks", "globules")
DESCRIPTION = ModelDescription(
    architecture="resnet18",
    width=0.125,
    classes=CLASSES,
    size=48,
    fit="crop",
    margin=5,
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.25, 0.3),
    whitening={"layer": "layer3", "placement": "insert", "activation": "max", "concepts": CONCEPTS},
)
FIGURE = Estimate(0.8, 0.7, 0.9, 50)

# What https://docs.monai.io asks of a bundle's metadata, in the words of JSON Schema; MONAI downloads its own.
TENSOR = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "format": {"type": "string"},
        "num_channels": {"type": "integer"},
        "spatial_shape": {"type": "array", "items": {"type": ["string", "integer"]}},
        "dtype": {"type": "string"},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object"},
    },
    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"],
}
TENSORS = {"type": "object", "minProperties": 1, "additionalProperties": TENSOR}
STRINGS = ("schema", "version", "monai_version", "pytorch_version", "numpy_version", "task", "description", "authors")
STRINGS += ("copyright", "data_source", "data_type", "image_classes", "label_classes", "pred_classes", "intended_use")
OBJECTS = ("changelog", "required_packages_version", "eval_metrics")
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2019-09/schema",
    "type": "object",
    "properties": {name: {"type": "string"} for name in STRINGS}
    | {name: {"type": "object"} for name in OBJECTS}
    | {"references": {"type": "array", "items": {"type": "string"}}}
    | {
        "network_data_format": {
            "type": "object",
            "properties": {"inputs": TENSORS, "outputs": TENSORS},
            "required": ["inputs", "outputs"],
        }
    },
    "required": [*STRINGS, *OBJECTS, "references", "network_data_format"],
}

pytestmark = [
    pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning"),
    pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning"),
    pytest.mark.filterwarnings("ignore:No hash value provided:UserWarning"),
]


def write_run(folder) -> RunFolder:
    folder.mkdir()
    torch.manual_seed(0)
    source = RunFolder(folder)
    source.write_text("settings.yaml", dump_settings(RunSettings()))
    source.write_json("run.json", {"versions": dict.fromkeys(PACKAGES, "1.2.3"), "commit": None, "digests": {}})
    purity = {"streaks": made_purity(FIGURE), "globules": made_purity(UNKNOWN, reason="too few")}
    source.write(made_evaluation(purity, whitened=FIGURE, plain=UNKNOWN))
    source.write_text("samples.csv", "image_id,licence\na,CC0-1.0\nb,CC0-1.0\nc,\n")
    save_model(folder / "model", build_network(DESCRIPTION), DESCRIPTION)
    return source


def write_images(folder, count=3):
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        pixels = generator.integers(0, 256, (60 + 20 * number, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"lesion_{number}.{'jpg' if number else 'png'}")


def run_bundle(bundle, folder):
    """The table that the bundle's own configuration writes, by image name without suffix."""
    configs = bundle / "configs"
    files = {"meta_file": str(configs / "metadata.json"), "config_file": str(configs / "inference.json")}
    run(**files, bundle_root=str(bundle), dataset_dir=str(folder), device="$torch.device('cpu')")
    with (bundle / "eval" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    return rows[0], {row[0].rpartition(".")[0]: [float(value) for value in row[1:]] for row in rows[1:]}


def causes(error):
    """An error and what caused it, down to the first."""
    while error is not None:
        yield error
        error = error.__cause__


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> RunFolder:
    return write_run(tmp_path_factory.mktemp("source") / "run")


@pytest.fixture(scope="module")
def bundle(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    export_bundle(source.path, folder)
    return folder


def test_the_folder_is_laid_out_as_monai_wants_it(bundle):
    files = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}
    assert files >= {"configs/metadata.json", "configs/inference.json", "models/model.pt", "docs/README.md", "LICENSE"}
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]
    assert "Apache License" in (bundle / "LICENSE").read_text(encoding="utf-8")
    card = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    assert "Not a medical device" in card
    assert "0.800 (0.700 to 0.900; n = 50)" in card
    assert "not assessable (n = 12)" in card
    assert "CC0-1.0 (2), not stated (1)" in card


def test_monai_verifies_the_metadata(bundle, tmp_path):
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    verify_metadata(meta_file=str(bundle / "configs" / "metadata.json"), filepath=str(tmp_path / "schema.json"))
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    del metadata["network_data_format"]["outputs"]["pred"]["num_channels"]
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="num_channels"):
        verify_metadata(meta_file=str(tmp_path / "metadata.json"), filepath=str(tmp_path / "schema.json"))


def test_the_channels_are_named_after_classes_and_concepts(bundle):
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert [channels[str(index)].split()[-1] for index in range(5)] == [*CLASSES, *CONCEPTS]
    assert metadata["eval_metrics"]["auc_macro"] == FIGURE.to_json()
    assert metadata["eval_metrics"]["axis_auc_streaks"] == FIGURE.to_json()


def test_monai_verifies_input_and_output(bundle):
    configs = bundle / "configs"
    files = {"meta_file": str(configs / "metadata.json"), "config_file": str(configs / "inference.json")}
    verify_net_in_out("network_def", **files, device="cpu")
    with pytest.raises(ValueError, match="channel number"):
        verify_net_in_out(
            "network_def", **files, device="cpu", **{"_meta_#network_data_format#outputs#pred#num_channels": 4}
        )


def test_the_weights_are_tensors_that_fit_the_network(bundle):
    tensors = torch.load(bundle / "models" / "model.pt", weights_only=True)
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    network = parser.get_parsed_content("network_def")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(tensors)
    assert any(not torch.equal(before[name], tensor) for name, tensor in tensors.items())


def test_the_bundle_gives_what_the_run_gives(source, bundle, tmp_path):
    write_images(tmp_path / "images")
    header, rows = run_bundle(bundle, tmp_path / "images")
    assert header == ["image", *CLASSES, *CONCEPTS]
    network, description = load_model(source.path / "model")
    settings = TransformSettings(size=description.size, margin=description.margin, fit=description.fit)
    transform = eval_transforms(settings, description.mean, description.std)
    assert len(rows) == 3
    for path in (tmp_path / "images").iterdir():
        square = decode_square(path, size=description.size + description.margin, fit=description.fit)
        with torch.no_grad():
            expected = network(transform({"image": square})["image"][None]).softmax(dim=1)[0]
        np.testing.assert_allclose(rows[path.stem][: len(CLASSES)], expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("fit", list(Fit))
@pytest.mark.parametrize("margin", [0, 4, 5])
def test_the_reader_shows_what_the_network_saw(tmp_path, fit, margin):
    write_images(tmp_path / "images", count=2)
    settings = TransformSettings(size=33, margin=margin, fit=fit)
    transform = eval_transforms(settings, (0, 0, 0), (1, 1, 1))
    reader = NetworkViewReader(size=33, margin=margin, fit=fit)
    for path in (tmp_path / "images").iterdir():
        pixels, metadata = reader.get_data(reader.read(path))
        seen = transform({"image": decode_square(path, size=33 + margin, fit=fit)})["image"]
        assert pixels.dtype == np.uint8
        assert metadata["original_channel_dim"] == -1
        np.testing.assert_allclose(pixels.transpose(2, 0, 1) / 255, seen.numpy(), atol=1e-6)


def test_an_image_that_is_broken_stops_the_bundle_with_its_name(bundle, tmp_path):
    write_images(tmp_path / "images", count=1)
    (tmp_path / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises((ImageError, RuntimeError)) as caught:
        run_bundle(bundle, tmp_path / "images")
    assert any("broken.png" in str(cause) for cause in causes(caught.value))
    assert not list(bundle.glob("eval/.*.tmp"))


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        list_images(tmp_path / "none")
    with pytest.raises(DataError, match="no images"):
        list_images(tmp_path)


def test_a_reader_takes_one_file(tmp_path):
    with pytest.raises(ImageError, match="2 files for one image"):
        NetworkViewReader(size=8, margin=0, fit="crop").read(["a.png", "b.png"])


def test_a_table_takes_as_many_numbers_as_columns(tmp_path):
    table = PredictionTable(tmp_path / "new" / "table.csv", ["a", "b"])
    with pytest.raises(DataError, match="3 numbers per image for 2 columns"):
        table.save_batch(torch.zeros(1, 3), {"filename_or_obj": ["x.png"]})
    table.save_batch(torch.tensor([[0.5, 2.0]]), {"filename_or_obj": ["deep/down/x.png"]})
    table.finalize()
    assert (tmp_path / "new" / "table.csv").read_text() == "image,a,b\nx.png,0.5,2.0\n"


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(source, tmp_path):
    with pytest.raises(RunError, match="no run folder"):
        export_bundle(tmp_path / "none", tmp_path / "bundle")
    with pytest.raises(DermaxisError, match="a folder that does not exist"):
        export_bundle(source.path, tmp_path)
    with pytest.raises(DermaxisError, match="inside one that does"):
        export_bundle(source.path, tmp_path / "none" / "bundle")
    for name, match in (("evaluation.json", "evaluation.json"), ("samples.csv", "samples.csv")):
        broken = write_run(tmp_path / f"without_{name}")
        broken.file(name).unlink()
        with pytest.raises(RunError, match=match):
            export_bundle(broken.path, tmp_path / "bundle")
    unevaluated = write_run(tmp_path / "unevaluated")
    unevaluated.write_json("evaluation.json", {"format": 2, "diagnosis": {}})
    with pytest.raises(RunError, match="dermaxis evaluate"):
        export_bundle(unevaluated.path, tmp_path / "bundle")
    assert not list(tmp_path.glob("*bundle*"))


@pytest.mark.slow
def test_a_bundle_of_a_real_run_repeats_its_predictions(tmp_path):
    from pipeline.retrain import retrain

    settings = [
        "data.phantom.images=120",
        "data.phantom.size=64",
        "transforms.size=48",
        "transforms.margin=4",
        "model.width=0.125",
        "training.plain_epochs=1",
        "training.batch_size=16",
        "evaluation.resamples=100",
        f"runs={tmp_path / 'runs'}",
        f"data.cache={tmp_path / 'cache'}",
    ]
    whole = retrain(parse_overrides(settings), tracker=Silent())
    export_bundle(whole.path, tmp_path / "bundle")
    samples = pd.read_csv(whole.file("samples.csv")).set_index("image_id")
    predictions = pd.read_csv(whole.file("predictions.csv"))
    (tmp_path / "images").mkdir()
    for name in predictions.image_id:
        path = samples.path[name]
        (tmp_path / "images" / path.rpartition("/")[2]).symlink_to(path)
    header, rows = run_bundle(tmp_path / "bundle", tmp_path / "images")
    assert len(rows) == len(predictions)
    for row in predictions.to_dict("records"):
        for index, name in enumerate(header[1:4]):
            assert rows[row["image_id"]][index] == pytest.approx(row[f"whitened_{name}"], abs=1e-4)
