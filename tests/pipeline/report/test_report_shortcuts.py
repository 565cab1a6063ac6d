"""The report's part on artefacts and shortcuts, and on what was suppressed."""

import html
import re
from types import SimpleNamespace

import pytest

from concepts.errors import RunError
from pipeline.explanation.shortcuts.artefacts import LabelSource
from pipeline.explanation.shortcuts.verdicts import ShortcutVerdict
from pipeline.report.pages.report import _environment
from pipeline.report.sentences import numerals
from pipeline.report.sentences import shortcuts as shortcut_phrasing
from pipeline.report.shortcut_compose import compose_shortcuts, compose_suppression
from pipeline.report.shortcut_content import MEASURED, NAMED, NOT_NAMED, PLANTED, READERS, TOO_FEW
from pipeline.report.tree import Tree

DIAGNOSES = ("melanoma", "nevus")


def figure(value, spread=0.1, n=40):
    return {"value": value, "low": value - spread, "high": value + spread, "n": n}


def effect(verdict, taken_out, *, drawn=True):
    drawn_figures = {"drawn_out": figure(taken_out), "drawn_in": figure(-taken_out)} if drawn else {}
    return {
        "verdict": verdict,
        "tie_p": 0.0001,
        "use_p": 0.2,
        "taken_out": figure(taken_out),
        "put_in": figure(-taken_out, n=61),
        "loss_ratio": figure(1.2),
        **drawn_figures,
    }


def artefact(melanoma, *, axis=None, directions=2, drawn=True, labels=READERS):
    return {
        "axis": axis,
        "labels": labels,
        "train": {"melanoma": {"present": 88, "absent": 15}, "nevus": {"present": 12, "absent": 90}},
        "test": {"present": 41, "absent": 139},
        "directions": directions,
        "reading_auc": figure(0.93, 0.03, n=180),
        "diagnoses": {"melanoma": melanoma, "nevus": effect(NOT_NAMED, 0.02, drawn=drawn)},
    }


@pytest.fixture
def audit():
    thin = {"axis": None, "train": {"melanoma": {"present": 3, "absent": 100}, "nevus": {"present": 1, "absent": 101}}}
    return {
        "artefacts": {
            "ink": artefact(effect(NAMED, -2.3)),
            "hair": artefact(effect(TOO_FEW, 0.0), directions=0),
            "ruler": thin | {"test": {"present": 1, "absent": 179}},
        },
        "named": [{"artefact": "ink", "diagnosis": "melanoma"}],
        "level": 0.05,
        "fewest": 10,
        "counterpart": {
            "macro_auc": {
                "with_shortcut": figure(0.92),
                "without_shortcut": figure(0.82),
                "difference": figure(-0.1, 0.03),
            }
        },
    }


def composed(audit):
    return compose_shortcuts(Tree({"shortcuts": audit}, "explanation.json:"), {"ink": "ink marks"}, str)


def page(audit):
    template = _environment().get_template("shortcuts.html")
    text = template.render(report=SimpleNamespace(shortcuts=composed(audit)), warn=shortcut_phrasing, write=numerals)
    return re.sub(r"\s+", " ", numerals.plain_text(html.unescape(text)))


def test_words_of_report_and_explanation_are_the_same():
    assert {NAMED, NOT_NAMED, TOO_FEW} == {str(one) for one in ShortcutVerdict}
    assert {READERS, PLANTED, MEASURED} == {str(one) for one in LabelSource}


def test_a_named_shortcut_is_said_with_diagnosis_effect_interval_and_n(audit):
    said = page(audit)
    assert "Named as shortcuts, the strongest first: ink marks for melanoma." in said
    assert "in 85 % of the training images of melanoma and in 12 % of the others" in said
    assert "change by -2.30 nats (95 % interval -2.40 to -2.20, n = 40), which is odds 0.1 times as high" in said
    assert "drawn into images without it, ink marks changes them by 2.30 nats" in said
    assert "AUC of 0.930 (95 % interval 0.900 to 0.960, n = 180)" in said
    assert re.search(r"88 of 103</span> <span class=.soft.>others 12 of 102", said)
    assert "tie p < 0.001; use p = 0.200" in said
    assert re.search(r"-2\.30</span> <span class=.soft.>\(-2\.40 to -2\.20\)</span> <span class=.soft.>n = 40", said)
    assert re.search(r"\+2\.30</span> <span class=.soft.>\(2\.20 to 2\.40\)</span> <span class=.soft.>n = 61", said)


def test_each_verdict_stands_in_its_row(audit):
    rows = re.findall(r'<tr><th scope="row">(\w+)</th><td>(.*?)</td>', page(audit))
    words = [(name, " ".join(re.sub(r"</?(span|strong|br)[^<>]*>", " ", cell).split())) for name, cell in rows]
    tests = "tie p < 0.001; use p = 0.200"
    assert words[0] == ("Melanoma", f"named as shortcut {tests}")
    assert words[1] == ("Nevus", f"not named {tests}")
    assert words[2] == ("Melanoma", f"too few images to say {tests}")


def test_what_is_not_named_is_folded_away_below_what_is(audit):
    said = page(audit)
    assert said.index("<h3>Ink marks</h3>") < said.index("<details>") < said.index("<h3>Hair</h3>")
    assert "<summary>Not named: hair</summary>" in said


def test_what_cannot_be_judged_and_what_is_not_carried_is_said(audit):
    said = page(audit)
    assert "Too few training images to say anything: ruler (4 with it, 201 without)." in said
    assert "No direction of the layer carries more of hair than chance would" in said
    assert "macro AUC" not in said
    assert "Macro AUC on the test images, in which the planted shortcut holds: 0.920" in said


def test_without_named_shortcuts_nobody_is_told_that_there_are_none(audit):
    audit["named"] = []
    said = page(audit)
    assert "No artefact is named as a shortcut." in said
    assert "does not show that there is none" in said


def test_real_images_have_no_columns_of_drawn_ones(audit):
    audit["artefacts"] = {"ink": artefact(effect(NAMED, -2.3, drawn=False), axis=3, drawn=False)}
    said = page(audit)
    assert "Drawn" not in said
    assert "drawn" not in said
    assert "its own axis among them" in said


def test_where_nobody_labelled_artefacts_the_section_says_so(audit):
    said = page({"artefacts": {}, "named": [], "level": 0.05, "fewest": 10})
    assert "Nobody labelled artefacts" in said
    assert "is not known" in said


def test_where_all_artefacts_are_too_rare_the_section_says_so(audit):
    audit["artefacts"] = {"ruler": audit["artefacts"]["ruler"]}
    said = page(audit | {"named": [], "counterpart": {}})
    assert "too few images to say whether any is a shortcut" in said
    assert "<table>" not in said


def measured(present, found, absent, falsely):
    return {"present": present, "found": found, "absent": absent, "falsely": falsely}


def test_what_was_measured_is_said_to_be_measured_and_how_well(audit):
    ink = artefact(effect(NAMED, -2.3), labels=MEASURED) | {"measure": measured(16, 8, 144, 4)}
    audit["artefacts"]["ink"] = ink
    said = page(audit)
    assert "Named as shortcuts, the strongest first: ink marks (measured in the picture) for melanoma." in said
    assert "Nobody labelled ink marks in these images" in said
    assert "Which images have it was measured in the picture; readers did not judge it." in said
    assert re.search(r"found ink marks in 50 % \(95 % interval 28 % to 72 %, n = 16\) of those with it", said)
    assert re.search(r"in 3 % \(95 % interval 1 % to 7 %, n = 144\) of those without", said)
    assert said.count("measured in the picture;") == 1, "hair and ruler are the readers'"
    assert "says the less" not in said, "it is named"


def test_a_measure_that_misses_much_says_that_not_named_says_the_less(audit):
    hair = artefact(effect(NOT_NAMED, 0.0), labels=MEASURED)
    audit["artefacts"] = {"hair": hair | {"measure": measured(41, 26, 119, 3)}}
    audit["named"] = []
    assert "that hair is not named says the less" in page(audit)
    assert "takes something else" not in page(audit)
    audit["artefacts"] = {"hair": hair | {"measure": measured(90, 88, 119, 30)}}
    assert "that hair is not named says the less" not in page(audit)
    assert "takes something else for hair" in page(audit)


def test_labels_of_readers_and_planted_ones_are_told_apart(audit):
    assert "Readers said which images have it." in page(audit)
    audit["artefacts"] = {"ink": artefact(effect(NAMED, -2.3), labels=PLANTED)}
    said = page(audit)
    assert "It was planted" in said
    assert "Readers" not in said
    assert "easured" not in said


def test_a_run_that_does_not_say_whose_labels_it_has_is_still_read(audit):
    del audit["artefacts"]["ink"]["labels"]
    assert "Named as shortcuts, the strongest first: ink marks for melanoma." in page(audit)


def test_a_run_of_before_has_no_section():
    assert compose_shortcuts(Tree({}, "explanation.json:"), {}, str) is None


def test_what_is_missing_is_named(audit):
    del audit["artefacts"]["ink"]["diagnoses"]["melanoma"]["use_p"]
    with pytest.raises(RunError, match=r"ink\.diagnoses\.melanoma has no 'use_p'"):
        composed(audit)


@pytest.mark.parametrize(
    ("epochs", "trained"),
    [(0, "nothing was trained again"), (1, "what comes after the layer was trained on for 1 epoch without them")],
)
def test_a_suppressed_run_says_what_was_suppressed(epochs, trained):
    record = {
        "suppressed": {
            "from": "phantom-1",
            "names": ["ink", "streaks"],
            "directions": 4,
            "intercepts": {"melanoma": 0.71, "nevus": -0.71},
            "images": 180,
            "epochs": epochs,
        }
    }
    done = compose_suppression(Tree(record, "run.json:"), {"ink": "ink marks"}, str)
    said = shortcut_phrasing.suppressed(done)
    assert "Suppressed: ink marks and streaks." in said
    assert "run phantom-1, kept from seeing 4 directions" in said
    assert "180 validation images" in said
    assert trained in said
    assert "0.71 for melanoma" in said
    assert compose_suppression(Tree({}, "run.json:"), {}, str) is None
