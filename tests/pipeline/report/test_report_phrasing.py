"""Sentences about numbers: they say what the interval allows, and no more."""

import math
from dataclasses import replace

import pytest

from concepts.statistics.estimate import Estimate
from pipeline.report.content import ConceptImportance, Exemplar, ImportancePanel, Marking, Named
from pipeline.report.sentences import numerals
from pipeline.report.sentences import results as phrasing
from pipeline.results.axes import AxisVerdict

NAN = float("nan")
UNKNOWN = Estimate(NAN, NAN, NAN, 12)
SHARE = Estimate(0.44, 0.37, 0.5, 520)
MINUS, DASH, TIMES = "\N{MINUS SIGN}", "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"


def plain(text):
    return numerals.plain_text(text)


def row(name, value, low, high, verdict=AxisVerdict.RELIABLE, null_high=1.034):
    ratio = Estimate(value, low, high, 520)
    return ConceptImportance(name, name, ratio, 1, 0.992, null_high, None, verdict)


def panel(*rows, share=SHARE):
    return ImportancePanel(Named("melanoma", "melanoma"), rows, share)


def test_importance_names_the_first_axis_and_those_that_cannot_be_told_from_it():
    rows = row("asymmetry", 1.52, 1.42, 1.6), row("globules", 1.45, 1.35, 1.5), row("streaks", 1.2, 1.1, 1.3)
    sentence = plain(phrasing.importance(panel(*rows, row("veil", 1.02, 0.99, 1.05))))
    assert (
        "that of asymmetry most: with it permuted, the loss is 1.52 (95 % interval 1.42 to 1.60, n = 520)" in sentence
    )
    assert "Also above the band of single unnamed axes: globules and streaks." in sentence
    assert "do not tell the first from globules." in sentence
    assert "veil" not in sentence


@pytest.mark.parametrize(
    ("low", "null_high", "stands_out"),
    [(1.05, 1.03, True), (1.02, 1.03, False), (1.01, NAN, True), (0.99, NAN, False), (0.995, 0.99, False)],
)
def test_an_axis_stands_out_only_above_both_one_and_the_band(low, null_high, stands_out):
    one = row("globules", 1.1, low, 1.2, null_high=null_high)
    assert one.stands_out is stands_out
    assert ("no named axis is shown to matter more" in phrasing.importance(panel(one))) is not stands_out


def test_an_axis_that_is_not_reliable_is_not_said_to_be_its_concept():
    weak = row("globules", 1.5, 1.4, 1.6, verdict=AxisVerdict.WEAK)
    assert "weak, so this need not be the concept itself" in phrasing.importance(panel(weak))
    assert "need not" not in phrasing.importance(panel(replace(weak, verdict=AxisVerdict.RELIABLE)))


def test_the_unnamed_share_is_said_with_its_interval_or_not_at_all():
    said = plain(phrasing.unnamed_share(panel()))
    assert said.startswith("Unnamed axes carry 44 % (95 % interval 37 to 50 %, n = 520)")
    assert "not assessable" in phrasing.unnamed_share(panel(share=UNKNOWN))


def test_not_marked_is_never_said_to_be_absent():
    image = Exemplar("a", 1.0, 99.8, Marking.UNMARKED, "melanoma", "a.jpg")
    assert "was not marked" in phrasing.exemplar(image, "globules")
    assert "absent" not in phrasing.exemplar(image, "globules")
    assert phrasing.percentile(image) == "percentile 99.8"


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
