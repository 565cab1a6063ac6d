import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from concepts.errors import DataError
from concepts.statistics.bootstrap import (
    Resampled,
    auc,
    bootstrap,
    difference,
    group_weights,
    interval_estimate,
    known_mean,
    mean_of,
    ratio,
    recentred,
    resample,
    weighted_auc,
)


def weights_of(cases, *, resamples=300, seed=0):
    return group_weights(
        [str(case) for case in range(cases)], resamples=resamples, generator=np.random.default_rng(seed)
    )


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
    singly = [weighted_auc(scores, positives, weight[None])[0] for weight in weights]
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
    estimate = resample(lambda weight: weight @ values / weight.sum(axis=1), weights_of(400, resamples=2000)).estimate()
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


def mean_of_items(weights):
    return ratio(weights @ np.arange(10.0), weights.sum(axis=1))[:, None]


def test_draws_do_not_depend_on_the_block(monkeypatch):
    at_once = bootstrap(mean_of_items, 10, generator=np.random.default_rng(0), resamples=50)
    monkeypatch.setattr("concepts.statistics.bootstrap.BLOCK", 70)
    in_blocks = bootstrap(mean_of_items, 10, generator=np.random.default_rng(0), resamples=50)
    np.testing.assert_array_equal(in_blocks, at_once)
    assert at_once.shape == (51, 1)
    assert at_once[0, 0] == 4.5


def test_items_are_groups_of_one():
    figures = bootstrap(mean_of_items, 10, generator=np.random.default_rng(0), resamples=50)
    weights = weights_of(10, resamples=50)
    resampled = resample(lambda weight: mean_of_items(weight)[:, 0], weights)
    assert resampled.value == figures[0, 0]
    np.testing.assert_array_equal(resampled.replicates, figures[1:, 0])
    assert interval_estimate(figures[:, 0], 10) == resampled.estimate()


@pytest.mark.parametrize("items", [0, 1])
def test_of_fewer_than_two_items_nothing_can_be_drawn(items):
    figures = bootstrap(
        lambda weight: ratio(weight.sum(axis=1), weight.sum(axis=1))[:, None],
        items,
        generator=np.random.default_rng(0),
        resamples=5,
    )
    assert np.isnan(figures[1:]).all()
    assert np.isnan(interval_estimate(figures[:, 0], items).low)


@pytest.mark.parametrize(("n", "has_interval"), [(1, False), (2, True)])
def test_a_figure_of_one_case_has_no_interval(n, has_interval):
    estimate = Resampled(0.5, np.linspace(0.4, 0.6, 50), n).estimate()
    assert estimate.value == 0.5
    assert np.isfinite(estimate.low) == np.isfinite(estimate.high) == has_interval


def test_the_interval_is_the_middle_95_of_100():
    estimate = Resampled(0.3, np.arange(1001) / 1000, 9).estimate()
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == pytest.approx((0.3, 0.025, 0.975, 9))


@pytest.mark.parametrize(("missing", "has_interval"), [(0, True), (10, True), (11, False), (100, False)])
def test_a_tenth_of_the_resamples_may_be_undefined(missing, has_interval):
    replicates = np.linspace(0, 1, 100)
    replicates[:missing] = np.nan
    assert np.isfinite(Resampled(0.5, replicates, 10).estimate().low) == has_interval


def test_what_is_undefined_on_the_data_has_no_interval():
    assert np.isnan(Resampled(float("nan"), np.linspace(0, 1, 100), 10).estimate().low)


def test_figures_are_paired_resample_by_resample_and_count_their_cases():
    first, second = Resampled(0.75, np.array([0.5, 1.0]), 9), Resampled(0.25, np.array([0.5, 0.0]), 4)
    less, mean = difference(first, second), mean_of([first, second])
    assert (less.value, less.replicates.tolist(), less.n) == (0.5, [0, 1], 4)
    assert (mean.value, mean.replicates.tolist(), mean.n) == (0.5, [0.5, 0.5], 9)
    assert resample(lambda weight: weight[:, 0], np.ones((3, 7))).n == 7
    assert resample(lambda weight: weight[:, 0], np.ones((3, 7)), n=5).n == 5


def test_recentring_keeps_the_spread_and_what_has_no_resample():
    moved = recentred(Resampled(0.1, np.array([0.2, 0.3, 0.4]), 9))
    assert moved.replicates == pytest.approx(np.array([0.0, 0.1, 0.2]))
    assert (moved.value, moved.n) == (0.1, 9)
    assert np.isnan(recentred(Resampled(0.1, np.full(2, np.nan), 9)).replicates).all()


def test_a_ratio_over_nothing_is_undefined():
    np.testing.assert_array_equal(ratio([1, 0, -3], [2, 0, 0]), [0.5, np.nan, np.nan])


def test_a_mean_of_what_is_known_leaves_the_rest_out_resample_by_resample():
    weights = np.array([[1, 1, 1, 1], [3, 0, 1, 9], [0, 2, 2, 5]], dtype=np.float32)
    figure = known_mean(np.array([1.0, 0.0, 1.0, np.nan]), weights)
    assert (figure.value, figure.n) == (pytest.approx(2 / 3), 3)
    assert figure.replicates == pytest.approx([2 / 3, 1.0, 0.5])


def test_a_mean_of_nothing_known_is_undefined_on_every_resample():
    figure = known_mean(np.array([np.nan, np.nan]), np.ones((4, 2), dtype=np.float32))
    assert np.isnan(figure.value)
    assert figure.n == 0
    assert figure.replicates.shape == (4,)
    assert np.isnan(figure.replicates).all()


def test_an_estimate_without_an_interval_still_counts_its_cases():
    assert Resampled(0.5, np.array([0.5]), 1).estimate().n == 1
