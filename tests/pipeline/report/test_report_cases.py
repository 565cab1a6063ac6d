"""The report's part on cases, evidence and layers."""

import re
from types import SimpleNamespace

import pytest

from concepts.statistics.estimate import Estimate
from pipeline.report.pages.environment import environment
from pipeline.report.sentences import cases, numerals
from pipeline.results.cases import (
    CasesResult,
    FlagRates,
    LayerCourse,
    PlantedCause,
    PointingRates,
    PointingResult,
)
from pipeline.results.names import Names

NAN = float("nan")
UNKNOWN = Estimate(NAN, NAN, NAN, 0)


def figure(value, spread=0.05, n=90):
    return Estimate(value, value - spread, value + spread, n)


def rates(hit, grad_cam, *, chance=0.1, spread=0.05):
    return PointingRates(
        hit_rate=figure(hit, spread),
        chance=figure(chance, spread),
        grad_cam=figure(grad_cam, spread),
        above_grad_cam=figure(hit - grad_cam, spread),
        width=3,
    )


THIN = PointingRates(hit_rate=None, chance=None, grad_cam=None, above_grad_cam=None, width=1, reason="3 test images")
RESULT = CasesResult(
    n=90,
    of=1400,
    right=figure(0.75),
    plausible_set_covers=figure(0.91),
    abstain=FlagRates(share=figure(0.21), right_where_raised=figure(0.41), right_elsewhere=figure(0.81)),
    conflict=FlagRates(share=figure(0.22), right_where_raised=figure(0.42), right_elsewhere=figure(0.82)),
    out_of_scope=FlagRates(share=figure(0.0), right_where_raised=UNKNOWN, right_elsewhere=figure(0.83)),
)
POINTING = PointingResult(
    concepts={"streaks": rates(0.8, 0.3), "blue_whitish_veil": THIN}, overall=rates(0.4, 0.6, chance=0.13)
)
COURSES = {"streaks": {"layer1.whitening": LayerCourse(corrected=figure(0.7), spoilt=None, examples=())}}


def page(**sections):
    explanation = {"cases": RESULT, "pointing": None, "trajectories": {}, "planted_cause": None} | sections
    text = (
        environment()
        .get_template("cases.html")
        .render(explanation=SimpleNamespace(**explanation), cases=cases, numerals=numerals, names=Names())
    )
    return re.sub(r"\s+", " ", numerals.plain_text(text))


def rows(text):
    """By first cell, the text of the others."""
    table_rows = re.findall(r'<tr[^>]*><th scope="row">(.*?)</th>(.*?)</tr>', text)
    return {head: re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", cells)).strip() for head, cells in table_rows}


def test_each_flag_has_its_own_rates():
    text = page()
    assert "90 of 1,400 test images were explained one by one" in text
    assert "recorded diagnosis in 75 % (95 % interval 70 to 80 %, n = 90)" in text
    assert "contains it in 91 %" in text
    assert [re.findall(r"0\.\d\d (?=\()", row) for row in rows(text).values()] == [
        ["0.21 ", "0.41 ", "0.81 "],
        ["0.22 ", "0.42 ", "0.82 "],
        ["0.00 ", "0.83 "],
    ]
    assert "not assessable n = 0" in rows(text)["Out of scope"]


def test_what_a_run_does_not_have_is_not_on_its_page():
    text = page()
    assert text.count("<h3>") == 0
    assert "planted" not in text


def test_a_planted_cause_is_told_of_all_lesions_and_of_those_called_so():
    text = page(planted_cause=PlantedCause(decided=figure(0.9), decided_and_called=figure(0.98, 0.01)))
    assert "to the rule&#39;s diagnosis in 90 %" in text
    assert "called as the rule has it, it does in 98 %" in text


def test_the_pointing_game_is_on_the_page_by_concept_and_over_all():
    table = rows(page(pointing=POINTING))
    assert table["Streaks"] == (
        "0.80 (0.75 to 0.85), n = 90 0.10 0.30 (0.25 to 0.35) 0.50 (0.45 to 0.55) above chance, above Grad-CAM"
    )
    assert table["Blue-whitish veil"] == "not assessable 3 test images"
    assert table["All concepts"].startswith("0.40 (0.35 to 0.45), n = 90 0.13 0.60")
    assert "All concepts" not in rows(page(pointing=POINTING.model_copy(update={"overall": None})))


def test_layers_show_both_courses_and_where_there_was_none():
    table = rows(page(trajectories=COURSES))
    assert table["Streaks"] == "layer1 0.70 (0.65 to 0.75), n = 90 there was none"


@pytest.mark.parametrize(
    ("hit", "grad_cam", "chance", "words"),
    [
        (0.8, 0.3, 0.1, "above chance, above Grad-CAM"),
        (0.4, 0.6, 0.1, "above chance, below Grad-CAM"),
        (0.4, 0.38, 0.1, "above chance, not distinguishable from Grad-CAM"),
        (0.12, 0.1, 0.1, "not shown to be above chance, not distinguishable from Grad-CAM"),
        (0.2, 0.6, 0.16, "not shown to be above chance, below Grad-CAM"),
    ],
)
def test_a_hit_rate_claims_no_more_than_its_interval(hit, grad_cam, chance, words):
    assert cases.pointing(rates(hit, grad_cam, chance=chance)) == words


def test_an_interval_that_touches_is_no_claim():
    assert cases.pointing(rates(0.5, 0.25, chance=0.25, spread=0.25)).startswith("not shown to be above chance, not")
    assert cases.pointing(rates(0.25, 0.5, chance=0.0, spread=0.25)).endswith("not distinguishable from Grad-CAM")


def test_figures_without_an_interval_claim_nothing():
    lone = Estimate(1.0, NAN, NAN, 1)
    assert cases.pointing(rates(0.8, 0.3).model_copy(update={"hit_rate": lone})) == "no interval"
    assert cases.pointing(rates(0.8, 0.3).model_copy(update={"above_grad_cam": lone})) == "no interval"
    assert cases.pointing(THIN) == "3 test images"
