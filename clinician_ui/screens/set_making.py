"""Make a set, give it rules, and put concepts and images into it."""

from uuid import uuid4

import streamlit as st

from clinician_ui import phrasing
from clinician_ui.screens import set_rules
from clinician_ui.workplace import Reader, image_folder
from concepts.curation import door as curation
from concepts.curation.image_folder import scan_images
from concepts.curation.sets import ConceptSet, SetConcept
from concepts.vocabulary import load_vocabulary


def show(reader: Reader, chosen: ConceptSet | None) -> None:
    """The four doors; what is behind them opens on request."""
    first, second, third, fourth = st.columns(4)
    with first.popover("New set", width="stretch"):
        _new_set(reader)
    if chosen is not None:
        with second.popover("Concepts", width="stretch"):
            _add_concepts(reader, chosen)
        with third.popover("Images", width="stretch"):
            _add_images(reader, chosen)
        with fourth.popover("Rules", width="stretch"):
            set_rules.show(reader, chosen)


def _new_set(reader: Reader) -> None:
    with st.form("new_set", clear_on_submit=True, border=False):
        name = st.text_input("Name", help=phrasing.NAME_HELP)
        description = st.text_area("What it is for", max_chars=1000)
        licence = st.text_input("Licence of the judgements")
        blinded = st.toggle("Hide diagnosis and metadata from readers", value=True)
        if st.form_submit_button("Make the set", type="primary"):
            curation.create_set(
                reader.store,
                reader.name,
                name.strip(),
                description=description,
                licence=licence,
                blinded=blinded,
                key=uuid4().hex,
            )
            st.rerun()


def _add_concepts(reader: Reader, chosen: ConceptSet) -> None:
    terms = load_vocabulary().concepts
    present = {concept.id for concept in chosen.concepts}
    with st.form("vocabulary", clear_on_submit=True, border=False):
        wanted = st.multiselect(
            "From the vocabulary", [one for one in terms if one not in present], format_func=lambda one: terms[one].name
        )
        if st.form_submit_button("Add them") and wanted:
            for concept in wanted:
                curation.add_concept(reader.store, reader.name, chosen.name, concept, key=uuid4().hex)
            st.rerun()
    with st.form("own_concept", clear_on_submit=True, border=False):
        st.caption(phrasing.OWN_CONCEPT)
        name = st.text_input("Name", max_chars=80)
        definition = st.text_area("Definition, one sentence", max_chars=500)
        if st.form_submit_button("Add the set's own concept") and name.strip():
            identifier = "_".join(name.lower().split())
            own = SetConcept(id=identifier, name=name.strip(), definition=definition.strip(), is_own=True)
            curation.add_concept(reader.store, reader.name, chosen.name, own, key=uuid4().hex)
            st.rerun()


def _add_images(reader: Reader, chosen: ConceptSet) -> None:
    st.caption(phrasing.IMAGES_HELP)
    with st.form("images", clear_on_submit=True, border=False):
        inside = st.text_input("Only below this folder", placeholder="all of the image folder")
        source = st.text_input("Source", placeholder="data set or department")
        if st.form_submit_button("Add the images", type="primary"):
            with st.spinner("Reading the images"):
                images = scan_images(image_folder(), inside=inside.strip(), source=source.strip() or None)
            curation.add_images(reader.store, reader.name, images, key=uuid4().hex)
            names = [image.id for image in images]
            curation.add_to_set(reader.store, reader.name, chosen.name, names, key=uuid4().hex)
            st.rerun()
