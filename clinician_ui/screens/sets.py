"""Sets: what is asked, how far readers agree, what is frozen."""

from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

import streamlit as st

from clinician_ui import phrasing
from clinician_ui.choice import choose_set
from clinician_ui.screens import set_making
from clinician_ui.screens.agreement_table import agreement_table, coefficients_table, rereading_table
from clinician_ui.workplace import Reader, current_reader
from concepts.curation import door as curation
from concepts.curation.draft import Draft
from concepts.curation.releasing import ReleaseInfo
from concepts.curation.sets import ConceptSet
from concepts.errors import DermaxisError, ReleaseError
from concepts.release_diff import ReleaseDiff
from concepts.statistics.agreement import Measure
from concepts.store.roles import Action
from concepts.store.store import Store

Answer = TypeVar("Answer")


def show(reader: Reader) -> None:
    """Draw the screen."""
    top, making = st.columns([1.4, 1], vertical_alignment="bottom")
    with top:
        chosen = choose_set(reader)
    with making:
        if reader.may(Action.CREATE_SET):
            set_making.show(reader, chosen)
    if chosen is None:
        return
    st.html(
        f'<p class="dx-definition">{phrasing.html(chosen.description or phrasing.NO_DESCRIPTION)}</p>'
        f'<p class="dx-quiet">{phrasing.html(phrasing.set_facts(chosen))}</p>'
    )
    if reader.may(Action.PREVIEW_RELEASE):
        _show_agreement(reader, chosen)
    if reader.may(Action.REREAD_AGREEMENT) and chosen.concepts:
        _show_rereading(reader, chosen)
    _show_releases(reader, chosen)


def _show_agreement(reader: Reader, chosen: ConceptSet) -> None:
    if not chosen.concepts:
        st.info(phrasing.NO_CONCEPTS)
        return
    try:
        draft = _draft(reader, chosen)
    except ReleaseError as error:
        st.info(phrasing.markdown(error))
        return
    names = {concept.id: concept.name for concept in chosen.concepts}
    st.html(agreement_table(draft, names))
    with st.expander("All coefficients"):
        st.html(coefficients_table(draft, names))
    if reader.may(Action.FREEZE):
        st.button("Freeze a release …", type="primary", on_click=_ask, args=(chosen.name,))
    if st.session_state.pop("freeze_asked", None) == chosen.name:
        _confirm(chosen, draft)


def _show_rereading(reader: Reader, chosen: ConceptSet) -> None:
    found = _kept(reader, chosen, "rereading", curation.reread_agreement)
    st.html(f'<h2 class="dx-title">{phrasing.SELF_AGREEMENT}</h2>')
    if found:
        names = {concept.id: concept.name for concept in chosen.concepts}
        st.html(rereading_table(found, names, measure=Measure(chosen.agreement_measure)))
    else:
        st.caption(phrasing.NO_REREADINGS)


def _draft(reader: Reader, chosen: ConceptSet) -> Draft:
    """What would be frozen."""
    return _kept(reader, chosen, "draft", curation.preview_release)


def _kept(reader: Reader, chosen: ConceptSet, what: str, ask: Callable[[Store, str, str], Answer]) -> Answer:
    """What the store answers; asked again only when something happened, as intervals take their time."""
    latest = curation.history(reader.store, reader.name, limit=1)
    state = (chosen.name, latest[0].seq if latest else 0)
    kept: tuple[object, Answer] | None = st.session_state.get(f"sets_{what}")
    if kept is None or kept[0] != state:
        kept = st.session_state[f"sets_{what}"] = (state, ask(reader.store, reader.name, chosen.name))
    return kept[1]


def _ask(name: str) -> None:
    st.session_state["freeze_asked"] = name


@st.dialog("Freeze a release", width="medium")
def _confirm(chosen: ConceptSet, draft: Draft) -> None:
    release = draft.release
    st.markdown(phrasing.freezing(release, phrasing.markdown(chosen.name)))
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
    for sentence in phrasing.warnings(draft, {concept.id: concept.name for concept in chosen.concepts}):
        st.warning(phrasing.markdown(sentence))
    key = st.session_state.setdefault(f"freeze {release.digest}", uuid4().hex)
    if "release_message" in st.session_state:
        st.rerun()
    if fault := st.session_state.pop("freeze_fault", None):
        st.error(phrasing.markdown(fault))
    st.button("Freeze it for good", type="primary", on_click=_freeze, args=(chosen.name, release.digest, key))


def _freeze(set_name: str, digest: str, key: str) -> None:
    """Freeze what was shown, before anything is drawn again."""
    reader = current_reader()
    try:
        if reader is None:
            st.session_state["freeze_fault"] = phrasing.SESSION_ENDED
            return
        info = curation.freeze(reader.store, reader.name, set_name, confirmed=digest, key=key)
        st.session_state["release_message"] = phrasing.frozen(info)
    except DermaxisError as error:
        st.session_state["freeze_fault"] = str(error)


def _show_releases(reader: Reader, chosen: ConceptSet) -> None:
    st.html('<h2 class="dx-title">Releases</h2>')
    if message := st.session_state.pop("release_message", None):
        st.success(phrasing.markdown(message))
    releases = curation.list_releases(reader.store, reader.name, chosen.name)
    if not releases:
        st.info(phrasing.NO_RELEASES)
        return
    rows = "".join(
        f'<tr><td>{phrasing.html(f"{one.name}@{one.version}")}</td><td><span class="dx-pill">{one.status}</span></td>'
        f"<td>{one.at[:16].replace('T', ' ')}</td><td>{phrasing.html(one.by)}</td>"
        f"<td><code>{one.digest[:16]}…</code></td></tr>"
        for one in reversed(releases)
    )
    head = "<tr><th>Release</th><th>Status</th><th>When (UTC)</th><th>By</th><th>SHA-256</th></tr>"
    st.html(f'<div class="dx-scroll"><table class="dx-table">{head}{rows}</table></div>')
    if len(releases) > 1 and reader.may(Action.DIFF_RELEASES):
        _show_diff(reader, releases)
    if reader.may(Action.RETIRE_RELEASE):
        _offer_retirement(reader, releases)


def _show_diff(reader: Reader, releases: list[ReleaseInfo]) -> None:
    words = [f"{one.name}@{one.version}" for one in releases]
    with st.expander("Compare two releases"):
        left, right = st.columns(2)
        one = left.selectbox("From", words, index=len(words) - 2)
        other = right.selectbox("To", words, index=len(words) - 1)
        found = curation.diff_releases(reader.store, reader.name, one, other)
        st.html(_diff_table(found) if not found.is_empty else f"<p>{phrasing.SAME_RELEASES}</p>")


def _diff_table(found: ReleaseDiff) -> str:
    rows = []
    for name, entries in found.to_json().items():
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
    words = [f"{one.name}@{one.version}" for one in releases if one.status != "retired"]
    with st.expander("Supersede or retire a release"), st.form("retirement", clear_on_submit=True):
        word = st.selectbox("Release", words)
        reason = st.text_input("Reason", placeholder="needed to retire", max_chars=500)
        left, right = st.columns(2)
        supersede = left.form_submit_button("Supersede by the newer one", width="stretch")
        retire = right.form_submit_button("Retire: not to be used any more", width="stretch")
        if supersede and word:
            curation.supersede_release(reader.store, reader.name, word, key=uuid4().hex)
            st.rerun()
        if retire and word:
            curation.retire_release(reader.store, reader.name, word, reason=reason, key=uuid4().hex)
            st.rerun()
