"""Calibration, plausible sets, thresholds of concepts, and what the concepts alone say."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from concepts.errors import DataError
from pipeline.explanation.cases.calibration import (
    COVERAGE,
    TEMPERATURES,
    Calibration,
    calibrate,
    lower_bound,
    percentile,
)
from pipeline.explanation.cases.concept_states import FEWEST, Thresholds, set_thresholds
from pipeline.explanation.cases.reference import FOLDS, ExampleReference, fit_concept_only, nearest
from pipeline.results.case import ConceptState


def cohort(count: int, *, sharpened: float = 1.0, seed: int = 0):
    """Logits from which labels are drawn, then made overconfident."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 3)) * 1.5
    labels = np.array([rng.choice(3, p=row) for row in softmax(logits, axis=1)])
    return logits * sharpened, labels


@pytest.mark.parametrize("sharpened", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_overconfidence(sharpened):
    logits, labels = cohort(4000, sharpened=sharpened)
    assert calibrate(logits, labels).temperature == pytest.approx(sharpened, rel=0.1)


def test_calibration_never_worsens_the_likelihood_and_keeps_the_call():
    logits, labels = cohort(500, sharpened=3.0)
    calibration = calibrate(logits, labels)
    rows = np.arange(len(labels))
    before = log_softmax(logits, axis=1)[rows, labels].mean()
    after = np.log(calibration.probabilities(logits)[rows, labels]).mean()
    assert after > before
    assert (calibration.probabilities(logits).argmax(axis=1) == logits.argmax(axis=1)).all()


def test_plausible_sets_hold_the_truth_in_nine_of_ten_new_cases():
    covered = []
    for seed in range(30):
        logits, labels = cohort(600, sharpened=2.0, seed=seed)
        calibration = calibrate(logits[:300], labels[:300])
        plausible = calibration.plausible(calibration.probabilities(logits[300:]))
        assert plausible.any(axis=1).all()
        covered.append(plausible[np.arange(300), labels[300:]].mean())
    assert np.mean(covered) >= 0.89
    assert np.mean(covered) <= 0.94


def test_too_few_cases_leave_nothing_out():
    logits, labels = cohort(5)
    calibration = calibrate(logits, labels)
    assert calibration.threshold == 0
    assert calibration.plausible(calibration.probabilities(logits)).all()


def test_no_cases_are_refused():
    with pytest.raises(DataError, match="no validation cases"):
        calibrate(np.zeros((0, 3)), np.zeros(0, dtype=int))


def test_lower_bound_is_the_order_statistic_that_keeps_the_promise():
    values = np.arange(1.0, 20.0)
    assert lower_bound(values, share=0.9) == 2.0
    assert lower_bound(values[::-1], share=0.9) == 2.0
    assert lower_bound(values[:18], share=0.9) == 1.0
    assert lower_bound(values[:9], share=0.9) == 1.0, "one in ten new values is the smallest of ten"
    assert lower_bound(values[:8], share=0.9) == -np.inf
    assert lower_bound(values, share=0.5) == 10.0


def test_percentile_counts_ties_and_knows_nothing_of_nothing():
    assert percentile(2.0, [1.0, 2.0, 2.0, 3.0]) == 75.0
    assert percentile(0.5, [1.0, 2.0]) == 0
    assert percentile(3.0, [1.0, 2.0]) == 100
    assert percentile(1.0, []) is None


def test_thresholds_keep_both_promises_on_new_images():
    rng = np.random.default_rng(0)
    labels = (rng.random(6000) < 0.3).astype(float)
    values = rng.normal(size=6000) + 1.5 * labels
    thresholds = set_thresholds(values[:1000], labels[:1000])
    states = np.array([thresholds.state(value) for value in values[1000:]])
    shown = labels[1000:] == 1
    assert (states[shown] == ConceptState.ABSENT).mean() == pytest.approx(0.1, abs=0.03)
    assert (states[~shown] == ConceptState.PRESENT).mean() == pytest.approx(0.1, abs=0.03)
    assert (states == ConceptState.UNCERTAIN).any()


def test_thresholds_of_classes_far_apart_meet_in_the_middle():
    values = np.concatenate([np.linspace(0, 1, 20), np.linspace(9, 10, 20)])
    thresholds = set_thresholds(values, np.repeat([0.0, 1.0], 20))
    assert thresholds.absent_below == thresholds.present_above
    assert 1 < thresholds.absent_below < 9
    assert {thresholds.state(value) for value in values} == {ConceptState.ABSENT, ConceptState.PRESENT}


@pytest.mark.parametrize("labels", [[1.0] * 5 + [0.0] * 35, [np.nan] * 40, [1.0] * 20 + [0.0] * 20])
def test_thin_unknown_or_reversed_concepts_are_not_assessable(labels):
    thresholds = set_thresholds(np.linspace(0, 1, 40), labels)
    assert thresholds.absent_below is None
    assert thresholds.state(0.5) is ConceptState.NOT_ASSESSABLE
    assert thresholds.positives + thresholds.negatives == np.isfinite(labels).sum()


@pytest.mark.parametrize("classes", [2, 3])
def test_concepts_that_decide_the_diagnosis_predict_it(classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=300)
    activations = np.eye(classes)[labels] * 4 + rng.normal(size=(300, classes))
    model = fit_concept_only(activations[:200], labels[:200], classes=classes)
    chances = model.probabilities(activations[200:])
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert (chances.argmax(axis=1) == labels[200:]).mean() > 0.9
    assert 0 < model.threshold < 1
    assert fit_concept_only(activations[:5], labels[:5], classes=classes) is None
    assert fit_concept_only(activations[:, :0], labels, classes=classes) is None


def test_nearest_examples_come_in_order_and_in_units_of_the_axes():
    examples = [
        ExampleReference(image_id=name, diagnosis="nevus", shows=(), activations=values)
        for name, values in {"a": (0.0, 90.0), "b": (3.0, 0.0), "c": (0.0, 10.0)}.items()
    ]
    neighbours = nearest((0.0, 0.0), examples, scale=np.array([1.0, 100.0]), count=2)
    assert [example.image_id for example, _ in neighbours] == ["c", "a"]
    assert neighbours[0][1] == pytest.approx(0.1)
    assert nearest((0.0, 0.0), [], scale=np.ones(2), count=2) == []


def test_probabilities_are_the_softmax_of_cooled_logits():
    calibration = Calibration(temperature=2.0, threshold=0.3, n=9)
    np.testing.assert_allclose(calibration.probabilities([[2.0, 0.0], [0.0, 4.0]]), softmax([[1, 0], [0, 2]], axis=1))


def test_plausible_are_the_probable_and_always_the_most_probable():
    calibration = Calibration(temperature=1.0, threshold=0.4, n=9)
    probabilities = [[0.5, 0.4, 0.1], [0.39, 0.31, 0.3], [0.25, 0.35, 0.4]]
    assert calibration.plausible(probabilities).tolist() == [
        [True, True, False],
        [True, False, False],
        [False, False, True],
    ]


def test_the_threshold_is_the_bound_of_the_true_diagnosis_probability():
    logits, labels = cohort(200)
    calibration = calibrate(logits, labels)
    of_truth = calibration.probabilities(logits)[np.arange(200), labels]
    assert calibration.threshold == lower_bound(of_truth, share=0.9)
    assert calibration.n == 200
    assert calibrate(logits, labels, coverage=0.7).threshold == lower_bound(of_truth, share=0.7)
    assert COVERAGE == 0.9


def test_the_temperature_is_the_likeliest_one_and_stays_within_bounds():
    logits, labels = cohort(300, sharpened=2.0)

    def likelihood(temperature):
        return log_softmax(logits / temperature, axis=1)[np.arange(300), labels].mean()

    best = calibrate(logits, labels).temperature
    assert all(likelihood(best) > likelihood(best * factor) for factor in (0.98, 1.02))
    least, most = TEMPERATURES
    certain = np.eye(3)[labels]
    assert calibrate(certain, labels).temperature == pytest.approx(least, rel=0.01)
    assert calibrate(certain, (labels + 1) % 3).temperature == pytest.approx(most, rel=0.01)
    assert (least, most) == (0.05, 20)


@pytest.mark.parametrize(
    ("activation", "state"),
    [
        (-1.1, ConceptState.ABSENT),
        (-1.0, ConceptState.UNCERTAIN),
        (2.0, ConceptState.UNCERTAIN),
        (2.1, ConceptState.PRESENT),
    ],
)
def test_between_the_thresholds_nothing_is_claimed(activation, state):
    assert Thresholds(-1.0, 2.0, 10, 10).state(activation) is state


@pytest.mark.parametrize("ends", [(None, 1.0), (-1.0, None)])
def test_a_threshold_alone_is_no_claim(ends):
    assert Thresholds(*ends, 10, 10).state(5.0) is ConceptState.NOT_ASSESSABLE


def test_thresholds_leave_out_a_tenth_on_either_side():
    with_concept, without_concept = np.arange(20.0) + 4, np.arange(20.0)
    values, labels = np.concatenate([with_concept, without_concept]), np.repeat([1.0, 0.0], 20)
    assert set_thresholds(values, labels) == Thresholds(5.0, 18.0, 20, 20)
    assert set_thresholds(values, labels, confidence=0.8) == Thresholds(7.0, 16.0, 20, 20)
    unlabelled = set_thresholds([*values, 99.0, -99.0], [*labels, np.nan, np.nan])
    assert unlabelled == Thresholds(5.0, 18.0, 20, 20)


def test_crossing_thresholds_become_their_middle():
    values = np.concatenate([np.arange(20.0) + 30, np.arange(20.0)])
    assert set_thresholds(values, np.repeat([1.0, 0.0], 20)) == Thresholds(24.5, 24.5, 20, 20)


@pytest.mark.parametrize(("shows", "lacks", "is_set"), [(9, 20, False), (20, 9, False), (10, 10, True)])
def test_thresholds_need_ten_images_on_either_side(shows, lacks, is_set):
    values, labels = [*range(50, 50 + shows), *range(lacks)], [1.0] * shows + [0.0] * lacks
    thresholds = set_thresholds(values, labels)
    assert (thresholds.present_above is not None) == is_set
    assert (thresholds.positives, thresholds.negatives) == (shows, lacks)
    assert FEWEST == 10


def test_an_axis_no_better_than_chance_has_no_thresholds():
    assert set_thresholds([*range(10), *range(10)], [1.0] * 10 + [0.0] * 10).absent_below is None


def test_a_promise_that_few_images_cannot_keep_is_not_made():
    values, labels = [*range(20, 30), *range(10)], [1.0] * 10 + [0.0] * 10
    assert set_thresholds(values, labels, confidence=0.95) == Thresholds(None, None, 10, 10)


def test_what_concepts_say_alone_does_not_depend_on_the_unit_of_the_axes():
    draw = np.random.default_rng(1)
    labels = draw.integers(2, size=80)
    activations = np.column_stack([labels + draw.normal(size=80), np.full(80, 3.0)])
    model = fit_concept_only(activations, labels, classes=2)
    other = fit_concept_only(1000 * activations + 7, labels, classes=2)
    np.testing.assert_allclose(model.probabilities(activations), other.probabilities(1000 * activations + 7), atol=1e-6)
    assert model.threshold == pytest.approx(other.threshold, abs=1e-6)
    assert model.n == 80
    assert model.scale[1] == 1.0, "an axis that does not move is left as it is"


def test_a_fit_needs_an_image_of_each_diagnosis_in_every_fold():
    labels = np.repeat([0, 1], [FOLDS, 30])
    activations = np.random.default_rng(0).normal(size=(FOLDS + 30, 2))
    assert FOLDS == 5
    assert fit_concept_only(activations, labels, classes=2) is not None
    assert fit_concept_only(activations[1:], labels[1:], classes=2) is None
    assert fit_concept_only(activations, labels, classes=3) is None, "no image of the third diagnosis"


def test_the_threshold_of_concepts_alone_is_set_on_images_held_out_of_the_fit():
    draw = np.random.default_rng(0)
    labels = draw.integers(2, size=60)
    noise = draw.normal(size=(60, 25))
    model = fit_concept_only(noise, labels, classes=2)
    fitted = model.probabilities(noise)[np.arange(60), labels]
    assert model.threshold < lower_bound(fitted, share=0.9), "what was fitted looks better than it is"
