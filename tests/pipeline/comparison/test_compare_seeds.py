"""How figures vary between seeds."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from concepts.statistics.estimate import Estimate
from pipeline.comparison.seeds import FEWEST_RUNS, mean_over_runs, seed_spreads
from pipeline.report.sentences import compared
from pipeline.results.comparison import ComparedFigure, FigureFamily


def family(*values):
    figures = tuple(None if value is None else Estimate(value, value - 0.1, value + 0.1, 100) for value in values)
    row = ComparedFigure(
        key="auc.macro", name="all diagnoses", figures=figures, differences=(None,) * (len(values) - 1)
    )
    return FigureFamily(key="auc", title="Diagnosis", unit="AUC", reference=0.5, rows=(row,), comparisons=0)


def test_the_mean_has_students_interval():
    values = np.random.default_rng(0).normal(0.8, 0.02, size=6).tolist()
    average = mean_over_runs(values)
    interval = ttest_1samp(values, 0.8).confidence_interval(0.95)
    assert (average.low, average.high) == pytest.approx((interval.low, interval.high))
    assert (average.value, average.n) == (pytest.approx(np.mean(values)), 6)
    assert math.isnan(mean_over_runs([0.8]).low)


def test_a_spread_needs_three_runs_and_counts_only_those_that_have_the_figure():
    assert FEWEST_RUNS == 3
    assert seed_spreads([family(0.8, 0.9)]) == ()
    assert seed_spreads([family(0.8, None, 0.9, float("nan"))]) == ()
    (spread,) = seed_spreads([family(0.8, None, 0.9, 0.85)])
    assert (spread.lowest, spread.highest, spread.mean.n) == (0.8, 0.9, 3)
    assert (spread.key, spread.family, spread.name, spread.unit) == ("auc.macro", "Diagnosis", "all diagnoses", "AUC")
    assert spread.deviation == pytest.approx(np.std([0.8, 0.9, 0.85], ddof=1))


def test_the_same_figure_in_every_run_has_no_spread():
    (spread,) = seed_spreads([family(0.8, 0.8, 0.8)])
    assert (spread.deviation, spread.mean.low, spread.mean.high) == (0, 0.8, 0.8)
    assert compared.spread(spread) == "0.000, from 0.800 to 0.800"
    assert "Mean over 3 runs" in compared.spreads([spread])
    assert "on these test images" in compared.spreads([spread])
    apart = compared.spreads([spread], are_same_images=False)
    assert "drawing test images, which differ" in apart
    assert "on these test images" not in apart


def test_no_interval_reaches_beyond_what_an_auc_can_be():
    values = (0.78, 0.97, 0.97)
    assert mean_over_runs(values).high > 1
    (spread,) = seed_spreads([family(*values)])
    assert (spread.mean.low, spread.mean.high) == (mean_over_runs(values).low, 1.0)
    (ratio,) = seed_spreads([family(1.1, 1.4, 1.4).model_copy(update={"unit": "loss ratio"})])
    assert ratio.mean == mean_over_runs((1.1, 1.4, 1.4))
