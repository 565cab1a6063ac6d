"""Tests of many associations at once: their level, their power, and an independent computation of the p-values."""

from itertools import product

import numpy as np
import pytest

from pipeline.explanation.shortcuts.verdicts import centred, largest_score_tests, tie_scores, use_scores


def every_flip(scores: np.ndarray, groups: list[str]) -> np.ndarray:
    """Adjusted p-values by going through all signs of the groups, written without sharing a line with the module."""
    names = sorted(set(groups))
    sums = np.array(
        [sum((row for row, group in zip(scores, groups, strict=True) if group == name), 0.0) for name in names]
    )
    scale = np.array([np.sqrt(sum(value * value for value in column)) for column in sums.T])
    observed = [sum(column) / spread for column, spread in zip(sums.T, scale, strict=True)]
    largest = []
    for signs in product((1, -1), repeat=len(names)):
        flipped = [sum(sign * value for sign, value in zip(signs, column, strict=True)) for column in sums.T]
        largest.append(max(value / spread for value, spread in zip(flipped, scale, strict=True)))
    return np.array([np.mean([value <= most + 1e-12 for most in largest]) for value in observed])


def test_p_values_are_those_of_all_sign_flips():
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(20, 4)) + np.array([0.0, 0.4, 0.9, -0.5])
    groups = [f"patient {number % 10}" for number in range(20)]
    adjusted = largest_score_tests(scores, groups, generator=generator, flips=40_000)
    assert np.abs(adjusted - every_flip(scores, groups)).max() <= 0.01


def test_no_association_is_found_in_few_null_data_sets():
    """At a level of 5 %, of 300 data sets without any association 15 are expected; 30 have a chance below 2e-4."""
    generator = np.random.default_rng(1)
    groups = [str(number // 3) for number in range(150)]
    hits = 0
    for _ in range(300):
        # Images of a patient are alike: a test that took them for independent would find far more than 5 %.
        shared = np.repeat(generator.normal(size=(50, 2)), 3, axis=0)
        outcome = np.repeat(generator.normal(size=(50, 3)), 3, axis=0)
        first, second = (centred(values, np.zeros(150, dtype=np.int64)) for values in (shared, outcome))
        scores = (first[:, :, None] * second[:, None]).reshape(150, -1)
        hits += largest_score_tests(scores, groups, generator=generator, flips=199).min() <= 0.05
    assert hits <= 30


def test_an_association_that_is_there_is_found_and_only_that_one():
    generator = np.random.default_rng(2)
    table = (generator.random((300, 4)) < 0.2).astype(float)
    diagnoses = generator.integers(3, size=300)
    table[diagnoses == 1, 2] = generator.random((diagnoses == 1).sum()) < 0.7
    scores = tie_scores(table, diagnoses, 3)
    adjusted = largest_score_tests(scores, [str(row) for row in range(300)], generator=generator).reshape(4, 3)
    assert adjusted[2, 1] <= 0.001
    adjusted[2, 1] = 1.0
    assert adjusted.min() > 0.05


def test_ties_are_one_sided():
    diagnoses = np.repeat([0, 1], 100)
    table = np.concatenate([np.zeros(100), np.ones(100)])[:, None]
    groups = [str(row) for row in range(200)]
    adjusted = largest_score_tests(tie_scores(table, diagnoses, 2), groups, generator=np.random.default_rng(3))
    assert adjusted[1] <= 0.001
    assert adjusted[0] == pytest.approx(1.0)


def test_use_compares_inside_a_diagnosis_only():
    """An artefact that all images of a diagnosis have, and no others, can never be shown to be used."""
    diagnoses = np.repeat([0, 1], 50)
    table = diagnoses.astype(float)[:, None]
    falls = np.random.default_rng(4).normal(size=(100, 1, 2)) + 5.0 * table[:, :, None]
    assert np.abs(use_scores(table, falls, diagnoses)).max() == 0.0


def test_what_is_not_known_has_no_score():
    values = np.array([1.0, 0.0, np.nan, 1.0])
    differences = centred(values, np.zeros(4, dtype=np.int64))
    assert differences[2] == 0.0
    assert differences.sum() == pytest.approx(0.0)
