import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from concepts.errors import DataError
from concepts.statistics.bootstrap import (
    Resampled,
    auc,
    difference,
    group_weights,
    mean_of,
    recentred,
    resample,
    weighted_auc,
)


def weights_of(cases, *, resamples=300, seed=0):
    return group_weights([str(one) for one in range(cases)], resamples=resamples, generator=np.random.default_rng(seed))


def tied_cases(count, seed):
    generator = np.random.default_rng(seed)
    positives = generator.permutation(np.arange(count) < generator.integers(1, count))
    return generator.integers(-3, 4, size=count), positives, generator


@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_weighted_auc_equals_sklearn_with_ties(count, seed):
    scores, positives, generator = tied_cases(count, seed)
    weights = generator.exponential(size=(1, count))
    expected = roc_auc_score(positives, scores, sample_weight=weights[0])
    assert weighted_auc(scores, positives, weights)[0] == pytest.approx(expected, abs=1e-12)


@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_weight_of_two_is_a_repeated_case(count, seed):
    scores, positives, generator = tied_cases(count, seed)
    counts = generator.integers(1, 4, count)
    repeated = weighted_auc(np.repeat(scores, counts), np.repeat(positives, counts))[0]
    assert weighted_auc(scores, positives, counts[None])[0] == pytest.approx(repeated, abs=1e-12)


def test_many_weightings_equal_one_by_one():
    generator = np.random.default_rng(3)
    scores, positives, weights = generator.normal(size=80).round(1), generator.random(80) < 0.3, weights_of(80)
    together = weighted_auc(scores, positives, weights)
    singly = [weighted_auc(scores, positives, one[None])[0] for one in weights]
    np.testing.assert_allclose(together, singly, atol=1e-12)


@pytest.mark.parametrize("positives", [[True] * 3, [False] * 3])
def test_auc_of_one_kind_is_undefined(positives):
    assert np.isnan(weighted_auc([1, 2, 3], positives)[0])


def test_auc_of_a_score_that_is_not_a_number_is_undefined():
    assert np.isnan(weighted_auc([1, np.nan, 3], [True, False, True])[0])


def test_unknown_labels_do_not_count():
    scores, labels = np.array([0.1, 0.9, 0.5, 0.99]), np.array([0, 1, np.nan, 0])
    figure = auc(scores, labels, weights_of(4))
    assert figure.n == 3
    assert figure.value == 0.5


def test_groups_are_drawn_whole_and_as_often_as_there_are_groups():
    groups = ["a", "b", "a", "c", "b", "a"]
    weights = group_weights(groups, resamples=500, generator=np.random.default_rng(0))
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, 1], weights[:, 4])
    assert set((weights[:, 0] + weights[:, 1] + weights[:, 3]).tolist()) == {3.0}
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.15)


def test_same_seed_same_weights():
    np.testing.assert_array_equal(weights_of(10, seed=4), weights_of(10, seed=4))
    assert (weights_of(10, seed=4) != weights_of(10, seed=5)).any()


def test_one_group_gives_no_interval():
    weights = group_weights(["a"] * 4, resamples=100, generator=np.random.default_rng(0))
    estimate = auc([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1], weights).estimate()
    assert estimate.value == 0.75
    assert np.isnan([estimate.low, estimate.high]).all()


def test_no_case_is_an_error():
    with pytest.raises(DataError, match="no cases to resample"):
        group_weights([], resamples=100, generator=np.random.default_rng(0))


def test_interval_of_a_mean_is_that_of_theory():
    values = np.random.default_rng(1).normal(size=400)
    estimate = resample(lambda one: one @ values / one.sum(axis=1), weights_of(400, resamples=2000)).estimate()
    error = 1.96 * values.std() / 20
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - error, abs=0.02)
    assert estimate.high == pytest.approx(values.mean() + error, abs=0.02)


def test_alike_cases_of_a_group_widen_the_interval():
    generator = np.random.default_rng(2)
    scores, positives = np.repeat(generator.normal(size=60), 5), np.repeat(generator.random(60) < 0.5, 5)
    groups = np.repeat(np.arange(60), 5).astype(str)
    by_group = auc(scores, positives, group_weights(groups, resamples=500, generator=generator)).estimate()
    by_case = auc(scores, positives, weights_of(300, resamples=500)).estimate()
    assert by_group.high - by_group.low > 1.5 * (by_case.high - by_case.low)


@pytest.mark.slow
def test_intervals_contain_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(7)
    covered = 0
    for _ in range(300):
        positives = np.arange(150) < 60
        scores = generator.normal(size=150) + positives
        estimate = auc(scores, positives, weights_of(150, seed=int(generator.integers(2**31)))).estimate()
        covered += estimate.low <= 0.7602 <= estimate.high
    assert 0.91 <= covered / 300 <= 0.98


def test_unusable_resamples_are_left_out_up_to_a_share():
    replicates = np.linspace(0, 1, 100)
    few, many = replicates.copy(), replicates.copy()
    few[:5], many[:20] = np.nan, np.nan
    assert np.isfinite(Resampled(0.5, few, 10).estimate().low)
    assert np.isnan(Resampled(0.5, many, 10).estimate().low)


def test_a_thing_does_not_differ_from_itself():
    figure = auc(np.arange(20) % 7, np.arange(20) % 2, weights_of(20))
    estimate = difference(figure, figure).estimate()
    assert (estimate.value, estimate.low, estimate.high) == (0, 0, 0)


def test_the_mean_of_equal_figures_is_that_figure():
    figure = auc(np.arange(20) % 7, np.arange(20) % 2, weights_of(20))
    assert mean_of([figure, figure]).estimate() == figure.estimate()
    assert np.isnan(mean_of([]).estimate().value)


def test_recentred_resamples_have_the_value_as_mean():
    figure = Resampled(0.1, np.array([0.2, 0.3, np.nan, 0.4]), 9)
    assert np.nanmean(recentred(figure).replicates) == pytest.approx(0.1)
