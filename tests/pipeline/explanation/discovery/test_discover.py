"""Discovery put together: a direction that a network reads along a known axis, on images made by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_explanation import made_explanation
from fake_networks import MadeNetwork, chance, made_network, made_outputs, made_parts
from fakes import made_data, made_samples
from PIL import Image

from concepts.statistics.estimate import Estimate
from pipeline.choices import Activation
from pipeline.config import parse_overrides
from pipeline.data.splits import Part
from pipeline.explanation.discovery import discover as discovery_stage
from pipeline.explanation.discovery.discover import (
    CANDIDATES,
    MOST_RELATIONS,
    NULL_DIRECTIONS,
    PATCHES,
    Peak,
    candidates_of,
    cut_out,
    describe_directions,
    direction_basis,
    direction_importance,
    direction_peaks,
    discover,
    patches_of,
    peaks_of,
    planned_effort,
)
from pipeline.explanation.discovery.files import candidate_values, read_candidates, read_discovery
from pipeline.explanation.discovery.salient import Salient
from pipeline.explanation.discovery.traits import Trait
from pipeline.models.state import read_named_tensors
from pipeline.results.discovery import TraitKind
from pipeline.results.importance import AxisImportance
from pipeline.results.result import Band
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Silent
from pipeline.run.seeds import Stream, random_generator

CHANNELS, NAMED, READ = 5, 1, 3
"""One named axis among five; the network reads axis 3."""
SIZES = {Part.TRAIN: 12, Part.VALIDATION: 8, Part.TEST: 40}
WEIGHTS = [[0.0, 0.0, 0.0, 2.0, 0.0], [0.0] * CHANNELS]

SETTINGS = parse_overrides(["explanation.discovered=2", "explanation.permutations=20"]).explanation


def data_of(part):
    size = SIZES[part]
    diagnoses = ["melanoma", "nevus"] * (size // 2)
    return made_data(diagnoses, np.zeros((size, NAMED)), part=part, concepts=("streaks",), resamples=60)


@pytest.fixture(scope="module")
def network():
    draw = chance(0)
    parts = made_parts(data_of(Part.TEST), train=data_of(Part.TRAIN), validation=data_of(Part.VALIDATION))
    images = {part: draw(size, CHANNELS, 4, 4) for part, size in SIZES.items()}
    is_melanoma = torch.arange(SIZES[Part.TEST]) % 2 == 0
    images[Part.TEST][is_melanoma, READ] += 1.0
    return made_network(MadeNetwork(WEIGHTS, ["streaks"]), parts, images)


@pytest.fixture(scope="module")
def run(network, tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    discovery = discover(network, settings=SETTINGS, root=folder.path, run=folder, tracker=Silent())
    folder.write(made_explanation(discovery=discovery))
    return folder


def test_the_axis_that_the_network_reads_is_the_first_direction(run):
    discovery = read_discovery(run)
    first, second = discovery.directions
    assert (first.name, second.name) == ("free_1", "free_2")
    assert first.share_of_slope == pytest.approx(1, abs=1e-6)
    assert second.share_of_slope == pytest.approx(0, abs=1e-6)
    assert discovery.chosen_on == "validation"
    tensors, _ = read_named_tensors(run.file("discovery/directions.safetensors"))
    assert abs(float(tensors["directions"][0, READ])) == pytest.approx(1, abs=1e-6)
    assert tensors["shares"].tolist() == pytest.approx([1, 0], abs=1e-6)


def test_importance_is_of_the_direction_and_its_band_of_random_ones(run):
    first, second = read_discovery(run).directions
    assert set(first.importance) == {"melanoma", "nevus", "overall"}
    assert first.importance["overall"].rank == 1
    assert first.importance["overall"].ratio.value > 1.1
    assert second.importance["overall"].ratio.value == pytest.approx(1, abs=1e-6)
    assert first.importance["overall"].null.high == pytest.approx(1, abs=1e-6), "nothing else is read"
    assert first.importance["overall"].ratio.n == SIZES[Part.TEST]


def test_patches_are_of_test_images_and_candidates_of_training_images(run, network):
    for direction in read_discovery(run).directions:
        assert len(direction.patches) == PATCHES
        assert all(patch.image_id.startswith("test_") for patch in direction.patches)
        candidates = read_candidates(run, direction)
        train = {sample.image_id: sample.digest for sample in network.parts.train.samples}
        assert len(candidates) == SIZES[Part.TRAIN]
        assert {candidate.image_id: candidate.digest for candidate in candidates} == train


def test_the_first_patch_and_candidate_are_of_the_most_active_images(run, network):
    direction = read_discovery(run).directions[0]
    tensors, _ = read_named_tensors(run.file("discovery/directions.safetensors"))

    def along(maps):
        return torch.einsum("nchw,c->n", maps, tensors["directions"][0].float()) / 16

    test = along(network.test_outputs(Silent()).maps)
    assert int(direction.patches[0].image_id[-3:]) == int(test.argmax())
    assert direction.patches[0].activation == pytest.approx(float(test.max()), abs=1e-4)
    train, candidates = along(torch.cat(list(network.train_maps(Silent())))), read_candidates(run, direction)
    assert int(candidates[0].image_id[-3:]) == int(train.argmax())
    assert int(candidates[-1].image_id[-3:]) == int(train.argmin())
    assert candidates[0].activation == pytest.approx(float(train.max()), abs=1e-4)


def test_pictures_are_of_their_images(run):
    """A made picture has one grey, twenty times the last digit of the image's identifier."""
    for direction in read_discovery(run).directions:
        for rank, patch in enumerate(direction.patches, start=1):
            assert patch.picture == f"discovery/{direction.name}-{rank}.jpg"
            assert patch.patch == f"discovery/{direction.name}-{rank}-patch.jpg"
            picture, box = (np.asarray(Image.open(run.file(name))) for name in (patch.picture, patch.patch))
            grey = 20 * int(patch.image_id[-1])
            assert abs(int(picture.mean()) - grey) <= 2
            assert abs(int(box.mean()) - grey) <= 2
            assert picture.shape == (8, 8, 3)
            assert box.shape == (6, 6, 3), "three of four positions"


def test_relations_are_of_the_test_images(network, tmp_path):
    """The age of the test images goes with the axis that is read; of other images it is not known."""
    pooled = network.test_outputs(Silent()).maps[:, READ].mean(dim=(1, 2)).tolist()
    test = network.parts.test
    samples = tuple(
        replace(sample, age=float(round(100 * value))) for sample, value in zip(test.samples, pooled, strict=True)
    )
    parts = replace(network.parts, test=replace(test, samples=samples))
    discovery = discover(
        replace(network, parts=parts), settings=SETTINGS, root=tmp_path, run=RunFolder(tmp_path), tracker=Silent()
    )
    (age,) = [each for each in discovery.directions[0].relations if each.trait == "age"]
    assert abs(age.correlation.value) > 0.99
    assert age.beyond_chance
    assert age.kind is TraitKind.METADATA
    assert discovery.directions[0].relations[0].trait == "age"
    (axis,) = [each for each in discovery.directions[0].relations if each.kind is TraitKind.CONCEPT_AXIS]
    assert axis.trait == "streaks"


def test_nothing_is_looked_for_where_none_are_asked_for(network, tmp_path):
    settings, run = SETTINGS.model_copy(update={"discovered": 0}), RunFolder(tmp_path)
    assert discover(network, settings=settings, root=tmp_path, run=run, tracker=Silent()) is None
    assert not run.has("discovery")


def test_nothing_is_looked_for_where_no_axis_is_free(tmp_path):
    data = data_of(Part.TEST)
    images = {part: chance(0)(len(data) if part is Part.TEST else 2, NAMED, 4, 4) for part in Part}
    network, run = made_network(MadeNetwork([[1.0], [0.0]], ["streaks"]), made_parts(data), images), RunFolder(tmp_path)
    assert discover(network, settings=SETTINGS, root=tmp_path, run=run, tracker=Silent()) is None
    assert not run.has("discovery")


def test_the_basis_is_the_directions_and_random_ones_orthogonal_to_them_and_to_the_named_axes():
    directions = torch.eye(40, dtype=torch.float64)[[3, 7]]
    basis = direction_basis(Salient(directions, torch.ones(2)), named=2, seed=1)
    assert basis.shape == (2 + NULL_DIRECTIONS, 40)
    assert torch.equal(basis[:2], directions)
    assert torch.allclose(basis @ basis.T, torch.eye(22, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(basis[:, :2], torch.zeros(22, 2, dtype=torch.float64))
    assert not torch.allclose(basis, direction_basis(Salient(directions, torch.ones(2)), named=2, seed=2))


def test_the_effort_is_a_pass_for_each_permutation_and_few_for_random_directions():
    effort = planned_effort(20)
    assert (effort.permutations, effort.free_permutations, effort.joint_permutations) == (20, 2, 1)
    assert planned_effort(50).free_permutations == 5
    assert planned_effort(1).free_permutations == 2
    assert effort.free_axes == NULL_DIRECTIONS


def test_permutations_of_directions_have_a_stream_of_their_own(network, monkeypatch):
    """The figures are those of this stream, and of no other."""
    outputs, test = made_outputs(network.module, network.test_outputs(Silent()).maps), network.parts.test
    basis = torch.eye(CHANNELS, dtype=torch.float64)[[READ, 1]]
    first = direction_importance(basis, 1, outputs, test, effort=planned_effort(2))

    def other(seed, stream, *index):
        assert stream is Stream.DISCOVERY_IMPORTANCE
        return random_generator(seed, Stream.PERMUTATIONS)

    monkeypatch.setattr(discovery_stage, "random_generator", other)
    assert direction_importance(basis, 1, outputs, test, effort=planned_effort(2)) != first


def peak(activation, box=(0.0, 0.0, 0.5, 0.5)):
    return Peak(activation, box)


def test_patches_are_of_the_highest_activations():
    samples = made_samples(["nevus", "melanoma"] * 4)
    patches = patches_of("free_2", samples, [peak(value) for value in (3, 1, 4, 1, 5, 9, 2, 6)])
    assert [patch.activation for patch in patches] == [9, 6, 5, 4, 3, 2]
    assert patches[0].image_id == samples[5].image_id
    assert patches[0].diagnosis == "melanoma"
    assert patches[0].box == (0.0, 0.0, 0.5, 0.5)
    assert patches[1].patch == "discovery/free_2-2-patch.jpg"


def test_candidates_are_of_both_ends_and_no_image_is_in_both():
    samples = made_samples(["nevus"] * 5)
    candidates = candidates_of(samples, [peak(value) for value in (3, 1, 4, -1, 5)])
    assert [(each.end, each.activation) for each in candidates] == [("high", 5), ("high", 4), ("low", 1), ("low", -1)]
    assert candidates[0].image_id == samples[4].image_id
    assert candidates[0].digest == samples[4].digest


def test_no_more_than_twenty_four_candidates_of_either_end():
    samples = made_samples(["nevus"] * 60)
    ends = [each.end for each in candidates_of(samples, [peak(float(value)) for value in range(60)])]
    assert ends == ["high"] * CANDIDATES + ["low"] * CANDIDATES
    assert CANDIDATES == 24


def test_the_most_active_candidate_has_the_value_one(run):
    direction = read_discovery(run).directions[0]
    candidates, values = read_candidates(run, direction), candidate_values(run, direction)
    assert values[candidates[0].digest] == 1
    assert values[candidates[-1].digest] == 0
    assert list(values.values()) == sorted(values.values(), reverse=True)


@pytest.mark.parametrize(
    ("top", "box"),
    [
        ((0, 0), (0.0, 0.0, 0.6, 0.75)),
        ((2, 2), (0.2, 0.25, 0.8, 1.0)),
        ((3, 4), (0.4, 0.25, 1.0, 1.0)),
        ((1, 1), (0.0, 0.0, 0.6, 0.75)),
    ],
)
def test_a_box_is_three_positions_wide_around_the_peak_and_inside_the_image(top, box):
    maps = torch.zeros(1, 1, 4, 5)
    maps[0, 0, top[0], top[1]] = 20.0
    ((highest,),) = peaks_of(maps, Activation.MEAN)
    assert highest.box == pytest.approx(box)
    assert highest.activation == pytest.approx(1.0)


def test_a_layer_without_positions_has_the_whole_image_for_its_box():
    assert peaks_of(torch.tensor([[0.5, -2.0]]), Activation.MEAN) == [
        [Peak(0.5, (0.0, 0.0, 1.0, 1.0)), Peak(-2.0, (0.0, 0.0, 1.0, 1.0))]
    ]


def test_peaks_are_by_direction_and_then_by_image():
    batches = [torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[4.0, 5.0, 6.0]])]
    directions = torch.eye(3)[[2, 0]]
    peaks = direction_peaks(batches, directions, Activation.MEAN)
    assert [[each.activation for each in column] for column in peaks] == [[3, 6], [1, 4]]


def test_at_least_one_pixel_is_cut_out():
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert cut_out(picture, (0.25, 0.5, 0.75, 1.0)).tolist() == picture[2:4, 1:3].tolist()
    assert cut_out(picture, (0.5, 0.5, 0.51, 0.51)).tolist() == picture[2:3, 2:3].tolist()


def test_each_direction_has_its_own_figures_and_relations():
    """Direction 1 goes with the first trait, direction 2 with the second; the strongest eight are listed."""
    data = made_data(["melanoma", "nevus"] * 30, resamples=80)
    maps = chance(1)(60, 2)
    values = maps.double().numpy()
    draw = np.random.default_rng(0)
    noise = [Trait(f"noise {number}", TraitKind.PICTURE, draw.normal(size=60)) for number in range(10)]
    traits = [
        Trait("first", TraitKind.METADATA, values[:, 0]),
        Trait("second", TraitKind.METADATA, -values[:, 1]),
        *noise,
    ]
    tables = [
        {"overall": AxisImportance(ratio=Estimate(value, 0.9, 1.8, 60), rank=rank, null=Band(low=1, high=1))}
        for rank, value in enumerate((1.5, 1.1), start=1)
    ]
    discovery = describe_directions(
        torch.tensor([0.7, 0.2]), tables, maps, data, traits=traits, activation=Activation.MEAN
    )
    first, second = discovery.directions
    assert (first.relations[0].trait, second.relations[0].trait) == ("first", "second")
    assert first.relations[0].correlation.value == pytest.approx(1)
    assert second.relations[0].correlation.value == pytest.approx(-1)
    assert len(first.relations) == MOST_RELATIONS == 8
    assert discovery.relations_compared == 2 * len(traits)
    assert (first.importance, second.importance) == (tables[0], tables[1])
    assert (first.share_of_slope, second.share_of_slope) == (pytest.approx(0.7), pytest.approx(0.2))
    assert first.patches[0].image_id == data.samples[int(values[:, 0].argmax())].image_id
    assert second.patches[0].image_id == data.samples[int(values[:, 1].argmax())].image_id
    assert (first.candidates, second.candidates) == ("discovery/free_1.csv", "discovery/free_2.csv")
