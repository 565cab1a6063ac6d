"""Unnamed: what a run's network uses that nobody named, with a place to name it."""

import re
from uuid import uuid4

import streamlit as st

from clinician_ui import phrasing
from clinician_ui.image_files import Place, image_url
from clinician_ui.workplace import Reader, current_reader, runs_folder
from concepts.curation import door as curation
from concepts.curation.sets import SetConcept
from concepts.errors import DermaxisError
from concepts.store.roles import Action
from concepts.vocabulary import load_vocabulary
from pipeline.explanation.discovery.files import candidate_values, read_discovery
from pipeline.report.sentences import directions
from pipeline.results.discovery import Direction, Discovery
from pipeline.results.names import Names
from pipeline.run.folder import RunFolder

NAMES = Names()
OWN = "a new word"
EXPLANATION = "explanation.json"


def show(reader: Reader) -> None:
    """Draw the screen."""
    names = [path.parent.name for path in sorted(runs_folder().glob(f"*/{EXPLANATION}"), reverse=True)]
    found = [name for name in names if _discovery(name) is not None]
    if not found:
        st.info(phrasing.markdown(phrasing.no_runs(str(runs_folder()))))
        return
    name = st.selectbox("Run", found, key="run", bind="query-params")
    discovery = _discovery(name)
    if discovery is None:
        return
    st.html(f'<p class="dx-quiet">{phrasing.html(phrasing.UNNAMED_HELP)}</p>')
    answer = st.session_state.pop("unnamed_answer", None)
    if answer is not None:
        (st.error if answer[0] else st.success)(phrasing.markdown(answer[1]))
    for direction in discovery.directions:
        with st.container(border=True):
            _show_direction(reader, RunFolder(runs_folder() / name, writes=False), direction)


def _discovery(name: str) -> Discovery | None:
    run = RunFolder(runs_folder() / name, writes=False)
    return _read(str(run.path), run.file(EXPLANATION).stat().st_mtime_ns)


@st.cache_resource(max_entries=64, show_spinner=False)
def _read(path: str, _changed: int) -> Discovery | None:
    from pathlib import Path

    return read_discovery(RunFolder(Path(path), writes=False))


def _show_direction(reader: Reader, run: RunFolder, direction: Direction) -> None:
    figures = "".join(
        f'<figure><img src="{_url(run, patch.patch)}" alt="Patch of {phrasing.html(patch.image_id)}">'
        f'<img src="{_url(run, patch.picture)}" alt="Image {phrasing.html(patch.image_id)}">'
        f'<figcaption class="dx-quiet">{phrasing.html(NAMES.diagnosis(patch.diagnosis))}</figcaption></figure>'
        for patch in direction.patches
    )
    st.html(
        f'<h2 class="dx-title">{phrasing.html(directions.name(direction))}</h2>'
        f'<p class="dx-quiet">{phrasing.html(phrasing.direction_facts(direction))}</p>'
        f'<p class="dx-heading">{phrasing.PATCHES}</p><div class="dx-patches">{figures}</div>'
        f'<div class="dx-beside">{_importance(direction)}{_relations(direction)}</div>'
    )
    if reader.may(Action.PROPOSE_CONCEPT):
        _show_form(reader, run, direction)


def _importance(direction: Direction) -> str:
    rows = "".join(
        f'<tr><th scope="row">{phrasing.html(NAMES.target(target))}</th>'
        f'<td class="dx-number">{phrasing.loss_ratio(axis.ratio)}</td>'
        f"<td>{phrasing.against_null(axis.ratio, axis.null)}</td></tr>"
        for target, axis in direction.importance.items()
    )
    return f'<div><p class="dx-heading">{phrasing.DIRECTION_IMPORTANCE}</p>{_table(rows)}</div>'


def _relations(direction: Direction) -> str:
    rows = "".join(
        f'<tr><th scope="row">{phrasing.html(directions.trait_name(relation, NAMES))} '
        f'<span class="dx-quiet">{directions.KINDS[relation.kind]}</span></th>'
        f'<td class="dx-number">{phrasing.correlation(relation.correlation)}</td>'
        f"<td>{'beyond chance' if relation.beyond_chance else ''}</td></tr>"
        for relation in directions.listed(direction)
    )
    return f'<div><p class="dx-heading">{phrasing.DIRECTION_RELATIONS}</p>{_table(rows)}</div>'


def _table(rows: str) -> str:
    return f'<div class="dx-scroll"><table class="dx-table"><tbody>{rows}</tbody></table></div>'


def _show_form(reader: Reader, run: RunFolder, direction: Direction) -> None:
    sets = [one.name for one in curation.list_sets(reader.store, reader.name)]
    if not sets:
        st.caption(phrasing.NO_SETS)
        return
    form = f"{run.path.name}/{direction.name}"
    st.session_state.setdefault(f"key {form}", uuid4().hex)
    with st.expander("Name it"):
        word = st.selectbox(
            "Word",
            [OWN, *sorted(load_vocabulary().concepts)],
            format_func=lambda one: one.replace("_", " "),
            key=f"word {form}",
        )
        if word == OWN:
            st.text_input("Name", key=f"name {form}")
            st.text_input("Definition, one sentence", key=f"definition {form}")
        st.selectbox("Concept set", sets, key=f"set {form}")
        st.button("Propose the concept", key=f"propose {form}", on_click=_propose, args=(form, run, direction))


def _propose(form: str, run: RunFolder, direction: Direction) -> None:
    reader = current_reader()
    if reader is None:
        st.session_state["unnamed_answer"] = (True, phrasing.SESSION_ENDED)
        return
    word = st.session_state[f"word {form}"]
    try:
        concept = word if word != OWN else _own(form)
        set_name = st.session_state[f"set {form}"]
        proposal = curation.propose_concept(
            reader.store,
            reader.name,
            set_name,
            concept,
            candidate_values(run, direction),
            run=run.id,
            axis=direction.name,
            key=st.session_state.pop(f"key {form}"),
        )
    except DermaxisError as error:
        st.session_state["unnamed_answer"] = (True, str(error))
        return
    st.session_state["unnamed_answer"] = (False, phrasing.proposed(proposal, set_name))


def _own(form: str) -> SetConcept:
    name = st.session_state.get(f"name {form}", "").strip()
    identifier = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return SetConcept(
        id=identifier, name=name, definition=st.session_state.get(f"definition {form}", "").strip(), own=True
    )


def _url(run: RunFolder, name: str) -> str:
    return image_url(f"{run.path.name}/{name}", place=Place.RUNS)
