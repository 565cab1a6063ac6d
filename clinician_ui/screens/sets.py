"""Sets: their concepts and rules, how far readers agree, what is frozen."""

from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

import streamlit as st

from clinician_ui import phrasing, set_phrasing
from clinician_ui.choice import choose_set
from clinician_ui.screens import set_making
from clinician_ui.screens.agreement_table import agreement_table, coefficients_table, rereading_table
from clinician_ui.screens.performing import attempt
from clinician_ui.workplace import Reader
from concepts.curation import door
from concepts.curation.draft import Draft
from concepts.curation.releasing import ReleaseInfo
from concepts.curation.sets import ConceptSet
from concepts.errors import ReleaseError
from concepts.release_diff import ReleaseDiff
from concepts.statistics.agreement import Measure
from concepts.store.roles import Action
from concepts.store.store import Store

Answer = TypeVar("Answer")


def show(reader: Reader) -> None:
    """Draw the screen."""
    top, making = st.columns([1.4, 1], vertical_alignment="bottom")
    with top:
        concept_set = choose_set(reader)
    with making:
        if reader.may(Action.CREATE_SET):
            set_making.show(reader, concept_set)
    if concept_set is None:
        return
    st.html(
        f'<p class="dx-definition">{phrasing.html(concept_set.description or set_phrasing.NO_DESCRIPTION)}</p>'
        f'<p class="dx-quiet">{phrasing.html(set_phrasing.set_facts(concept_set))}</p>'
    )
    if reader.may(Action.PREVIEW_RELEASE):
        _show_agreement(reader, concept_set)
    if reader.may(Action.REREAD_AGREEMENT) and concept_set.concepts:
        _show_rereading(reader, concept_set)
    _show_releases(reader, concept_set)


def _show_agreement(reader: Reader, concept_set: ConceptSet) -> None:
    if not concept_set.concepts:
        st.info(phrasing.NO_CONCEPTS)
        return
    try:
        draft = _draft(reader, concept_set)
    except ReleaseError as error:
        st.info(phrasing.markdown(error))
        return
    names = {concept.id: concept.name for concept in concept_set.concepts}
    st.html(agreement_table(draft, names))
    with st.expander("All coefficients"):
        st.html(coefficients_table(draft, names))
    if reader.may(Action.FREEZE):
        st.button("Freeze a release …", type="primary", on_click=_ask, args=(concept_set.name,))
    if st.session_state.pop("freeze_asked", None) == concept_set.name:
        _confirm(concept_set, draft)


def _show_rereading(reader: Reader, concept_set: ConceptSet) -> None:
    rereadings = _cached(reader, concept_set, "rereading", door.reread_agreement)
    st.html(f'<h2 class="dx-title">{set_phrasing.SELF_AGREEMENT}</h2>')
    if rereadings:
        names = {concept.id: concept.name for concept in concept_set.concepts}
        st.html(rereading_table(rereadings, names, measure=Measure(concept_set.agreement_measure)))
    else:
        st.caption(set_phrasing.NO_REREADINGS)


def _draft(reader: Reader, concept_set: ConceptSet) -> Draft:
    """Return what would be frozen now."""
    return _cached(reader, concept_set, "draft", door.preview_release)


def _cached(reader: Reader, concept_set: ConceptSet, what: str, ask: Callable[[Store, str, str], Answer]) -> Answer:
    """Return what the store answers; cached until the next event, as intervals take time."""
    latest = door.history(reader.store, reader.name, limit=1)
    state = (concept_set.name, latest[0].seq if latest else 0)
    cached: tuple[object, Answer] | None = st.session_state.get(f"sets_{what}")
    if cached is None or cached[0] != state:
        cached = st.session_state[f"sets_{what}"] = (state, ask(reader.store, reader.name, concept_set.name))
    return cached[1]


def _ask(name: str) -> None:
    st.session_state["freeze_asked"] = name


@st.dialog("Freeze a release", width="medium")
def _confirm(concept_set: ConceptSet, draft: Draft) -> None:
    release = draft.release
    st.markdown(set_phrasing.freezing(release, phrasing.markdown(concept_set.name)))
    counts = {entry.id: [0, 0] for entry in release.concepts}
    for example in release.examples:
        counts[example.concept][example.polarity != "present"] += 1
    rows = "".join(
        f'<tr><td>{phrasing.html(entry.name)}</td><td class="dx-number">{counts[entry.id][0]}</td>'
        f'<td class="dx-number">{counts[entry.id][1]}</td></tr>'
        for entry in release.concepts
    )
    head = '<th>Concept</th><th class="dx-number">Present</th><th class="dx-number">Absent</th>'
    st.html(
        f'<table class="dx-table"><tr>{head}</tr>{rows}</table><p class="dx-quiet">SHA-256 {release.digest[:16]}…</p>'
    )
    for sentence in set_phrasing.warnings(draft, {concept.id: concept.name for concept in concept_set.concepts}):
        st.warning(phrasing.markdown(sentence))
    key = st.session_state.setdefault(f"freeze {release.digest}", uuid4().hex)
    if "release_message" in st.session_state:
        st.rerun()
    if fault := st.session_state.pop("freeze_fault", None):
        st.error(phrasing.markdown(fault))
    st.button("Freeze it for good", type="primary", on_click=_freeze, args=(concept_set.name, release.digest, key))


def _freeze(set_name: str, digest: str, key: str) -> None:
    """Freeze what was confirmed before anything is drawn again."""

    def freeze(reader: Reader) -> str:
        return set_phrasing.frozen(door.freeze(reader.store, reader.name, set_name, confirmed=digest, key=key))

    message, is_fault = attempt(freeze)
    st.session_state["freeze_fault" if is_fault else "release_message"] = message


def _show_releases(reader: Reader, concept_set: ConceptSet) -> None:
    st.html('<h2 class="dx-title">Releases</h2>')
    if message := st.session_state.pop("release_message", None):
        st.success(phrasing.markdown(message))
    releases = door.list_releases(reader.store, reader.name, concept_set.name)
    if not releases:
        st.info(set_phrasing.NO_RELEASES)
        return
    rows = "".join(
        f"<tr><td>{phrasing.html(f'{release.name}@{release.version}')}</td>"
        f'<td><span class="dx-pill">{release.status}</span></td>'
        f"<td>{release.at[:16].replace('T', ' ')}</td><td>{phrasing.html(release.by)}</td>"
        f"<td><code>{release.digest[:16]}…</code></td></tr>"
        for release in reversed(releases)
    )
    head = "<tr><th>Release</th><th>Status</th><th>When (UTC)</th><th>By</th><th>SHA-256</th></tr>"
    st.html(f'<div class="dx-scroll"><table class="dx-table">{head}{rows}</table></div>')
    if len(releases) > 1 and reader.may(Action.DIFF_RELEASES):
        _show_diff(reader, releases)
    if reader.may(Action.RETIRE_RELEASE):
        _offer_retirement(reader, releases)


def _show_diff(reader: Reader, releases: list[ReleaseInfo]) -> None:
    words = [f"{release.name}@{release.version}" for release in releases]
    with st.expander("Compare two releases"):
        left, right = st.columns(2)
        before = left.selectbox("From", words, index=len(words) - 2)
        after = right.selectbox("To", words, index=len(words) - 1)
        difference = door.diff_releases(reader.store, reader.name, before, after)
        st.html(_diff_table(difference) if not difference.is_empty else f"<p>{set_phrasing.SAME_RELEASES}</p>")


def _diff_table(difference: ReleaseDiff) -> str:
    rows = []
    for name, entries in difference.to_json().items():
        items = [f"{key}: {value}" for key, value in entries.items()] if isinstance(entries, dict) else entries
        words = [item if isinstance(item, str) else " ".join(map(str, item)) for item in items]
        if words:
            more = f" … and {len(words) - 12} more" if len(words) > 12 else ""
            listed = phrasing.html("; ".join(words[:12]) + more)
            rows.append(
                f"<tr><td>{name.replace('_', ' ')}</td><td class='dx-number'>{len(words)}</td><td>{listed}</td></tr>"
            )
    return f'<table class="dx-table">{"".join(rows)}</table>'


def _offer_retirement(reader: Reader, releases: list[ReleaseInfo]) -> None:
    words = [f"{release.name}@{release.version}" for release in releases if release.status != "retired"]
    with st.expander("Supersede or retire a release"), st.form("retirement", clear_on_submit=True):
        word = st.selectbox("Release", words)
        reason = st.text_input("Reason", placeholder="required to retire", max_chars=500)
        left, right = st.columns(2)
        supersede = left.form_submit_button("Supersede by the newer release", width="stretch")
        retire = right.form_submit_button("Retire: no longer to be used", width="stretch")
        if supersede and word:
            door.supersede_release(reader.store, reader.name, word, key=uuid4().hex)
            st.rerun()
        if retire and word:
            door.retire_release(reader.store, reader.name, word, reason=reason, key=uuid4().hex)
            st.rerun()
