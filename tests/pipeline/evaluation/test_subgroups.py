"""Subgroups of the test set, and the ceiling of concept labels."""

import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from concepts.statistics.bootstrap import group_weights
from pipeline.data.phantom.skin import tone_name
from pipeline.data.sample import Sample
from pipeline.data.sources.isic import describe
from pipeline.data.sources.metadata import Row
from pipeline.evaluation.ceiling import FOLDS, ceiling, concept_only_probabilities
from pipeline.evaluation.subgroups import FEWEST_IMAGES, age_band, attributes, subgroup_figures

CLASSES = ("melanoma", "nevus")


def sample(row: int, **known) -> Sample:
    return Sample(
        image_id=str(row), path=Path("x.png"), digest="0" * 64, diagnosis=CLASSES[row % 2], source="test", **known
    )


def weights_of(groups, resamples=300):
    return group_weights(groups, resamples=resamples, generator=np.random.default_rng(0))


def figures(samples, probability, labels):
    groups = [one.image_id for one in samples]
    both = np.stack([probability, 1 - probability], axis=1)
    found = subgroup_figures(
        both, np.asarray(labels), samples, classes=CLASSES, groups=groups, weights=weights_of(groups)
    )
    by_value = {(name, value): one for name, part in found["subgroups"].items() for value, one in part.items()}
    return by_value, found["unknown"]


def cohort(count=400, seed=0):
    """Women are told apart well, men not at all; ages are known for half of them."""
    generator = np.random.default_rng(seed)
    samples = [
        sample(row, sex="female" if row % 4 < 2 else "male", age=30.0 if row % 8 < 4 else None) for row in range(count)
    ]
    labels = np.arange(count) % 2
    women = np.array([one.sex == "female" for one in samples])
    noise = generator.random(count)
    return samples, np.where(women, 0.6 * (labels == 0) + 0.4 * noise, noise), labels


def test_a_subgroup_that_does_worse_is_found_with_an_interval_that_excludes_none():
    samples, probability, labels = cohort()
    found, unknown = figures(samples, probability, labels)
    men, women = found["sex", "male"], found["sex", "female"]
    own = np.array([one.sex == "male" for one in samples])
    assert men.auc["macro"].value == pytest.approx(roc_auc_score(labels[own] == 0, probability[own]))
    assert men.difference.high < 0 < women.difference.low
    assert men.difference.value == pytest.approx(-women.difference.value)
    assert men.images == men.groups == 200
    assert unknown == {"age": 200, "sex": 0, "site": 400, "skin tone": 400}


def test_a_network_that_does_alike_everywhere_shows_no_difference():
    samples, _, labels = cohort()
    probability = 0.3 * (labels == 0) + 0.7 * np.random.default_rng(1).random(len(labels))
    found, _ = figures(samples, probability, labels)
    assert all(one.difference.low < 0 < one.difference.high for (name, _), one in found.items() if name == "sex")


def test_too_few_images_or_cases_get_no_figure_and_say_why():
    samples = [sample(row, sex="female" if row < FEWEST_IMAGES - 1 else "male") for row in range(100)]
    found, _ = figures(samples, np.random.default_rng(0).random(100), np.arange(100) % 2)
    few = found["sex", "female"]
    assert few.reason == f"{FEWEST_IMAGES - 1} images, fewer than {FEWEST_IMAGES}"
    assert math.isnan(few.auc["macro"].value)
    assert math.isnan(few.difference.value)
    assert math.isnan(found["sex", "male"].difference.value), "there is nothing to hold the others against"
    assert found["sex", "male"].auc["macro"].n == 100 - FEWEST_IMAGES + 1
    rare = np.zeros(100, dtype=int)
    rare[:4] = 1
    found, _ = figures([sample(row, sex="male") for row in range(100)], np.random.default_rng(0).random(100), rare)
    assert found["sex", "male"].reason == "4 of nevus, fewer than 5"


def test_every_image_is_in_one_subgroup_or_unknown():
    samples = [sample(row, age=age, sex="male") for row, age in enumerate((5.0, 39.9, 40.0, 60.0, 95.0, None))]
    bands = attributes(samples)["age"]
    assert bands == ["under 40 years"] * 2 + ["40 to 59 years"] + ["60 years and over"] * 2 + [None]
    assert age_band(0.0) is not None


def test_skin_tones_come_from_the_source():
    assert [tone_name(one) for one in (58, 45, 30, 20, 0, -32)] == [
        "very light",
        "light",
        "intermediate",
        "tan",
        "brown",
        "dark",
    ]
    row = Row("row 1", {"diagnosis": "nevus", "fitzpatrick_skin_type": "iii"})
    described = describe(row, path=Path("a.jpg"), image_id="a", source="isic")
    assert described.skin_tone == "Fitzpatrick III"


def test_the_ceiling_is_what_the_best_rule_gets_right():
    profiles = np.array([[1, 0]] * 6 + [[0, 1]] * 4 + [[1, 1]])
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0])
    found = ceiling(profiles, labels, classes=2, weights=weights_of([str(one) for one in range(11)]))
    assert found.accuracy.value == pytest.approx(9 / 11)
    assert found.conflicting.value == pytest.approx(6 / 11)
    assert (found.profiles, found.single) == (3, 1)
    assert found.accuracy.low < found.accuracy.value < found.accuracy.high <= 1
    # Balanced: [1, 0] serves the 5 of class 0 with 4/5, or the 6 of class 1 with 2/6.
    assert found.balanced_accuracy.value == pytest.approx((4 / 5 + 1 / 5 + 4 / 6) / 2)


def test_labels_that_decide_have_no_ceiling_and_labels_that_say_nothing_are_the_majority():
    labels = np.arange(90) % 3
    weights = weights_of([str(one) for one in range(90)])
    deciding = ceiling(np.eye(3)[labels], labels, classes=3, weights=weights)
    assert deciding.accuracy.value == deciding.balanced_accuracy.value == 1
    assert deciding.conflicting.value == 0
    silent = ceiling(np.zeros((90, 2)), np.repeat([0, 1, 2], [60, 20, 10]), classes=3, weights=weights)
    assert silent.accuracy.value == pytest.approx(60 / 90)
    assert silent.balanced_accuracy.value == pytest.approx(1 / 3)
    assert silent.conflicting.value == 1


def test_no_classifier_of_labels_beats_the_ceiling():
    generator = np.random.default_rng(0)
    profiles, labels = generator.integers(2, size=(300, 4)), generator.integers(3, size=300)
    groups = [str(one // 2) for one in range(300)]
    found = ceiling(profiles, labels, classes=3, weights=weights_of(groups))
    guesses = concept_only_probabilities(profiles, labels, groups=groups, classes=3, seed=0)
    assert (guesses.argmax(axis=1) == labels).mean() <= found.accuracy.value
    assert guesses.sum(axis=1) == pytest.approx(1)


def test_concept_labels_that_decide_are_learnt_across_groups_and_memory_of_a_group_does_not_help():
    labels = np.arange(200) % 2
    groups = [str(one // 4) for one in range(200)]
    told = concept_only_probabilities(np.stack([labels, 1 - labels], axis=1), labels, groups=groups, classes=2, seed=0)
    assert (told.argmax(axis=1) == labels).all()
    by_group = np.repeat(np.random.default_rng(0).integers(2, size=50), 4)
    own_columns = np.eye(50)[np.repeat(np.arange(50), 4)]
    blind = concept_only_probabilities(own_columns, by_group, groups=groups, classes=2, seed=0)
    assert abs((blind.argmax(axis=1) == by_group).mean() - 0.5) < 0.25, "a patient's own column is never learnt from"


def test_too_few_groups_of_a_diagnosis_give_no_classifier():
    labels = np.zeros(100, dtype=int)
    labels[:40] = 1
    groups = [str(min(one, 40 + one // (60 // FOLDS))) if one >= 40 else str(one // 20) for one in range(100)]
    assert concept_only_probabilities(np.ones((100, 1)), labels, groups=groups, classes=2, seed=0) is None
