import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve

from concepts.errors import DataError
from concepts.statistics.bootstrap import group_weights
from concepts.statistics.estimate import Estimate
from pipeline.evaluation.diagnosis import auc_difference, calibration_error, diagnosis_figures, sensitivity

CLASSES = ("melanoma", "nevus", "seborrheic_keratosis")


def weights_of(cases, *, resamples=200):
    groups = [str(one // 2) for one in range(cases)]
    return group_weights(groups, resamples=resamples, generator=np.random.default_rng(0))


def a_network(cases=240, *, skill=1.5, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(3, size=cases)
    logits = generator.normal(size=(cases, 3)) + skill * np.eye(3)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


def leaves(tree):
    return [leaf for value in tree.values() for leaf in (leaves(value) if isinstance(value, dict) else [value])]


def test_figures_equal_sklearn():
    probabilities, labels = a_network()
    figures = diagnosis_figures(probabilities, labels, classes=CLASSES, weights=weights_of(240))
    for index, name in enumerate(CLASSES):
        assert figures["auc"][name].value == pytest.approx(roc_auc_score(labels == index, probabilities[:, index]))
        false, true, _ = roc_curve(labels == index, probabilities[:, index], drop_intermediate=False)
        for percent in (80, 90):
            found = figures[f"sensitivity_at_specificity_{percent}"][name].value
            assert found == pytest.approx(true[1 - false >= percent / 100 - 1e-9].max())
    assert figures["auc"]["macro"].value == pytest.approx(roc_auc_score(labels, probabilities, multi_class="ovr"))
    expected = balanced_accuracy_score(labels, probabilities.argmax(axis=1))
    assert figures["balanced_accuracy"].value == pytest.approx(expected)


def test_every_leaf_is_an_estimate_inside_its_interval():
    probabilities, labels = a_network()
    found = leaves(diagnosis_figures(probabilities, labels, classes=CLASSES, weights=weights_of(240)))
    assert len(found) == 4 + 1 + 3 + 3 + 1
    for estimate in found:
        assert isinstance(estimate, Estimate)
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert estimate.n == 240


def test_a_diagnosis_without_cases_is_not_a_number_and_not_in_the_mean():
    probabilities, labels = a_network()
    labels = np.minimum(labels, 1)
    figures = diagnosis_figures(probabilities, labels, classes=CLASSES, weights=weights_of(240))
    assert np.isnan(figures["auc"]["seborrheic_keratosis"].value)
    assert np.isnan(figures["sensitivity_at_specificity_80"]["seborrheic_keratosis"].value)
    assert figures["auc"]["seborrheic_keratosis"].n == 240
    present = [figures["auc"][name].value for name in CLASSES[:2]]
    assert figures["auc"]["macro"].value == pytest.approx(np.mean(present))
    assert np.isfinite(figures["auc"]["macro"].low)


def test_sensitivity_counts_ties_against_the_positives():
    scores, positives = np.array([0.0, 1, 1, 1, 1, 1, 2, 1]), np.array([False] * 5 + [False, True, True])
    figure = sensitivity(scores, positives, np.ones((1, 8)), specificity=0.8)
    assert figure.value == 0.5


def test_sensitivity_on_a_resample_is_that_of_the_repeated_cases():
    generator = np.random.default_rng(1)
    scores, positives = generator.normal(size=50).round(1), generator.random(50) < 0.4
    counts = generator.integers(0, 4, 50)
    weighted = sensitivity(scores, positives, counts[None].astype(float), specificity=0.8).replicates[0]
    repeated = np.repeat(scores, counts), np.repeat(positives, counts)
    assert weighted == pytest.approx(sensitivity(*repeated, np.ones((1, counts.sum())), specificity=0.8).value)


def test_a_better_network_is_better_beyond_chance():
    better, labels = a_network(skill=2.5)
    worse = np.random.default_rng(5).dirichlet(np.ones(3), len(labels))
    estimate = auc_difference(better, worse, labels, classes=CLASSES, weights=weights_of(240))
    assert estimate.low > 0
    same = auc_difference(better, better, labels, classes=CLASSES, weights=weights_of(240))
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_pairing_narrows_the_difference_of_alike_networks():
    first, labels = a_network()
    second = 0.95 * first + 0.05 / 3
    estimate = auc_difference(first, second, labels, classes=CLASSES, weights=weights_of(240))
    assert estimate.high - estimate.low < 1e-9


def test_calibrated_confidence_has_little_error_and_bragging_much():
    generator = np.random.default_rng(2)
    confidence = generator.uniform(0.5, 1, 4000)
    labels = (generator.random(4000) > confidence).astype(int)
    weights = np.ones((100, 4000))
    honest = np.stack([confidence, 1 - confidence], axis=1)
    assert calibration_error(honest, labels, weights).value < 0.03
    bragging = np.stack([np.full(4000, 0.99), np.full(4000, 0.01)], axis=1)
    assert calibration_error(bragging, labels, weights).value == pytest.approx(0.99 - (labels == 0).mean())


def test_shapes_that_do_not_agree_are_refused():
    probabilities, labels = a_network()
    with pytest.raises(DataError, match=r"\(240, 3\).*expected \(240, 2\)"):
        diagnosis_figures(probabilities, labels, classes=CLASSES[:2], weights=weights_of(240))
    with pytest.raises(DataError, match="labels run from 0 to 7; allowed are 0 to 2"):
        diagnosis_figures(probabilities, np.where(labels == 2, 7, labels), classes=CLASSES, weights=weights_of(240))
