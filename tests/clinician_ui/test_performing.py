"""Acts of readers: performed for whoever is signed in, and what is said when they are not or the store refuses."""

import pytest
import streamlit

from clinician_ui import phrasing
from clinician_ui.screens import performing
from concepts.errors import StoreError


@pytest.fixture
def reader(monkeypatch):
    signed_in = object()
    monkeypatch.setattr(performing, "current_reader", lambda: signed_in)
    return signed_in


@pytest.fixture
def session(monkeypatch) -> dict:
    entries: dict = {}
    monkeypatch.setattr(streamlit, "session_state", entries)
    return entries


def refuse(*_: object) -> None:
    raise StoreError("another admin must do that")


def test_an_act_is_performed_for_the_reader(reader):
    given = []
    assert performing.attempt(lambda who: given.append(who) or "saved") == ("saved", False)
    assert given == [reader]


def test_a_refusal_is_the_message(reader):
    assert performing.attempt(refuse) == ("another admin must do that", True)


def test_nothing_is_performed_when_the_session_has_ended(monkeypatch):
    monkeypatch.setattr(performing, "current_reader", lambda: None)
    assert performing.attempt(refuse) == (phrasing.SESSION_ENDED, True)


def test_a_message_is_kept_for_its_screen(reader, session):
    performing.perform("runs", lambda _: "submitted")
    assert session == {"runs_outcome": ("submitted", False)}


def test_a_component_is_answered_and_told_so_by_the_serial(reader, session):
    for number in (1, 2):
        performing.perform_act("grid", lambda: "act", lambda who, act: {"message": f"{act} {who is reader}"})
        assert session == {"grid_answer": {"message": "act True"}, "grid_serial": number}
    performing.perform_act("grid", lambda: "act", refuse)
    assert session["grid_answer"] == {"message": "another admin must do that", "is_fault": True}
    assert session["grid_serial"] == 3


def test_without_an_act_nothing_is_answered(reader, session):
    performing.perform_act("grid", lambda: None, refuse)
    assert session == {}


def test_a_component_is_told_when_the_session_has_ended(monkeypatch, session):
    monkeypatch.setattr(performing, "current_reader", lambda: None)
    performing.perform_act("grid", lambda: "act", refuse)
    assert session["grid_answer"] == {"message": phrasing.SESSION_ENDED, "is_fault": True}
