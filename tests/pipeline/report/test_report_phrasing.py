"""Sentences about numbers: they say what the interval allows, and no more."""

import math

import pytest

from concepts.statistics.estimate import Estimate
from pipeline.report.sentences import numerals

NAN = float("nan")
UNKNOWN = Estimate(NAN, NAN, NAN, 12)
MINUS, DASH, TIMES = "\N{MINUS SIGN}", "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"


def plain(text):
    return numerals.plain_text(text)


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.8894, 3, "0.889"),
        (-0.004, 3, f"{MINUS}0.004"),
        (-0.0001, 3, "0.000"),
        (NAN, 3, DASH),
        (None, 3, DASH),
        (2.5, 0, "2"),
    ],
)
def test_numbers_have_a_true_minus_and_no_negative_zero(value, decimals, text):
    assert numerals.number(value, decimals) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.084, "0.084"), (3.1e-6, f"3.1 {TIMES} 10⁻⁶"), (0.0, "0"), (-2e-4, f"{MINUS}2.0 {TIMES} 10⁻⁴"), (NAN, DASH)],
)
def test_small_numbers_keep_their_digits(value, text):
    assert numerals.significant(value) == text


def test_every_figure_carries_its_interval_and_n():
    assert plain(numerals.estimate(Estimate(0.89, 0.861, 0.918, 1520))) == (
        "0.890 (95 % interval 0.861 to 0.918, n = 1,520)"
    )
    assert plain(numerals.estimate(UNKNOWN)) == "not assessable (n = 12)"
    assert numerals.short(Estimate(0.5, NAN, math.inf, 3)) == "not assessable"


def test_lists_and_times_read_as_people_write_them():
    assert [numerals.enumeration(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "none",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert numerals.moment("2026-01-01T10:30:00+01:00") == "1 January 2026, 09:30 UTC"
    assert numerals.moment("yesterday") == "yesterday"
    assert [numerals.plural(number, "axis", "axes") for number in (1, 2)] == ["1 axis", "2 axes"]
