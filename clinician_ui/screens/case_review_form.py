"""The review of a case: first the reviewer's own opinion, if read blinded, then one on the network's reading."""

import time
from collections.abc import Mapping, Sequence
from uuid import uuid4

import streamlit as st

from clinician_ui import case_phrasing, phrasing
from clinician_ui.screens.performing import perform, show_outcome
from clinician_ui.workplace import Reader
from concepts.curation import door
from concepts.curation.case_review import CaseReview, ImageInSet, Opinion, Step
from concepts.judgement import Verdict
from concepts.store.roles import Action
from pipeline.results.case import CaseContent, ConceptState

CONTRARY = {ConceptState.PRESENT: (Verdict.ABSENT,), ConceptState.ABSENT: (Verdict.PRESENT,)}
"""Verdicts that contradict a state; the other states are contradicted by either."""
Names = Mapping[str, str]


def show(reader: Reader, case: CaseContent, reviews: Sequence[CaseReview], *, names: Names, step: Step) -> None:
    """Draw the earlier reviews, and the form for another.

    Args:
        reader: Who is in front of the screen.
        case: The case.
        reviews: Their earlier reviews of it.
        names: Names of diagnoses and concepts.
        step: First read or review.
    """
    show_outcome("case_review")
    for review in reviews:
        st.html(f'<p class="dx-quiet">{phrasing.html(case_phrasing.case_review(review, names))}</p>')
    if not reader.may(Action.REVIEW_CASE):
        return
    places = door.find_image(reader.store, reader.name, case.digest) if step is Step.REVIEW else []
    form = f"{case.run}/{case.image_id}/{step}/{len(reviews)}"
    st.session_state.setdefault(f"key {form}", uuid4().hex)
    st.session_state.setdefault(f"since {form}", time.monotonic())
    with st.form(f"form {form}", border=True):
        st.html(f'<p class="dx-heading">{phrasing.html(case_phrasing.REVIEW_TITLES[step])}</p>')
        if step is Step.REVIEW:
            _ask_opinion(form, case, names, places)
        st.selectbox(
            "Own diagnosis",
            [None, *(sorted(entry.diagnosis for entry in case.differential)), case_phrasing.OTHER],
            format_func=lambda diagnosis: "not committed" if diagnosis is None else names.get(diagnosis, diagnosis),
            key=f"diagnosis {form}",
        )
        st.slider("How sure, in percent", 0, 100, 50, step=5, key=f"confidence {form}")
        st.text_area("Comment", key=f"comment {form}", height=80)
        st.form_submit_button(
            case_phrasing.REVIEW_BUTTONS[step], type="primary", on_click=_save, args=(form, case, step, places)
        )


def _ask_opinion(form: str, case: CaseContent, names: Names, places: Sequence[ImageInSet]) -> None:
    st.segmented_control(
        f"The network calls it {names[case.call]}",
        list(Opinion),
        format_func=case_phrasing.OPINIONS.__getitem__,
        key=f"opinion {form}",
    )
    choices = [
        (concept.concept, verdict)
        for concept in case.concepts
        for verdict in CONTRARY.get(concept.state, (Verdict.PRESENT, Verdict.ABSENT))
    ]
    st.multiselect(
        "Concepts that the network got wrong",
        choices,
        format_func=lambda correction: f"{names[correction[0]]} is {correction[1]}",
        key=f"corrections {form}",
    )
    if places:
        st.selectbox(
            "Corrections become judgements in",
            [*places, None],
            format_func=lambda image_place: "no set" if image_place is None else image_place.set_name,
            key=f"place {form}",
        )
    else:
        st.caption(case_phrasing.IN_NO_SET)


def _save(form: str, case: CaseContent, step: Step, places: Sequence[ImageInSet]) -> None:
    perform("case_review", lambda reader: _saved(reader, form, case, step=step, places=places))


def _saved(reader: Reader, form: str, case: CaseContent, *, step: Step, places: Sequence[ImageInSet]) -> str:
    names = ("diagnosis", "comment", "opinion", "place")
    diagnosis, comment, opinion, image_place = (st.session_state.get(f"{name} {form}") for name in names)
    corrections = dict(st.session_state.get(f"corrections {form}") or ())
    review = CaseReview(
        reviewer=reader.name,
        run=case.run,
        image_id=case.image_id,
        digest=case.digest,
        step=step,
        diagnosis=diagnosis,
        confidence=None if diagnosis is None else st.session_state[f"confidence {form}"] / 100,
        opinion=opinion,
        corrections=corrections,
        comment=(comment or "").strip(),
        seconds=round(time.monotonic() - st.session_state[f"since {form}"], 1),
    )
    target = next((listed for listed in places if listed == image_place), None)
    if target is not None and corrections and not set(corrections) & set(target.concepts):
        target = None
    door.review_case(reader.store, reader.name, review, in_set=target, key=st.session_state[f"key {form}"])
    return case_phrasing.REVIEW_SAVED[step]
