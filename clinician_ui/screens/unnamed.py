"""Unnamed: directions that a run's network uses and nobody named, with a form to name them."""

import re
from uuid import uuid4

import streamlit as st

from clinician_ui import case_phrasing, phrasing
from clinician_ui.image_files import ImageRoot, image_url
from clinician_ui.screens.performing import perform, show_outcome
from clinician_ui.workplace import Reader, runs_folder
from concepts.curation import door
from concepts.curation.sets import SetConcept
from concepts.errors import DermaxisError
from concepts.store.roles import Action
from concepts.vocabulary import load_vocabulary
from pipeline.explanation.discovery.files import candidate_values, read_discovery
from pipeline.report.sentences import directions
from pipeline.results.discovery import Direction, Discovery
from pipeline.results.names import Names
from pipeline.run.folder import RunFolder, without_links

NAMES = Names()
NEW_WORD = "a new word"
EXPLANATION = "explanation.json"


def show(reader: Reader) -> None:
    """Draw the screen."""
    names = [path.parent.name for path in sorted(runs_folder().glob(f"*/{EXPLANATION}"), reverse=True)]
    run_ids = [name for name in names if _discovery(name) is not None]
    if not run_ids:
        st.info(phrasing.markdown(case_phrasing.no_runs(str(runs_folder()))))
        return
    name = st.selectbox("Run", run_ids, key="run", bind="query-params")
    discovery = _discovery(name)
    if discovery is None:
        return
    st.html(f'<p class="dx-quiet">{phrasing.html(case_phrasing.UNNAMED_HELP)}</p>')
    show_outcome("unnamed")
    for direction in discovery.directions:
        with st.container(border=True):
            _show_direction(reader, without_links(RunFolder(runs_folder() / name, writes=False)), direction)


def _discovery(name: str) -> Discovery | None:
    """Return what a run discovered; None where that is nothing, or cannot be read: the page Runs says why."""
    try:
        run = without_links(RunFolder(runs_folder() / name, writes=False))
        return _read(str(run.path), run.file(EXPLANATION).stat().st_mtime_ns)
    except (DermaxisError, OSError):
        return None


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
        f'<p class="dx-quiet">{phrasing.html(case_phrasing.direction_facts(direction))}</p>'
        f'<p class="dx-heading">{case_phrasing.PATCHES}</p><div class="dx-patches">{figures}</div>'
        f'<div class="dx-beside">{_importance(direction)}{_relations(direction)}</div>'
    )
    if reader.may(Action.PROPOSE_CONCEPT):
        _show_form(reader, run, direction)


def _importance(direction: Direction) -> str:
    rows = "".join(
        f'<tr><th scope="row">{phrasing.html(NAMES.target(target))}</th>'
        f'<td class="dx-number">{case_phrasing.loss_ratio(importance.ratio)}</td>'
        f"<td>{case_phrasing.against_null(importance.ratio, importance.null)}</td></tr>"
        for target, importance in direction.importance.items()
    )
    return f'<div><p class="dx-heading">{case_phrasing.DIRECTION_IMPORTANCE}</p>{_table(rows)}</div>'


def _relations(direction: Direction) -> str:
    rows = "".join(
        f'<tr><th scope="row">{phrasing.html(directions.trait_name(relation, NAMES))} '
        f'<span class="dx-quiet">{directions.KINDS[relation.kind]}</span></th>'
        f'<td class="dx-number">{case_phrasing.correlation(relation.correlation)}</td>'
        f"<td>{'beyond chance' if relation.beyond_chance else ''}</td></tr>"
        for relation in directions.listed(direction)
    )
    return f'<div><p class="dx-heading">{case_phrasing.DIRECTION_RELATIONS}</p>{_table(rows)}</div>'


def _table(rows: str) -> str:
    return f'<div class="dx-scroll"><table class="dx-table"><tbody>{rows}</tbody></table></div>'


def _show_form(reader: Reader, run: RunFolder, direction: Direction) -> None:
    sets = [concept_set.name for concept_set in door.list_sets(reader.store, reader.name)]
    if not sets:
        st.caption(phrasing.NO_SETS)
        return
    form = f"{run.path.name}/{direction.name}"
    st.session_state.setdefault(f"key {form}", uuid4().hex)
    with st.expander("Name it"):
        word = st.selectbox(
            "Word",
            [NEW_WORD, *sorted(load_vocabulary().concepts)],
            format_func=lambda word: word.replace("_", " "),
            key=f"word {form}",
        )
        if word == NEW_WORD:
            st.text_input("Name", key=f"name {form}")
            st.text_input("Definition, one sentence", key=f"definition {form}")
        st.selectbox("Concept set", sets, key=f"set {form}")
        st.button("Propose the concept", key=f"propose {form}", on_click=_propose, args=(form, run, direction))


def _propose(form: str, run: RunFolder, direction: Direction) -> None:
    perform("unnamed", lambda reader: _proposed(reader, form, run, direction))


def _proposed(reader: Reader, form: str, run: RunFolder, direction: Direction) -> str:
    word, set_name = st.session_state[f"word {form}"], st.session_state[f"set {form}"]
    proposal = door.propose_concept(
        reader.store,
        reader.name,
        set_name,
        word if word != NEW_WORD else _new_concept(form),
        candidate_values(run, direction),
        run=run.id,
        axis=direction.name,
        key=st.session_state.pop(f"key {form}"),
    )
    return case_phrasing.proposed(proposal, set_name)


def _new_concept(form: str) -> SetConcept:
    name = st.session_state.get(f"name {form}", "").strip()
    identifier = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return SetConcept(
        id=identifier, name=name, definition=st.session_state.get(f"definition {form}", "").strip(), is_own=True
    )


def _url(run: RunFolder, name: str) -> str:
    return image_url(f"{run.path.name}/{name}", root=ImageRoot.RUNS)
