"""The report's part on cases, evidence and layers."""

from types import SimpleNamespace

import pytest
from pipeline.report.explained_compose import compose_explained
from pipeline.report.tree import Tree

from concepts.errors import RunError
from pipeline.report.pages.report import _environment
from pipeline.report.sentences import cases as explained_phrasing
from pipeline.report.sentences import numerals

NAMES = {"streaks": "streaks", "blue_whitish_veil": "blue-whitish veil"}
UNKNOWN = {"value": None, "low": None, "high": None, "n": 0}


def figure(value, spread=0.05, n=90):
    return {"value": value, "low": value - spread, "high": value + spread, "n": n}


def pointing(hit, cam, reason=None):
    row = {"hit_rate": figure(hit), "chance": figure(0.1), "grad_cam": figure(cam), "above_grad_cam": figure(hit - cam)}
    return row | {"width": 3, "reason": reason}


@pytest.fixture
def explanation():
    flag = {"share": figure(0.2), "right_where_raised": UNKNOWN, "right_elsewhere": figure(0.8)}
    thin = dict.fromkeys(("hit_rate", "chance", "grad_cam", "above_grad_cam")) | {"width": 1, "reason": "3 test images"}
    return {
        "cases": {
            "n": 90,
            "of": 400,
            "right": figure(0.75),
            "plausible_set_covers": figure(0.91),
            **dict.fromkeys(("abstain", "conflict", "out_of_scope"), flag),
        },
        "planted_cause": {"decided": figure(0.96), "decided_and_called": figure(0.98)},
        "pointing": {
            "concepts": {"streaks": pointing(0.8, 0.3), "blue_whitish_veil": thin},
            "overall": pointing(0.4, 0.6),
        },
        "trajectories": {"streaks": {"layer1.whitening": {"corrected": figure(0.7), "spoilt": None, "examples": []}}},
    }


def page(explanation):
    found = compose_explained(Tree(explanation, "explanation.json:"), NAMES)
    return (
        _environment()
        .get_template("explained.html")
        .render(
            report=SimpleNamespace(explained=found),
            tell=explained_phrasing,
            write=numerals,
        )
    )


def test_every_part_is_on_the_page_with_interval_and_n(explanation):
    shown = page(explanation)
    for part in ("90 of 400 test images", "0.80", "3 test images", "layer1<", "there was none", "Blue-whitish veil"):
        assert part in shown
    assert "of all concepts to the rule&#39;s diagnosis in 96" in shown
    assert shown.count("n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}90") >= 6
    assert "not assessable" in shown


def test_a_hit_rate_claims_no_more_than_its_interval(explanation):
    found = compose_explained(Tree(explanation, "explanation.json:"), NAMES)
    streaks, _, overall = found.pointing
    assert explained_phrasing.pointing(streaks) == "above chance, above Grad-CAM"
    assert explained_phrasing.pointing(overall) == "above chance, below Grad-CAM"
    explanation["pointing"]["concepts"]["streaks"] = pointing(0.12, 0.1)
    (weak, *_) = compose_explained(Tree(explanation, "explanation.json:"), NAMES).pointing
    assert explained_phrasing.pointing(weak) == "not shown to be above chance, not told from Grad-CAM"


def test_a_run_without_these_parts_has_none_of_them_on_the_page():
    assert page({}).strip() == ""


def test_what_is_missing_is_named(explanation):
    del explanation["cases"]["right"]
    with pytest.raises(RunError, match=r"explanation.json: cases has no 'right'"):
        page(explanation)
