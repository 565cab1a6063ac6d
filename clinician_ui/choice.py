"""Which set and which concept the reader works on: kept in the address, so that a reload finds them again."""

import streamlit as st

from clinician_ui import phrasing
from clinician_ui.workplace import Reader
from concepts.curation import door as curation
from concepts.curation.sets import ConceptSet, SetConcept

SET_KEY, CONCEPT_KEY = "set", "concept"


def choose_set(reader: Reader) -> ConceptSet | None:
    """Let the reader choose a set; None, and what to do next, where there is none."""
    names = [one.name for one in curation.list_sets(reader.store, reader.name)]
    if not names:
        st.info(phrasing.NO_SETS)
        return None
    name = st.selectbox("Concept set", names, key=SET_KEY, bind="query-params")
    return curation.read_set(reader.store, reader.name, name)


def choose_concept(chosen: ConceptSet) -> SetConcept | None:
    """Let the reader choose a concept of a set; None, and what to do next, where it has none."""
    if not chosen.concepts:
        st.info(phrasing.NO_CONCEPTS)
        return None
    named = {concept.id: concept for concept in chosen.concepts}
    identifier = st.selectbox(
        "Concept", list(named), format_func=lambda one: named[one].name, key=CONCEPT_KEY, bind="query-params"
    )
    return named[identifier]
