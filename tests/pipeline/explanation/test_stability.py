"""Stability of the order by importance over resamples."""

import numpy as np
import pytest

from concepts.statistics.bootstrap import Resampled
from pipeline.explanation.stability import order_stabilities, order_stability


def ratios(values, noise, *, resamples=400, seed=0):
    generator = np.random.default_rng(seed)
    return {
        name: Resampled(value, value + noise * generator.normal(size=resamples), 100) for name, value in values.items()
    }


def test_what_never_changes_places_is_perfectly_stable():
    stability = order_stability(ratios({"b": 1.5, "a": 2.0, "c": 1.1}, 0.0))
    assert (stability.tau.value, stability.tau.low, stability.tau.high, stability.tau.n) == (1, 1, 1, 100)
    assert stability.resamples == 400
    assert {name: row.rank.value for name, row in stability.concepts.items()} == {"a": 1, "b": 2, "c": 3}
    assert {name: (row.first, row.same) for name, row in stability.concepts.items()} == {
        "a": (1, 1),
        "b": (0, 1),
        "c": (0, 1),
    }
    assert list(stability.ranked) == ["a", "b", "c"]
    assert stability.concepts["c"].rank.n == 100


def test_equal_concepts_take_turns_at_being_first():
    stability = order_stability(ratios({"a": 1.3, "b": 1.3 - 1e-9, "c": 1.3 - 2e-9}, 0.1))
    firsts = [row.first for row in stability.concepts.values()]
    assert sum(firsts) == pytest.approx(1)
    assert all(abs(first - 1 / 3) < 0.1 for first in firsts)
    assert abs(stability.tau.value) < 0.15
    assert all((row.rank.low, row.rank.high) == (1, 3) for row in stability.concepts.values())


def test_less_noise_is_more_stable():
    values = {"a": 1.6, "b": 1.4, "c": 1.2, "d": 1.0}
    taus = [order_stability(ratios(values, noise, resamples=60)).tau.value for noise in (0.02, 0.2, 2.0)]
    assert taus == sorted(taus, reverse=True)
    assert taus[0] > 0.99


def test_shares_are_those_of_the_resamples():
    resampled = {
        "a": Resampled(2.0, np.array([2.0, 2.0, 1.0, 1.0]), 8),
        "b": Resampled(1.5, np.array([1.5, 3.0, 3.0, 0.5]), 8),
        "c": Resampled(1.0, np.array([1.0, 1.0, 2.0, 2.0]), 8),
    }
    stability = order_stability(resampled)
    assert [row.first for row in stability.concepts.values()] == [0.25, 0.5, 0.25]
    assert [row.same for row in stability.concepts.values()] == [0.25, 0.25, 0.5]
    taus = [1, 1 / 3, -1 / 3, -1 / 3]
    assert stability.tau.value == pytest.approx(np.mean(taus))
    assert (stability.tau.low, stability.tau.high) == pytest.approx(tuple(np.percentile(taus, [2.5, 97.5])))
    assert (stability.concepts["a"].rank.low, stability.concepts["a"].rank.high) == (1, 3)


def test_resamples_without_every_concept_are_left_out_and_counted():
    resampled = ratios({"a": 2.0, "b": 1.0}, 0.0, resamples=10)
    resampled["b"].replicates[:4] = np.nan
    assert order_stability(resampled).resamples == 6
    resampled["b"].replicates[:] = np.nan
    assert order_stability(resampled) is None
    assert order_stability(ratios({"a": 2.0}, 0.1)) is None


def test_concepts_without_importance_are_left_out_of_the_order():
    resampled = ratios({"a": 2.0, "b": 1.0}, 0.0, resamples=10) | {"thin": Resampled(np.nan, np.full(10, np.nan), 100)}
    stability = order_stability(resampled)
    assert set(stability.concepts) == {"a", "b"}
    assert stability.resamples == 10


def test_without_a_tau_in_any_resample_there_is_none():
    tied = {name: Resampled(value, np.ones(5), 10) for name, value in (("a", 2.0), ("b", 1.0))}
    stability = order_stability(tied)
    assert np.isnan([stability.tau.value, stability.tau.low, stability.tau.high]).all()
    assert stability.tau.n == 10


def test_every_target_has_the_order_of_its_own_ratios():
    stabilities = order_stabilities(
        {
            "melanoma": ratios({"a": 2.0, "b": 1.0}, 0.0),
            "nevus": ratios({"a": 1.0, "b": 2.0}, 0.0),
            "overall": ratios({"a": 1.0}, 0.0),
        }
    )
    assert stabilities["overall"] is None
    assert list(stabilities["melanoma"].ranked) == ["a", "b"]
    assert list(stabilities["nevus"].ranked) == ["b", "a"]
