"""History: who did what, newest first."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from clinician_ui import phrasing
from clinician_ui.workplace import Reader
from concepts.csv_cells import csv_text
from concepts.curation import door
from concepts.store.audit import Event
from concepts.store.roles import Action

PAGE = 200
EXPORTED = 10_000
COLUMNS = ("seq", "at", "actor", "action", "subject", "hash")


def show(reader: Reader) -> None:
    """Draw the screen."""
    by, action, subject = _filter()
    criteria: dict[str, Any] = {"by": by or None, "action": action, "subject": subject or None}
    events = door.history(reader.store, reader.name, limit=PAGE, **criteria)
    if not events:
        st.info(phrasing.NO_EVENTS)
        return
    st.dataframe(
        [_row(event) for event in events],
        hide_index=True,
        width="stretch",
        height=520,
        column_config={
            "seq": st.column_config.NumberColumn("No.", width="small"),
            "at": "When (UTC)",
            "actor": "Who",
            "action": "What",
            "subject": "On what",
            "details": "Details",
        },
    )
    left, right = st.columns([3, 1])
    left.caption(phrasing.events_listed(len(events), PAGE))
    right.download_button(
        "Export as CSV",
        lambda: events_to_csv(door.history(reader.store, reader.name, limit=EXPORTED, **criteria)),
        file_name="history.csv",
        mime="text/csv",
        width="stretch",
        on_click="ignore",
    )


def events_to_csv(events: Sequence[Event]) -> str:
    """Return events as a CSV table; what a spreadsheet would compute becomes text."""
    rows = (
        (*(getattr(event, name) for name in COLUMNS), json.dumps(event.payload, ensure_ascii=False, sort_keys=True))
        for event in events
    )
    return csv_text((*COLUMNS, "payload"), rows, line_end="\r\n")


def _filter() -> tuple[str, Action | None, str]:
    who, what, where = st.columns(3)
    by = who.text_input("Who", key="by", placeholder="anyone", bind="query-params")
    action = what.selectbox(
        "What", list(Action), index=None, placeholder="anything", format_func=lambda action: action.replace("_", " ")
    )
    subject = where.text_input("On what", key="subject", placeholder="begins with, e.g. a set", bind="query-params")
    return by, action, subject


def _row(event: Event) -> dict[str, object]:
    at = datetime.fromisoformat(event.at).strftime("%Y-%m-%d %H:%M:%S")
    verdicts = [str(judgement.get("verdict") or "withdrawn") for judgement in event.payload.get("judgements", ())]
    details = f"{len(verdicts)} verdicts" if len(verdicts) > 3 else ", ".join(verdicts)
    action = event.action.replace("_", " ")
    return {
        "seq": event.seq,
        "at": at,
        "actor": event.actor,
        "action": action,
        "subject": event.subject,
        "details": details,
    }
