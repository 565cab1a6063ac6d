import numpy as np
import pytest

from concepts.statistics.bootstrap import group_weights
from pipeline.evaluation.similarity import concept_similarity


def weights_of(cases, *, resamples=100):
    groups = [str(one) for one in range(cases)]
    return group_weights(groups, resamples=resamples, generator=np.random.default_rng(0))


def mean_cosine(features, first, second):
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = unit @ unit.T
    return np.mean([cosines[a, b] for a in first for b in second if a != b])


def test_similarities_equal_those_of_all_pairs():
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(30, 5)) + 0.3, generator.random((30, 3)) < 0.4
    found = concept_similarity(features, labels, weights_of(30))
    for one in range(3):
        for other in range(3):
            expected = mean_cosine(features, np.flatnonzero(labels[:, one]), np.flatnonzero(labels[:, other]))
            assert found.inter[one][other].value == pytest.approx(expected)
        assert found.intra[one] == found.inter[one][one]


def test_a_resample_equals_all_pairs_of_distinct_cases_that_it_repeats():
    generator = np.random.default_rng(1)
    features, labels = generator.normal(size=(12, 4)), generator.random((12, 2)) < 0.6
    counts = generator.integers(0, 3, 12)
    repeated = np.repeat(np.arange(12), counts)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    first, second = ([row for row in repeated if labels[row, one]] for one in (0, 1))
    expected = np.mean([unit[a] @ unit[b] for a in first for b in second if a != b])
    found = concept_similarity(features, labels, np.tile(counts, (100, 1)))
    assert found.inter[0][1].low == pytest.approx(expected)
    assert found.inter[0][1].high == pytest.approx(expected)


def test_orthogonal_bundles_are_alike_within_and_not_between():
    features = np.repeat(np.eye(2), 10, axis=0) * np.arange(1, 21)[:, None]
    labels = np.repeat(np.eye(2), 10, axis=0)
    found = concept_similarity(features, labels, weights_of(20))
    assert [one.value for one in found.intra] == pytest.approx([1, 1])
    assert found.inter[0][1].value == 0
    assert found.inter[0][1].n == 20
    assert found.intra[0].n == 10


def test_resampling_does_not_make_a_concept_look_more_alike():
    features, labels = np.random.default_rng(2).normal(size=(40, 8)), np.ones((40, 1))
    found = concept_similarity(features, labels, weights_of(40, resamples=500)).intra[0]
    assert found.low < found.value < found.high
    assert (found.low + found.high) / 2 == pytest.approx(found.value, abs=0.03)


def test_nothing_to_compare_is_not_a_number():
    labels = np.array([[1, 0], [0, np.nan], [0, 0]])
    found = concept_similarity(np.ones((3, 4)), labels, weights_of(3))
    assert np.isnan(found.intra[0].value)
    assert np.isnan(found.inter[0][1].value)
    assert found.inter[0][1].n == 1


def test_vectors_of_length_zero_are_like_nothing():
    features = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    found = concept_similarity(features, np.ones((3, 1)), weights_of(3))
    assert found.intra[0].value == pytest.approx(1 / 3)
