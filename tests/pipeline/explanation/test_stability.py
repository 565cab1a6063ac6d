"""Stability of the order by importance over resamples."""

import numpy as np
import pytest

from concepts.statistics.bootstrap import Resampled
from pipeline.explanation.stability import order_stability


def ratios(values, noise, *, resamples=400, seed=0):
    generator = np.random.default_rng(seed)
    return {
        name: Resampled(value, value + noise * generator.normal(size=resamples), 100) for name, value in values.items()
    }


def test_what_never_changes_places_is_perfectly_stable():
    found = order_stability(ratios({"a": 2.0, "b": 1.5, "c": 1.1}, 0.0))
    assert (found.tau.value, found.tau.low, found.tau.high) == (1, 1, 1)
    assert found.concepts["a"].first == found.concepts["a"].same == 1
    assert [one.rank.value for one in found.concepts.values()] == [1, 2, 3]
    assert found.concepts["c"].first == 0


def test_equal_concepts_take_turns_at_being_first():
    found = order_stability(ratios({"a": 1.3, "b": 1.3 - 1e-9, "c": 1.3 - 2e-9}, 0.1))
    firsts = [one.first for one in found.concepts.values()]
    assert sum(firsts) == pytest.approx(1)
    assert all(abs(one - 1 / 3) < 0.1 for one in firsts)
    assert abs(found.tau.value) < 0.15
    assert all((one.rank.low, one.rank.high) == (1, 3) for one in found.concepts.values())


def test_less_noise_is_more_stable():
    values = {"a": 1.6, "b": 1.4, "c": 1.2, "d": 1.0}
    taus = [order_stability(ratios(values, noise)).tau.value for noise in (0.02, 0.2, 2.0)]
    assert taus == sorted(taus, reverse=True)
    assert taus[0] > 0.99


def test_resamples_without_every_concept_are_left_out_and_counted():
    some = ratios({"a": 2.0, "b": 1.0}, 0.0, resamples=10)
    some["b"].replicates[:4] = np.nan
    assert order_stability(some).resamples == 6
    some["b"].replicates[:] = np.nan
    assert order_stability(some) is None
    assert order_stability(ratios({"a": 2.0}, 0.1)) is None
