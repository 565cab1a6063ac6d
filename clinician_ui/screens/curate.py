"""Curate: one lesion after the other, one concept at a time."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import streamlit as st

from clinician_ui import judging_phrasing, phrasing
from clinician_ui.choice import CONCEPT_KEY, choose_concept, choose_set
from clinician_ui.components.lesion_viewer.mount import LesionView, ViewerAct, lesion_viewer, read_act
from clinician_ui.image_files import image_url
from clinician_ui.screens.performing import perform_act
from clinician_ui.theme import SYMBOLS
from clinician_ui.workplace import Reader, current_reader
from concepts.curation import door
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
            concept_set = choose_set(reader)
        of_concept, of_reading = st.columns([1.6, 1])
        with of_concept:
            concept = choose_concept(concept_set) if concept_set else None
        with of_reading:
            reading = _choose_reading() if concept else 1
    if concept_set is None or concept is None:
        return
    if not concept_set.images:
        left.info(phrasing.NO_IMAGES)
        return
    with of_queue:
        cases = _upcoming(reader, concept_set, concept, reading)
    with left:
        case = _current(reader, concept_set, concept, cases, reading=reading)
        if case is None:
            message = judging_phrasing.all_judged if reading == 1 else judging_phrasing.all_reread
            st.success(phrasing.markdown(message(concept.name)))
            st.button("Undo the latest verdict", on_click=_undo_by_button, args=(concept_set.name,), shortcut="ctrl+z")
        else:
            _show_case(reader, concept_set, case, cases, reading=reading)
    with right:
        _show_concept(reader, concept_set, concept, reading)
        if case is not None:
            _show_metadata(case)
        _show_progress(reader, concept_set, concept, reading)
        _show_latest(reader, concept_set, reading)


def _choose_reading() -> int:
    return st.selectbox(
        "Reading",
        list(READINGS),
        format_func=READINGS.__getitem__,
        key=READING,
        help=judging_phrasing.READING_HELP,
        bind="query-params",
    )


def _upcoming(reader: Reader, concept_set: ConceptSet, concept: SetConcept, reading: int) -> list[Case]:
    facets = door.facets(reader.store, reader.name, concept_set.name)
    orders = [order for order in ORDERS if order not in (Order.INFORMATIVE, Order.SUSPICION) or facets.suspected_by]
    order = st.selectbox("Next queue", orders, format_func=ORDERS.__getitem__, key="order", bind="query-params")
    run = facets.suspected_by[-1] if facets.suspected_by else None
    address = (reader.store, reader.name, concept_set.name, concept.id)
    return door.queue(*address, order=order, run=run, reading=reading, limit=AHEAD)


def _current(
    reader: Reader, concept_set: ConceptSet, concept: SetConcept, cases: Sequence[Case], *, reading: int
) -> Case | None:
    """Return the case that the address names, else the head of the queue; only judged cases are judged again."""
    image, address = st.query_params.get(IMAGE), (reader.store, reader.name, concept_set.name)
    if image and reading > 1 and door.own_judgement(*address, image, concept.id) is None:
        image = None
    named = door.read_cases(*address, concept.id, [image]) if image else []
    return next(iter([*named, *cases]), None)


def _show_case(reader: Reader, concept_set: ConceptSet, case: Case, cases: Sequence[Case], *, reading: int) -> None:
    address = (reader.store, reader.name, concept_set.name)
    judgement = door.own_judgement(*address, case.image_id, case.concept, reading=reading)
    answer = st.session_state.get("curate_answer", {})
    view = LesionView(
        case=json.dumps([reader.name, concept_set.name, case.concept, case.image_id, reading]),
        image=image_url(case.path),
        label=f"Lesion image {case.image_id}",
        serial=st.session_state.get("curate_serial", 0),
        regions=judgement.regions if judgement else (),
        verdict=judgement.verdict if judgement else None,
        note=judgement.note if judgement else "",
        confidence=judgement.confidence if judgement else None,
        upcoming=[image_url(other.path) for other in cases if other.image_id != case.image_id],
        **answer,
    )
    lesion_viewer(view, key=VIEWER, on_act=_acted)


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
        door.save_for_later(reader.store, reader.name, set_name, image, concept, key=act.key)
        return judging_phrasing.SAVED_FOR_LATER
    judgement = Judgement(
        reader=reader.name,
        image_id=image,
        concept=concept,
        verdict=act.verdict,
        confidence=act.confidence,
        note=act.note,
        regions=act.regions,
        seconds=act.seconds,
        # A page that was open before second readings existed sends none.
        reading=int(reading[0]) if reading else 1,
        blinded=not st.session_state.get("metadata_shown", False),
    )
    door.judge(reader.store, reader.name, set_name, judgement, key=act.key)
    return judging_phrasing.saved(act.verdict)


def _undo(reader: Reader, set_name: str, key: str) -> str:
    latest = door.own_latest(reader.store, reader.name, set_name, limit=LOOK_BACK)
    numbers = door.undo(reader.store, reader.name, set_name, key=key)
    back = next((judgement for judgement in latest if judgement.id in numbers), None)
    if back is not None:
        _go_to(back)
    return judging_phrasing.undone(len(numbers))


def _undo_by_button(set_name: str) -> None:
    reader = current_reader()
    if reader is not None:
        _undo(reader, set_name, uuid4().hex)


def _go_to(judgement: Judgement) -> None:
    st.session_state[CONCEPT_KEY] = judgement.concept
    st.session_state[READING] = judgement.reading
    st.query_params[IMAGE] = judgement.image_id


def _show_concept(reader: Reader, concept_set: ConceptSet, concept: SetConcept, reading: int) -> None:
    st.html(f'<p class="dx-definition">{phrasing.html(concept.definition)}</p>')
    settled = _exemplars(reader, concept_set.name, concept.id, reading)
    for shows, heading in ((True, "Shows it"), (False, "Does not show it")):
        pictures = [
            f'<figure><img src="{phrasing.html(image_url(path, thumbnail=True))}" alt="{heading}"></figure>'
            for path, is_shown in settled
            if is_shown is shows
        ]
        if pictures:
            st.html(f'<p class="dx-heading">{heading}</p><div class="dx-examples">{"".join(pictures)}</div>')
    if not settled:
        st.caption(judging_phrasing.NO_EXAMPLES)


def _exemplars(reader: Reader, set_name: str, concept: str, reading: int) -> list[tuple[str, bool]]:
    """Return paths of settled examples and whether they show the concept; read once a visit, as releases are large."""
    cache: dict[tuple[str, str, int], list[tuple[str, bool]]] = st.session_state.setdefault("exemplars", {})
    if (set_name, concept, reading) not in cache:
        exemplars = door.exemplars(reader.store, reader.name, set_name, concept, reading=reading)
        cache[set_name, concept, reading] = [(exemplar.path, exemplar.shows) for exemplar in exemplars]
    return cache[set_name, concept, reading]


def _show_metadata(case: Case) -> None:
    if case.metadata is None:
        return
    if st.toggle("Show metadata", key="metadata_shown", help=judging_phrasing.METADATA_HELP):
        rows = "".join(
            f"<tr><td>{phrasing.html(name)}</td><td>{phrasing.html('unknown' if value is None else value)}</td></tr>"
            for name, value in case.metadata.items()
        )
        st.html(f'<table class="dx-table">{rows}</table>')


def _show_progress(reader: Reader, concept_set: ConceptSet, concept: SetConcept, reading: int) -> None:
    names = {other.id: other.name for other in concept_set.concepts}
    rows = [
        f'<span class="{"dx-now" if row.concept == concept.id else ""}">{phrasing.html(names[row.concept])}</span>'
        f'<span class="dx-bar"><i style="width:{100 * row.judged / max(row.total, 1):.1f}%"></i></span>'
        f'<span class="dx-number">{row.judged} of {row.total}{judging_phrasing.aside(row.later)}</span>'
        for row in door.progress(reader.store, reader.name, concept_set.name, reading=reading)
    ]
    st.html(
        f'<p class="dx-heading">{judging_phrasing.JUDGED[reading]}</p><div class="dx-progress">{"".join(rows)}</div>'
    )


def _show_latest(reader: Reader, concept_set: ConceptSet, reading: int) -> None:
    names = {other.id: other.name for other in concept_set.concepts}
    latest = door.own_latest(reader.store, reader.name, concept_set.name, reading=reading)
    if latest:
        st.selectbox(
            "Look back",
            latest,
            index=None,
            format_func=lambda judgement: (
                f"{SYMBOLS[judgement.verdict]} {names[judgement.concept]}, {judgement.image_id}"
            ),
            placeholder="Your latest verdicts",
            key="look_back",
            on_change=_look_back,
        )


def _look_back() -> None:
    judgement = st.session_state["look_back"]
    st.session_state["look_back"] = None
    if judgement is not None:
        _go_to(judgement)
