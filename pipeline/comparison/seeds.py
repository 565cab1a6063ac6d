"""How much figures vary between runs of the same settings with other seeds."""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, sqrt
from statistics import mean, stdev

from scipy.stats import t as student

from concepts.statistics.estimate import Estimate
from pipeline.results.comparison import Family, SeedSpread

FEWEST_RUNS = 3
"""Runs below which a spread between seeds is not stated: of two runs the difference is all there is."""
LEVEL = 0.95


def seed_spreads(families: Sequence[Family]) -> tuple[SeedSpread, ...]:
    """The spread of every figure that at least `FEWEST_RUNS` runs have.

    Args:
        families: Of runs that differ in their seeds alone.
    """
    found = []
    for family in families:
        for row in family.rows:
            values = [one.value for one in row.figures if one is not None and isfinite(one.value)]
            if len(values) >= FEWEST_RUNS:
                found.append(_spread(family, row.key, row.name, values))
    return tuple(found)


def mean_over_runs(values: Sequence[float]) -> Estimate:
    """Mean over runs with the 95 % interval of Student's t; n counts the runs.

    It is the interval of the mean over seeds, on these test images: it says nothing of other images.

    Source: Student 1908, Biometrika 6:1.
    """
    runs = len(values)
    centre = mean(values)
    if runs < 2:
        return Estimate(centre, float("nan"), float("nan"), runs)
    half = float(student.ppf((1 + LEVEL) / 2, runs - 1)) * stdev(values) / sqrt(runs)
    return Estimate(centre, centre - half, centre + half, runs)


def _spread(family: Family, key: str, name: str, values: Sequence[float]) -> SeedSpread:
    return SeedSpread(
        key=key,
        family=family.title,
        name=name,
        unit=family.unit,
        mean=_within(family, mean_over_runs(values)),
        deviation=stdev(values),
        lowest=min(values),
        highest=max(values),
    )


def _within(family: Family, figure: Estimate) -> Estimate:
    """The interval without what no AUC and no ratio can be: Student's t knows no bounds, and of few runs it is wide."""
    highest = 1.0 if family.unit == "AUC" else float("inf")
    return replace(figure, low=max(figure.low, 0.0), high=min(figure.high, highest))
