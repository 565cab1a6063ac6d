"""The report's part on artefacts and shortcuts, and on what was suppressed."""

import html
import re
from math import nan

import pytest
from fake_explanation import made_explanation, made_record, made_results

from concepts.statistics.estimate import Estimate
from pipeline.report.pages.environment import environment
from pipeline.report.sentences import numerals, shortcuts
from pipeline.results.names import Names
from pipeline.results.record import RunRecord
from pipeline.results.result import parse_result
from pipeline.results.shortcuts import (
    ArtefactAudit,
    ArtefactEffect,
    ArtefactResult,
    CounterpartFigures,
    LabelSource,
    MeasureQuality,
    NamedShortcut,
    PresenceCounts,
    ShortcutAudit,
    ShortcutVerdict,
    Suppression,
)

NAMES = Names({"ink": "ink marks"})
NAMED, NOT_NAMED, TOO_FEW = ShortcutVerdict.NAMED, ShortcutVerdict.NOT_NAMED, ShortcutVerdict.TOO_FEW
READERS, PLANTED, MEASURED = LabelSource.READERS, LabelSource.PLANTED, LabelSource.MEASURED
UNKNOWN = Estimate(nan, nan, nan, 0)


def figure(value, spread=0.1, n=40):
    return Estimate(value, value - spread, value + spread, n)


def counts(present, absent):
    return PresenceCounts(present=present, absent=absent)


def effect(verdict, taken_out, *, drawn=True):
    drawn_figures = {"drawn_out": figure(taken_out, n=41), "drawn_in": figure(-taken_out, n=60)} if drawn else {}
    figures = {
        "tie_p": 0.0001,
        "use_p": 0.2,
        "taken_out": figure(taken_out),
        "put_in": figure(-taken_out, n=61),
        "loss_ratio": figure(1.2),
    }
    return ArtefactEffect(verdict=verdict, **figures | drawn_figures)


def artefact(melanoma, *, axis=None, directions=2, drawn=True, labels=READERS, measure=None, reading=None):
    return ArtefactResult(
        axis=axis,
        labels=labels,
        measure=measure,
        train={"melanoma": counts(88, 15), "nevus": counts(12, 90)},
        test=counts(41, 139),
        audit=ArtefactAudit(
            directions=directions,
            reading_auc=reading or figure(0.93, 0.03, n=180),
            diagnoses={"melanoma": melanoma, "nevus": effect(NOT_NAMED, 0.02, drawn=drawn)},
        ),
    )


RARE = ArtefactResult(
    axis=None, labels=READERS, train={"melanoma": counts(3, 100), "nevus": counts(1, 101)}, test=counts(1, 179)
)


def audit(**change):
    artefacts = {
        "ink": artefact(effect(NAMED, -2.3)),
        "hair": artefact(effect(TOO_FEW, 0.0), directions=0),
        "ruler": RARE,
    }
    counterpart = CounterpartFigures(
        with_shortcut=figure(0.92), without_shortcut=figure(0.82), difference=figure(-0.1, 0.03)
    )
    entries = {
        "artefacts": artefacts,
        "named": (NamedShortcut(artefact="ink", diagnosis="melanoma"),),
        "level": 0.05,
        "fewest": 10,
        "comparisons": 4,
        "counterpart": {"macro_auc": counterpart},
    }
    return ShortcutAudit(**entries | change)


def plain(text):
    return re.sub(r"\s+", " ", numerals.plain_text(html.unescape(text)))


def page(content):
    template = environment().get_template("shortcuts.html")
    report = made_results(explanation=made_explanation(shortcuts=content))
    return plain(template.render(report=report, shortcuts=shortcuts, numerals=numerals, names=NAMES))


def test_a_named_shortcut_is_said_with_diagnosis_effect_interval_and_n():
    text = page(audit())
    assert "Named as shortcuts, the strongest first: ink marks for melanoma. Audited: ink marks and hair." in text
    assert "in 85 % of the training images of melanoma and in 12 % of the others" in text
    assert "change by -2.30 nats (95 % interval -2.40 to -2.20, n = 40), which is odds 0.1 times as high" in text
    assert "drawn into images without it, ink marks changes them by 2.30 nats" in text
    assert (
        "41 test images with it from 139 without with an AUC of 0.930 (95 % interval 0.900 to 0.960, n = 180)" in text
    )
    assert re.search(r"88 of 103</span> <span class=.soft.>others 12 of 102", text)
    assert "tie p < 0.001; use p = 0.200" in text
    assert re.search(r"-2\.30</span> <span class=.soft.>\(-2\.40 to -2\.20\)</span> <span class=.soft.>n = 40", text)
    assert re.search(r"\+2\.30</span> <span class=.soft.>\(2\.20 to 2\.40\)</span> <span class=.soft.>n = 61", text)


def test_each_figure_stands_in_its_column():
    """In the header's order: taken out, put in, drawn without it, drawn with it, loss ratio."""
    row = page(audit()).split("<tbody>")[1].split("</tr>")[0]
    assert re.findall(r"n = (\d+)", row) == ["40", "61", "41", "60", "40"]
    assert re.findall(r"<span>([-+]?[\d.]+)</span>", row) == ["-2.30", "+2.30", "-2.30", "+2.30", "1.20"]
    header = page(audit()).split("<thead>")[1].split("</thead>")[0]
    assert re.findall(r">([A-Z][a-z ]+)</th>", header)[3:] == [
        "Taken out", "Put in", "Drawn without it", "Drawn with it", "Loss ratio"
    ]  # fmt: skip


def test_each_verdict_stands_in_its_row():
    rows = re.findall(r'<tr> <th scope="row">([\w ]+)</th> <td>(.*?)</td>', page(audit()))
    words = [(name, " ".join(re.sub(r"</?(span|strong|br)[^<>]*>", " ", cell).split())) for name, cell in rows]
    tests = "tie p < 0.001; use p = 0.200"
    assert words[0] == ("Melanoma", f"named as shortcut {tests}")
    assert words[1] == (numerals.capital(NAMES.diagnosis("nevus")), f"not named {tests}")
    assert words[2] == ("Melanoma", f"too few images to say {tests}")


def test_only_a_named_verdict_is_emphasised():
    assert page(audit()).count("warm-text") == 1


def test_what_is_not_named_is_folded_away_below_what_is():
    text = page(audit())
    assert text.index("<h3>Ink marks</h3>") < text.index("<details>") < text.index("<h3>Hair</h3>")
    assert "<summary>Not named: hair</summary>" in text


def test_an_artefact_of_which_nothing_can_be_said_is_told_in_the_fold():
    unsure = artefact(effect(TOO_FEW, 0.0))
    both = unsure.audit.model_copy(update={"diagnoses": {name: effect(TOO_FEW, 0.0) for name in unsure.train}})
    content = audit(artefacts={"hair": unsure.model_copy(update={"audit": both}), "ink": artefact(effect(NAMED, -1))})
    assert shortcuts.not_named(content, NAMES) == "Not named: hair (too few images to say: hair)"


def test_what_cannot_be_judged_and_what_is_not_carried_is_said():
    text = page(audit())
    assert "Too few training images to say anything: ruler (4 with it, 201 without)." in text
    assert "No direction of the layer carries more of hair than chance would" in text
    assert (
        "Macro AUC on the test images, in which the planted shortcut holds: 0.920 (95 % interval 0.820 to 1.020, n = "
        "40); on the same lesions without it: 0.820 (95 % interval 0.720 to 0.920, n = 40); difference -0.100" in text
    )


@pytest.mark.parametrize(("low", "claim"), [(0.5, "not shown to be more than chance"), (0.501, None)])
def test_directions_that_do_not_tell_the_artefact_are_not_said_to(low, claim):
    content = artefact(effect(NOT_NAMED, 0.0), reading=Estimate(0.6, low, 0.7, 50))
    text = shortcuts.carried("ink", content, content.audit)
    assert ("not shown" in text) == (claim is not None)


def test_a_reading_that_cannot_be_assessed_claims_nothing():
    content = artefact(effect(NOT_NAMED, 0.0), reading=UNKNOWN)
    assert "not shown to be more than chance" in shortcuts.carried("ink", content, content.audit)


def test_without_named_shortcuts_nobody_is_told_that_there_are_none():
    text = page(audit(named=()))
    assert "No artefact is named as a shortcut. Audited: ink marks and hair." in text
    assert "does not show that there is none" in text


def test_real_images_have_no_columns_of_drawn_ones():
    text = page(audit(artefacts={"ink": artefact(effect(NAMED, -2.3, drawn=False), axis=3, drawn=False)}))
    assert "Drawn" not in text
    assert "drawn" not in text
    assert "along 2 directions, its own axis among them" in text


def test_the_first_axis_is_an_axis_too():
    content = artefact(effect(NAMED, -2.3), axis=0)
    assert "its own axis among them" in shortcuts.carried("ink", content, content.audit)


def test_where_nobody_labelled_artefacts_the_section_says_so():
    text = page(ShortcutAudit(artefacts={}, named=(), level=0.05, fewest=10))
    assert "Nobody labelled artefacts" in text
    assert "is not known" in text


def test_where_all_artefacts_are_too_rare_the_section_says_so():
    text = page(audit(artefacts={"ruler": RARE}, named=(), counterpart={}))
    assert "Of 1 labelled artefact, none has 10 training images with it and 10 without" in text
    assert "<table>" not in text
    assert "Too few training images to say anything" not in text


def quality(present, detected, absent, false_alarms):
    return MeasureQuality(present=present, detected=detected, absent=absent, false_alarms=false_alarms)


def test_what_was_measured_is_said_to_be_measured_and_how_well():
    ink = artefact(effect(NAMED, -2.3), labels=MEASURED, measure=quality(16, 8, 144, 4))
    text = page(audit(artefacts={**audit().artefacts, "ink": ink}))
    assert "Named as shortcuts, the strongest first: ink marks (measured in the picture) for melanoma." in text
    assert "Nobody labelled ink marks in these images" in text
    assert "Which images have it was measured in the picture; readers did not judge it." in text
    assert re.search(r"detected ink marks in 50 % \(95 % interval 28 % to 72 %, n = 16\) of those with it", text)
    assert re.search(r"in 3 % \(95 % interval 1 % to 7 %, n = 144\) of those without", text)
    assert text.count("measured in the picture;") == 1, "hair and ruler are the readers'"
    assert "says less" not in text, "it is named"


def test_a_measure_that_misses_much_says_that_not_named_says_less():
    def text(measure):
        hair = artefact(effect(NOT_NAMED, 0.0), labels=MEASURED, measure=measure)
        return page(audit(artefacts={"hair": hair}, named=()))

    blind, sharp = text(quality(41, 26, 119, 3)), text(quality(90, 88, 119, 30))
    assert "that hair is not named says less" in blind
    assert "takes something else" not in blind
    assert "that hair is not named says less" not in sharp
    assert "takes something else for hair" in sharp
    assert "not assessable of those with it" in text(quality(0, 0, 119, 3))


def test_labels_of_readers_and_planted_ones_are_told_apart():
    assert "Readers said which images have it." in page(audit())
    text = page(audit(artefacts={"ink": artefact(effect(NAMED, -2.3), labels=PLANTED)}))
    assert "It was planted" in text
    assert "Readers" not in text
    assert "easured in the picture" not in text


@pytest.mark.parametrize(("value", "text"), [(0.0, "0.00"), (0.004, "0.00"), (0.3, "+0.30"), (-0.3, "-0.30")])
def test_a_change_has_its_sign(value, text):
    assert plain(shortcuts.signed(figure(value))) == text
    assert shortcuts.signed(UNKNOWN) == "not assessable"


def test_an_effect_that_cannot_be_assessed_has_no_number():
    content = artefact(effect(NAMED, -2.3, drawn=False).model_copy(update={"taken_out": UNKNOWN}))
    (sentence,) = shortcuts.effects("ink", content, content.audit, NAMES)
    assert "by an amount that is not assessable (n = 0) when" in plain(sentence)


SUPPRESSION = Suppression(
    source="phantom-1",
    names=("ink", "streaks"),
    weighed=("ink",),
    directions=4,
    intercepts={"melanoma": 0.71, "nevus": -0.71},
    images=180,
    epochs=0,
)


@pytest.mark.parametrize(
    ("epochs", "trained", "weighed"),
    [
        (0, "nothing was trained again", " For the intercepts, images were weighed so that ink marks went with no"),
        (1, "what comes after the layer was trained for 1 epoch without them", " For the training and the intercepts,"),
    ],
)
def test_a_suppressed_run_says_what_was_suppressed(epochs, trained, weighed):
    text = plain(shortcuts.suppressed(SUPPRESSION.model_copy(update={"epochs": epochs}), NAMES))
    assert "Suppressed: ink marks and streaks." in text
    assert "run phantom-1, kept from seeing 4 directions" in text
    assert "on 180 validation images" in text
    assert f"(0.71 for melanoma and -0.71 for {NAMES.diagnosis('nevus')})" in text
    assert trained in text
    assert weighed in text
    without = plain(shortcuts.suppressed(SUPPRESSION.model_copy(update={"weighed": ()}), NAMES))
    assert "images were weighed" not in without


def test_what_was_suppressed_is_an_entry_of_the_record():
    record = made_record(suppressed=SUPPRESSION)
    assert parse_result(RunRecord, record.to_text(), "run.json").suppressed == SUPPRESSION


def test_an_audit_reads_back_as_it_was_written():
    thin = effect(NAMED, -2.3).model_copy(update={"taken_out": UNKNOWN, "tie_p": nan})
    content = audit(artefacts={"ink": artefact(thin, measure=quality(16, 8, 144, 4)), "ruler": RARE})
    written = content.model_dump_json()
    again = ShortcutAudit.model_validate_json(written)
    assert again.model_dump_json() == written
    assert '"tie_p":null' in written
    assert again.artefacts["ink"].audit.diagnoses["nevus"] == effect(NOT_NAMED, 0.02)


def test_totals_and_groups_of_artefacts():
    content = audit()
    assert list(content.audited) == ["ink", "hair"]
    assert list(content.rare) == ["ruler"]
    assert [name for name, each in content.artefacts.items() if each.is_named] == ["ink"]
    assert content.measured == ()
    assert content.is_drawn
    assert not audit(artefacts={"ink": artefact(effect(NAMED, 1, drawn=False), drawn=False)}).is_drawn
    assert counts(3, 4).total == 7
