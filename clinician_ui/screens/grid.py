"""Grid: many images of one concept, one verdict for those that are selected."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import streamlit as st

from clinician_ui import phrasing
from clinician_ui.choice import choose_concept, choose_set
from clinician_ui.components.image_grid.mount import GridAct, image_grid, read_grid_act
from clinician_ui.screens.curate import ORDERS
from clinician_ui.screens.performing import perform_act
from clinician_ui.workplace import Reader
from concepts.consensus import Status
from concepts.curation import door as curation
from concepts.curation.facets import Facets
from concepts.curation.queue import Case, Filter, Order, Page
from concepts.curation.sets import ConceptSet, SetConcept
from concepts.judgement import Judgement, Verdict
from concepts.store.roles import Action

GRID = "image_grid"
ORDER_KEY, LIKE_KEY, PAGE_KEY = "grid_order", "grid_like", "grid_page"
PAGE = 60
NEAREST = 600
"""Most similar images among which the grid shows those that the filter lets pass."""
LIKE_CONCEPT, LIKE_IMAGE = "like what I judged present", "like one image"
WHOSE: Mapping[str, Mapping[str, Any]] = {
    "all": {},
    "not judged by me": {"judged": False},
    "judged by me": {"judged": True},
    "judged by others": {"others": True},
    "not judged by others": {"others": False},
    "saved for later": {"later": True},
}


def show(reader: Reader) -> None:
    """Draw the screen."""
    left, right = st.columns([3.4, 1], gap="medium")
    with right:
        chosen = choose_set(reader)
        concept = choose_concept(chosen) if chosen else None
    if chosen is None or concept is None:
        return
    if not chosen.images:
        left.info(phrasing.NO_IMAGES)
        return
    with right:
        found = curation.facets(reader.store, reader.name, chosen.name)
        order, like = _choose_order(found)
        wanted = _choose_filter(reader, chosen, concept, found)
    with left:
        number = int(st.session_state.get(PAGE_KEY, 1))
        page = _page(reader, chosen, concept, wanted, order=order, like=like, found=found, number=number)
        if not page.cases:
            st.info(phrasing.NO_MATCH)
            return
        _show_grid(reader, chosen, concept, page, wanted, can_compare=bool(found.embedded_by))
        _turn_pages(page.total)


def _choose_order(found: Facets) -> tuple[Order | str, str]:
    options: list[Order | str] = [
        one for one in ORDERS if one not in (Order.INFORMATIVE, Order.SUSPICION) or found.suspected_by
    ]
    if found.embedded_by:
        options += [LIKE_CONCEPT, LIKE_IMAGE]
    order = st.selectbox("Order", options, format_func=_order_name, key=ORDER_KEY)
    like = st.text_input("Like the image", placeholder="its name", key=LIKE_KEY) if order == LIKE_IMAGE else ""
    return order, like


def _order_name(order: Order | str) -> str:
    return ORDERS[order] if isinstance(order, Order) else order.capitalize()


def _choose_filter(reader: Reader, chosen: ConceptSet, concept: SetConcept, found: Facets) -> Filter:
    whose = st.selectbox("Show", list(WHOSE), format_func=str.capitalize)
    verdict = st.selectbox("My verdict", list(Verdict), index=None, format_func=phrasing.VERDICTS.__getitem__)
    wanted = Filter(verdict=verdict, **WHOSE[whose])
    with st.expander("More filters"):
        if reader.may(Action.STANDING):
            wanted = replace(wanted, images=_of_standing(reader, chosen, concept))
        told_apart: dict[str, Any] = {}
        for field, values in (("source", found.sources), ("diagnosis", found.diagnoses), ("site", found.sites)):
            if values:
                told_apart[field] = st.selectbox(field.capitalize(), values, index=None, key=f"grid_{field}")
        wanted = replace(wanted, **told_apart)
        if found.ages and found.ages[0] < found.ages[1]:
            ages = st.slider("Age in years", *found.ages, value=found.ages, step=1.0)
            wanted = replace(wanted, age=ages if ages != found.ages else None)
        if found.suspected_by:
            suspicion = st.slider("Suspected by the model", 0.0, 1.0, (0.0, 1.0))
            wanted = replace(wanted, suspicion=suspicion if suspicion != (0.0, 1.0) else None)
    return wanted


def _of_standing(reader: Reader, chosen: ConceptSet, concept: SetConcept) -> Sequence[str] | None:
    status = st.selectbox("Agreement", list(Status), index=None, format_func=phrasing.STATUSES.__getitem__)
    if status is None:
        return None
    standing = curation.standing(reader.store, reader.name, chosen.name, concept.id)
    return [image for image, where in standing.items() if where is status]


def _page(
    reader: Reader,
    chosen: ConceptSet,
    concept: SetConcept,
    wanted: Filter,
    *,
    order: Order | str,
    like: str,
    found: Facets,
    number: int,
) -> Page:
    place = (reader.store, reader.name, chosen.name, concept.id)
    run = found.suspected_by[-1] if found.suspected_by else None
    if isinstance(order, Order):
        return curation.browse(*place, filter_by=wanted, order=order, run=run, limit=PAGE, offset=(number - 1) * PAGE)
    ranked = _ranked(reader, chosen, concept, order=order, like=like, run=found.embedded_by[-1])
    rank = {image: index for index, image in enumerate(ranked)}
    allowed = ranked if wanted.images is None else [image for image in ranked if image in set(wanted.images)]
    near = replace(wanted, images=allowed[:NEAREST])
    cases = sorted(
        curation.browse(*place, filter_by=near, run=run, limit=NEAREST).cases, key=lambda c: rank[c.image_id]
    )
    return Page(tuple(cases[(number - 1) * PAGE : number * PAGE]), len(cases))


def _ranked(reader: Reader, chosen: ConceptSet, concept: SetConcept, *, order: str, like: str, run: str) -> list[str]:
    place = (reader.store, reader.name, chosen.name)
    if order == LIKE_IMAGE:
        models = [like.strip()]
    else:
        found = curation.browse(*place, concept.id, filter_by=Filter(verdict=Verdict.PRESENT), limit=NEAREST)
        models = [case.image_id for case in found.cases]
    if not models or not models[0]:
        st.info(phrasing.NOTHING_TO_COMPARE)
        return []
    return [image for image, _ in curation.similar_images(*place, run=run, like=models)]


def _show_grid(
    reader: Reader, chosen: ConceptSet, concept: SetConcept, page: Page, wanted: Filter, *, can_compare: bool
) -> None:
    is_blinded = not (wanted.diagnosis or wanted.site or wanted.age)
    image_grid(
        page.cases,
        key=GRID,
        place=json.dumps([reader.name, chosen.name, concept.id, is_blinded]),
        page=_digest(page.cases),
        can_compare=can_compare,
        serial=st.session_state.get("grid_serial", 0),
        answer=st.session_state.get("grid_answer", {}),
        on_act=_acted,
    )


def _digest(cases: Sequence[Case]) -> str:
    return " ".join([cases[0].concept, *(case.image_id for case in cases)])


def _turn_pages(total: int) -> None:
    pages = ceil(total / PAGE)
    left, right = st.columns([3, 1], vertical_alignment="center")
    left.caption(phrasing.count(total, "image"))
    if pages > 1:
        right.number_input("Page", 1, pages, key=PAGE_KEY, label_visibility="collapsed")


def _acted() -> None:
    perform_act("grid", lambda: read_grid_act(GRID), _answer)


def _answer(reader: Reader, act: GridAct) -> dict[str, Any]:
    return {"message": _perform(reader, act)}


def _perform(reader: Reader, act: GridAct) -> str:
    if act.like is not None:
        st.session_state.update({ORDER_KEY: LIKE_IMAGE, LIKE_KEY: act.like, PAGE_KEY: 1})
        return phrasing.sorted_like(act.like)
    _, set_name, concept, is_blinded = json.loads(act.place)
    if act.verdict is None:
        return phrasing.undone(len(curation.undo(reader.store, reader.name, set_name, key=act.key)))
    judgements = [
        Judgement(reader=reader.name, image_id=image, concept=concept, verdict=act.verdict, blinded=bool(is_blinded))
        for image in act.images
    ]
    curation.judge_many(reader.store, reader.name, set_name, judgements, key=act.key)
    return phrasing.assigned(act.verdict, len(judgements))
