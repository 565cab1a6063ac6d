"""A run's network opened for single images: what it says of one is what the run says of it."""

from dataclasses import replace
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from fake_cases import made_axis, made_reference, made_release
from fake_networks import MadeNetwork
from PIL import Image

from concepts.errors import RunError, SettingsError
from concepts.example import Polarity
from concepts.image_record import ImageRecord
from concepts.release import write_release
from pipeline.choices import Activation
from pipeline.config import dump_settings, parse_overrides
from pipeline.explanation.cases import network as case_network
from pipeline.explanation.cases import suspect as suspect_stage
from pipeline.explanation.cases.contributions import MOST_EXACT
from pipeline.explanation.cases.files import picture_file, read_case
from pipeline.explanation.cases.index import read_index
from pipeline.explanation.cases.network import KnownImage, explain_image, open_case_network
from pipeline.explanation.cases.reference import ExampleReference, StageReference
from pipeline.explanation.cases.suspect import FEWEST, probability, suspect
from pipeline.explanation.explained_network import CutNetwork
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Silent
from pipeline.run.seeds import Stream, random_generator
from pipeline.whitening.layer import ConceptWhitening

CONCEPTS = ("red", "green")
SETTINGS = parse_overrides(["transforms.size=32", "transforms.margin=4", "seed=5", "model.activation=mean"])
WEIGHTS = [[4.0, -2.0, 1.0], [0.0, 1.0, 0.0]]
"""An image's three channels are taken for axes: red and green are named, blue is free."""
COLOURS = {"a": (200, 40, 90), "b": (20, 220, 10), "c": (120, 120, 120)}


def paint(folder, name, colour):
    path = folder / f"{name}.png"
    Image.new("RGB", (40, 40), colour).save(path)
    return path


def axes(**more):
    return [made_axis(concept, activations=tuple(np.linspace(0, 1, 5)), **more) for concept in CONCEPTS]


def examples_of(colours):
    return tuple(
        ExampleReference(
            image_id=image_id,
            diagnosis=diagnosis,
            shows=(),
            activations=tuple(channel / 255 for channel in colours[image_id][:2]),
        )
        for image_id, diagnosis in (("b", "nevus"), ("c", "melanoma"))
    )


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "small-20260101-000000")
    folder.path.mkdir()
    paths = {name: paint(tmp_path, name, colour) for name, colour in COLOURS.items()}
    rows = [
        f"{name},{paths[name]},{diagnosis}"
        for name, diagnosis in zip("abc", ("melanoma", "nevus", "melanoma"), strict=True)
    ]
    folder.write_text("samples.csv", "\n".join(["image_id,path,diagnosis", *rows, ""]))
    folder.write_text("split.csv", "image_id,part,group\nc,train,3\na,test,1\n")
    folder.write_text("settings.yaml", dump_settings(SETTINGS))
    folder.write(made_reference(axes(), 3, examples=examples_of(COLOURS)))
    polarities = {
        ("red", "a"): Polarity.PRESENT,
        ("green", "a"): Polarity.ABSENT,
        ("green", "b"): Polarity.PRESENT,
        ("red", "c"): Polarity.UNMARKED,
    }
    write_release(made_release(polarities, CONCEPTS), folder.file("release.json"))
    return folder


@pytest.fixture
def stored(monkeypatch):
    """The network that every run folder of a test holds; its units are shares of 255."""
    description = SimpleNamespace(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    monkeypatch.setattr(case_network, "load_model", lambda stem: (MadeNetwork(WEIGHTS, CONCEPTS).train(), description))
    monkeypatch.setattr(case_network, "main_layer", lambda module, description: "layer")


@pytest.fixture
def network(run, stored):
    return open_case_network(run.path, roots=[run.path.parent])


def means_of(name):
    return np.array(COLOURS[name]) / 255


def test_an_image_is_seen_as_the_network_of_the_run_sees_it(network):
    image = network.open_image(network.decode(network.path_of("a")))
    assert image.maps.shape == (3, 32, 32)
    np.testing.assert_allclose(image.maps.mean(dim=(1, 2)), means_of("a"), atol=1e-3)
    np.testing.assert_allclose(image.logits, np.array(WEIGHTS) @ means_of("a"), atol=1e-2)
    assert network.decode(network.path_of("a")).shape == (36, 36, 3)


def test_switching_a_concept_off_runs_the_tail_with_its_axis_at_its_reference(network):
    image = network.open_image(network.decode(network.path_of("a")))
    calibration = network.reference.calibration

    def expected(means):
        return dict(zip(("melanoma", "nevus"), calibration.probabilities([np.array(WEIGHTS) @ means])[0], strict=True))

    means = means_of("a")
    assert network.what_if(image, ()) == pytest.approx(expected(means), abs=1e-3)
    assert network.what_if(image, ["red"]) == pytest.approx(expected(means * [0, 1, 1]), abs=1e-3)
    assert network.what_if(image, ["green"]) == pytest.approx(expected(means * [1, 0, 1]), abs=1e-3)
    assert network.what_if(image, ["green", "red"]) == pytest.approx(expected(means * [0, 0, 1]), abs=1e-3)
    assert sum(network.what_if(image, ["green"]).values()) == pytest.approx(1)
    np.testing.assert_allclose(image.maps.mean(dim=(1, 2)), means, atol=1e-3)
    absent = replace(network, reference=made_reference(axes(absent=(0.5,) * 32 * 32), 3))
    assert absent.what_if(image, ["red"]) == pytest.approx(expected([0.5, *means[1:]]), abs=1e-3)


def test_images_are_read_only_from_where_the_caller_says(run, stored):
    with pytest.raises(RunError, match=r"samples.csv names an image outside .* data.root=FOLDER"):
        open_case_network(run.path).path_of("a")
    assert open_case_network(run.path, paths=[f"data.root={run.path.parent}"]).path_of("a").is_file()


def test_a_concept_without_an_axis_cannot_be_switched_off(network):
    image = network.open_image(network.decode(network.path_of("a")))
    with pytest.raises(SettingsError, match=r"blue, veil: no such axis; the named axes are red, green"):
        network.what_if(image, ["veil", "red", "blue"])


def test_an_image_of_the_cohort_is_explained_with_all_that_is_known_of_it(run, stored):
    image_id, file = explain_image(run.path, "a", paths=[f"data.root={run.path.parent}"])
    case = read_case(run, "a")
    assert (image_id, file) == ("a", run.file("cases/a.json"))
    assert (case.part, case.reference) == ("test", "melanoma")
    assert [concept.label for concept in case.concepts] == [True, False]
    assert case.call == "melanoma"
    assert [example.image_id for example in case.supporting] == ["c"]
    assert [example.image_id for example in case.opposing] == ["b"]
    assert case.digest == sha256((run.path.parent / "a.png").read_bytes()).hexdigest()
    assert [row.image_id for row in read_index(run)] == ["a"]
    for name in COLOURS:
        with Image.open(run.file(picture_file(name))) as picture:
            assert picture.size == (32, 32)
            np.testing.assert_allclose(np.asarray(picture).mean(axis=(0, 1)), COLOURS[name], atol=3)
    brightness = next(entry for entry in case.quality if entry.measure == "brightness")
    assert brightness.value == pytest.approx(np.dot((0.299, 0.587, 0.114), COLOURS["a"]), abs=0.5)


def test_an_image_without_a_part_has_none(run, stored):
    explain_image(run.path, "b", paths=[f"data.root={run.path.parent}"])
    case = read_case(run, "b")
    assert (case.part, case.reference) == (None, "nevus")
    assert [concept.label for concept in case.concepts] == [None, True]


def test_a_file_is_called_by_its_name_and_content(run, stored, tmp_path):
    path = paint(tmp_path, "from elsewhere", COLOURS["a"])
    digest = sha256(path.read_bytes()).hexdigest()
    image_id, _ = explain_image(run.path, str(path), paths=[f"data.root={run.path.parent}"])
    assert image_id == f"from elsewhere-{digest[:8]}"
    case = read_case(run, image_id)
    assert (case.part, case.reference, case.digest) == (None, None, digest)
    assert {concept.label for concept in case.concepts} == {None}
    with pytest.raises(RunError, match="neither an image of this run's cohort nor a file"):
        explain_image(run.path, str(tmp_path / "absent.png"))


def test_pictures_of_examples_are_written_only_where_they_are_missing(network):
    for name in ("a", "b"):
        network.run.file("cases").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(network.run.file(picture_file(name)))
    network.explain(network.path_of("a"), KnownImage(image_id="a"))
    sizes = {}
    for name in COLOURS:
        with Image.open(network.run.file(picture_file(name))) as picture:
            sizes[name] = picture.size
    assert sizes == {"a": (32, 32), "b": (8, 8), "c": (32, 32)}


def test_draws_depend_on_the_seed_and_the_image_alone(network, monkeypatch):
    drawn = []

    def explain(case, *arguments, generator, **more):
        drawn.append((case.digest, generator.random()))
        return explain_case(case, *arguments, generator=generator, **more)

    explain_case = case_network.explain_case
    monkeypatch.setattr(case_network, "explain_case", explain)
    for name in ("a", "b", "a"):
        network.explain(network.path_of(name), KnownImage(image_id=name))
    assert drawn == [
        (digest, random_generator(5, Stream.SINGLE_CASE, int(digest[:8], 16)).random()) for digest, _ in drawn
    ]
    assert drawn[0] == drawn[2]
    assert drawn[0] != drawn[1]
    assert len(CONCEPTS) + 1 <= MOST_EXACT, "two axes are exact: no draw changes them"


class TwoLayers(MadeNetwork):
    """A network with a lower whitened layer that sees the channels in reversed order."""

    def __init__(self) -> None:
        super().__init__(WEIGHTS, CONCEPTS)
        self.low = ConceptWhitening(3, CONCEPTS, activation=Activation.MEAN, eps=0.0).eval()

    def forward(self, images):
        self.low(images.flip(1))
        return super().forward(images)


def test_several_layers_are_read(network):
    stages = tuple(
        StageReference(layer=layer, thresholds=made_axis().thresholds, activations=(0.0, 1.0))
        for layer in ("low", "layer")
    )
    cut = CutNetwork(module=TwoLayers(), layer="layer", turns=1, activation=Activation.MEAN)
    staged = replace(network, cut=cut, reference=made_reference(axes(stages=stages), 3))
    red, green = staged.explain(staged.path_of("a"), KnownImage(image_id="a")).concepts
    assert [stage.activation for stage in red.stages] == pytest.approx([90 / 255, 200 / 255], abs=1e-3)
    assert [stage.activation for stage in green.stages] == pytest.approx([40 / 255, 40 / 255], abs=1e-3)


def test_a_run_that_was_not_explained_says_what_to_do(run, stored):
    run.file("reference.json").unlink()
    with pytest.raises(RunError, match=r"has no reference\.json yet; explain the run first: dermaxis explain"):
        open_case_network(run.path)


def test_an_image_of_another_cohort_is_refused(network):
    with pytest.raises(RunError, match="lesion_x: not an image of this run's cohort"):
        network.path_of("lesion_x")


@pytest.mark.parametrize("unmarked_is_absent", [True, False])
def test_labels_are_what_the_release_says(network, unmarked_is_absent):
    settings = parse_overrides([f"concepts.unmarked_is_absent={unmarked_is_absent}".lower()])
    labels = replace(network, settings=settings).labels_of(["b", "a", "x", "c"])
    unmarked = 0 if unmarked_is_absent else np.nan
    np.testing.assert_array_equal(labels, [[np.nan, 1], [1, 0], [np.nan, np.nan], [unmarked, np.nan]])


def test_the_release_is_read_once_for_hundreds_of_images(network, monkeypatch):
    ids = [f"image_{number:03d}" for number in range(415)]
    concepts = tuple(f"concept_{number}" for number in range(5))
    polarities = {
        (concept, image_id): Polarity.PRESENT if number % 2 else Polarity.ABSENT
        for concept in concepts
        for number, image_id in enumerate(ids[:400])
    }
    write_release(made_release(polarities, concepts), network.run.file("release.json"))
    asked = []
    read_release = case_network.read_release
    monkeypatch.setattr(case_network, "read_release", lambda path: asked.append(path) or read_release(path))
    wide = replace(network, reference=made_reference([made_axis(concept) for concept in concepts], 5))
    labels = wide.labels_of(ids)
    assert labels.shape == (415, 5)
    assert (labels[:400, 0] == np.arange(400) % 2).all()
    assert np.isnan(labels[400:]).all()
    wide.labels_of(ids[:1])
    assert asked == [network.run.file("release.json")]


def colourful(folder, count):
    """Images whose red tells whether the first concept is there; green says nothing of the second."""
    draw = np.random.default_rng(0)
    shows = np.arange(count) % 2 == 0
    red = np.where(shows, 150, 100) + draw.integers(-40, 40, size=count)
    colours = np.stack([red, draw.integers(0, 255, size=count), np.full(count, 30)], axis=1)
    paths = [paint(folder, f"image_{number:03d}", tuple(colour)) for number, colour in enumerate(colours.tolist())]
    return paths, colours / 255, shows


def test_suspicion_is_learnt_on_validation_images_and_given_for_the_set(network, tmp_path, monkeypatch):
    folder = tmp_path / "images"
    folder.mkdir()
    paths, activations, shows = colourful(folder, 60)
    ids = [path.stem for path in paths]
    samples = pd.DataFrame({"path": map(str, paths), "part": ["validation"] * 40 + ["train"] * 20}, index=ids)
    polarities = {
        ("red", name): Polarity.PRESENT if present else Polarity.ABSENT
        for name, present in zip(ids, shows, strict=True)
    }
    polarities |= {("green", name): Polarity.PRESENT for name in ids[: FEWEST - 1]}
    write_release(made_release(polarities, CONCEPTS), network.run.file("release.json"))
    opened = replace(network, samples=samples)
    monkeypatch.setattr(suspect_stage, "open_case_network", lambda path, *, paths: opened)
    new = [
        ImageRecord(id=f"new {path.stem}", digest=sha256(path.read_bytes()).hexdigest(), path=path.name)
        for path in paths[45:50]
    ]
    suspicions = suspect(network.run.path, new, images=folder, tracker=Silent())
    assert suspicions.run == "small-20260101-000000"
    assert suspicions.image_ids == tuple(record.id for record in new)
    np.testing.assert_allclose(suspicions.embeddings, activations[45:50], atol=1e-3)
    assert suspicions.embeddings.dtype == np.float32
    expected = probability(activations[:40, 0], shows[:40].astype(float), activations[45:50, 0])
    np.testing.assert_allclose(suspicions.suspected["red"], expected, atol=1e-3)
    other = probability(activations[:, 0], shows.astype(float), activations[45:50, 0])
    assert not np.allclose(expected, other, atol=1e-3), "with the training images it would be another"
    assert list(suspicions.left_out) == ["green"]
    assert set(suspicions.suspected) == {"red"}


def test_a_case_network_is_cut_and_pooled_as_the_run_was(run, stored):
    run.write_text("settings.yaml", dump_settings(parse_overrides(["model.activation=max", "model.turns=4"])))
    network = open_case_network(run.path)
    assert (network.cut.layer, network.cut.activation, network.cut.turns) == ("layer", Activation.MAX, 4)
    assert network.samples["part"].fillna("none").to_dict() == {"a": "test", "b": "none", "c": "train"}
