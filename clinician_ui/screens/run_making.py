"""The form that starts a run: a configuration, a release, changes."""

import os
from itertools import takewhile
from pathlib import Path
from uuid import uuid4

import streamlit as st

from clinician_ui import phrasing, run_phrasing
from clinician_ui.screens.performing import perform
from clinician_ui.workplace import Reader, data_roots, job_ledger
from concepts.curation import door
from concepts.curation.run_orders import RunOrder
from concepts.errors import SettingsError
from concepts.store.roles import Action
from pipeline.config import RunSettings, dump_settings
from pipeline.jobs import desk
from pipeline.jobs.ledger import Ledger

CONFIGS_VARIABLE = "DERMAXIS_CONFIGS"
CONFIG, RELEASE, CHANGES = "run_config", "run_release", "run_changes"


def show(reader: Reader, ledger: Ledger) -> None:
    """Draw the form."""
    configs = _configs()
    with st.expander("Start a run", expanded=not ledger.jobs(), icon=":material/play_arrow:"):
        if not configs:
            st.info(phrasing.markdown(run_phrasing.no_configs(_config_folder())))
            return
        left, right = st.columns(2)
        left.selectbox("Configuration", list(configs), key=CONFIG, help=run_phrasing.CONFIG_HELP)
        right.selectbox(
            "Concept release",
            [run_phrasing.OWN_MASKS, *_releases(reader)],
            key=RELEASE,
            accept_new_options=True,
            help=run_phrasing.RELEASE_HELP,
        )
        st.text_area(
            "Changes", key=CHANGES, placeholder="training.plain_epochs=3", help=run_phrasing.CHANGES_HELP, height=90
        )
        if about := _about(configs[st.session_state[CONFIG]]):
            st.html(f'<p class="dx-quiet">{phrasing.html(about)}</p>')
        key = st.session_state.setdefault("run_key", uuid4().hex)
        st.button("Start", type="primary", on_click=_start, args=(key,))


def _start(key: str) -> None:
    """Submit the job before anything is drawn again; a second click with the same key does nothing more."""
    perform("runs", lambda reader: _started(reader, key))


def _started(reader: Reader, key: str) -> str:
    # Whatever comes of it, the next click is another act.
    st.session_state["run_key"] = uuid4().hex
    settings = _draft()
    details = {"settings": dump_settings(settings)}
    door.order_run(reader.store, reader.name, RunOrder.START, settings.name, details=details, key=key)
    return run_phrasing.run_ordered(job_ledger().submit(settings, by=reader.name, key=key))


def _draft() -> RunSettings:
    configs, config = _configs(), str(st.session_state[CONFIG])
    if config not in configs:
        raise SettingsError(f"{config!r:.60}: no such configuration; choose one of {', '.join(configs)}")
    release = str(st.session_state[RELEASE] or run_phrasing.OWN_MASKS).strip()
    changes = [line.strip() for line in str(st.session_state[CHANGES] or "").splitlines() if line.strip()]
    is_own = release == run_phrasing.OWN_MASKS
    return desk.draft(configs[config], changes, release=None if is_own else release, roots=data_roots())


def _releases(reader: Reader) -> list[str]:
    """Return the store's releases, the newest first; whoever may not list them types a name."""
    if not reader.may(Action.LIST_RELEASES):
        return []
    releases = door.list_releases(reader.store, reader.name)
    return [f"{release.name}@{release.version}" for release in reversed(releases) if release.status != "retired"]


def _config_folder() -> Path:
    return Path(os.environ.get(CONFIGS_VARIABLE, "configs"))


def _configs() -> dict[str, Path]:
    return {file.stem: file for file in sorted(_config_folder().glob("*.yaml"))}


def _about(file: Path) -> str:
    """Return the comment on top of a configuration: what it is for, what to expect, how long it takes."""
    comment = takewhile(lambda line: line.startswith("#"), file.read_text(encoding="utf-8").splitlines())
    lines = [line.removeprefix("#").strip() for line in comment]
    return " ".join(line for line in lines if not line.startswith("Command:"))
