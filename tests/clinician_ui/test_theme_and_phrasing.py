"""Contrast that everyone can read, and other people's text that stays text."""

import csv
import io

import pytest

from clinician_ui import phrasing
from clinician_ui.screens.history import events_to_csv
from clinician_ui.theme import SYMBOLS, TOKENS
from concepts.judgement import Verdict
from concepts.store.audit import Event

TEXTS = ("text", "quiet", "present", "absent", "uncertain", "not_assessable", "alert")


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", TOKENS)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("ground", ["background", "panel"])
def test_text_can_be_read(theme, text, ground):
    assert contrast(TOKENS[theme][text], TOKENS[theme][ground]) >= 4.5


@pytest.mark.parametrize("theme", TOKENS)
def test_buttons_can_be_read_and_found(theme):
    tokens = TOKENS[theme]
    assert contrast(tokens["on-accent"], tokens["accent"]) >= 4.5
    assert contrast(tokens["accent"], tokens["background"]) >= 3


def test_every_verdict_has_a_word_and_a_sign_of_its_own():
    assert set(SYMBOLS) == set(phrasing.VERDICTS) == set(Verdict)
    assert len(set(SYMBOLS.values())) == len(set(phrasing.VERDICTS.values())) == len(Verdict)


@pytest.mark.parametrize("text", ["![x](http://evil)", "[a](javascript:b)", "<script>", "**b**", "a\n# b", ":red[$x$]"])
def test_markdown_of_others_stays_text(text):
    shown = phrasing.markdown(text)
    assert "\n" not in shown
    for sign in "![](){}<>*#$:":
        assert f"\\{sign}" in shown or sign not in text
    assert phrasing.html("<script>") == "&lt;script&gt;"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\t=1"])
def test_an_exported_history_computes_nothing(name):
    event = Event(1, "0", "f", name, "judge", name, {"note": name}, "2026-01-01T00:00:00+00:00")
    (_, row) = csv.reader(io.StringIO(events_to_csv([event])))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in row)
    assert name in row[2]
