"""The gallery of failures: which are in it, in what order, and how often calls are wrong."""

import numpy as np
import pytest

from concepts.statistics.bootstrap import group_weights
from pipeline.explanation.cases.failures import CONFIDENT, failure_rates, most_confidently_wrong


def drawn(cases=200, seed=0):
    generator = np.random.default_rng(seed)
    return generator.dirichlet(np.ones(3), size=cases), generator.integers(3, size=cases)


def test_all_are_wrong_none_is_left_out_that_is_more_confident_and_none_comes_twice():
    probabilities, labels = drawn()
    calls, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rows = most_confidently_wrong(probabilities, labels, count=10)
    assert len(set(rows)) == 10
    assert (calls[rows] != labels[rows]).all()
    assert confidence[rows].tolist() == sorted(confidence[rows], reverse=True)
    left = np.setdiff1d(np.flatnonzero(calls != labels), rows)
    assert confidence[left].max() <= confidence[rows].min()


def test_a_network_that_is_always_right_has_no_failures():
    labels = np.arange(9) % 3
    probabilities = np.eye(3)[labels]
    weights = group_weights([str(one) for one in range(9)], resamples=100, generator=np.random.default_rng(0))
    assert most_confidently_wrong(probabilities, labels, count=5) == []
    rates = failure_rates(probabilities, labels, weights)
    assert (rates["wrong"].value, rates["wrong_where_confident"].n) == (0, 9)


def test_rates_are_shares_of_all_calls_and_of_the_confident_ones():
    probabilities = np.array([[0.95, 0.05]] * 4 + [[0.55, 0.45]] * 6)
    labels = np.array([0, 0, 0, 1] + [1] * 6)
    weights = group_weights([str(one) for one in range(10)], resamples=200, generator=np.random.default_rng(0))
    rates = failure_rates(probabilities, labels, weights)
    assert 0.55 < CONFIDENT < 0.95
    assert rates["wrong"].value == pytest.approx(0.7)
    assert (rates["wrong_where_confident"].value, rates["wrong_where_confident"].n) == (pytest.approx(0.25), 4)
    none = failure_rates(np.full((10, 2), 0.5), labels, weights)
    assert np.isnan(none["wrong_where_confident"].value)
