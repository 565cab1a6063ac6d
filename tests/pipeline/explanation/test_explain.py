"""The driver of the explanation: each figure is of the axis, the images and the resamples that it says it is."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_explanation import made_explanation
from fake_networks import (
    CountingTracker,
    MadeNetwork,
    chance,
    made_maps,
    made_network,
    made_outputs,
    made_parts,
    made_picture,
)
from fakes import made_data
from PIL import Image

from concepts.example import Polarity
from concepts.statistics.estimate import Estimate
from pipeline.config import parse_overrides
from pipeline.data.splits import Part
from pipeline.explanation import explain
from pipeline.explanation.cases.explain_cases import ExplainedCases
from pipeline.explanation.explain import (
    importance_on,
    marking_of,
    most_active_images,
    planned_effort,
    planted_importance,
    save_pictures,
)
from pipeline.explanation.permutation import Effort
from pipeline.results.cases import LayerCourse, PlantedCause, PointingResult
from pipeline.results.importance import OVERALL, AxisExample, TargetImportance
from pipeline.results.trust import FailuresResult, OrderStability, SanityResult
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Silent

CONCEPTS, CLASSES = ("streaks", "globules"), ("melanoma", "nevus")
LIGHT = Effort(permutations=6, joint_permutations=3, free_axes=2, free_permutations=2, batch_size=8)


def reading(axis, channels=4):
    """A network whose first logit is a multiple of the mean of one axis."""
    return MadeNetwork([[4.0 * (column == axis) for column in range(channels)], [0.0] * channels], CONCEPTS)


def importance_of(axis, *, groups=None, seed=0):
    """Importance in 24 cases that are melanoma where the axis is positive."""
    means = np.random.default_rng(1).normal(size=(24, 4)).tolist()
    diagnoses = [CLASSES[int(row[axis] <= 0)] for row in means]
    test = made_data(diagnoses, np.zeros((24, 2)), concepts=CONCEPTS, groups=groups, seed=seed)
    return importance_on(test, made_outputs(reading(axis), made_maps(means)), effort=LIGHT, tracker=Silent())


@pytest.mark.parametrize(("axis", "concept"), list(enumerate(CONCEPTS)))
def test_the_axis_that_is_read_is_the_one_that_matters(axis, concept):
    table = importance_of(axis)
    (other,) = set(CONCEPTS) - {concept}
    for target in (*CLASSES, OVERALL):
        axes = table.targets[target].concepts
        assert axes[concept].ratio.low > 1
        assert axes[concept].rank == 1
        assert axes[other].ratio.value == 1
        assert (axes[concept].null.low, axes[concept].null.high) == (1, 1)
        assert table.targets[target].unnamed_share.value == 0


def test_what_a_free_axis_carries_is_unnamed():
    table = importance_of(3)
    assert table.targets[OVERALL].unnamed_share.value == 1
    assert {axis.ratio.value for axis in table.targets[OVERALL].concepts.values()} == {1}
    assert table.targets[OVERALL].concepts["streaks"].null.high > 1


def test_intervals_are_over_patients():
    alone = importance_of(0, groups=["the only patient"] * 24).targets["melanoma"].concepts["streaks"].ratio
    assert alone.value > 1
    assert np.isnan(alone.low)


def test_the_run_s_seed_decides_the_permutations():
    first, again, other = (importance_of(0, seed=seed).targets for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_progress_counts_the_passes():
    tracker = CountingTracker()
    test = made_data(CLASSES * 2, np.zeros((4, 2)), concepts=CONCEPTS)
    importance_on(test, made_outputs(reading(0), made_maps([[1.0] * 4] * 4)), effort=LIGHT, tracker=tracker)
    assert tracker.totals == tracker.steps == {"permuting axes": LIGHT.passes(2, 4)}


@pytest.mark.parametrize(("permutations", "joint", "free"), [(20, 5, 2), (40, 10, 4), (100, 25, 10)])
def test_named_axes_get_the_permutations_that_were_asked_for(permutations, joint, free):
    effort = planned_effort(permutations)
    assert (effort.permutations, effort.joint_permutations, effort.free_permutations) == (permutations, joint, free)


@pytest.fixture
def images():
    return made_data(
        ["melanoma", "nevus", "nevus", "melanoma"],
        [[1, 0], [np.nan, 0], [0, 1], [0, np.nan]],
        concepts=CONCEPTS,
    )


def test_the_most_active_images_of_an_axis_come_first_and_equal_ones_keep_their_order(images):
    activations = np.array([[1.0, 0.0, 9.0], [3.0, 0.0, 8.0], [2.0, 0.0, 7.0], [3.0, 5.0, 6.0]])
    examples = most_active_images(activations, images, {}, count=3)
    ids = images.image_ids
    assert list(examples) == list(CONCEPTS)
    assert [example.image_id for example in examples["streaks"]] == [ids[1], ids[3], ids[2]]
    assert [example.activation for example in examples["streaks"]] == [3, 3, 2]
    assert [example.percentile for example in examples["streaks"]] == [100, 100, 50]
    assert [example.diagnosis for example in examples["streaks"]] == ["nevus", "melanoma", "nevus"]
    assert [example.image_id for example in examples["globules"]] == [ids[3], ids[0], ids[1]]
    assert [example.percentile for example in examples["globules"]] == [100, 75, 75]
    assert [example.picture for example in examples["globules"]] == [
        f"exemplars/globules-{rank}.jpg" for rank in (1, 2, 3)
    ]
    assert len(most_active_images(activations, images, {}, count=9)["streaks"]) == 4


def test_an_example_is_marked_as_the_release_says_of_this_concept_in_this_image(images):
    ids = images.image_ids
    markings = {
        ("streaks", ids[0]): Polarity.PRESENT,
        ("streaks", ids[2]): Polarity.ABSENT,
        ("streaks", ids[3]): Polarity.UNMARKED,
        ("globules", ids[1]): Polarity.ABSENT,
    }
    examples = most_active_images(np.zeros((4, 2)), images, markings, count=4)
    assert [example.marking for example in examples["streaks"]] == [
        Polarity.PRESENT,
        None,
        Polarity.ABSENT,
        Polarity.UNMARKED,
    ]
    assert [example.marking for example in examples["globules"]] == [None, Polarity.ABSENT, Polarity.PRESENT, None]


@pytest.mark.parametrize("marking", [Polarity.UNMARKED, None])
def test_a_concept_whose_child_is_present_is_present(marking):
    assert marking_of(marking, 1.0) is Polarity.PRESENT
    assert marking_of(marking, 0.0) is marking
    assert marking_of(marking, float("nan")) is marking


def test_every_example_has_the_picture_of_its_own_image(images, tmp_path):
    run = RunFolder(tmp_path)
    examples = most_active_images(np.array([[0.0, 3.0], [1.0, 2.0], [2.0, 1.0], [3.0, 0.0]]), images, {}, count=2)
    save_pictures(examples, images, display=made_picture, run=run)
    samples = dict(zip(images.image_ids, images.samples, strict=True))
    assert len(list(tmp_path.glob("exemplars/*.jpg"))) == 4
    for example in (*examples["streaks"], *examples["globules"]):
        with Image.open(run.file(example.picture)) as picture:
            assert np.asarray(picture).mean() == pytest.approx(made_picture(samples[example.image_id]).mean(), abs=2)


def test_planted_importance_is_read_for_phantoms_only(tmp_path):
    planted = {"overall": {"streaks": 1.4}}
    (tmp_path / "phantom.json").write_text(json.dumps({"importance": planted}))
    real = made_data(["nevus"])
    (sample,) = real.samples
    phantom = made_data(["nevus"], samples=[replace(sample, source="phantom")])
    assert planted_importance(tmp_path, phantom) == planted
    assert planted_importance(tmp_path, real) == {}
    assert planted_importance(tmp_path / "elsewhere", phantom) == {}


def test_the_tail_of_a_made_network_is_that_of_its_module():
    module, maps = reading(0), made_maps([[1.0, 2.0, 3.0, 4.0]])
    torch.testing.assert_close(made_outputs(module, maps).logits, module(maps).detach())


RATES = FailuresResult(
    wrong=Estimate(0.25, 0.1, 0.4, 48),
    confident=0.8,
    wrong_where_confident=Estimate(0.1, 0.0, 0.2, 9),
    gallery=(),
)
TELLING = ("melanoma", "nevus", "seborrheic_keratosis")
SETTINGS = parse_overrides(
    [
        "explanation.sanity=2",
        "explanation.exemplars=3",
        "explanation.failures=7",
        "explanation.cases=31",
        "concepts.minimum_positives=5",
    ]
)


CASES = ExplainedCases(
    cases=made_explanation().cases.model_copy(update={"n": 31}),
    pointing=PointingResult(concepts={}, overall=None),
    trajectories={"streaks": {"low": LayerCourse(corrected=None, spoilt=None, examples=("lesion_a",))}},
    planted_cause=PlantedCause(decided=Estimate(0.9, 0.8, 1.0, 20), decided_and_called=Estimate(0.8, 0.7, 0.9, 10)),
)


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """What `explain_run` writes of a network whose logits read one axis each, and what it asks of other stages."""
    means = np.random.default_rng(0).normal(size=(48, 6))
    labels = (means[:, :2] > 0).astype(float)
    calls = np.column_stack([means[:, :2], np.zeros(48)]).argmax(axis=1)
    test = made_data([TELLING[call] for call in calls], labels, classes=TELLING, concepts=CONCEPTS, resamples=50)
    train_labels = np.zeros((48, 2))
    train_labels[:20, 0] = train_labels[:3, 1] = 1
    train = made_data(["nevus"] * 48, train_labels, part=Part.TRAIN, classes=TELLING, concepts=CONCEPTS)
    maps = made_maps(means.tolist())
    maps[7, 0] += torch.tensor([[90.0, -30.0], [-30.0, -30.0]])
    weights = [[3.0 * (axis == logit) for axis in range(6)] for logit in range(2)] + [[0.0] * 6]
    images = {Part.TEST: maps, Part.TRAIN: chance(1)(48, 6, 2, 2), Part.VALIDATION: maps[:2]}
    network = made_network(MadeNetwork(weights, CONCEPTS), made_parts(test, train=train), images)
    best = test.image_ids[int(means[:, 0].argmax())]
    example = SimpleNamespace(image_id=best, concept="streaks", polarity=Polarity.PRESENT)
    asked = {}

    def gather(network, reference, *, count, run, tracker):
        asked.update(count=count, reference=reference)
        return RATES

    def explain_cases(network, *, plain, release, limit, run, tracker):
        asked.update(plain=plain, release=release, limit=limit)
        return CASES

    def discover(network, *, settings, root, run, tracker):
        asked.update(discovery=settings, root=root)

    def audit(network, cohort, settings, *, run, tracker):
        asked.update(audited=cohort, drawn=settings)
        return made_explanation().shortcuts

    tmp_path, monkeypatch = tmp_path_factory.mktemp("explained"), pytest.MonkeyPatch()
    monkeypatch.setattr(explain, "open_explained", lambda settings, cohort, run: network)
    monkeypatch.setattr(explain, "open_plain", lambda settings, cohort, run: "the plain network")
    monkeypatch.setattr(explain, "explain_cases", explain_cases)
    monkeypatch.setattr(explain, "gather_failures", gather)
    monkeypatch.setattr(explain, "discover", discover)
    monkeypatch.setattr(explain, "audit_shortcuts", audit)
    monkeypatch.setattr(RunFolder, "read", lambda self, model: model.file)
    cohort = SimpleNamespace(root=tmp_path, release=SimpleNamespace(examples=[example]))
    run = RunFolder(tmp_path)
    explain.explain_run(SETTINGS, cohort, run=run, tracker=Silent())
    monkeypatch.undo()
    return run.read_json("explanation.json") | {
        "asked": asked,
        "cohort": cohort,
        "means": means,
        "ids": test.image_ids,
    }


def test_what_is_written_is_what_the_models_read(explained):
    importance = {key: TargetImportance.model_validate(row) for key, row in explained["importance"].items()}
    assert set(importance) == set(explained["stability"]) == {*TELLING, OVERALL}
    assert importance["melanoma"].concepts["streaks"].rank == 1
    assert importance["nevus"].concepts["globules"].rank == 1
    assert explained["permutations"] == SETTINGS.explanation.permutations
    assert explained["planted_importance"] == explained["tcav"] == {}
    for section in ("cases", "pointing", "planted_cause"):
        content = getattr(CASES, section)
        assert type(content).model_validate(explained[section]) == content
    assert explained["trajectories"]["streaks"]["low"]["examples"] == ["lesion_a"]
    assert FailuresResult.model_validate(explained["failures"]) == RATES


def test_every_stage_gets_what_it_needs_of_the_run(explained):
    cohort = explained["cohort"]
    assert explained["asked"] == {
        "count": 7,
        "reference": "reference.json",
        "plain": "the plain network",
        "release": cohort.release,
        "limit": 31,
        "discovery": SETTINGS.explanation,
        "root": cohort.root,
        "audited": cohort,
        "drawn": SETTINGS.data,
    }


def test_the_stability_of_a_target_is_that_of_its_own_order(explained):
    for target in (*TELLING, OVERALL):
        stability = OrderStability.model_validate(explained["stability"][target])
        importance = TargetImportance.model_validate(explained["importance"][target])
        assert list(stability.ranked) == list(importance.ranked)
    assert explained["stability"]["melanoma"] != explained["stability"]["nevus"]


def test_sanity_checks_are_of_this_importance_with_the_settings_of_the_run(explained):
    sanity = SanityResult.model_validate(explained["sanity"])
    assert sanity.draws == 2
    for target, row in sanity.importance_randomised_weights.items():
        for concept, check in row.items():
            importance = TargetImportance.model_validate(explained["importance"][target])
            assert check.figure == importance.concepts[concept].ratio
    assert np.isfinite(sanity.purity_permuted_labels["streaks"].figure.value)
    assert sanity.purity_permuted_labels["globules"].meaningless is None, "three training images are too few"


def test_examples_are_ordered_by_the_network_s_own_activation(explained):
    examples = [AxisExample.model_validate(row) for row in explained["exemplars"]["streaks"]]
    order = np.argsort(-explained["means"][:, 0])[:3]
    assert [example.image_id for example in examples] == [explained["ids"][row] for row in order]
    assert explained["ids"][7] not in [example.image_id for example in examples], "its maximum is high, its mean is not"
    assert examples[0].marking is Polarity.PRESENT
