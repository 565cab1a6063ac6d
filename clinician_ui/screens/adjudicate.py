"""Adjudicate: a contested case, first blinded, then with the others' verdicts in view."""

import json
from collections.abc import Sequence
from typing import Any

import streamlit as st

from clinician_ui import judging_phrasing, phrasing
from clinician_ui.choice import choose_set
from clinician_ui.components.lesion_viewer.mount import LesionView, ViewerAct, lesion_viewer, read_act
from clinician_ui.image_files import image_url
from clinician_ui.screens.performing import perform_act
from clinician_ui.theme import SYMBOLS
from clinician_ui.workplace import Reader
from concepts.curation import door
from concepts.curation.adjudication import ContestedCase
from concepts.curation.sets import ConceptSet
from concepts.judgement import Judgement, Kind

VIEWER = "adjudicate_viewer"
KINDS = {Kind.FIRST_LOOK: "first look", Kind.ADJUDICATION: "last word"}


def show(reader: Reader) -> None:
    """Draw the screen."""
    left, right = st.columns([2.6, 1], gap="medium")
    with right:
        concept_set = choose_set(reader)
    if concept_set is None:
        return
    waiting = door.contested(reader.store, reader.name, concept_set.name)
    if not waiting:
        left.success(judging_phrasing.NO_CONTESTED)
        _show_last(left)
        return
    with right:
        case = _choose(concept_set, waiting)
        others = _others(reader, concept_set, case)
        _show_step(concept_set, case, others)
    with left:
        _show_case(reader, concept_set, case, others)


def _choose(concept_set: ConceptSet, waiting: Sequence[ContestedCase]) -> ContestedCase:
    names = {concept.id: concept.name for concept in concept_set.concepts}
    labels = {_word(case): f"{names[case.concept]}, {case.image_id}" for case in waiting}
    word = st.selectbox(
        phrasing.count(len(waiting), "contested case"),
        list(labels),
        format_func=labels.__getitem__,
        key="contested",
        bind="query-params",
    )
    return next(case for case in waiting if _word(case) == word)


def _word(case: ContestedCase) -> str:
    return f"{case.concept}/{case.image_id}"


def _others(reader: Reader, concept_set: ConceptSet, case: ContestedCase) -> list[Judgement] | None:
    """Return the others' judgements; None before the reader's first look."""
    if not case.has_looked:
        return None
    return door.others_judgements(reader.store, reader.name, concept_set.name, case.image_id, case.concept)


def _show_step(concept_set: ConceptSet, case: ContestedCase, others: Sequence[Judgement] | None) -> None:
    concept = next(concept for concept in concept_set.concepts if concept.id == case.concept)
    st.html(
        f'<p class="dx-title">{phrasing.html(concept.name)}</p>'
        f'<p class="dx-definition">{phrasing.html(concept.definition)}</p>'
    )
    if others is None:
        st.info(judging_phrasing.FIRST_LOOK)
        return
    rows = "".join(
        f"<tr><td>{phrasing.html(judgement.reader)}<br>"
        f'<span class="dx-quiet">{phrasing.html(KINDS.get(judgement.kind, ""))}</span></td>'
        f'<td><span class="dx-{judgement.verdict.replace("_", "-")}">{SYMBOLS[judgement.verdict]} '
        f"{phrasing.VERDICTS[judgement.verdict]}</span>{_remark(judgement)}</td></tr>"
        for judgement in others
    )
    st.html(f'<p class="dx-heading">Verdicts of the others</p><table class="dx-table">{rows}</table>')
    st.info(judging_phrasing.LAST_WORD)


def _remark(judgement: Judgement) -> str:
    confidence = "" if judgement.confidence is None else f"{judgement.confidence:.0%} sure. "
    remark = f"{confidence}{judgement.note}".strip()
    return f'<br><span class="dx-quiet">{phrasing.html(remark)}</span>' if remark else ""


def _show_case(
    reader: Reader, concept_set: ConceptSet, case: ContestedCase, others: Sequence[Judgement] | None
) -> None:
    queued = door.read_cases(reader.store, reader.name, concept_set.name, case.concept, [case.image_id])[0]
    # The step is part of the case's name, so that a drawing of the first look does not appear in the last word.
    step = "first" if others is None else "last"
    view = LesionView(
        case=json.dumps([reader.name, concept_set.name, case.concept, case.image_id, step]),
        image=image_url(queued.path),
        label=f"Lesion image {case.image_id}",
        serial=st.session_state.get("adjudicate_serial", 0),
        others={judgement.reader: judgement.regions for judgement in others or () if judgement.regions},
        can_undo=False,
        **st.session_state.get("adjudicate_answer", {}),
    )
    lesion_viewer(view, key=VIEWER, on_act=_acted)


def _show_last(container: Any) -> None:  # noqa: ANN401  # Streamlit's container has no public type
    message = st.session_state.get("adjudicate_answer", {}).get("message")
    if message:
        container.caption(phrasing.markdown(message))


def _acted() -> None:
    perform_act("adjudicate", lambda: read_act(VIEWER), _answer)


def _answer(reader: Reader, act: ViewerAct) -> dict[str, Any]:
    return {"message": _perform(reader, act), "saved": [act.case]}


def _perform(reader: Reader, act: ViewerAct) -> str:
    _, set_name, concept, image, step = json.loads(act.case)
    if act.verdict is None:
        return ""
    judgement = Judgement(
        reader=reader.name,
        image_id=image,
        concept=concept,
        verdict=act.verdict,
        confidence=act.confidence,
        note=act.note,
        regions=act.regions,
        seconds=act.seconds,
        blinded=True,
    )
    if step == "first":
        door.first_look(reader.store, reader.name, set_name, judgement, key=act.key)
        return judging_phrasing.LOOKED
    door.adjudicate(reader.store, reader.name, set_name, judgement, key=act.key)
    return judging_phrasing.settled(judgement.verdict)
