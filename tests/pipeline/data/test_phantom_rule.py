import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from concepts.vocabulary import load_vocabulary
from pipeline.data.phantom.lesion import ARTEFACT_LAYERS, ARTEFACTS, ASYMMETRY, STRUCTURES
from pipeline.data.phantom.rule import (
    CONCEPTS,
    DIAGNOSES,
    PREVALENCE,
    WEIGHTS,
    best_auc,
    diagnosis_shares,
    probabilities,
    throw_concepts,
    throw_diagnosis,
    throw_tendency,
    true_importance,
)

MOST_IMPORTANT = {
    "nevus": "pigment_network",
    "melanoma": "blue_whitish_veil",
    "seborrheic_keratosis": "milia_like_cysts",
    "overall": "blue_whitish_veil",
}
LESIONS = 60_000


@pytest.fixture(scope="module")
def drawn():
    """Concepts (N x 7), diagnoses (N) and their probabilities (N x 3) of many lesions."""
    rng = np.random.default_rng(0)
    table = (rng.random((LESIONS, len(CONCEPTS))) < list(PREVALENCE.values())).astype(float)
    chances = probabilities(table)
    return table, (rng.random(LESIONS)[:, None] > chances.cumsum(axis=1)).sum(axis=1), chances


def test_every_word_is_in_the_vocabulary():
    vocabulary = load_vocabulary()
    assert set(CONCEPTS) | set(ARTEFACTS) <= set(vocabulary.concepts)
    assert set(DIAGNOSES) <= set(vocabulary.diagnoses)


def test_everything_that_is_named_is_drawn():
    assert set(STRUCTURES) | {ASYMMETRY} == set(CONCEPTS) == set(WEIGHTS)
    assert set(ARTEFACT_LAYERS) == set(ARTEFACTS)


def test_probabilities_are_the_softmax_of_the_written_weights():
    row = np.array([[float(concept in ("globules", "streaks")) for concept in CONCEPTS]])
    odds = np.exp([0.0 + 2.0, -0.5 + 1.5, 0.5])
    assert probabilities(row)[0] == pytest.approx(odds / odds.sum())


def test_concepts_come_at_their_prevalence_and_independently():
    rng, patients = np.random.default_rng(1), 4000
    present = [throw_concepts(throw_tendency(rng), rng) for _ in range(patients)]
    table = np.array([[concept in there for concept in CONCEPTS] for there in present], dtype=float)
    assert table.mean(axis=0) == pytest.approx(list(PREVALENCE.values()), abs=4 * 0.5 / np.sqrt(patients))
    correlations = np.corrcoef(table.T)[np.triu_indices(len(CONCEPTS), k=1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(patients)


def test_lesions_of_one_patient_are_alike_in_each_concept():
    rng = np.random.default_rng(1)
    pairs = [
        (throw_concepts(tendency, rng), throw_concepts(tendency, rng))
        for tendency in [throw_tendency(rng) for _ in range(2000)]
    ]
    for concept in CONCEPTS:
        first, second = np.array([[concept in left, concept in right] for left, right in pairs]).T
        assert np.corrcoef(first, second)[0, 1] == pytest.approx(1 / 9, abs=0.09)


def test_diagnoses_are_drawn_by_the_rule():
    rng = np.random.default_rng(2)
    concepts = frozenset({"globules", "asymmetry"})
    row = np.array([[float(concept in concepts) for concept in CONCEPTS]])
    counts = np.zeros(3)
    for _ in range(2000):
        counts[DIAGNOSES.index(throw_diagnosis(concepts, rng))] += 1
    expected = 2000 * probabilities(row)[0]
    assert ((counts - expected) ** 2 / expected).sum() < 13.8


def test_classes_are_balanced_and_as_said(drawn):
    _, diagnoses, _ = drawn
    shares = diagnosis_shares()
    assert all(0.25 < share < 0.45 for share in shares.values())
    assert np.bincount(diagnoses) / LESIONS == pytest.approx(list(shares.values()), abs=0.02)


def test_best_auc_is_what_the_rule_reaches_on_drawn_lesions(drawn):
    _, diagnoses, chances = drawn
    best = best_auc()
    for d, diagnosis in enumerate(DIAGNOSES):
        assert roc_auc_score(diagnoses == d, chances[:, d]) == pytest.approx(best[diagnosis], abs=0.008)
    assert 0.93 < best["macro"] < 0.97


@pytest.mark.parametrize("diagnosis", [*DIAGNOSES, "overall"])
def test_each_diagnosis_has_one_most_important_concept_by_a_clear_gap(diagnosis):
    importance = true_importance()[diagnosis]
    first, second = sorted(importance, key=lambda concept: -importance[concept])[:2]
    assert first == MOST_IMPORTANT[diagnosis]
    assert importance[first] - 1 > 1.3 * (importance[second] - 1)


def test_no_two_diagnoses_share_their_most_important_concept():
    assert len({MOST_IMPORTANT[diagnosis] for diagnosis in DIAGNOSES}) == len(DIAGNOSES)


def test_regression_has_no_effect_and_all_others_have():
    for importance in true_importance().values():
        assert importance["regression"] == pytest.approx(1, abs=1e-12)
        assert all(ratio > 1.03 for concept, ratio in importance.items() if concept != "regression")


def test_true_importance_is_what_permuting_drawn_lesions_gives(drawn):
    table, diagnoses, chances = drawn
    rng = np.random.default_rng(3)
    plain = _losses(chances, diagnoses)
    exact = true_importance()
    for j, concept in enumerate(CONCEPTS):
        permuted = table.copy()
        permuted[:, j] = rng.permutation(permuted[:, j])
        losses = _losses(probabilities(permuted), diagnoses)
        assert losses / plain == pytest.approx([exact[d][concept] for d in DIAGNOSES], rel=0.08)
        assert losses.mean() / plain.mean() == pytest.approx(exact["overall"][concept], rel=0.08)


def _losses(chances, diagnoses):
    """Balanced binary cross-entropy of each diagnosis, written without regard to how the rule does it."""
    losses = []
    for d in range(len(DIAGNOSES)):
        of_it, of_others = chances[diagnoses == d, d], chances[diagnoses != d, d]
        losses.append(-(np.log(of_it).mean() + np.log1p(-of_others).mean()) / 2)
    return np.array(losses)
