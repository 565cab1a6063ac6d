"""Curate: one lesion after the other, one concept at a time."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import streamlit as st

from clinician_ui import phrasing
from clinician_ui.choice import CONCEPT_KEY, choose_concept, choose_set
from clinician_ui.components.lesion_viewer.mount import Shown, ViewerAct, lesion_viewer, read_act
from clinician_ui.image_files import image_url
from clinician_ui.screens.performing import perform_act
from clinician_ui.theme import SYMBOLS
from clinician_ui.workplace import Reader, current_reader
from concepts.curation import door as curation
from concepts.curation.queue import Case, Order
from concepts.curation.sets import ConceptSet, SetConcept
from concepts.judgement import Judgement

VIEWER = "curate_viewer"
IMAGE, READING = "image", "reading"
READINGS = {1: "First", 2: "Second"}
LOOK_BACK = 50
AHEAD = 4
ORDERS = {
    Order.SET: "As added",
    Order.UNCERTAIN: "Others were uncertain",
    Order.CONTESTED: "Others disagree",
    Order.INFORMATIVE: "Most informative",
    Order.SUSPICION: "Most suspected",
}


def show(reader: Reader) -> None:
    """Draw the screen."""
    left, right = st.columns([2.6, 1], gap="medium")
    with right:
        of_set, of_queue = st.columns(2)
        with of_set:
            chosen = choose_set(reader)
        of_concept, of_reading = st.columns([1.6, 1])
        with of_concept:
            concept = choose_concept(chosen) if chosen else None
        with of_reading:
            reading = _choose_reading() if concept else 1
    if chosen is None or concept is None:
        return
    if not chosen.images:
        left.info(phrasing.NO_IMAGES)
        return
    with of_queue:
        cases = _upcoming(reader, chosen, concept, reading)
    with left:
        case = _current(reader, chosen, concept, cases, reading=reading)
        if case is None:
            done = phrasing.all_judged if reading == 1 else phrasing.all_reread
            st.success(phrasing.markdown(done(concept.name)))
            st.button("Undo the latest verdict", on_click=_undo_by_button, args=(chosen.name,), shortcut="ctrl+z")
        else:
            _show_case(reader, chosen, case, cases, reading=reading)
    with right:
        _show_concept(reader, chosen, concept, reading)
        if case is not None:
            _show_metadata(case)
        _show_progress(reader, chosen, concept, reading)
        _show_latest(reader, chosen, reading)


def _choose_reading() -> int:
    return st.selectbox(
        "Reading",
        list(READINGS),
        format_func=READINGS.__getitem__,
        key=READING,
        help=phrasing.READING_HELP,
        bind="query-params",
    )


def _upcoming(reader: Reader, chosen: ConceptSet, concept: SetConcept, reading: int) -> list[Case]:
    found = curation.facets(reader.store, reader.name, chosen.name)
    orders = [one for one in ORDERS if one not in (Order.INFORMATIVE, Order.SUSPICION) or found.suspected_by]
    order = st.selectbox("Next queue", orders, format_func=ORDERS.__getitem__, key="order", bind="query-params")
    run = found.suspected_by[-1] if found.suspected_by else None
    place = (reader.store, reader.name, chosen.name, concept.id)
    return curation.queue(*place, order=order, run=run, reading=reading, limit=AHEAD)


def _current(
    reader: Reader, chosen: ConceptSet, concept: SetConcept, cases: Sequence[Case], *, reading: int
) -> Case | None:
    """The case that the address names, else the head of the queue; read again is only what was read before."""
    image, place = st.query_params.get(IMAGE), (reader.store, reader.name, chosen.name)
    if image and reading > 1 and curation.own_judgement(*place, image, concept.id) is None:
        image = None
    named = curation.read_cases(*place, concept.id, [image]) if image else []
    return next(iter([*named, *cases]), None)


def _show_case(reader: Reader, chosen: ConceptSet, case: Case, cases: Sequence[Case], *, reading: int) -> None:
    place = (reader.store, reader.name, chosen.name)
    own = curation.own_judgement(*place, case.image_id, case.concept, reading=reading)
    answer = st.session_state.get("curate_answer", {})
    shown = Shown(
        case=json.dumps([reader.name, chosen.name, case.concept, case.image_id, reading]),
        image=image_url(case.path),
        label=f"Lesion image {case.image_id}",
        serial=st.session_state.get("curate_serial", 0),
        regions=own.regions if own else (),
        verdict=own.verdict if own else None,
        note=own.note if own else "",
        confidence=own.confidence if own else None,
        upcoming=[image_url(one.path) for one in cases if one.image_id != case.image_id],
        **answer,
    )
    lesion_viewer(shown, key=VIEWER, on_act=_acted)


def _acted() -> None:
    perform_act("curate", lambda: read_act(VIEWER), _answer)


def _answer(reader: Reader, act: ViewerAct) -> dict[str, Any]:
    return {"message": _perform(reader, act), "saved": [act.case]}


def _perform(reader: Reader, act: ViewerAct) -> str:
    _, set_name, concept, image, *reading = json.loads(act.case)
    if act.act == "undo":
        return _undo(reader, set_name, act.key)
    st.query_params.pop(IMAGE, None)
    if act.verdict is None:
        curation.save_for_later(reader.store, reader.name, set_name, image, concept, key=act.key)
        return phrasing.SAVED_FOR_LATER
    judgement = Judgement(
        reader=reader.name,
        image_id=image,
        concept=concept,
        verdict=act.verdict,
        confidence=act.confidence,
        note=act.note,
        regions=act.regions,
        seconds=act.seconds,
        # A page that was open before there were second readings sends none.
        reading=int(reading[0]) if reading else 1,
        blinded=not st.session_state.get("metadata_shown", False),
    )
    curation.judge(reader.store, reader.name, set_name, judgement, key=act.key)
    return phrasing.saved(act.verdict)


def _undo(reader: Reader, set_name: str, key: str) -> str:
    latest = curation.own_latest(reader.store, reader.name, set_name, limit=LOOK_BACK)
    numbers = curation.undo(reader.store, reader.name, set_name, key=key)
    back = next((one for one in latest if one.id in numbers), None)
    if back is not None:
        _go_to(back)
    return phrasing.undone(len(numbers))


def _undo_by_button(set_name: str) -> None:
    reader = current_reader()
    if reader is not None:
        _undo(reader, set_name, uuid4().hex)


def _go_to(judgement: Judgement) -> None:
    st.session_state[CONCEPT_KEY] = judgement.concept
    st.session_state[READING] = judgement.reading
    st.query_params[IMAGE] = judgement.image_id


def _show_concept(reader: Reader, chosen: ConceptSet, concept: SetConcept, reading: int) -> None:
    st.html(f'<p class="dx-definition">{phrasing.html(concept.definition)}</p>')
    settled = _exemplars(reader, chosen.name, concept.id, reading)
    for shows, heading in ((True, "Shows it"), (False, "Does not show it")):
        pictures = [
            f'<figure><img src="{phrasing.html(image_url(path, thumbnail=True))}" alt="{heading}"></figure>'
            for path, one in settled
            if one is shows
        ]
        if pictures:
            st.html(f'<p class="dx-heading">{heading}</p><div class="dx-examples">{"".join(pictures)}</div>')
    if not settled:
        st.caption(phrasing.NO_EXAMPLES)


def _exemplars(reader: Reader, set_name: str, concept: str, reading: int) -> list[tuple[str, bool]]:
    """Paths of settled examples; asked once per concept and visit, as a release may be large."""
    kept: dict[tuple[str, str, int], list[tuple[str, bool]]] = st.session_state.setdefault("exemplars", {})
    if (set_name, concept, reading) not in kept:
        found = curation.exemplars(reader.store, reader.name, set_name, concept, reading=reading)
        kept[set_name, concept, reading] = [(one.path, one.shows) for one in found]
    return kept[set_name, concept, reading]


def _show_metadata(case: Case) -> None:
    if case.metadata is None:
        return
    if st.toggle("Show metadata", key="metadata_shown", help=phrasing.METADATA_HELP):
        rows = "".join(
            f"<tr><td>{phrasing.html(name)}</td><td>{phrasing.html('unknown' if value is None else value)}</td></tr>"
            for name, value in case.metadata.items()
        )
        st.html(f'<table class="dx-table">{rows}</table>')


def _show_progress(reader: Reader, chosen: ConceptSet, concept: SetConcept, reading: int) -> None:
    names = {one.id: one.name for one in chosen.concepts}
    rows = [
        f'<span class="{"dx-now" if one.concept == concept.id else ""}">{phrasing.html(names[one.concept])}</span>'
        f'<span class="dx-bar"><i style="width:{100 * one.judged / max(one.total, 1):.1f}%"></i></span>'
        f'<span class="dx-number">{one.judged} of {one.total}{phrasing.aside(one.later)}</span>'
        for one in curation.progress(reader.store, reader.name, chosen.name, reading=reading)
    ]
    st.html(f'<p class="dx-heading">{phrasing.JUDGED[reading]}</p><div class="dx-progress">{"".join(rows)}</div>')


def _show_latest(reader: Reader, chosen: ConceptSet, reading: int) -> None:
    names = {one.id: one.name for one in chosen.concepts}
    latest = curation.own_latest(reader.store, reader.name, chosen.name, reading=reading)
    if latest:
        st.selectbox(
            "Look back",
            latest,
            index=None,
            format_func=lambda one: f"{SYMBOLS[one.verdict]} {names[one.concept]}, {one.image_id}",
            placeholder="Your latest verdicts",
            key="look_back",
            on_change=_look_back,
        )


def _look_back() -> None:
    judgement = st.session_state["look_back"]
    st.session_state["look_back"] = None
    if judgement is not None:
        _go_to(judgement)
