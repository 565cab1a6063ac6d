"""The rules of a set: when a case is settled, which agreement is enough, what readers see."""

from typing import Any
from uuid import uuid4

import streamlit as st

from clinician_ui import phrasing, set_phrasing
from clinician_ui.workplace import Reader
from concepts.consensus import ConsensusRule
from concepts.curation import door
from concepts.curation.set_agreement import NAMES
from concepts.curation.sets import ConceptSet
from concepts.statistics.agreement import Measure

MOST_READERS = 20


def show(reader: Reader, concept_set: ConceptSet) -> None:
    """Draw the form; every change is recorded in the history."""
    with st.form(f"rules {concept_set.name}", border=False):
        changes = {**_consensus(concept_set), **_agreement(concept_set)}
        changes["description"] = st.text_area("What it is for", concept_set.description, max_chars=1000, height=68)
        changes["licence"] = st.text_input("Licence of the judgements", concept_set.licence)
        changes["blinded"] = st.toggle("Hide diagnosis and metadata from readers", concept_set.blinded)
        if st.form_submit_button("Change the rules", type="primary"):
            door.update_set(reader.store, reader.name, concept_set.name, key=uuid4().hex, **changes)
            st.rerun()


def _consensus(concept_set: ConceptSet) -> dict[str, Any]:
    rule = ConsensusRule.model_validate(concept_set.consensus)
    left, right = st.columns(2)
    readers = left.number_input(
        "Readers, at least", 1, MOST_READERS, rule.minimum_readers, help=set_phrasing.READERS_HELP
    )
    percent = right.number_input(
        "Same verdict, percent", 51, 100, round(100 * rule.majority), help=set_phrasing.SAME_HELP
    )
    uncertain = st.toggle("Uncertain counts as a verdict", rule.uncertain_counts)
    unclear = st.toggle("Not assessable counts as a verdict", rule.not_assessable_counts)
    counts = {"uncertain_counts": uncertain, "not_assessable_counts": unclear}
    return {"consensus": {"minimum_readers": readers, "majority": percent / 100, **counts}}


def _agreement(concept_set: ConceptSet) -> dict[str, Any]:
    measures = list(Measure)
    left, right = st.columns([2, 1])
    measure = left.selectbox(
        "Flag a concept by",
        measures,
        index=measures.index(Measure(concept_set.agreement_measure)),
        format_func=lambda measure: phrasing.capitalised(NAMES[measure]),
    )
    threshold = right.number_input("Below", -1.0, 1.0, concept_set.agreement_threshold, step=0.05)
    return {"agreement_measure": measure, "agreement_threshold": threshold}
