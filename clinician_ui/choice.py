"""The choice of a set and a concept: kept in the address, so that a reload finds them again."""

import streamlit as st

from clinician_ui import phrasing
from clinician_ui.workplace import Reader
from concepts.curation import door
from concepts.curation.sets import ConceptSet, SetConcept

SET_KEY, CONCEPT_KEY = "set", "concept"


def choose_set(reader: Reader) -> ConceptSet | None:
    """Let the reader choose a set; None, and what to do next, where there is none."""
    names = [concept_set.name for concept_set in door.list_sets(reader.store, reader.name)]
    if not names:
        st.info(phrasing.NO_SETS)
        return None
    name = st.selectbox("Concept set", names, key=SET_KEY, bind="query-params")
    return door.read_set(reader.store, reader.name, name)


def choose_concept(concept_set: ConceptSet) -> SetConcept | None:
    """Let the reader choose a concept of a set; None, and what to do next, where it has none."""
    if not concept_set.concepts:
        st.info(phrasing.NO_CONCEPTS)
        return None
    concepts = {concept.id: concept for concept in concept_set.concepts}
    identifier = st.selectbox(
        "Concept",
        list(concepts),
        format_func=lambda identifier: concepts[identifier].name,
        key=CONCEPT_KEY,
        bind="query-params",
    )
    return concepts[identifier]
