"""Starting a run: a release, a configuration, changes to it."""

import os
from itertools import takewhile
from pathlib import Path
from uuid import uuid4

import streamlit as st

from clinician_ui import phrasing, run_phrasing
from clinician_ui.workplace import STORE_VARIABLE, Reader, current_reader, runs_folder
from concepts.curation import door as curation
from concepts.curation.run_orders import RunOrder
from concepts.errors import DermaxisError, SettingsError
from concepts.store.roles import Action
from pipeline.config import RunSettings, dump_settings
from pipeline.jobs import desk
from pipeline.jobs.ledger import Ledger, open_ledger
from pipeline.jobs.queue import VARIABLE, open_queue

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
    """Queue the run, before anything is drawn again; a second click with the same key does nothing more."""
    try:
        reader = current_reader()
        if reader is None:
            st.session_state["runs_fault"] = phrasing.SESSION_ENDED
            return
        settings = _drafted()
        ledger = open_ledger(runs_folder())
        queue = open_queue(os.environ.get(VARIABLE), ledger)
        details = {"settings": dump_settings(settings)}
        curation.order_run(reader.store, reader.name, RunOrder.START, settings.name, details=details, key=key)
        job = desk.submit(ledger, queue, settings, by=reader.name, key=key)
        st.session_state["runs_message"] = run_phrasing.run_ordered(job)
        st.session_state["run_key"] = uuid4().hex
    except DermaxisError as error:
        st.session_state["runs_fault"] = str(error)
        st.session_state["run_key"] = uuid4().hex


def _drafted() -> RunSettings:
    configs, chosen = _configs(), str(st.session_state[CONFIG])
    if chosen not in configs:
        raise SettingsError(f"{chosen!r:.60}: no such configuration; choose one of {', '.join(configs)}")
    release = str(st.session_state[RELEASE] or run_phrasing.OWN_MASKS).strip()
    changes = [line.strip() for line in str(st.session_state[CHANGES] or "").splitlines() if line.strip()]
    own = release == run_phrasing.OWN_MASKS
    return desk.drafted(
        configs[chosen], changes, release=None if own else release, store=os.environ.get(STORE_VARIABLE)
    )


def _releases(reader: Reader) -> list[str]:
    """The store's releases, the newest first; those who may not list them type a name."""
    if not reader.may(Action.LIST_RELEASES):
        return []
    found = curation.list_releases(reader.store, reader.name)
    return [f"{one.name}@{one.version}" for one in reversed(found) if one.status != "retired"]


def _config_folder() -> Path:
    return Path(os.environ.get(CONFIGS_VARIABLE, "configs"))


def _configs() -> dict[str, Path]:
    return {file.stem: file for file in sorted(_config_folder().glob("*.yaml"))}


def _about(file: Path) -> str:
    """What a configuration says on top: what it is for, what to expect, how long it takes."""
    comment = takewhile(lambda line: line.startswith("#"), file.read_text(encoding="utf-8").splitlines())
    said = [line.removeprefix("#").strip() for line in comment]
    return " ".join(line for line in said if not line.startswith("Command:"))
