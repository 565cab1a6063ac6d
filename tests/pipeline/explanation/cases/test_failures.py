"""The gallery of failures: which are in it, in what order, and how often calls are wrong."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from fake_networks import MadeNetwork, made_maps, made_network, made_parts
from fakes import made_data
from PIL import Image

from concepts.statistics.bootstrap import group_weights
from pipeline.data.splits import Part
from pipeline.explanation.cases.failures import (
    CONFIDENT,
    failure_rates,
    failures_of,
    gather_failures,
    most_confidently_wrong,
)
from pipeline.explanation.cases.files import picture_file
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Silent

CLASSES = ("melanoma", "nevus", "seborrheic_keratosis")


@dataclass
class Threshold:
    """Present from 1 on."""

    def state(self, activation):
        return "present" if activation >= 1 else "absent"


@dataclass
class Axis:
    """As much of an axis's reference as a failure reads."""

    concept: str
    thresholds: Threshold = field(default_factory=Threshold)


@dataclass
class Doubling:
    """A calibration that is easy to follow: softmax of twice the logits."""

    def probabilities(self, logits):
        exponents = np.exp(2 * logits)
        return exponents / exponents.sum(axis=1, keepdims=True)


@dataclass
class CaseReference:
    """As much of a reference as failures read."""

    axes: tuple[Axis, ...] = (Axis("streaks"), Axis("globules"))
    calibration: Doubling = field(default_factory=Doubling)


def drawn(cases=200, seed=0):
    generator = np.random.default_rng(seed)
    return generator.dirichlet(np.ones(3), size=cases), generator.integers(3, size=cases)


def weights_of(cases, resamples=200):
    names = [str(case) for case in range(cases)]
    return group_weights(names, resamples=resamples, generator=np.random.default_rng(0))


def test_all_are_wrong_none_is_left_out_that_is_more_confident_and_none_comes_twice():
    probabilities, labels = drawn()
    calls, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rows = most_confidently_wrong(probabilities, labels, count=10)
    assert len(set(rows)) == 10
    assert (calls[rows] != labels[rows]).all()
    assert confidence[rows].tolist() == sorted(confidence[rows], reverse=True)
    left = np.setdiff1d(np.flatnonzero(calls != labels), rows)
    assert confidence[left].max() <= confidence[rows].min()


def test_equally_confident_failures_keep_their_order():
    assert most_confidently_wrong(np.array([[0.8, 0.2]] * 5), np.array([1, 0, 1, 1, 1]), count=3) == [0, 2, 3]


def test_a_network_that_is_always_right_has_no_failures():
    labels = np.arange(9) % 3
    assert most_confidently_wrong(np.eye(3)[labels], labels, count=5) == []
    wrong, confident = failure_rates(np.eye(3)[labels], labels, weights_of(9))
    assert (wrong.value, wrong.n, confident.value, confident.n) == (0, 9, 0, 9)


def test_rates_are_shares_of_all_calls_and_of_the_confident_ones():
    probabilities = np.array([[0.95, 0.05]] * 4 + [[0.55, 0.45]] * 6)
    labels = np.array([0, 0, 0, 1] + [1] * 6)
    wrong, confident = failure_rates(probabilities, labels, weights_of(10))
    assert 0.55 < CONFIDENT < 0.95
    assert wrong.value == pytest.approx(0.7)
    assert wrong.low < 0.7 < wrong.high
    assert (confident.value, confident.n) == (pytest.approx(0.25), 4)
    _, none = failure_rates(np.full((10, 2), 0.5), labels, weights_of(10))
    assert np.isnan([none.value, none.low]).all()
    assert none.n == 0


def test_a_call_counts_as_confident_from_the_threshold_on():
    probabilities = np.array([[CONFIDENT, 1 - CONFIDENT], [CONFIDENT - 1e-9, 1 - CONFIDENT + 1e-9]])
    _, confident = failure_rates(probabilities, np.array([1, 0]), weights_of(2))
    assert (confident.value, confident.n) == (1, 1)


def test_a_failure_tells_call_and_truth_and_what_was_seen_apart():
    test = made_data(
        ["melanoma", "nevus", "nevus"],
        [[1, 0], [np.nan, 1], [0, 0]],
        classes=CLASSES,
        concepts=["streaks", "globules"],
    )
    probabilities = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
    activations = np.array([[0.0, 2.0, 9.0], [3.0, -1.0, 9.0], [0.0, 0.0, 9.0]])
    axes = CaseReference().axes
    failures = failures_of(probabilities, activations, axes, test, count=5)
    first, second = failures.gallery
    assert (first.image_id, first.truth, first.call) == (test.image_ids[0], "melanoma", "seborrheic_keratosis")
    assert (first.probability, first.probability_of_truth) == (0.7, 0.1)
    assert (second.image_id, second.truth, second.call) == (test.image_ids[1], "nevus", "melanoma")
    assert (second.probability, second.probability_of_truth) == (0.6, 0.3)
    assert [(row.concept, row.state, row.label) for row in first.concepts] == [
        ("streaks", "absent", True),
        ("globules", "present", False),
    ]
    assert [(row.concept, row.state, row.label) for row in second.concepts] == [
        ("streaks", "present", None),
        ("globules", "absent", True),
    ]
    assert first.picture == picture_file(first.image_id)
    assert (failures.wrong.value, failures.wrong.n, failures.confident) == (pytest.approx(2 / 3), 3, CONFIDENT)
    assert failures.wrong_where_confident.n == 0
    assert len(failures_of(probabilities, activations, axes, test, count=1).gallery) == 1


def test_rates_are_resampled_by_patient():
    test = made_data(["nevus", "nevus"], groups=["ann", "ann"])
    failures = failures_of(np.array([[0.9, 0.1], [0.1, 0.9]]), np.zeros((2, 0)), (), test, count=0)
    assert failures.wrong.value == 0.5
    assert np.isnan([failures.wrong.low, failures.wrong_where_confident.low]).all()
    assert failures.gallery == ()


@pytest.fixture
def network():
    """Two test images of three are called wrongly; the validation image too, which is none of a test set's failures."""
    concepts = ["streaks", "globules"]
    test = made_data(["melanoma", "nevus", "melanoma"], [[0, 0], [1, 1], [0, 1]], concepts=concepts)
    validation = made_data(["melanoma"], [[0, 0]], part=Part.VALIDATION, concepts=concepts)
    images = {
        Part.TEST: made_maps([[1.5, 0.0, 0.0], [-1.0, 1.0, 0.0], [-0.5, 0.0, 0.0]]),
        Part.VALIDATION: made_maps([[-2.0, 0.0, 0.0]]),
        Part.TRAIN: made_maps([[0.0, 0.0, 0.0]] * 2),
    }
    module = MadeNetwork([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], concepts)
    return made_network(module, made_parts(test, validation=validation), images)


def test_failures_are_those_of_the_test_images_by_calibrated_probability(network, tmp_path):
    run = RunFolder(tmp_path)
    failures = gather_failures(network, CaseReference(), count=5, run=run, tracker=Silent())
    assert [failure.image_id for failure in failures.gallery] == network.parts.test.image_ids[:2]
    assert failures.gallery[0].probability == pytest.approx(1 / (1 + np.exp(-6)), rel=1e-4)
    assert failures.gallery[0].concepts[0].state == "present"
    assert failures.wrong.value == pytest.approx(2 / 3)
    for failure, sample in zip(failures.gallery, network.parts.test.samples, strict=False):
        with Image.open(run.file(failure.picture)) as picture:
            assert np.asarray(picture).mean() == pytest.approx(network.display(sample).mean(), abs=2)


def test_a_picture_that_the_run_has_is_left_as_it_is(network, tmp_path):
    run = RunFolder(tmp_path)
    path = run.file(picture_file(network.parts.test.image_ids[0]))
    path.parent.mkdir()
    path.write_bytes(b"already here")
    gather_failures(network, CaseReference(), count=1, run=run, tracker=Silent())
    assert path.read_bytes() == b"already here"
    assert not run.has(picture_file(network.parts.test.image_ids[1]))
