"""What the reviewer says about a case: an own opinion first where that is wanted, then one on the network's."""

import time
from collections.abc import Mapping, Sequence
from uuid import uuid4

import streamlit as st

from clinician_ui import phrasing
from clinician_ui.workplace import Reader, current_reader
from concepts.curation import door as curation
from concepts.curation.case_review import CaseReview, ImageInSet, Opinion, Step
from concepts.errors import DermaxisError
from concepts.judgement import Verdict
from concepts.store.roles import Action
from pipeline.results.case import CaseContent, ConceptState

CONTRARY = {ConceptState.PRESENT: (Verdict.ABSENT,), ConceptState.ABSENT: (Verdict.PRESENT,)}
"""What can be said against a state; against the others, both."""
Names = Mapping[str, str]


def show(reader: Reader, case: CaseContent, own: Sequence[CaseReview], *, names: Names, step: Step) -> None:
    """Draw what was said before, and the form for more.

    Args:
        reader: Who is in front of the screen.
        case: The case.
        own: Their earlier reviews of it.
        names: Of diagnoses and concepts.
        step: First read or review.
    """
    answer = st.session_state.pop("case_review_answer", None)
    if answer is not None:
        (st.error if answer[0] else st.success)(phrasing.markdown(answer[1]))
    for one in own:
        st.html(f'<p class="dx-quiet">{phrasing.html(phrasing.case_review(one, names))}</p>')
    if not reader.may(Action.REVIEW_CASE):
        return
    places = curation.find_image(reader.store, reader.name, case.digest) if step is Step.REVIEW else []
    form = f"{case.run}/{case.image_id}/{step}/{len(own)}"
    st.session_state.setdefault(f"key {form}", uuid4().hex)
    st.session_state.setdefault(f"since {form}", time.monotonic())
    with st.form(f"form {form}", border=True):
        st.html(f'<p class="dx-heading">{phrasing.html(phrasing.REVIEW_TITLES[step])}</p>')
        if step is Step.REVIEW:
            _ask_opinion(form, case, names, places)
        st.selectbox(
            "Own diagnosis",
            [None, *(sorted(one.diagnosis for one in case.differential)), phrasing.OTHER],
            format_func=lambda one: "not committed" if one is None else names.get(one, one),
            key=f"diagnosis {form}",
        )
        st.slider("How sure, in percent", 0, 100, 50, step=5, key=f"confidence {form}")
        st.text_area("Comment", key=f"comment {form}", height=80)
        st.form_submit_button(
            phrasing.REVIEW_BUTTONS[step], type="primary", on_click=_keep, args=(form, case, step, places)
        )


def _ask_opinion(form: str, case: CaseContent, names: Names, places: Sequence[ImageInSet]) -> None:
    st.segmented_control(
        f"The network calls it {names[case.call]}",
        list(Opinion),
        format_func=phrasing.OPINIONS.__getitem__,
        key=f"opinion {form}",
    )
    choices = [
        (one.concept, verdict)
        for one in case.concepts
        for verdict in CONTRARY.get(one.state, (Verdict.PRESENT, Verdict.ABSENT))
    ]
    st.multiselect(
        "Concepts wrongly seen",
        choices,
        format_func=lambda one: f"{names[one[0]]} is {one[1]}",
        key=f"corrections {form}",
    )
    if places:
        st.selectbox(
            "Corrections become judgements in",
            [*places, None],
            format_func=lambda one: "no set" if one is None else one.set_name,
            key=f"place {form}",
        )
    else:
        st.caption(phrasing.IN_NO_SET)


def _keep(form: str, case: CaseContent, step: Step, places: Sequence[ImageInSet]) -> None:
    said = {name: st.session_state.get(f"{name} {form}") for name in ("diagnosis", "comment", "opinion", "place")}
    corrections = dict(st.session_state.get(f"corrections {form}") or ())
    reader = current_reader()
    if reader is None:
        st.session_state["case_review_answer"] = (True, phrasing.SESSION_ENDED)
        return
    try:
        place = said["place"] if said["place"] in places else None
        if place is not None:
            unknown = sorted(set(corrections) - set(place.concepts))
            place = None if unknown and len(unknown) == len(corrections) else place
        review = CaseReview(
            reviewer=reader.name,
            run=case.run,
            image_id=case.image_id,
            digest=case.digest,
            step=step,
            diagnosis=said["diagnosis"],
            confidence=None if said["diagnosis"] is None else st.session_state[f"confidence {form}"] / 100,
            opinion=said["opinion"],
            corrections=corrections,
            comment=(said["comment"] or "").strip(),
            seconds=round(time.monotonic() - st.session_state[f"since {form}"], 1),
        )
        curation.review_case(reader.store, reader.name, review, in_set=place, key=st.session_state[f"key {form}"])
    except DermaxisError as error:
        st.session_state["case_review_answer"] = (True, str(error))
        return
    st.session_state["case_review_answer"] = (False, phrasing.REVIEW_KEPT[step])
