"""The rules of a set: when readers agree, which agreement is enough, what readers get to see."""

from typing import Any
from uuid import uuid4

import streamlit as st

from clinician_ui import phrasing
from clinician_ui.workplace import Reader
from concepts.consensus import ConsensusRule
from concepts.curation import door as curation
from concepts.curation.set_agreement import NAMES
from concepts.curation.sets import ConceptSet
from concepts.statistics.agreement import Measure

MOST_READERS = 20


def show(reader: Reader, chosen: ConceptSet) -> None:
    """The form; what it changes stands in the history."""
    with st.form(f"rules {chosen.name}", border=False):
        changes = {**_consensus(chosen), **_agreement(chosen)}
        changes["description"] = st.text_area("What it is for", chosen.description, max_chars=1000, height=68)
        changes["licence"] = st.text_input("Licence of the judgements", chosen.licence)
        changes["blinded"] = st.toggle("Hide diagnosis and metadata from readers", chosen.blinded)
        if st.form_submit_button("Change the rules", type="primary"):
            curation.update_set(reader.store, reader.name, chosen.name, key=uuid4().hex, **changes)
            st.rerun()


def _consensus(chosen: ConceptSet) -> dict[str, Any]:
    rule = ConsensusRule.model_validate(chosen.consensus)
    left, right = st.columns(2)
    readers = left.number_input("Readers, at least", 1, MOST_READERS, rule.minimum_readers, help=phrasing.READERS_HELP)
    percent = right.number_input("Same verdict, percent", 51, 100, round(100 * rule.majority), help=phrasing.SAME_HELP)
    uncertain = st.toggle("Uncertain counts as a verdict", rule.uncertain_counts)
    unclear = st.toggle("Not assessable counts as a verdict", rule.not_assessable_counts)
    counts = {"uncertain_counts": uncertain, "not_assessable_counts": unclear}
    return {"consensus": {"minimum_readers": readers, "majority": percent / 100, **counts}}


def _agreement(chosen: ConceptSet) -> dict[str, Any]:
    measures = list(Measure)
    left, right = st.columns([2, 1])
    measure = left.selectbox(
        "Flag a concept by",
        measures,
        index=measures.index(Measure(chosen.agreement_measure)),
        format_func=lambda one: phrasing.capitalised(NAMES[one]),
    )
    threshold = right.number_input("Below", -1.0, 1.0, chosen.agreement_threshold, step=0.05)
    return {"agreement_measure": measure, "agreement_threshold": threshold}
