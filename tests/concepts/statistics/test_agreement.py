"""The coefficients against published examples, against other implementations, and laws that must hold."""

import time
from collections.abc import Callable
from fractions import Fraction
from itertools import combinations

import krippendorff
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import cohen_kappa_score

from concepts.statistics.agreement import Measure, coefficient
from concepts.statistics.bootstrap import bootstrap, interval_estimate
from concepts.statistics.estimate import Estimate
from concepts.statistics.ratings import Ratings, condense

N = np.nan
# Krippendorff 2011, section C; the same ratings are Gwet's example of missing readers.
FOUR_OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
        [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
    ],
    dtype=float,
).T
# Ten subjects, fourteen readers, five categories (Wikipedia, Fleiss' kappa).
FOURTEEN_READERS = (
    "0 0 0 0 14, 0 2 6 4 2, 0 0 3 5 6, 0 3 9 2 0, 2 2 8 1 1, 7 7 0 0 0, 3 2 6 3 0, 2 5 3 2 2, 6 5 2 1 0, 0 2 2 3 7"
)
# Fleiss 1971, table 1: thirty patients, six psychiatrists, five diagnoses.
PSYCHIATRISTS = (
    "00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031 00501 30012 51000 "
    "02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006"
)


def coded(ratings: np.ndarray, categories: int | None = None) -> Ratings:
    """Ratings as numbers, NaN where missing; the categories are those that occur, unless told otherwise."""
    occurring = np.unique(ratings[~np.isnan(ratings)])
    codes = np.where(np.isnan(ratings), -1, np.searchsorted(occurring, np.nan_to_num(ratings)))
    return Ratings(codes, categories or len(occurring))


def value(measure: Measure, ratings: np.ndarray, categories: int | None = None) -> float:
    return float(coefficient(measure, coded(ratings, categories))(np.ones((1, len(ratings))))[0])


def estimate(measure: Measure, ratings: np.ndarray, *, resamples: int = 200) -> Estimate:
    checked = coded(ratings)
    statistic = coefficient(measure, checked)
    generator = np.random.default_rng(0)
    figures = bootstrap(lambda w: statistic(w)[:, None], len(ratings), generator=generator, resamples=resamples)
    return interval_estimate(figures[:, 0], checked.compared)


def from_counts(text: str, separator: str | None = None) -> np.ndarray:
    """One row of ratings for each item, from how many readers chose each category."""
    rows = [row.split() if separator else list(row) for row in text.split(separator)]
    return np.array([[k for k, count in enumerate(row) for _ in range(int(count))] for row in rows], dtype=float)


def from_table(table: list[list[int]]) -> np.ndarray:
    """Ratings of two readers, from their contingency table."""
    return np.array(
        [[i, j] for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)], dtype=float
    )


def test_fleiss_on_fourteen_readers():
    ratings = from_counts(FOURTEEN_READERS, ",")
    assert ratings.shape == (10, 14)
    assert value(Measure.FLEISS, ratings) == pytest.approx(0.20993070442195522, abs=1e-12)


def test_fleiss_on_his_own_example():
    ratings = from_counts(PSYCHIATRISTS)
    assert ratings.shape == (30, 6)
    assert np.bincount(ratings.astype(int).ravel()).tolist() == [26, 26, 30, 55, 43]
    agreed, expected = Fraction(5, 9), Fraction(26**2 + 26**2 + 30**2 + 55**2 + 43**2, 180**2)
    assert value(Measure.PERCENT, ratings) == pytest.approx(float(agreed), abs=1e-12)
    assert value(Measure.FLEISS, ratings) == pytest.approx(float((agreed - expected) / (1 - expected)), abs=1e-12)
    assert value(Measure.FLEISS, ratings) == pytest.approx(0.430, abs=5e-4)


def test_krippendorff_on_his_own_example():
    # Units 2, 6 and 8 put 2, 4 and 2 of n = 40 pairs off the diagonal; totals 9, 13, 10, 5, 3.
    expected = 1 - Fraction(39) * (2 + 4 + 2) / (40**2 - (9**2 + 13**2 + 10**2 + 5**2 + 3**2))
    assert float(expected) == pytest.approx(0.743421052631579, abs=1e-12)
    assert value(Measure.KRIPPENDORFF, FOUR_OBSERVERS) == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize(
    ("measure", "published"),
    [
        (Measure.PERCENT, 0.81818),
        (Measure.FLEISS, 0.76117),
        (Measure.GWET_AC1, 0.77544),
        (Measure.KRIPPENDORFF, 0.74342),
    ],
)
def test_gwets_example_of_missing_readers(measure: Measure, published: float):
    assert value(measure, FOUR_OBSERVERS) == pytest.approx(published, abs=5e-6)


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        ([[20, 5], [10, 15]], Fraction(2, 5)),
        ([[45, 15], [25, 15]], (Fraction(60, 100) - Fraction(54, 100)) / (1 - Fraction(54, 100))),
        ([[25, 35], [5, 35]], (Fraction(60, 100) - Fraction(46, 100)) / (1 - Fraction(46, 100))),
    ],
)
def test_cohen_on_known_tables(table: list[list[int]], kappa: Fraction):
    assert value(Measure.COHEN, from_table(table)) == pytest.approx(float(kappa), abs=1e-12)


def test_gwets_paradox():
    """Gwet 2002: 118 + 0 of 125 agree; kappa falls below 0 while AC1 stays at 0.94."""
    ratings = from_table([[118, 5], [2, 0]])
    agreed, share = Fraction(118, 125), Fraction(118 * 2 + 5 + 2, 250)
    expected = 2 * share * (1 - share)
    assert value(Measure.GWET_AC1, ratings) == pytest.approx(float((agreed - expected) / (1 - expected)), abs=1e-12)
    assert value(Measure.GWET_AC1, ratings) == pytest.approx(0.9408, abs=5e-5)
    assert value(Measure.COHEN, ratings) == pytest.approx(-0.0234, abs=5e-5)


def chance_corrected(name: str) -> Callable[[np.ndarray], float]:
    """A coefficient of the package irrCAC, to five digits; it takes a missing verdict for a category unless told."""

    def reference(ratings: np.ndarray) -> float:
        raw = pytest.importorskip("irrCAC.raw", reason="pip install --no-deps irrCAC==0.4.4")
        categories = np.unique(ratings[~np.isnan(ratings)]).tolist()
        figures = getattr(raw.CAC(pd.DataFrame(ratings), categories=categories), name)()["est"]
        return float(figures["pa" if name == "bp" else "coefficient_value"])

    return reference


def krippendorffs_alpha(ratings: np.ndarray) -> float:
    return float(krippendorff.alpha(reliability_data=ratings.T, level_of_measurement="nominal"))


def mean_kappa_of_pairs(ratings: np.ndarray) -> float:
    kappas = []
    for pair in combinations(range(ratings.shape[1]), 2):
        both = ratings[:, pair][~np.isnan(ratings[:, pair]).any(axis=1)].astype(int)
        kappas.append(cohen_kappa_score(*both.T))
    return float(np.mean(kappas))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("measure", "reference", "digits"),
    [
        (Measure.PERCENT, chance_corrected("bp"), 5),
        (Measure.FLEISS, chance_corrected("fleiss"), 5),
        (Measure.GWET_AC1, chance_corrected("gwet"), 5),
        (Measure.KRIPPENDORFF, krippendorffs_alpha, 12),
        (Measure.COHEN, mean_kappa_of_pairs, 12),
    ],
)
def test_another_implementation_says_the_same(measure: Measure, reference: Callable, digits: int, seed: int):
    draw = np.random.default_rng(seed)
    ratings = draw.choice([0.0, 1.0, 2.0], p=[0.6, 0.3, 0.1], size=(30, 2 + seed % 3))
    ratings[:, 1] = np.where(draw.random(30) < 0.5, ratings[:, 0], ratings[:, 1])
    ratings[draw.random(ratings.shape) < 0.15] = np.nan
    assert value(measure, ratings) == pytest.approx(reference(ratings), abs=10.0**-digits)


def test_an_item_with_one_verdict_counts_in_the_shares_of_categories_only():
    """Two items, both agreed: P_a = 1; shares 2/3 and 1/3 with the third, lone verdict."""
    ratings = np.array([[0, 0], [0, 0], [1, 1], [N, 1], [1, N], [1, N]])
    shares = np.array([2, 4]) / 6
    assert value(Measure.PERCENT, ratings) == 1
    lone = np.array([[0, 1], [0, 0], [1, 1], [N, 1], [1, N], [1, N]])
    observed, expected = 2 / 3, ((0.5 + 1) / 6) ** 2 + ((0.5 + 4) / 6) ** 2
    assert value(Measure.FLEISS, lone) == pytest.approx((observed - expected) / (1 - expected))
    assert value(Measure.FLEISS, ratings) == pytest.approx((1 - (shares**2).sum()) / (1 - (shares**2).sum()))


def test_pairs_of_readers_without_a_kappa_are_left_out_of_the_mean():
    """The third reader has no item in common with the first, and one category in common with the second."""
    ratings = np.array([[0, 0, N], [0, 1, N], [1, 1, N], [1, 1, N], [N, 1, 1], [N, 1, 1]])
    assert value(Measure.COHEN, ratings) == pytest.approx(value(Measure.COHEN, ratings[:4, :2])) == pytest.approx(0.5)


SOME_RATINGS = hnp.arrays(
    float,
    st.tuples(st.integers(1, 7), st.integers(1, 4)),
    elements=st.sampled_from([float("nan"), 0.0, 1.0, 2.0]),
)


@pytest.mark.parametrize("measure", Measure)
@settings(max_examples=10, deadline=None)
@given(ratings=SOME_RATINGS, seed=st.integers(0, 99))
def test_names_and_order_of_readers_categories_and_items_do_not_matter(
    measure: Measure, ratings: np.ndarray, seed: int
):
    draw = np.random.default_rng(seed)
    renamed = np.append(draw.permutation(3) * 7.0 - 3, np.nan)[np.nan_to_num(ratings, nan=3).astype(int)]
    shuffled = draw.permutation(draw.permutation(renamed, axis=1), axis=0)
    assert value(measure, shuffled) == pytest.approx(value(measure, ratings), abs=1e-12, nan_ok=True)


@settings(max_examples=25, deadline=None)
@given(ratings=SOME_RATINGS, seed=st.integers(0, 99))
def test_taking_alike_items_together_changes_nothing(ratings: np.ndarray, seed: int):
    weights = np.random.default_rng(seed).integers(3, size=(4, len(ratings))).astype(float)
    checked = coded(ratings)
    different, members = condense(checked)
    assert len(np.unique(different.codes, axis=0)) == len(different.codes) <= len(ratings)
    for measure in Measure:
        together = coefficient(measure, different)(weights @ members)
        np.testing.assert_allclose(together, coefficient(measure, checked)(weights), atol=1e-12)


@pytest.mark.parametrize("measure", Measure)
def test_readers_who_always_agree_score_one(measure: Measure):
    ratings = np.repeat([[0.0], [1], [1], [2], [0]], 3, axis=1)
    ratings[0, 0] = ratings[3, 2] = np.nan
    assert estimate(measure, ratings) == Estimate(1, 1, 1, 5)


@pytest.mark.parametrize("measure", [m for m in Measure if m is not Measure.PERCENT])
def test_readers_who_guess_score_zero(measure: Measure):
    ratings = np.random.default_rng(4).integers(2, size=(8000, 3)).astype(float)
    assert value(measure, ratings) == pytest.approx(0, abs=0.025)


@pytest.mark.parametrize("measure", [Measure.COHEN, Measure.FLEISS, Measure.KRIPPENDORFF])
def test_one_category_only_says_nothing(measure: Measure):
    assert np.isnan(value(measure, np.ones((6, 3))))
    assert np.isnan(value(measure, np.ones((6, 3)), categories=2))


def test_ac1_needs_to_know_that_there_was_a_choice():
    assert np.isnan(value(Measure.GWET_AC1, np.ones((6, 3))))
    assert value(Measure.GWET_AC1, np.ones((6, 3)), categories=2) == 1


@pytest.mark.parametrize("measure", Measure)
@pytest.mark.parametrize(
    "ratings",
    [
        np.zeros((0, 3)),
        np.full((4, 2), np.nan),
        np.array([[0.0], [1], [1]]),
        np.array([[0, N], [N, 1], [1, N]]),
        np.zeros((3, 0)),
    ],
    ids=["no item", "no verdict", "one reader", "no overlap", "no reader"],
)
def test_without_two_verdicts_on_an_item_there_is_no_figure(measure: Measure, ratings: np.ndarray):
    assert np.isnan(value(measure, ratings, categories=2))
    assert coded(ratings, 2).compared == 0


def test_items_with_two_verdicts_are_compared():
    ratings = coded(np.array([[0, 1, 1], [N, N, 1], [0, N, 0], [N, N, N]]))
    assert ratings.is_compared.tolist() == [True, False, True, False]
    assert ratings.compared == 2
    assert ratings.counts.tolist() == [[1, 2], [0, 1], [2, 0], [0, 0]]


def test_the_interval_narrows_with_more_items():
    draw = np.random.default_rng(1)
    truth = draw.integers(2, size=(2000, 1))
    ratings = np.where(draw.random((2000, 3)) < 0.2, 1 - truth, truth).astype(float)
    wide, narrow = (estimate(Measure.KRIPPENDORFF, rows) for rows in (ratings[:100], ratings))
    assert narrow.low < narrow.value < narrow.high
    assert narrow.high - narrow.low < 0.4 * (wide.high - wide.low)


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Two readers who are right with probability 0.9 on balanced items: kappa = 1 - 4 * 0.9 * 0.1 = 0.64."""
    draw = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        truth = draw.integers(2, size=(150, 1))
        kappa = estimate(Measure.COHEN, np.where(draw.random((150, 2)) < 0.1, 1 - truth, truth).astype(float))
        hits += kappa.low <= 0.64 <= kappa.high
    assert 0.89 <= hits / 200 <= 0.985


def test_a_weight_of_two_is_an_item_twice():
    weights = np.array([[2.0, 0, 1, 3, 1, 0, 1, 1, 2, 1, 1, 1]])
    repeated = np.repeat(FOUR_OBSERVERS, weights[0].astype(int), axis=0)
    for measure in Measure:
        weighted = coefficient(measure, coded(FOUR_OBSERVERS))(weights)
        assert weighted[0] == pytest.approx(value(measure, repeated), abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("measure", Measure)
def test_five_thousand_images_take_less_than_three_seconds(measure: Measure):
    different, members = condense(coded(np.random.default_rng(0).integers(2, size=(5000, 3)).astype(float)))
    statistic = coefficient(measure, different)
    start = time.process_time()
    bootstrap(lambda w: statistic(w @ members)[:, None], 5000, generator=np.random.default_rng(0), resamples=1000)
    assert time.process_time() - start < 3
