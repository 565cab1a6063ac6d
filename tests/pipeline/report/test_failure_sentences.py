"""What the report says about failures: what was called, what was recorded, and what the axes saw."""

import math
from pathlib import Path

import pytest
from fake_explanation import made_explanation, made_results

from concepts.statistics.estimate import Estimate
from pipeline.report.pages.case import case_page_address
from pipeline.report.pages.report import case_pages
from pipeline.report.sentences import failures
from pipeline.report.sentences.numerals import plain_text
from pipeline.results.names import Names
from pipeline.results.trust import FailedConcept, Failure, FailuresResult

NAMES = Names({"veil": "blue-whitish veil"})
CONCEPTS = ("streaks", "globules", "veil")


def failure(states=("present", "absent", "uncertain"), labels=(False, True, None)):
    return Failure(
        image_id="a/b",
        truth="seborrheic_keratosis",
        call="nevus",
        probability=0.93,
        probability_of_truth=0.05,
        concepts=tuple(
            FailedConcept(concept=concept, state=state, label=label)
            for concept, state, label in zip(CONCEPTS, states, labels, strict=True)
        ),
        picture="cases/a.jpg",
    )


def result(*gallery, confident=None):
    return FailuresResult(
        wrong=Estimate(0.3, 0.25, 0.35, 240),
        confident=0.8,
        wrong_where_confident=confident or Estimate(0.1, 0.05, 0.2, 60),
        gallery=gallery,
    )


def test_call_and_truth_are_told_apart_with_their_probabilities():
    assert plain_text(failures.picture_text(failure(), NAMES)) == (
        "Test image a/b, called melanocytic nevus with 93 %; recorded as seborrheic keratosis (5 %)."
    )


def test_a_failure_tells_what_was_seen_and_what_the_release_has():
    kinds = dict(failures.concepts(failure(), NAMES))
    assert kinds == {
        "Seen": "streaks",
        "Not seen": "globules",
        "Uncertain": "blue-whitish veil",
        "In the release": "globules",
    }
    thin = dict(failures.concepts(failure(states=("not_assessable",) * 3, labels=(None,) * 3), NAMES))
    assert thin == {"Not assessable": "streaks, globules and blue-whitish veil"}


@pytest.mark.parametrize(
    ("states", "labels", "disputed"),
    [
        (
            ("present", "absent", "uncertain"),
            (False, True, None),
            "Not seen though in the release: globules; seen though absent or not marked: streaks",
        ),
        (("absent",) * 3, (False, False, None), ""),
        (("present",) * 3, (True, True, None), ""),
        (("uncertain",) * 3, (True, False, None), ""),
        (("absent", "present", "absent"), (True, None, True), "Not seen though in the release: streaks and "),
    ],
)
def test_a_dispute_is_where_axis_and_release_contradict_each_other(states, labels, disputed):
    sentence = failures.disputed(failure(states, labels), NAMES)
    assert sentence.startswith(disputed)
    assert bool(sentence) is bool(disputed)


def test_rates_are_said_for_all_calls_and_for_the_confident_ones():
    sentence = plain_text(failures.rates(result()))
    assert sentence == (
        "The call is wrong in 30 % (95 % interval 25 to 35 %, n = 240) of the test images; among calls with a "
        "calibrated probability of at least 80 %, in 10 % (95 % interval 5 to 20 %, n = 60)."
    )


def test_where_no_call_is_confident_that_is_said():
    none = Estimate(math.nan, math.nan, math.nan, 0)
    assert "No call has a calibrated probability of at least 80" in failures.rates(result(confident=none))


def test_the_gallery_says_how_many_it_shows_and_that_they_were_chosen_for_being_wrong():
    assert failures.gallery(result(failure())).startswith("The 1 wrong call with the highest probability")
    assert "say nothing about how often that happens" in failures.gallery(result(failure(), failure()))


def test_a_case_page_is_linked_only_where_the_case_exists(tmp_path: Path):
    report = made_results(explanation=made_explanation(failures=result(failure())))
    assert case_pages(report, tmp_path) == {}
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "a%2Fb.json").write_text("{}")
    assert case_pages(report, tmp_path) == {"a/b": "cases/a%252Fb.html"}, "the file's own % is quoted in the address"
    assert case_page_address("plain") == "cases/plain.html"
