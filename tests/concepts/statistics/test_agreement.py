"""The coefficients against published examples, their definitions in exact fractions, and laws that must hold."""

import time
from fractions import Fraction
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from concepts.errors import DataError
from concepts.statistics.agreement import (
    Measure,
    agreement,
    coefficient,
    cohen_kappa,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    percent_agreement,
)
from concepts.statistics.bootstrap import bootstrap
from concepts.statistics.ratings import coded

N = None
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


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def value(measure: Measure, ratings: object, categories: object = None) -> float:
    return agreement(measure, ratings, generator=generator(), resamples=2, categories=categories).value


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


# The definitions again, item by item and pair by pair, in exact fractions.


def verdicts(ratings: np.ndarray) -> list[list[int]]:
    return [[int(rating) for rating in row if rating == rating] for row in ratings]


def slow_percent(rows: list[list[int]]) -> Fraction | None:
    shares = [
        Fraction(sum(a == b for a, b in permutations(row, 2)), len(row) * (len(row) - 1)) for row in rows if row[1:]
    ]
    return sum(shares) / len(shares) if shares else None


def slow_shares(rows: list[list[int]]) -> list[Fraction]:
    judged = [row for row in rows if row]
    return [
        sum(Fraction(row.count(k), len(row)) for row in judged) / len(judged) for k in {k for row in rows for k in row}
    ]


def slow_kappa(agreed: Fraction | None, expected: Fraction) -> Fraction | None:
    return None if agreed is None or expected == 1 else (agreed - expected) / (1 - expected)


def slow_fleiss(ratings: np.ndarray) -> Fraction | None:
    rows = verdicts(ratings)
    return slow_kappa(slow_percent(rows), sum(share**2 for share in slow_shares(rows))) if any(rows) else None


def slow_gwet(ratings: np.ndarray) -> Fraction | None:
    rows = verdicts(ratings)
    shares = slow_shares(rows) if any(rows) else []
    if len(shares) < 2:
        return None
    return slow_kappa(slow_percent(rows), sum(share * (1 - share) for share in shares) / (len(shares) - 1))


def slow_krippendorff(ratings: np.ndarray) -> Fraction | None:
    """1 - observed / expected disagreement, by listing every ordered pair."""
    rows = [row for row in verdicts(ratings) if row[1:]]
    pool = [verdict for row in rows for verdict in row]
    unlike = sum(a != b for a, b in permutations(pool, 2))
    if not unlike:
        return None
    observed = sum(Fraction(sum(a != b for a, b in permutations(row, 2)), len(row) - 1) for row in rows) / len(pool)
    return 1 - observed / Fraction(unlike, len(pool) * (len(pool) - 1))


def slow_cohen(ratings: np.ndarray) -> Fraction | None:
    kappas = []
    for a, b in combinations(range(ratings.shape[1]), 2):
        rows = [row for row in verdicts(ratings[:, [a, b]]) if len(row) == 2]
        if rows:
            agreed = Fraction(sum(x == y for x, y in rows), len(rows))
            chance = Fraction(sum(x == y for x, _ in rows for _, y in rows), len(rows) ** 2)
            kappas.append(slow_kappa(agreed, chance))
    defined = [kappa for kappa in kappas if kappa is not None]
    return sum(defined) / len(defined) if defined else None


SLOW = {
    Measure.PERCENT: lambda ratings: slow_percent(verdicts(ratings)),
    Measure.FLEISS: slow_fleiss,
    Measure.GWET_AC1: slow_gwet,
    Measure.KRIPPENDORFF: slow_krippendorff,
    Measure.COHEN: slow_cohen,
}
SOME_RATINGS = hnp.arrays(
    float,
    st.tuples(st.integers(1, 7), st.integers(1, 4)),
    elements=st.sampled_from([float("nan"), 0.0, 1.0, 2.0]),
)


@pytest.mark.parametrize("measure", Measure)
@settings(max_examples=25, deadline=None)
@given(ratings=SOME_RATINGS)
def test_coefficients_are_their_definitions(measure: Measure, ratings: np.ndarray):
    expected = SLOW[measure](ratings)
    found = value(measure, ratings)
    assert np.isnan(found) if expected is None else found == pytest.approx(float(expected), abs=1e-12)


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


@pytest.mark.parametrize("measure", Measure)
def test_readers_who_always_agree_score_one(measure: Measure):
    ratings = np.repeat([[0.0], [1], [1], [2], [0]], 3, axis=1)
    ratings[0, 0] = ratings[3, 2] = np.nan
    found = agreement(measure, ratings, generator=generator())
    assert found.value == 1
    assert (found.low, found.high, found.n) == (1, 1, 5)


@pytest.mark.parametrize("measure", [m for m in Measure if m is not Measure.PERCENT])
def test_readers_who_guess_score_zero(measure: Measure):
    ratings = np.random.default_rng(4).integers(2, size=(8000, 3)).astype(float)
    found = agreement(measure, ratings, generator=generator(), resamples=100)
    assert found.value == pytest.approx(0, abs=0.025)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("measure", [Measure.COHEN, Measure.FLEISS, Measure.KRIPPENDORFF])
def test_one_category_only_says_nothing(measure: Measure):
    found = agreement(measure, np.ones((6, 3)), generator=generator())
    assert np.isnan([found.value, found.low, found.high]).all()
    assert found.n == 6


def test_ac1_needs_to_know_that_there_was_a_choice():
    assert np.isnan(value(Measure.GWET_AC1, np.ones((6, 3))))
    assert gwet_ac1(np.ones((6, 3)), generator=generator(), categories=[0, 1]).value == 1


@pytest.mark.parametrize("measure", Measure)
@pytest.mark.parametrize(
    "ratings",
    [np.zeros((0, 3)), np.full((4, 2), np.nan), [[0], [1], [1]], [[0, N], [N, 1], [1, N]], np.zeros((3, 0))],
    ids=["no item", "no verdict", "one reader", "no overlap", "no reader"],
)
def test_without_two_verdicts_on_an_item_there_is_no_figure(measure: Measure, ratings: object):
    found = agreement(measure, ratings, generator=generator(), resamples=20)
    assert np.isnan([found.value, found.low, found.high]).all()
    assert found.n == 0


def test_one_item_has_a_figure_and_no_interval():
    found = percent_agreement([[0, 1, 1], [N, N, 1]], generator=generator())
    assert found.value == pytest.approx(1 / 3)
    assert np.isnan(found.low)
    assert found.n == 1


def test_each_function_gives_its_own_coefficient():
    named = [percent_agreement, cohen_kappa, fleiss_kappa, gwet_ac1, krippendorff_alpha]
    for function, measure in zip(named, Measure, strict=True):
        assert function(FOUR_OBSERVERS, generator=generator()) == agreement(
            measure, FOUR_OBSERVERS, generator=generator()
        )


def test_the_interval_is_reproducible_and_narrows_with_more_items():
    draw = np.random.default_rng(1)
    truth = draw.integers(2, size=(2000, 1))
    ratings = np.where(draw.random((2000, 3)) < 0.2, 1 - truth, truth).astype(float)
    wide, again, narrow = (
        krippendorff_alpha(rows, generator=generator()) for rows in (ratings[:100], ratings[:100], ratings)
    )
    assert wide == again
    assert narrow.high - narrow.low < 0.4 * (wide.high - wide.low)


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Two readers who are right with probability 0.9 on balanced items: kappa = 1 - 4 * 0.9 * 0.1 = 0.64."""
    draw = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        truth = draw.integers(2, size=(150, 1))
        ratings = np.where(draw.random((150, 2)) < 0.1, 1 - truth, truth).astype(float)
        found = cohen_kappa(ratings, generator=draw, resamples=200)
        hits += found.low <= 0.64 <= found.high
    assert 0.89 <= hits / 200 <= 0.985


def test_a_weight_of_two_is_an_item_twice():
    weights = np.array([[2.0, 0, 1, 3, 1, 0, 1, 1, 2, 1, 1, 1]])
    repeated = np.repeat(FOUR_OBSERVERS, weights[0].astype(int), axis=0)
    for measure in Measure:
        weighted = coefficient(measure, coded(FOUR_OBSERVERS))(weights)
        assert weighted[0] == pytest.approx(value(measure, repeated), abs=1e-12)


@pytest.mark.parametrize(
    ("ratings", "complaint"),
    [
        ([1, 2], r"matrix of items x readers, these have shape \(2,\)"),
        ([["yes", "no"]], "ratings are numbers"),
        ([[0, 3]], "rating 3 is none of the categories 0, 1"),
        ([[0, float("inf")]], "rating inf is none of"),
    ],
)
def test_what_cannot_be_rated_is_refused(ratings: object, complaint: str):
    with pytest.raises(DataError, match=complaint):
        agreement(Measure.FLEISS, ratings, generator=generator(), categories=[0, 1])


def test_draws_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch):
    def mean(weights: np.ndarray) -> np.ndarray:
        return weights @ np.arange(10.0)[:, None] / 10

    whole = bootstrap(mean, 10, generator=generator(), resamples=50)
    monkeypatch.setattr("concepts.statistics.bootstrap.BLOCK", 70)
    np.testing.assert_array_equal(bootstrap(mean, 10, generator=generator(), resamples=50), whole)
    assert whole.shape == (51, 1)
    assert whole[0, 0] == 4.5


@pytest.mark.slow
@pytest.mark.parametrize("measure", Measure)
def test_five_thousand_images_take_less_than_three_seconds(measure: Measure):
    ratings = np.random.default_rng(0).integers(2, size=(5000, 3)).astype(float)
    start = time.process_time()
    agreement(measure, ratings, generator=generator(), resamples=1000)
    assert time.process_time() - start < 3
