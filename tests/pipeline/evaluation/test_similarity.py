import numpy as np
import pytest

from concepts.statistics.bootstrap import group_weights
from pipeline.evaluation.similarity import concept_similarity, mean_cosine


def weights_of(cases, *, resamples=100):
    groups = [str(case) for case in range(cases)]
    return group_weights(groups, resamples=resamples, generator=np.random.default_rng(0))


def similarity(features, labels, weights=None):
    names = [str(column) for column in range(labels.shape[1])]
    return concept_similarity(features, labels, weights_of(len(labels)) if weights is None else weights, concepts=names)


def mean_over_pairs(features, first, second):
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = unit @ unit.T
    return np.mean([cosines[a, b] for a in first for b in second if a != b])


def test_similarities_equal_those_of_all_pairs():
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(30, 5)) + 0.3, generator.random((30, 3)) < 0.4
    figures = similarity(features, labels)
    for concept in range(3):
        cases = np.flatnonzero(labels[:, concept])
        within = figures.intra[str(concept)]
        assert within.value == pytest.approx(figures.inter[str(concept)][str(concept)])
        assert within.low < within.value < within.high
        assert within.n == len(cases)
        for other in range(3):
            expected = mean_over_pairs(features, cases, np.flatnonzero(labels[:, other]))
            assert figures.inter[str(concept)][str(other)] == pytest.approx(expected)


def test_a_resample_equals_all_pairs_of_distinct_cases_that_it_repeats():
    generator = np.random.default_rng(1)
    features, labels = generator.normal(size=(12, 4)), generator.random((12, 2)) < 0.6
    counts = generator.integers(0, 3, 12)
    repeated = np.repeat(np.arange(12), counts)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    first, second = ([row for row in repeated if labels[row, column]] for column in (0, 1))
    expected = np.mean([unit[a] @ unit[b] for a in first for b in second if a != b])
    assert mean_cosine(unit, labels[:, 0], labels[:, 1])(counts[None])[0] == pytest.approx(expected)


def test_orthogonal_bundles_are_alike_within_and_not_between():
    features = np.repeat(np.eye(2), 10, axis=0) * np.arange(1, 21)[:, None]
    figures = similarity(features, np.repeat(np.eye(2), 10, axis=0))
    assert [figure.value for figure in figures.intra.values()] == pytest.approx([1, 1])
    assert figures.inter["0"]["1"] == 0
    assert figures.intra["0"].n == 10


def test_resampling_does_not_make_a_concept_look_more_alike():
    features, labels = np.random.default_rng(2).normal(size=(40, 8)), np.ones((40, 1))
    figure = similarity(features, labels, weights_of(40, resamples=500)).intra["0"]
    assert figure.low < figure.value < figure.high
    assert (figure.low + figure.high) / 2 == pytest.approx(figure.value, abs=0.03)


def test_nothing_to_compare_is_not_a_number():
    figures = similarity(np.ones((3, 4)), np.array([[1, 0], [0, np.nan], [0, 0]]))
    assert np.isnan(figures.intra["0"].value)
    assert np.isnan(figures.inter["0"]["1"])
    assert figures.intra["0"].n == 1


def test_vectors_of_length_zero_are_like_nothing():
    features = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert similarity(features, np.ones((3, 1))).intra["0"].value == pytest.approx(1 / 3)
