"""Intervals of shares and differences, the correlation of orders, and what each costs to import."""

import subprocess
import sys
from itertools import permutations
from math import nan

import numpy as np
import pytest

from concepts.statistics.estimate import Estimate, is_known
from concepts.statistics.intervals import (
    LEVEL,
    critical_value,
    difference_of,
    is_finite,
    kendall_tau,
    wilson,
)

UNKNOWN = Estimate(nan, nan, nan, 3)


@pytest.mark.parametrize("package", ["scipy", "numpy", "pandas"])
def test_an_estimate_costs_nothing_to_import(package: str):
    code = f"import sys, concepts.statistics.estimate; print({package!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_share_has_wilsons_interval():
    """By hand: z = 1.96, (p + z²/2n -+ z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n)."""
    share = wilson(3, 4)
    assert (share.value, share.n) == (0.75, 4)
    assert (share.low, share.high) == (pytest.approx(0.3006, abs=1e-4), pytest.approx(0.9544, abs=1e-4))


def test_the_interval_of_none_and_of_all_ends_at_the_share():
    none, everyone = wilson(0, 10), wilson(10, 10)
    assert (none.value, none.low, everyone.value, everyone.high) == (0, 0, 1, 1)
    assert none.high == pytest.approx(1 - everyone.low) == pytest.approx(0.2775, abs=1e-4)


def test_a_share_of_nobody_is_not_known():
    share = wilson(0, 0)
    assert not is_known(share)
    assert (share.n, str(share.value), str(share.low), str(share.high)) == (0, "nan", "nan", "nan")


def test_a_difference_from_intervals_is_that_of_independent_figures():
    figure, baseline = Estimate(0.8, 0.77, 0.86, 100), Estimate(0.7, 0.62, 0.74, 90)
    difference = difference_of(figure, baseline)
    assert (difference.value, difference.n) == (pytest.approx(0.1), 90)
    # 0.03 below the figure and 0.04 above the baseline; 0.06 above the figure and 0.08 below the baseline.
    assert (difference.low, difference.high) == pytest.approx((0.1 - 0.05, 0.1 + 0.1))


def test_swapping_turns_the_sign_of_a_difference():
    figure, baseline = Estimate(0.8, 0.77, 0.86, 100), Estimate(0.7, 0.62, 0.74, 90)
    there, back = difference_of(figure, baseline), difference_of(baseline, figure)
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))


@pytest.mark.parametrize("unknown", [UNKNOWN, Estimate(0.5, nan, nan, 3)])
def test_a_difference_from_what_is_not_known_is_not_known(unknown: Estimate):
    assessed = Estimate(0.7, 0.62, 0.74, 90)
    for difference in (difference_of(assessed, unknown), difference_of(unknown, assessed)):
        assert np.isnan([difference.value, difference.low, difference.high]).all()
        assert difference.n == 3


def test_tau_counts_pairs_in_the_same_order_less_those_in_the_other():
    for order in permutations(range(4)):
        pairs = [(i, j) for i in range(4) for j in range(i)]
        same = sum((order[i] > order[j]) - (order[i] < order[j]) for i, j in pairs)
        assert kendall_tau(range(4), order) == pytest.approx(same / 6)


def test_tau_of_many_rows_is_that_of_each():
    generator = np.random.default_rng(0)
    values, rows = generator.normal(size=7), generator.normal(size=(20, 7)).round(1)
    assert kendall_tau(values, rows).shape == (20,)
    assert kendall_tau(values, rows) == pytest.approx([float(kendall_tau(values, row)) for row in rows])


def test_ties_leave_tau_between_its_ends_and_all_ties_leave_none():
    assert kendall_tau([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / np.sqrt(2 * 3))
    assert np.isnan(kendall_tau([1, 1, 1], [1, 2, 3]))
    assert np.isnan(kendall_tau([1, 2, 3], np.ones((2, 3)))).all()
    assert np.isnan(kendall_tau([1, np.nan, 3], [1, 2, 3]))


def test_what_has_a_value_is_finite_and_what_has_an_interval_is_known():
    cases = {None: (False, None), UNKNOWN: (False, False), Estimate(0.5, nan, nan, 3): (True, False)}
    cases |= {Estimate(0.5, 0.4, nan, 3): (True, False), Estimate(0.5, 0.4, 0.6, 3): (True, True)}
    cases |= {Estimate(float("inf"), 0.4, 0.6, 3): (False, True)}
    for figure, (finite, assessed) in cases.items():
        assert is_finite(figure) is finite
        assert assessed is None or is_known(figure) is assessed


def test_a_twentieth_lies_outside_of_the_critical_value():
    assert LEVEL == 0.05
    assert critical_value(LEVEL) == pytest.approx(1.959964, abs=1e-6)
    assert critical_value(0.05 / 20) == pytest.approx(3.023341, abs=1e-6)


def test_what_is_not_a_number_becomes_null():
    assert UNKNOWN.to_json() == {"value": None, "low": None, "high": None, "n": 3}
    assert Estimate(0.5, 0.4, 0.6, 7).to_json() == {"value": 0.5, "low": 0.4, "high": 0.6, "n": 7}
