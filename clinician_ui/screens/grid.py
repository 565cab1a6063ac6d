"""Grid: many images of one concept, and one verdict for all that are selected."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import streamlit as st

from clinician_ui import judging_phrasing, phrasing
from clinician_ui.choice import choose_concept, choose_set
from clinician_ui.components.image_grid.mount import GridAct, image_grid, read_grid_act
from clinician_ui.screens.curate import ORDERS
from clinician_ui.screens.performing import perform_act
from clinician_ui.workplace import Reader
from concepts.consensus import Status
from concepts.curation import door
from concepts.curation.facets import Facets
from concepts.curation.queue import Case, Filter, Order, Page
from concepts.curation.sets import ConceptSet, SetConcept
from concepts.judgement import Judgement, Verdict
from concepts.store.roles import Action

GRID = "image_grid"
ORDER_KEY, LIKE_KEY, PAGE_KEY = "grid_order", "grid_like", "grid_page"
PAGE = 60
NEAREST = 600
"""How many of the most similar images the filter is applied to."""
LIKE_CONCEPT, LIKE_IMAGE = "like what I judged present", "like one image"
WHOSE: Mapping[str, Mapping[str, Any]] = {
    "all": {},
    "not judged by me": {"own": False},
    "judged by me": {"own": True},
    "judged by others": {"others": True},
    "not judged by others": {"others": False},
    "saved for later": {"later": True},
}


def show(reader: Reader) -> None:
    """Draw the screen."""
    left, right = st.columns([3.4, 1], gap="medium")
    with right:
        concept_set = choose_set(reader)
        concept = choose_concept(concept_set) if concept_set else None
    if concept_set is None or concept is None:
        return
    if not concept_set.images:
        left.info(phrasing.NO_IMAGES)
        return
    with right:
        facets = door.facets(reader.store, reader.name, concept_set.name)
        order, like = _choose_order(facets)
        grid_filter = _choose_filter(reader, concept_set, concept, facets)
    with left:
        number = int(st.session_state.get(PAGE_KEY, 1))
        page = _page(reader, concept_set, concept, grid_filter, order=order, like=like, facets=facets, number=number)
        if not page.cases:
            st.info(judging_phrasing.NO_MATCH)
            return
        _show_grid(reader, concept_set, concept, page, grid_filter, can_compare=bool(facets.embedded_by))
        _turn_pages(page.total)


def _choose_order(facets: Facets) -> tuple[Order | str, str]:
    options: list[Order | str] = [
        order for order in ORDERS if order not in (Order.INFORMATIVE, Order.SUSPICION) or facets.suspected_by
    ]
    if facets.embedded_by:
        options += [LIKE_CONCEPT, LIKE_IMAGE]
    order = st.selectbox("Order", options, format_func=_order_name, key=ORDER_KEY)
    like = st.text_input("Like the image", placeholder="its name", key=LIKE_KEY) if order == LIKE_IMAGE else ""
    return order, like


def _order_name(order: Order | str) -> str:
    return ORDERS[order] if isinstance(order, Order) else order.capitalize()


def _choose_filter(reader: Reader, concept_set: ConceptSet, concept: SetConcept, facets: Facets) -> Filter:
    whose = st.selectbox("Show", list(WHOSE), format_func=str.capitalize)
    verdict = st.selectbox("My verdict", list(Verdict), index=None, format_func=phrasing.VERDICTS.__getitem__)
    grid_filter = Filter(verdict=verdict, **WHOSE[whose])
    with st.expander("More filters"):
        if reader.may(Action.STANDING):
            grid_filter = replace(grid_filter, images=_of_standing(reader, concept_set, concept))
        metadata: dict[str, Any] = {}
        for field, values in (("source", facets.sources), ("diagnosis", facets.diagnoses), ("site", facets.sites)):
            if values:
                metadata[field] = st.selectbox(field.capitalize(), values, index=None, key=f"grid_{field}")
        grid_filter = replace(grid_filter, **metadata)
        if facets.ages and facets.ages[0] < facets.ages[1]:
            ages = st.slider("Age in years", *facets.ages, value=facets.ages, step=1.0)
            grid_filter = replace(grid_filter, age=ages if ages != facets.ages else None)
        if facets.suspected_by:
            suspicion = st.slider("Suspected by the model", 0.0, 1.0, (0.0, 1.0))
            grid_filter = replace(grid_filter, suspicion=suspicion if suspicion != (0.0, 1.0) else None)
    return grid_filter


def _of_standing(reader: Reader, concept_set: ConceptSet, concept: SetConcept) -> Sequence[str] | None:
    status = st.selectbox("Agreement", list(Status), index=None, format_func=judging_phrasing.STATUSES.__getitem__)
    if status is None:
        return None
    standing = door.standing(reader.store, reader.name, concept_set.name, concept.id)
    return [image for image, where in standing.items() if where is status]


def _page(
    reader: Reader,
    concept_set: ConceptSet,
    concept: SetConcept,
    grid_filter: Filter,
    *,
    order: Order | str,
    like: str,
    facets: Facets,
    number: int,
) -> Page:
    address = (reader.store, reader.name, concept_set.name, concept.id)
    run = facets.suspected_by[-1] if facets.suspected_by else None
    if isinstance(order, Order):
        return door.browse(
            *address, filter_by=grid_filter, order=order, run=run, limit=PAGE, offset=(number - 1) * PAGE
        )
    ranked = _ranked(reader, concept_set, concept, order=order, like=like, run=facets.embedded_by[-1])
    rank = {image: index for index, image in enumerate(ranked)}
    allowed = ranked if grid_filter.images is None else [image for image in ranked if image in set(grid_filter.images)]
    near = replace(grid_filter, images=allowed[:NEAREST])
    cases = sorted(
        door.browse(*address, filter_by=near, run=run, limit=NEAREST).cases, key=lambda case: rank[case.image_id]
    )
    return Page(tuple(cases[(number - 1) * PAGE : number * PAGE]), len(cases))


def _ranked(
    reader: Reader, concept_set: ConceptSet, concept: SetConcept, *, order: str, like: str, run: str
) -> list[str]:
    address = (reader.store, reader.name, concept_set.name)
    if order == LIKE_IMAGE:
        models = [like.strip()]
    else:
        judged = door.browse(*address, concept.id, filter_by=Filter(verdict=Verdict.PRESENT), limit=NEAREST)
        models = [case.image_id for case in judged.cases]
    if not models or not models[0]:
        st.info(judging_phrasing.NOTHING_TO_COMPARE)
        return []
    return [image for image, _ in door.similar_images(*address, run=run, like=models)]


def _show_grid(
    reader: Reader, concept_set: ConceptSet, concept: SetConcept, page: Page, grid_filter: Filter, *, can_compare: bool
) -> None:
    is_blinded = not (grid_filter.diagnosis or grid_filter.site or grid_filter.age)
    image_grid(
        page.cases,
        key=GRID,
        context=json.dumps([reader.name, concept_set.name, concept.id, is_blinded]),
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
        return judging_phrasing.sorted_like(act.like)
    _, set_name, concept, is_blinded = json.loads(act.context)
    if act.verdict is None:
        return judging_phrasing.undone(len(door.undo(reader.store, reader.name, set_name, key=act.key)))
    judgements = [
        Judgement(reader=reader.name, image_id=image, concept=concept, verdict=act.verdict, blinded=bool(is_blinded))
        for image in act.images
    ]
    door.judge_many(reader.store, reader.name, set_name, judgements, key=act.key)
    return judging_phrasing.assigned(act.verdict, len(judgements))
