"""The driver of the cases: each case is of its own image, and each figure of the part that it says it is of."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_cases import made_release
from fake_evaluation import made_evaluation, made_purity
from fake_networks import (
    CountingTracker,
    MadeNetwork,
    chance,
    made_network,
    made_outputs,
    made_parts,
    made_picture,
)
from fakes import made_data
from PIL import Image
from torch import Tensor

from concepts.example import Polarity
from concepts.statistics.bootstrap import known_mean
from concepts.statistics.estimate import Estimate
from pipeline.choices import Activation
from pipeline.data.splits import Part
from pipeline.explanation.cases import explain_cases as driver
from pipeline.explanation.cases.case import summaries
from pipeline.explanation.cases.concept_states import set_thresholds
from pipeline.explanation.cases.evidence import FEWEST_MASKS
from pipeline.explanation.cases.explain_cases import (
    case_input,
    evidence_widths,
    explain_cases,
    gather_reference,
    point,
    select_cases,
)
from pipeline.explanation.cases.files import picture_file, read_case, save_missing_pictures
from pipeline.explanation.cases.index import read_index
from pipeline.explanation.cases.reference import Reference
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Silent
from pipeline.run.seeds import Stream, random_generator
from pipeline.whitening.layer import ConceptWhitening

CONCEPTS, CLASSES = ("streaks", "globules"), ("melanoma", "nevus")
SIZES = {Part.TRAIN: 36, Part.VALIDATION: 50, Part.TEST: 20}
LISTED = 30
"""Training images of the release; the others lie far away, so that whoever looks at them is noticed."""
WEIGHTS = [[2.0, 0.5, 0.0, 0.3], [0.0, 0.0, 1.0, 0.0]]
LIMIT = 8
PURITY = {
    "streaks": made_purity(Estimate(0.91, 0.8, 0.95, 20), activation="mean"),
    "globules": made_purity(Estimate(0.61, 0.5, 0.7, 20), activation="mean", reason="too few"),
}


class TwoLayers(MadeNetwork):
    """A network with a lower whitened layer that sees the axes in reversed order."""

    def __init__(self, weights, concepts) -> None:
        super().__init__(weights, concepts)
        self.low = ConceptWhitening(len(weights[0]), concepts, activation=Activation.MEAN, eps=0.0).eval()

    def forward(self, images: Tensor) -> Tensor:
        self.low(images.flip(1))
        return super().forward(images)


@dataclass
class Made:
    """A made network and what it was made of."""

    network: object
    images: dict[Part, Tensor]
    release: object
    loads: list[int]


def dealt(part, maps, shift):
    """Images whose concepts go with the named axes, which are shifted by so much in this part."""
    draw = np.random.default_rng([SIZES[part], 1])
    means = maps.mean(dim=(2, 3)).numpy()
    labels = (draw.normal(means[:, :2] - shift, 0.5) > 0).astype(float)
    labels[0, 0] = np.nan
    diagnoses = [CLASSES[int(value < shift)] for value in draw.normal(means[:, 0], 0.3)]
    groups = [f"patient {row // 2}" for row in range(SIZES[part])]
    return made_data(diagnoses, labels, part=part, concepts=CONCEPTS, groups=groups, seed=3, resamples=100)


def listing(image_ids):
    """A release with an example in each of these images."""
    return made_release({("streaks", image_id): Polarity.PRESENT for image_id in image_ids}, CONCEPTS)


def make(module=MadeNetwork, *, source="hand-made", **more) -> Made:
    draw, loads = chance(0), []
    shifts = {Part.TRAIN: 0.0, Part.VALIDATION: 0.3, Part.TEST: -0.6}
    images = {part: 1.5 * draw(size, 4, 3, 3) for part, size in SIZES.items()}
    for part, shift in shifts.items():
        images[part] += draw(SIZES[part], 4, 1, 1) + shift
    images[Part.TRAIN][LISTED:] += 50
    data = {part: dealt(part, images[part], shift) for part, shift in shifts.items()}
    test = replace(data[Part.TEST], samples=tuple(replace(sample, source=source) for sample in data[Part.TEST].samples))
    parts = made_parts(test, train=data[Part.TRAIN], validation=data[Part.VALIDATION])
    release = listing(parts.train.image_ids[:LISTED])
    network = made_network(module(WEIGHTS, CONCEPTS), parts, images, loads=loads, **more)
    return Made(network, images, release, loads)


def plain_network(made):
    """A network of three channels that reads the second."""
    images = {part: 2 * maps[:, [3, 2, 1]] for part, maps in made.images.items()}
    return made_network(MadeNetwork([[0.0, 3.0, 0.0], [0.0, 0.0, 0.0]]), made.network.parts, images)


def explained(made, folder, *, limit=LIMIT, tracker=None):
    run = RunFolder(folder / "small-20260101-000000")
    run.path.mkdir()
    run.write(made_evaluation(PURITY, activation="mean"))
    return run, explain_cases(
        made.network, plain=plain_network(made), release=made.release, limit=limit, run=run, tracker=tracker or Silent()
    )


@pytest.fixture(scope="module")
def made():
    return make()


@pytest.fixture(scope="module")
def result(made, tmp_path_factory):
    return explained(made, tmp_path_factory.mktemp("cases"))


def test_the_reference_is_of_validation_images_and_listed_training_images(made, result):
    run, _ = result
    reference, parts = run.read(Reference), made.network.parts
    means = made.images[Part.VALIDATION].mean(dim=(2, 3)).double().numpy()
    for column, axis in enumerate(reference.axes):
        activations = made.network.validation_outputs(Silent()).activations(Activation.MEAN)[:, column]
        assert axis.thresholds == set_thresholds(activations, parts.validation.concept_labels[:, column])
        assert axis.thresholds.present_above is not None
        assert list(axis.activations) == pytest.approx(sorted(means[:, column]), abs=1e-5)
    assert [example.image_id for example in reference.examples] == parts.train.image_ids[:LISTED]
    assert max(abs(value) for value in reference.scope.mean) < 2, "the images that are not listed lie at 50"
    assert [len(axis.absent) for axis in reference.axes] == [9, 9]
    assert max(abs(value) for axis in reference.axes for value in axis.absent) < 3
    assert (reference.axes[0].auc, reference.axes[1].auc) == (PURITY["streaks"].axis_auc["mean"], None)
    assert reference.release == made.release.digest
    assert reference.quality["brightness"] == pytest.approx(
        sorted(made_picture(sample).mean() for sample in parts.validation.samples)
    )


def test_every_case_is_of_its_own_image(made, result):
    run, _ = result
    test, reference = made.network.parts.test, run.read(Reference)
    rows = select_cases(len(test), limit=LIMIT, seed=3)
    assert [row.image_id for row in read_index(run)] == [test.image_ids[row] for row in rows]
    assert len(list(run.path.glob("cases/*.json"))) == LIMIT
    logits = made.network.module(made.images[Part.TEST]).detach().double().numpy()
    for row in rows:
        case = read_case(run, test.image_ids[row])
        assert (case.reference, case.part, case.digest) == (
            test.samples[row].diagnosis,
            "test",
            test.samples[row].digest,
        )
        probabilities = reference.calibration.probabilities(logits[row][None])[0]
        assert case.call == CLASSES[int(probabilities.argmax())]
        assert case.differential[0].probability == pytest.approx(probabilities.max(), abs=1e-6)
        means = made.images[Part.TEST][row].mean(dim=(1, 2))
        assert [concept.activation for concept in case.concepts] == pytest.approx(means[:2].tolist(), abs=1e-6)
        labels = test.concept_labels[row]
        assert [concept.label for concept in case.concepts] == [
            None if np.isnan(label) else bool(label) for label in labels
        ]
        assert case.run == run.id
        assert {example.diagnosis for example in case.supporting} == {case.call}
        assert all(int(example.image_id[-3:]) < LISTED for example in (*case.supporting, *case.opposing))
        assert [measurement.value for measurement in case.quality if measurement.measure == "brightness"] == [
            pytest.approx(made_picture(test.samples[row]).mean())
        ]


def test_figures_are_over_the_explained_cases_with_their_own_weights(made, result):
    run, figures = result
    test = made.network.parts.test
    rows = select_cases(len(test), limit=LIMIT, seed=3)
    cases = [read_case(run, test.image_ids[row]) for row in rows]
    right = np.array([float(case.call == case.reference) for case in cases])
    assert (figures.cases.n, figures.cases.of) == (LIMIT, SIZES[Part.TEST])
    assert 0 < right.mean() < 1
    assert figures.cases.right == known_mean(right, test.weights[:, rows]).estimate()
    assert figures.cases.right != known_mean(right, test.weights[:, :LIMIT]).estimate()
    out = np.array([float(case.scope.out_of_scope) for case in cases])
    assert figures.cases.out_of_scope.share == known_mean(out, test.weights[:, rows]).estimate()
    assert (figures.pointing, figures.trajectories, figures.planted_cause) == (None, {}, None)


def test_an_image_far_from_the_training_images_is_out_of_scope(tmp_path):
    made = make()
    far = 4
    made.images[Part.TEST][far] += 30
    run, figures = explained(made, tmp_path, limit=None)
    ids = made.network.parts.test.image_ids
    assert read_case(run, ids[far]).scope.out_of_scope
    assert figures.cases.out_of_scope.share.value >= 1 / SIZES[Part.TEST]
    assert figures.cases.n == SIZES[Part.TEST]


def grey(run, image_id):
    with Image.open(run.file(picture_file(image_id))) as picture:
        return np.asarray(picture).mean()


def test_every_case_and_each_of_its_examples_has_its_picture(made, result):
    run, _ = result
    parts = made.network.parts
    samples = {sample.image_id: sample for sample in (*parts.train.samples, *parts.test.samples)}
    images = set()
    for row in read_index(run):
        case = read_case(run, row.image_id)
        assert case.picture == picture_file(case.image_id)
        images |= {case.image_id, *(example.image_id for example in (*case.supporting, *case.opposing))}
    assert {path.name for path in run.path.glob("cases/*.jpg")} == {f"{image_id}.jpg" for image_id in images}
    for image_id in images:
        assert grey(run, image_id) == pytest.approx(made_picture(samples[image_id]).mean(), abs=2)


def test_pictures_of_cases_are_drawn_anew_and_those_of_examples_only_where_they_are_missing(made, tmp_path):
    run, _ = explained(made, tmp_path, limit=2)
    first = read_case(run, read_index(run)[0].image_id)
    example = first.supporting[0].image_id
    for image_id in (first.image_id, example):
        Image.new("RGB", (8, 8), (255, 255, 255)).save(run.file(picture_file(image_id)))
    explain_cases(made.network, plain=plain_network(made), release=made.release, limit=2, run=run, tracker=Silent())
    assert grey(run, example) == 255
    assert grey(run, first.image_id) < 200


def test_missing_pictures_are_drawn_and_others_left(tmp_path):
    run, names, asked = RunFolder(tmp_path), ["a", "b", "c"], []
    save_missing_pictures(run, names[:1], lambda _: np.full((8, 8, 3), 250, np.uint8))
    save_missing_pictures(run, names, lambda name: asked.append(name) or np.full((8, 8, 3), 40, np.uint8))
    assert asked == names[1:]
    assert grey(run, "a") == pytest.approx(250, abs=2)
    assert grey(run, "c") == pytest.approx(40, abs=2)


def test_a_run_s_cases_share_one_stream_of_random_numbers(made, tmp_path, monkeypatch):
    states = []

    def explain(case, reference, tail, *, activation, run_id, generator):
        states.append(generator.random())
        return explain_case(case, reference, tail, activation=activation, run_id=run_id, generator=generator)

    explain_case = driver.explain_case
    monkeypatch.setattr(driver, "explain_case", explain)
    explained(made, tmp_path, limit=3)
    assert states == random_generator(3, Stream.CASES).random(3).tolist()


def test_parts_are_run_once_and_the_plain_network_only_where_there_are_masks(tmp_path):
    made, tracker = make(), CountingTracker()
    explained(made, tmp_path, tracker=tracker)
    assert sorted(made.loads) == sorted(SIZES.values())
    assert "plain network, test images" not in tracker.totals
    assert tracker.totals["explaining cases"] == tracker.steps["explaining cases"] == LIMIT


def test_several_layers_are_read_in_the_network_s_own_order(tmp_path):
    made = make(TwoLayers)
    run, figures = explained(made, tmp_path)
    reference = run.read(Reference)
    flipped = made.images[Part.VALIDATION].flip(1).mean(dim=(2, 3)).double().numpy()
    assert [stage.layer for stage in reference.axes[0].stages] == ["low", "layer"]
    assert list(reference.axes[0].stages[0].activations) == pytest.approx(sorted(flipped[:, 0]), abs=1e-5)
    test = made.network.parts.test
    rows = select_cases(len(test), limit=LIMIT, seed=3)
    for row in rows:
        case = read_case(run, test.image_ids[row])
        means = made.images[Part.TEST][row].mean(dim=(1, 2)).tolist()
        assert [stage.activation for stage in case.concepts[0].stages] == pytest.approx([means[3], means[0]], abs=1e-5)
        assert [stage.activation for stage in case.concepts[1].stages] == pytest.approx([means[2], means[1]], abs=1e-5)
    assert list(figures.trajectories) == list(CONCEPTS)
    assert list(figures.trajectories["streaks"]) == ["low"]


def test_only_a_phantom_has_planted_causes(tmp_path):
    _, figures = explained(make(source="phantom"), tmp_path)
    assert figures.planted_cause is not None
    assert figures.planted_cause.decided.n == 0, "two concepts are not all of the rule's"


@pytest.mark.parametrize("limit", [None, 20, 21])
def test_all_images_are_explained_without_a_limit(limit):
    assert select_cases(20, limit=limit, seed=0) == list(range(20))


def test_a_limit_draws_rows_with_the_run_s_seed():
    rows = select_cases(20, limit=6, seed=0)
    assert rows == sorted(set(rows))
    assert len(rows) == 6
    assert rows == sorted(random_generator(0, Stream.CASE_SELECTION, 6).choice(20, size=6, replace=False).tolist())
    assert rows != select_cases(20, limit=6, seed=1)
    assert rows != list(range(6))
    assert select_cases(20, limit=0, seed=0) == []


def test_a_case_gathers_its_own_row():
    data = made_data(["nevus", "melanoma", "nevus"], [[0, 1], [1, np.nan], [1, 1]], concepts=CONCEPTS)
    outputs = replace(
        made_outputs(MadeNetwork(WEIGHTS), chance(0)(3, 4, 2, 2)), rest=(torch.arange(6.0).reshape(3, 2),)
    )
    by_layer = {"low": np.arange(6.0).reshape(3, 2)}
    case = case_input(data, outputs, 1, by_layer=by_layer, picture=np.full((8, 8, 3), 90, np.uint8))
    assert (case.image_id, case.digest, case.part) == ("test_001", f"{1:064x}", "test")
    assert case.reference == "melanoma"
    assert torch.equal(case.maps, outputs.maps[1])
    assert [skip.tolist() for skip in case.rest] == [[[2.0, 3.0]]]
    assert case.logits.tolist() == outputs.logits[1].tolist()
    assert case.labels[0] == 1
    assert np.isnan(case.labels[1])
    assert case.by_layer == {"low": [2.0, 3.0]}
    assert case.quality.brightness == pytest.approx(90)
    assert case.picture == picture_file("test_001")


DIAGNOSES = ["nevus", "melanoma"] * 30
SPOTS = np.random.default_rng(5).integers(6, size=(60, 2))


def spot_masks(spots, concepts):
    """Masks of 24 x 24 pixels, in each of which one of 6 x 6 cells is inside; NaN where there is no file."""

    def masks(sample, paths):
        planes = torch.full((len(paths), 24, 24), torch.nan)
        for column, path in enumerate(paths):
            if path is not None:
                assert path == Path(f"{sample.image_id}-{concepts[column]}.png")
                row, across = spots[int(sample.image_id[-3:])] * 4
                planes[column] = 0
                planes[column, row : row + 4, across : across + 4] = 1
        return planes

    return masks


def masked(data, columns):
    present = [concept if column in columns else None for column, concept in enumerate(CONCEPTS)]
    paths = [tuple(concept and Path(f"{image_id}-{concept}.png") for concept in present) for image_id in data.image_ids]
    return replace(data, regions=tuple(paths))


def ring(maps, spots, column):
    """Let an axis be active all round a cell, and a little more at one cell elsewhere: only averages point to it."""
    for image, (row, across) in zip(maps, spots.tolist(), strict=True):
        image[column] = 0
        image[column, max(row - 1, 0) : row + 2, max(across - 1, 0) : across + 2] = 1.0
        image[column, (row + 3) % 6, (across + 3) % 6] = 1.2


def dot(maps, spots, column, height=5.0):
    """Let an axis be active at one cell."""
    for image, (row, across) in zip(maps, spots.tolist(), strict=True):
        image[column, row, across] = height


def spotted(*, validation=(0, 1), test=(0, 1)):
    """A network whose first axis needs averages on validation images; on test images the second is blind."""
    spots = {part: SPOTS[: SIZES[part]] for part in SIZES}
    images = {part: 0.1 * chance(1)(size, 4, 6, 6) for part, size in SIZES.items()}
    ring(images[Part.VALIDATION], spots[Part.VALIDATION], 0)
    dot(images[Part.VALIDATION], spots[Part.VALIDATION], 1)
    dot(images[Part.TEST], spots[Part.TEST], 0)
    has_mask = {Part.TRAIN: (), Part.VALIDATION: validation, Part.TEST: test}
    data = {
        part: masked(made_data(DIAGNOSES[:size], np.ones((size, 2)), part=part, concepts=CONCEPTS), has_mask[part])
        for part, size in SIZES.items()
    }
    parts = made_parts(data[Part.TEST], train=data[Part.TRAIN], validation=data[Part.VALIDATION])
    network = made_network(MadeNetwork(WEIGHTS, CONCEPTS), parts, images, masks=spot_masks(SPOTS, CONCEPTS))
    return network, images


def test_widths_are_chosen_on_the_masks_of_validation_images():
    network, _ = spotted()
    assert evidence_widths(network, Silent()) == [3, 1]
    assert evidence_widths(spotted(validation=(1,))[0], Silent()) == [1, 1]
    assert evidence_widths(spotted(validation=())[0], Silent()) == [1, 1]


def test_each_axis_is_pointed_with_its_own_width_against_grad_cam_of_the_plain_network():
    network, _ = spotted()
    of_plain = {part: torch.zeros(size, 2, 6, 6) for part, size in SIZES.items()}
    dot(of_plain[Part.TEST], SPOTS[: SIZES[Part.TEST]], 1)
    of_plain[Part.TEST][::2, 1] = of_plain[Part.TEST][::2, 1].roll((3, 3), dims=(1, 2))
    plain = made_network(MadeNetwork([[0.0, 2.0], [0.0, 0.0]]), network.parts, of_plain)
    result = point(network, plain, [1, 1], tracker=Silent())
    streaks, globules = result.concepts.values()
    assert list(result.concepts) == list(CONCEPTS)
    assert (streaks.hit_rate.value, streaks.hit_rate.n) == (1, SIZES[Part.TEST])
    assert globules.hit_rate.value < 0.3
    assert streaks.grad_cam.value == pytest.approx(0.5)
    assert streaks.chance.value == pytest.approx(1 / 36)
    assert [rates.width for rates in point(network, plain, [3, 1], tracker=Silent()).concepts.values()] == [3, 1]


def test_there_is_nothing_to_point_at_without_masks_or_positions():
    network, _ = spotted(test=())
    assert point(network, network, [1, 1], tracker=Silent()) is None
    network, _ = spotted()
    without_positions = replace(network, module=FlatNetwork(WEIGHTS, CONCEPTS))
    assert without_positions.test_outputs(Silent()).maps.ndim == 2
    assert evidence_widths(without_positions, Silent()) == [1, 1]
    assert point(without_positions, network, [1, 1], tracker=Silent()) is None


class FlatNetwork(MadeNetwork):
    """A network whose layer has no positions."""

    def forward(self, images: Tensor) -> Tensor:
        return self.read(self.layer(images.mean(dim=(2, 3))))


def test_pointing_is_of_the_whole_driver_where_there_are_masks(tmp_path):
    network, images = spotted()
    made = Made(network, images, listing(network.parts.train.image_ids), [])
    run, figures = explained(made, tmp_path, limit=2)
    assert [axis.evidence_width for axis in run.read(Reference).axes] == [3, 1]
    assert [rates.width for rates in figures.pointing.concepts.values()] == [3, 1]
    assert figures.pointing.concepts["streaks"].hit_rate.n == SIZES[Part.TEST], "over all test images, explained or not"
    (first, *_) = read_index(run)
    assert [concept.evidence.averaged_over for concept in read_case(run, first.image_id).concepts] == [3, 1]


def test_the_reference_can_be_gathered_without_a_run(made):
    reference = gather_reference(made.network, made.release, purity=PURITY, tracker=Silent())
    outputs = made.network.validation_outputs(Silent())
    assert list(reference.distances) == sorted(reference.scope.distances(summaries(outputs.maps)).tolist())
    assert FEWEST_MASKS == 10
