"""How figures vary between seeds."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from concepts.statistics.estimate import Estimate
from pipeline.comparison.seeds import FEWEST_RUNS, mean_over_runs, seed_spreads
from pipeline.report.sentences import comparison as compare_phrasing
from pipeline.results.comparison import Family, Row


def family(*values):
    figures = tuple(None if one is None else Estimate(one, one - 0.1, one + 0.1, 100) for one in values)
    row = Row("auc.macro", "all diagnoses", figures, (None,) * (len(values) - 1))
    return Family("auc", "Diagnosis", "AUC", 0.5, (row,), 0)


def test_the_mean_has_students_interval():
    values = np.random.default_rng(0).normal(0.8, 0.02, size=6).tolist()
    found = mean_over_runs(values)
    interval = ttest_1samp(values, 0.8).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.value, found.n) == (pytest.approx(np.mean(values)), 6)
    assert math.isnan(mean_over_runs([0.8]).low)


def test_a_spread_needs_three_runs_and_counts_only_those_that_have_the_figure():
    assert FEWEST_RUNS == 3
    assert seed_spreads([family(0.8, 0.9)]) == ()
    assert seed_spreads([family(0.8, None, 0.9, float("nan"))]) == ()
    (found,) = seed_spreads([family(0.8, None, 0.9, 0.85)])
    assert (found.lowest, found.highest, found.mean.n) == (0.8, 0.9, 3)
    assert found.deviation == pytest.approx(np.std([0.8, 0.9, 0.85], ddof=1))


def test_the_same_figure_in_every_run_has_no_spread():
    (found,) = seed_spreads([family(0.8, 0.8, 0.8)])
    assert (found.deviation, found.mean.low, found.mean.high) == (0, 0.8, 0.8)
    assert compare_phrasing.spread(found) == "0.000, from 0.800 to 0.800"
    assert "Mean over 3 runs" in compare_phrasing.spreads([found])
    assert "on these test images" in compare_phrasing.spreads([found])
    apart = compare_phrasing.spreads([found], are_same_images=False)
    assert "drawing test images, which differ" in apart
    assert "on these test images" not in apart


def test_no_interval_reaches_beyond_what_an_auc_can_be():
    values = (0.78, 0.97, 0.97)
    assert mean_over_runs(values).high > 1
    (found,) = seed_spreads([family(*values)])
    assert (found.mean.low, found.mean.high) == (mean_over_runs(values).low, 1.0)
    (ratio,) = seed_spreads([replace(family(1.1, 1.4, 1.4), unit="loss ratio")])
    assert ratio.mean == mean_over_runs((1.1, 1.4, 1.4))
