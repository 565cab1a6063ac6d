"""The report's part on cases, evidence, layers and directions that nobody named."""

from types import SimpleNamespace

import pytest

from concepts.errors import RunError
from pipeline.report.explained_compose import compose_explained
from pipeline.report.pages.report import _environment
from pipeline.report.sentences import cases as explained_phrasing
from pipeline.report.sentences import numerals
from pipeline.report.tree import Tree

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
        "discovery": {
            "directions": [
                {
                    "name": "free_1",
                    "share_of_slope": 0.46,
                    "importance": {
                        "overall": {"ratio": figure(1.4), "rank": 1, "null": {"low": None, "high": None}},
                        "melanoma": {"ratio": figure(1.5), "rank": 1, "null": {"low": 0.99, "high": 1.01}},
                    },
                    "relations": [
                        {
                            "trait": "blue_whitish_veil",
                            "kind": "concept",
                            "correlation": figure(0.73),
                            "beyond_chance": True,
                        },
                        {"trait": "age", "kind": "metadata", "correlation": figure(-0.02), "beyond_chance": False},
                    ],
                    "patches": [{"image_id": "a", "diagnosis": "melanoma", "patch": "discovery/free_1-1-patch.jpg"}],
                }
            ],
            "relations_compared": 75,
        },
    }


def page(explanation):
    found = compose_explained(Tree(explanation, "explanation.json:"), NAMES, str)
    return (
        _environment()
        .get_template("explained.html")
        .render(
            report=SimpleNamespace(explained=found),
            tell=explained_phrasing,
            write=numerals,
            picture=lambda name: f"data:{name}",
        )
    )


def test_every_part_is_on_the_page_with_interval_and_n(explanation):
    shown = page(explanation)
    for part in ("90 of 400 test images", "0.80", "3 test images", "layer1<", "there was none", "blue-whitish veil"):
        assert part in shown
    assert "data:discovery/free_1-1-patch.jpg" in shown
    assert "of all concepts to the rule&#39;s diagnosis in 96" in shown
    assert shown.count("n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}90") >= 8
    assert "not assessable" in shown


def test_a_hit_rate_claims_no_more_than_its_interval(explanation):
    found = compose_explained(Tree(explanation, "explanation.json:"), NAMES, str)
    streaks, _, overall = found.pointing
    assert explained_phrasing.pointing(streaks) == "above chance, above Grad-CAM"
    assert explained_phrasing.pointing(overall) == "above chance, below Grad-CAM"
    explanation["pointing"]["concepts"]["streaks"] = pointing(0.12, 0.1)
    (weak, *_) = compose_explained(Tree(explanation, "explanation.json:"), NAMES, str).pointing
    assert explained_phrasing.pointing(weak) == "not shown to be above chance, not told from Grad-CAM"


def test_only_relations_beyond_chance_are_said_in_the_sentence(explanation):
    (direction,) = compose_explained(Tree(explanation, "explanation.json:"), NAMES, str).directions
    said = explained_phrasing.direction(direction)
    assert "blue-whitish veil (label of the release, 0.73)" in said
    assert "age" not in said
    explanation["discovery"]["directions"][0]["relations"] = []
    (direction,) = compose_explained(Tree(explanation, "explanation.json:"), NAMES, str).directions
    assert "nothing known" in explained_phrasing.direction(direction)


def test_a_run_without_these_parts_has_none_of_them_on_the_page():
    assert page({}).strip() == ""


def test_what_is_missing_is_named(explanation):
    del explanation["cases"]["right"]
    with pytest.raises(RunError, match=r"explanation.json: cases has no 'right'"):
        page(explanation)
