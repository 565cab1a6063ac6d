"""What the report says about trust: read from the run's files, and said without overclaiming."""

import pytest
import yaml

from concepts.errors import RunError
from pipeline.report.pages.checklists import CHECKLISTS, FOLDER
from pipeline.report.pages.sanity_charts import SanityCharts
from pipeline.report.scrutiny_compose import case_page_address, compose_scrutiny
from pipeline.report.sentences import patients as patients_phrasing
from pipeline.report.sentences import sanity as sanity_phrasing
from pipeline.report.sentences.checklists import ANSWERS
from pipeline.report.tree import Tree
from pipeline.run.folder import RunFolder

NAMES = {"streaks": "streaks", "globules": "globules", "veil": "blue-whitish veil"}


def figure(value, low=None, high=None, n=240):
    if value is None:
        return {"value": None, "low": None, "high": None, "n": n}
    return {"value": value, "low": value - 0.03 if low is None else low, "high": high or value + 0.03, "n": n}


def check(own, null, *, meaningless):
    difference = own - null
    half = abs(difference) * (2 if meaningless else 0.5) + 0.001
    return {
        "own": figure(own),
        "null": figure(null, null - 0.01, null + 0.01, 10),
        "difference": figure(difference, difference - half, difference + half),
        "meaningless": meaningless,
    }


UNKNOWN = {"own": figure(None), "null": figure(None, n=0), "difference": figure(None), "meaningless": None}


def sanity():
    importance = {
        "streaks": check(1.4, 1.0, meaningless=False),
        "globules": check(1.01, 1.0, meaningless=True),
        "veil": UNKNOWN,
    }
    return {
        "draws": 10,
        "importance_randomised_weights": {"overall": importance, "melanoma": importance},
        "importance_permuted_labels": {"overall": importance, "melanoma": importance},
        "purity_permuted_labels": {
            "streaks": check(0.9, 0.5, meaningless=False),
            "globules": check(0.55, 0.52, meaningless=True),
            "veil": UNKNOWN,
        },
    }


def failure(image_id="a/b", states=("present", "absent", "uncertain"), labels=(0, 1, None)):
    return {
        "image_id": image_id,
        "truth": "melanoma",
        "call": "nevus",
        "probability": 0.93,
        "probability_of_truth": 0.05,
        "concepts": [
            {"concept": concept, "state": state, "label": label}
            for concept, state, label in zip(NAMES, states, labels, strict=True)
        ],
        "picture": "cases/a.jpg",
    }


def failures(gallery=None):
    return {
        "wrong": figure(0.3),
        "confident": 0.8,
        "wrong_where_confident": figure(0.1, n=60),
        "gallery": [failure()] if gallery is None else gallery,
    }


@pytest.fixture
def composed(tmp_path):
    def make(explanation):
        run = RunFolder(tmp_path)
        return compose_scrutiny(
            run, Tree(explanation, "explanation.json:"), names=NAMES, target=lambda one: one.upper()
        )

    return make


def test_a_run_from_before_has_no_such_parts(composed):
    found = composed({})
    assert (found.sanity, found.stability, found.failures) == (None, (), None)
    assert sanity_phrasing.sanity_summary(found.sanity) == ""


def test_what_is_half_there_is_named(composed):
    half = sanity()
    del half["purity_permuted_labels"]["globules"]["difference"]
    with pytest.raises(RunError, match=r"purity_permuted_labels\.globules has no 'difference'"):
        composed({"sanity": half})


def test_what_survives_randomisation_is_called_meaningless_by_name_and_nothing_else_is(composed):
    found = composed({"sanity": sanity()}).sanity
    streaks, globules, veil = found.concepts
    assert [one.meaningless("overall") for one in found.concepts] == [False, True, None]
    assert "Meaningless: 1.01 cannot be told from randomised weights" in sanity_phrasing.importance_verdict(globules)
    assert "eaningless" not in sanity_phrasing.importance_verdict(streaks) + sanity_phrasing.purity_verdict(streaks)
    assert sanity_phrasing.purity_verdict(globules).startswith("Meaningless: 0.55")
    assert sanity_phrasing.importance_verdict(veil) == sanity_phrasing.purity_verdict(veil) == "Not assessable."
    summary = sanity_phrasing.sanity_summary(found)
    assert summary.startswith("Of 2 concepts, the importance of globules over all diagnoses is meaningless")
    assert "none corrected for their number" in sanity_phrasing.sanity_method(found)


def test_one_survived_randomisation_is_enough_to_be_meaningless(composed):
    tree = sanity()
    tree["importance_permuted_labels"] = {
        target: {**row, "streaks": check(1.4, 1.38, meaningless=True)}
        for target, row in tree["importance_permuted_labels"].items()
    }
    streaks = composed({"sanity": tree}).sanity.concepts[0]
    assert streaks.meaningless("overall") is True
    said = sanity_phrasing.importance_verdict(streaks)
    assert "permuted labels" in said
    assert "randomised weights" not in said


def test_strips_are_drawn_for_what_is_known_and_stay_empty_for_what_is_not(composed):
    found = composed({"sanity": sanity()}).sanity
    charts = SanityCharts(found)
    assert str(charts.importance(found.concepts[0])).count("<circle") == 3
    assert str(charts.purity(found.concepts[0])).count("<circle") == 2
    assert "<circle" not in str(charts.importance(found.concepts[2]))
    assert "accent" not in str(charts.importance(found.concepts[1])), "what is meaningless has no colour"


def test_a_failure_tells_what_was_seen_and_what_contradicts_the_release(composed, tmp_path):
    (one,) = composed({"failures": failures()}).failures.gallery
    assert (one.truth, one.call, one.page) == ("MELANOMA", "NEVUS", None)
    said = dict(patients_phrasing.seen(one))
    assert said["Seen"] == "streaks"
    assert said["Uncertain"] == "blue-whitish veil"
    assert said["In the release"] == "globules"
    disputed = patients_phrasing.disputed(one)
    assert "ot seen though in the release: globules" in disputed
    assert "seen though absent or not marked: streaks" in disputed
    (agreed,) = composed(
        {"failures": failures([failure(states=("absent",) * 3, labels=(0, 0, None))])}
    ).failures.gallery
    assert patients_phrasing.disputed(agreed) == ""


def test_a_case_page_is_linked_only_where_the_case_exists(composed, tmp_path):
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "a%2Fb.json").write_text("{}")
    (one,) = composed({"failures": failures()}).failures.gallery
    assert one.page == case_page_address("a/b") == "cases/a%252Fb.html", "the file's own % is quoted in the address"


def test_no_confident_call_is_said_to_be_none(composed):
    tree = failures([])
    tree["wrong_where_confident"] = figure(None, n=0)
    assert "No call has a calibrated probability of 80" in patients_phrasing.failures(
        composed({"failures": tree}).failures
    )


def test_stability_names_a_rival_and_its_interval(composed):
    rows = {
        "streaks": {"rank": figure(1.0, 1.0, 2.0), "first": 0.7, "same": 0.7},
        "globules": {"rank": figure(2.0, 1.0, 3.0), "first": 0.3, "same": 0.6},
    }
    tree = {"overall": {"tau": figure(0.8, 0.3, 1.0), "resamples": 1000, "concepts": rows}, "melanoma": None}
    (panel,) = composed({"stability": tree}).stability
    said = sanity_phrasing.stability(panel)
    assert "streaks is first in 70" in said
    assert "globules in 30" in said
    assert "0.80 (95" in said
    assert sanity_phrasing.rank(panel.rows[1]) == "2 (1 to 3)"


@pytest.mark.parametrize("key", CHECKLISTS)
def test_items_have_topics_and_only_answers_that_exist_and_each_number_once(key):
    content = yaml.safe_load((FOLDER / f"{key}.yaml").read_text(encoding="utf-8"))
    assert {"key", "name", "source", "about", "items"} == set(content)
    assert content["key"] == key
    assert all(set(one) <= {"number", "section", "topic", "answer"} and one["topic"] for one in content["items"])
    assert {one["answer"] for one in content["items"] if "answer" in one} <= set(ANSWERS)
    numbers = [one["number"] for one in content["items"] if "number" in one]
    assert len(numbers) == len(set(numbers))
    if key == "claim_2024":
        assert numbers == [str(one) for one in range(1, 45)]
    if key == "decide_ai":
        assert {int("".join(filter(str.isdigit, one))) for one in numbers if one[0].isdigit()} == set(range(1, 18))
        assert [one for one in numbers if not one[0].isdigit()] == [
            "I",
            "II",
            "III",
            "IV",
            "V",
            "VI",
            "VII",
            "VIII",
            "IX",
            "X",
        ]
