"""Calibration, plausible sets, thresholds of concepts, and what the concepts alone say."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from concepts.errors import DataError
from pipeline.explanation.cases.calibration import calibrate, lower_bound, percentile
from pipeline.explanation.cases.concept_states import set_thresholds
from pipeline.explanation.cases.reference import ExampleReference, fit_concept_only, nearest
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
    found = calibrate(logits, labels)
    rows = np.arange(len(labels))
    before = log_softmax(logits, axis=1)[rows, labels].mean()
    after = np.log(found.probabilities(logits)[rows, labels]).mean()
    assert after > before
    assert (found.probabilities(logits).argmax(axis=1) == logits.argmax(axis=1)).all()


def test_plausible_sets_hold_the_truth_in_nine_of_ten_new_cases():
    covered = []
    for seed in range(30):
        logits, labels = cohort(600, sharpened=2.0, seed=seed)
        found = calibrate(logits[:300], labels[:300])
        plausible = found.plausible(found.probabilities(logits[300:]))
        assert plausible.any(axis=1).all()
        covered.append(plausible[np.arange(300), labels[300:]].mean())
    assert np.mean(covered) >= 0.89
    assert np.mean(covered) <= 0.94


def test_too_few_cases_leave_nothing_out():
    logits, labels = cohort(5)
    found = calibrate(logits, labels)
    assert found.threshold == 0
    assert found.plausible(found.probabilities(logits)).all()


def test_no_cases_are_refused():
    with pytest.raises(DataError, match="no validation cases"):
        calibrate(np.zeros((0, 3)), np.zeros(0, dtype=int))


def test_lower_bound_is_the_order_statistic_that_keeps_the_promise():
    values = np.arange(1.0, 20.0)
    assert lower_bound(values, share=0.9) == 2.0
    assert lower_bound(values[:8], share=0.9) == -np.inf


def test_percentile_counts_ties_and_knows_nothing_of_nothing():
    assert percentile(2.0, [1.0, 2.0, 2.0, 3.0]) == 75.0
    assert np.isnan(percentile(1.0, []))


def test_thresholds_keep_both_promises_on_new_images():
    rng = np.random.default_rng(0)
    labels = (rng.random(6000) < 0.3).astype(float)
    values = rng.normal(size=6000) + 1.5 * labels
    found = set_thresholds(values[:1000], labels[:1000])
    states = np.array([found.state(value) for value in values[1000:]])
    shown = labels[1000:] == 1
    assert (states[shown] == ConceptState.ABSENT).mean() == pytest.approx(0.1, abs=0.03)
    assert (states[~shown] == ConceptState.PRESENT).mean() == pytest.approx(0.1, abs=0.03)
    assert (states == ConceptState.UNCERTAIN).any()


def test_thresholds_of_classes_far_apart_meet_in_the_middle():
    values = np.concatenate([np.linspace(0, 1, 20), np.linspace(9, 10, 20)])
    found = set_thresholds(values, np.repeat([0.0, 1.0], 20))
    assert found.absent_below == found.present_above
    assert 1 < found.absent_below < 9
    assert {found.state(value) for value in values} == {ConceptState.ABSENT, ConceptState.PRESENT}


@pytest.mark.parametrize("labels", [[1.0] * 5 + [0.0] * 35, [np.nan] * 40, [1.0] * 20 + [0.0] * 20])
def test_thin_unknown_or_reversed_concepts_are_not_assessable(labels):
    found = set_thresholds(np.linspace(0, 1, 40), labels)
    assert found.absent_below is None
    assert found.state(0.5) is ConceptState.NOT_ASSESSABLE
    assert found.positives + found.negatives == np.isfinite(labels).sum()


@pytest.mark.parametrize("classes", [2, 3])
def test_concepts_that_decide_the_diagnosis_predict_it(classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=300)
    activations = np.eye(classes)[labels] * 4 + rng.normal(size=(300, classes))
    model = fit_concept_only(activations[:200], labels[:200], classes=classes)
    found = model.probabilities(activations[200:])
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found.argmax(axis=1) == labels[200:]).mean() > 0.9
    assert 0 < model.threshold < 1
    assert fit_concept_only(activations[:5], labels[:5], classes=classes) is None
    assert fit_concept_only(activations[:, :0], labels, classes=classes) is None


def test_nearest_examples_come_in_order_and_in_units_of_the_axes():
    examples = [
        ExampleReference(image_id=name, diagnosis="nevus", shows=(), activations=values)
        for name, values in {"a": (0.0, 90.0), "b": (3.0, 0.0), "c": (0.0, 10.0)}.items()
    ]
    found = nearest((0.0, 0.0), examples, scale=np.array([1.0, 100.0]), count=2)
    assert [one.image_id for one, _ in found] == ["c", "a"]
    assert found[0][1] == pytest.approx(0.1)
    assert nearest((0.0, 0.0), [], scale=np.ones(2), count=2) == []
