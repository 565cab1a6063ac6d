"""Cases: a run's network on single images, what would change its call, and what the reviewer thinks of it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from clinician_ui import case_phrasing, phrasing
from clinician_ui.image_files import ImageRoot, image_url
from clinician_ui.screens import case_review_form, case_what_if
from clinician_ui.workplace import Reader, runs_folder
from concepts.curation import door
from concepts.curation.case_review import CaseReview, Step
from concepts.store.roles import Action
from pipeline.explanation.cases.files import INDEX, picture_file, read_case
from pipeline.explanation.cases.index import (
    CaseFilter,
    CaseRow,
    concepts_of,
    explained_runs,
    matching,
    read_index,
)
from pipeline.report.pages.case import STYLE, case_body, case_names
from pipeline.report.pages.evidence_picture import evidence_uri
from pipeline.results.case import CaseContent, ConceptState
from pipeline.results.names import Names
from pipeline.run.folder import RunFolder, without_links

NAMES = Names()

RUN_KEY, CASE_KEY, BLINDED_KEY = "run", "case", "blinded"
LIST_HEIGHT, ROW_HEIGHT = 560, 35
"""Height of the list, at most, and of a row of it, in pixels."""
COLUMNS = {"read": 46, "image": 112, "call": 108, "flags": 200}
"""Widths of the list's columns in pixels."""
PAGE_COLOURS = (
    ".case { --ink: var(--dx-text); --soft: var(--dx-quiet); --warm: var(--dx-absent); --panel: var(--dx-panel);"
    " --rule: var(--dx-line); --grid: var(--dx-line); --accent: var(--dx-present); }"
)
"""The theme's colours under the names that the case page gives them."""
FLAGS = {
    "wrong": "wrong call",
    "abstain": "uncertain",
    "conflict": "conflict",
    "out_of_scope": "out of scope",
    "unusual_picture": "unusual picture",
}


def show(reader: Reader) -> None:
    """Draw the screen."""
    left, right = st.columns([1, 2.1], gap="medium")
    with left:
        run = _choose_run()
        blinded = run is not None and _is_blinded(reader)
    if run is None:
        return
    changed = run.file(INDEX).stat().st_mtime_ns
    everyones = door.read_reviews(reader.store, reader.name, run.id)
    reviews = [review for review in everyones if review.reviewer == reader.name]
    with left:
        image_id = _choose_case(run, changed, reviews, blinded=blinded)
    with right:
        if image_id is None:
            st.info(case_phrasing.NO_CASES_MATCH)
            return
        case = read_case(run, image_id)
        _show_case(reader, run, case, [review for review in reviews if review.image_id == image_id], blinded=blinded)


def _choose_run() -> RunFolder | None:
    names = explained_runs(runs_folder())
    if not names:
        st.info(phrasing.markdown(case_phrasing.no_runs(str(runs_folder()))))
        return None
    name = st.selectbox("Run", names, key=RUN_KEY, bind="query-params")
    return without_links(RunFolder(runs_folder() / name, writes=False))


def _is_blinded(reader: Reader) -> bool:
    if not reader.may(Action.REVIEW_CASE):
        return False
    return st.toggle("Read blinded first", key=BLINDED_KEY, bind="query-params", help=case_phrasing.BLINDED_HELP)


@st.cache_resource(max_entries=8, show_spinner=False)
def _rows(path: str, _changed: int) -> list[CaseRow]:
    return read_index(RunFolder(Path(path), writes=False))


def _choose_case(run: RunFolder, changed: int, reviews: Sequence[CaseReview], *, blinded: bool) -> str | None:
    rows = _rows(str(run.path), changed)
    reviewed = frozenset(review.image_id for review in reviews if review.step is Step.REVIEW)
    # The filters would tell the reader what the network thinks of a case.
    case_filter = CaseFilter() if blinded else _filter(rows)
    names, table = _listing(str(run.path), changed, case_filter, reviewed, blinded=blinded)
    if not names:
        return None
    asked = st.query_params.get(CASE_KEY)
    position = names.index(asked) if asked in names else 0
    st.query_params[CASE_KEY] = names[position]
    _step_buttons(names, position)
    st.caption(case_phrasing.case_position(position, len(names), len(rows), len(reviewed)))
    key = f"cases_list_{'blinded' if blinded else 'open'}"
    # Tick the row of the case on display, also where it was reached another way.
    st.session_state[key] = {"selection": {"rows": [position], "columns": [], "cells": []}}
    st.dataframe(
        table,
        height=min(LIST_HEIGHT, ROW_HEIGHT * (len(names) + 1) + 2),
        row_height=ROW_HEIGHT,
        hide_index=True,
        on_select=lambda: _selected(key, names),
        selection_mode="single-row",
        column_config={name: st.column_config.Column(width=width) for name, width in COLUMNS.items() if name in table},
        key=key,
        alt=case_phrasing.LIST_OF_CASES,
    )
    return names[position]


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs={CaseFilter: hash, frozenset: hash})
def _listing(
    path: str, changed: int, case_filter: CaseFilter, reviewed: frozenset[str], *, blinded: bool
) -> tuple[list[str], pd.DataFrame]:
    """Return the names of the matching cases and the table that lists them; cached, as every click draws it again."""
    rows = matching(_rows(path, changed), case_filter)
    names = [row.image_id for row in rows]
    columns = {"read": ["✓" if name in reviewed else "" for name in names], "image": names}
    if not blinded:
        calls = {row.call: NAMES.diagnosis(row.call) for row in rows}
        columns["call"] = [f"{row.probability:.0%} {calls[row.call]}" for row in rows]
        columns["flags"] = [", ".join(label for flag, label in FLAGS.items() if getattr(row, flag)) for row in rows]
    return names, pd.DataFrame(columns)


def _filter(rows: Sequence[CaseRow]) -> CaseFilter:
    with st.expander("Filter"):
        flags = st.pills(
            "Only",
            list(FLAGS),
            selection_mode="multi",
            format_func=FLAGS.__getitem__,
            key="case_flags",
            wrap=True,
        )
        image = st.text_input("Image name contains", key="case_image")
        call = _choose("Network's call", sorted({row.call for row in rows}), key="case_call")
        reference = _choose(
            "Recorded diagnosis", sorted({row.reference for row in rows if row.reference}), key="case_reference"
        )
        concept = _choose("Concept", concepts_of(rows), key="case_concept", naming=lambda word: word.replace("_", " "))
        state = st.selectbox(
            "State of the axis",
            [None, *ConceptState],
            format_func=lambda word: "anything" if word is None else word.replace("_", " "),
            key="case_state",
            disabled=concept is None,
        )
    return CaseFilter(
        flags=frozenset(flags), call=call, reference=reference, concept=concept, state=state, image=image.strip()
    )


def _choose(
    label: str, choices: Sequence[str], *, key: str, naming: Callable[[str], str] = NAMES.diagnosis
) -> str | None:
    return st.selectbox(
        label, [None, *choices], format_func=lambda choice: "any" if choice is None else naming(choice), key=key
    )


def _step_buttons(names: Sequence[str], position: int) -> None:
    back, on = st.columns(2)
    steps = ((back, "Previous", "k", position - 1), (on, "Next", "j", position + 1))
    for column, label, shortcut, target in steps:
        inside = 0 <= target < len(names)
        column.button(
            label,
            key=f"case_{label.lower()}",
            shortcut=shortcut,
            width="stretch",
            disabled=not inside,
            on_click=_open,
            args=(names[target] if inside else "",),
        )


def _open(image_id: str) -> None:
    st.query_params[CASE_KEY] = image_id


def _selected(key: str, names: Sequence[str]) -> None:
    rows = st.session_state[key]["selection"]["rows"]
    if rows and rows[0] < len(names):
        _open(names[rows[0]])


def _show_case(
    reader: Reader, run: RunFolder, case: CaseContent, reviews: Sequence[CaseReview], *, blinded: bool
) -> None:
    names = case_names(case)
    hidden = blinded and not any(review.step is Step.FIRST_READ for review in reviews)
    picture, beside = st.columns([1.15, 1], gap="medium")
    with picture:
        _show_picture(run, case, names, hidden=hidden)
    with beside:
        case_review_form.show(reader, case, reviews, names=names, step=Step.FIRST_READ if hidden else Step.REVIEW)
    if hidden:
        return
    diagnosis = st.segmented_control(
        "Contributions to",
        [entry.diagnosis for entry in case.differential],
        format_func=names.__getitem__,
        default=case.call,
        key=f"case_diagnosis_{case.image_id}",
        required=True,
    )
    style = STYLE.read_text(encoding="utf-8")
    body = case_body(case, names, lambda image: _picture_url(run, image), diagnosis=diagnosis)
    st.html(f"<style>{PAGE_COLOURS}{style}</style>{body}")
    case_what_if.show(run, case, names)
    st.caption(phrasing.RESEARCH)


def _show_picture(run: RunFolder, case: CaseContent, names: dict[str, str], *, hidden: bool) -> None:
    concepts = {concept.concept: concept for concept in case.concepts if concept.evidence is not None}
    overlay = None
    if concepts and not hidden:
        overlay = st.pills(
            "Where the axis is active",
            list(concepts),
            format_func=names.__getitem__,
            key=f"case_overlay_{case.image_id}",
            wrap=True,
        )
    top = ""
    if overlay is not None and (evidence := concepts[overlay].evidence) is not None:
        top = f'<img src="{evidence_uri(evidence)}" alt="Where the axis of {phrasing.html(names[overlay])} is active">'
    address = _picture_url(run, case.image_id)
    st.html(
        f'<div class="dx-stack"><img src="{address}" alt="Image {phrasing.html(case.image_id)}">{top}</div>'
        f'<p class="dx-quiet">{phrasing.html(case.image_id)}</p>'
    )


def _picture_url(run: RunFolder, image_id: str) -> str:
    return image_url(f"{run.path.name}/{picture_file(image_id)}", root=ImageRoot.RUNS)
