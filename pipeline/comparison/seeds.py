"""How far runs of the same settings with other seeds agree: in the order of concepts, and in every figure."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from math import inf, isfinite, nan, sqrt
from statistics import mean, stdev

from scipy.stats import t as student

from concepts.statistics.estimate import Estimate
from concepts.statistics.intervals import kendall_tau, wilson
from pipeline.comparison.families import RunSide, all_targets, concept_names
from pipeline.results.comparison import ComparedFigure, FigureFamily, SeedAgreement, SeedSpread

FEWEST_RUNS = 3
"""Runs below which a spread between seeds is not stated: of two runs the difference is all there is."""
FEWEST_CONCEPTS = 2
"""Concepts below which there is no order to agree on."""
LEVEL = 0.95


def seed_agreement(sides: Sequence[RunSide]) -> tuple[SeedAgreement, ...]:
    """Measure how far the order of the concepts by importance agrees, for each target.

    A concept counts where every run has its importance; a target, where two concepts count.

    Args:
        sides: Runs that differ in their seeds alone.
    """
    by_target = (_agreement(sides, target) for target in all_targets(sides))
    return tuple(agreement for agreement in by_target if agreement is not None)


def seed_spreads(families: Sequence[FigureFamily]) -> tuple[SeedSpread, ...]:
    """Measure the spread of every figure that at least `FEWEST_RUNS` runs have.

    Args:
        families: Of runs that differ in their seeds alone.
    """
    spreads = (_spread(family, row) for family in families for row in family.rows)
    return tuple(spread for spread in spreads if spread is not None)


def mean_over_runs(values: Sequence[float]) -> Estimate:
    """Average over runs, with the 95 % interval of Student's t; n counts the runs.

    It is the interval of the mean over seeds, on these test images: it says nothing of other images.

    Source: Student 1908, Biometrika 6:1.
    """
    runs = len(values)
    centre = mean(values)
    if runs < 2:
        return Estimate(centre, nan, nan, runs)
    half = float(student.ppf((1 + LEVEL) / 2, runs - 1)) * stdev(values) / sqrt(runs)
    return Estimate(centre, centre - half, centre + half, runs)


def _agreement(sides: Sequence[RunSide], target: str) -> SeedAgreement | None:
    ratios = [{concept: axis.ratio.value for concept, axis in side.ranked(target).items()} for side in sides]
    shared = [concept for concept in ratios[0] if all(isfinite(row.get(concept, nan)) for row in ratios)]
    if len(shared) < FEWEST_CONCEPTS:
        return None
    orders = [[row[concept] for concept in shared] for row in ratios]
    taus = [float(kendall_tau(order, other)) for order, other in combinations(orders, 2)]
    tops = [max(shared, key=row.__getitem__) for row in ratios]
    top = max(sorted(set(tops)), key=tops.count)
    return SeedAgreement(
        target=sides[0].results.names.target(target),
        tau=mean(taus),
        lowest=min(taus),
        highest=max(taus),
        pairs=len(taus),
        concepts=len(shared),
        top=concept_names(sides)[top],
        top_share=wilson(tops.count(top), len(tops)),
    )


def _spread(family: FigureFamily, row: ComparedFigure) -> SeedSpread | None:
    values = [figure.value for figure in row.figures if figure is not None and isfinite(figure.value)]
    if len(values) < FEWEST_RUNS:
        return None
    return SeedSpread(
        key=row.key,
        family=family.title,
        name=row.name,
        unit=family.unit,
        mean=_bounded(mean_over_runs(values), highest=1.0 if family.unit == "AUC" else inf),
        deviation=stdev(values),
        lowest=min(values),
        highest=max(values),
    )


def _bounded(figure: Estimate, *, highest: float) -> Estimate:
    """Cut off what no AUC and no ratio can be: Student's t knows no bounds, and of few runs it is wide."""
    return replace(figure, low=max(figure.low, 0.0), high=min(figure.high, highest))
