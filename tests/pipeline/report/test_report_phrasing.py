"""Sentences about numbers: they say what the interval allows, and no more."""

import math
from dataclasses import dataclass, replace

import pytest

from concepts.statistics.estimate import Estimate
from pipeline.report.content import (
    ConceptFigures,
    ConceptImportance,
    Exemplar,
    ImportancePanel,
    Marking,
    Named,
    NetworkFigures,
    ReaderAgreement,
    Rival,
    Verdict,
)
from pipeline.report.sentences import numerals
from pipeline.report.sentences import results as phrasing

NAN = float("nan")
UNKNOWN = Estimate(NAN, NAN, NAN, 12)
AXIS = Estimate(0.842, 0.802, 0.874, 520)
SHARE = Estimate(0.44, 0.37, 0.5, 520)
MINUS, DASH, TIMES = "\N{MINUS SIGN}", "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"


def plain(text):
    return numerals.plain_text(text)


@dataclass
class Compared:
    """As much of a report as the comparison reads."""

    plain: NetworkFigures
    whitened: NetworkFigures
    difference: Estimate


def networks(whitened, plain_value, difference):
    def network(macro):
        return NetworkFigures({"macro": macro}, macro, {}, {}, macro)

    return Compared(network(Estimate(plain_value, 0.8, 0.95, 520)), network(whitened), difference)


def concept(axis=AXIS, **more):
    fields = {
        "id": "pigment_network",
        "name": "pigment network",
        "definition": "A grid.",
        "origin": "marked",
        "rule": None,
        "axis_auc": {"pool_max": axis},
        "probe_auc": Estimate(0.86, 0.82, 0.89, 520),
        "best_filter_auc": Estimate(0.71, 0.66, 0.75, 520),
        "further_baselines": {},
        "positives": 301,
        "negatives": 219,
        "train_positives": 1204,
        "reason": None,
        "rival": None,
        "intra_similarity": None,
        "agreement": None,
    }
    return ConceptFigures(**{**fields, **more})


def row(name, value, low, high, verdict=Verdict.RELIABLE, null_high=1.034):
    ratio = Estimate(value, low, high, 520)
    return ConceptImportance(name, name, ratio, 1, 0.992, null_high, None, verdict)


def panel(*rows, share=SHARE):
    return ImportancePanel(Named("melanoma", "melanoma"), rows, share)


def test_a_difference_that_may_be_chance_is_said_with_what_is_not_excluded():
    report = networks(Estimate(0.889, 0.859, 0.913, 520), 0.893, Estimate(-0.004, -0.012, 0.004, 520))
    assert plain(phrasing.comparison(report)) == (
        "The whitened network's macro AUC is 0.889 (95 % interval 0.859 to 0.913, n = 520), 0.004 below the plain "
        "network's 0.893 (interval of the difference -0.012 to 0.004): no difference beyond chance is shown, but a "
        "loss of up to 0.012 or a gain of up to 0.004 is not excluded."
    )


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (Estimate(-0.02, -0.03, -0.01, 520), "lower than the plain network's by more than chance, by at least 0.010"),
        (Estimate(0.02, 0.01, 0.03, 520), "higher than the plain network's by more than chance, by at least 0.010"),
        (Estimate(0.00001, -0.2, 0.2, 520), "a loss of up to 0.200 or a gain of up to 0.200 is not excluded"),
    ],
)
def test_the_interval_decides_what_is_said_about_a_difference(difference, said):
    sentence = plain(phrasing.comparison(networks(Estimate(0.9, 0.8, 0.95, 520), 0.9, difference)))
    assert said in sentence
    assert ("no difference beyond chance is shown" in sentence) is (difference.low <= 0 <= difference.high)


def test_networks_without_figures_are_not_compared():
    assert "cannot be compared (n = 12)" in plain(phrasing.comparison(networks(UNKNOWN, NAN, UNKNOWN)))


def test_a_thin_concept_gets_its_reason_and_no_figure():
    thin = concept(axis=UNKNOWN, reason="12 positives; at least 40 needed")
    assert phrasing.not_assessable(thin) == "not assessable (12 positives; at least 40 needed)"
    sentence = phrasing.concept_verdict(thin, "pool_max")
    assert sentence.startswith("Not assessable (12 positives; at least 40 needed)")
    assert "must not be read as pigment network" in sentence
    assert phrasing.baseline(thin, "pool_max") is None


def test_a_reason_wins_over_a_figure():
    assert concept(reason="too few").verdict("pool_max") is Verdict.NOT_ASSESSABLE


@pytest.mark.parametrize(
    ("low", "verdict"), [(0.7, Verdict.RELIABLE), (0.699, Verdict.WEAK), (0.45, Verdict.WEAK), (NAN, "not assessable")]
)
def test_the_lower_end_of_the_interval_decides_the_verdict(low, verdict):
    assert concept(axis=Estimate(0.9, low, 0.95, 520)).verdict("pool_max") == verdict


def test_an_axis_at_chance_is_not_said_to_answer_to_its_concept():
    sentence = phrasing.concept_verdict(concept(axis=Estimate(0.53, 0.47, 0.6, 520)), "pool_max")
    assert "not shown to answer to the concept at all" in sentence


def test_a_rival_axis_is_named():
    assert phrasing.concept_rival(concept()) is None
    assert "globules" in phrasing.concept_rival(concept(rival=Rival("globules", 0.9)))


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
    weak = row("globules", 1.5, 1.4, 1.6, verdict=Verdict.WEAK)
    assert "weak, so this need not be the concept itself" in phrasing.importance(panel(weak))
    assert "need not" not in phrasing.importance(panel(replace(weak, verdict=Verdict.RELIABLE)))


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


def test_agreement_of_readers_is_said_with_its_flag_and_only_where_there_are_readers():
    assert phrasing.reader_agreement(concept()) is None
    value = Estimate(0.41, 0.3, 0.52, 88)
    said = plain(phrasing.reader_agreement(concept(agreement=ReaderAgreement("gwet_ac1", value, 3, None))))
    assert said.startswith("Agreement of its 3 readers (Gwet's AC1): 0.410")
    assert "Flagged" not in said
    flagged = phrasing.reader_agreement(concept(agreement=ReaderAgreement("gwet_ac1", value, 3, "below 0.60.")))
    assert flagged.endswith("Flagged at freezing: below 0.60.")
    unknown = ReaderAgreement("gwet_ac1", Estimate(NAN, NAN, NAN, 0), 1, "one reader.")
    assert "not assessable" in phrasing.reader_agreement(concept(agreement=unknown))
