"""Runs: what was trained and how it came out; start one, watch it, stop it, read its report, compare."""

import os
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from clinician_ui import phrasing, run_phrasing
from clinician_ui.report_files import comparison_file, comparison_name, comparison_url, report_url
from clinician_ui.screens import run_making
from clinician_ui.workplace import Reader, current_reader, runs_folder
from concepts.curation import door as curation
from concepts.curation.run_orders import RunOrder
from concepts.errors import DermaxisError, RunError
from concepts.store.roles import Action
from pipeline.jobs import desk
from pipeline.jobs.job import Job, State
from pipeline.jobs.ledger import Ledger, open_ledger
from pipeline.jobs.overview import RunSummary, whole_runs
from pipeline.jobs.queue import VARIABLE, open_queue

REFRESH_SECONDS = 2.0
SHOWN_JOBS = 8
MOST_COMPARED = 6


def show(reader: Reader) -> None:
    """Draw the screen."""
    curation.read_runs(reader.store, reader.name, limit=1)
    ledger = open_ledger(runs_folder())
    for kind, show_message in (("runs_message", st.success), ("runs_fault", st.error)):
        if message := st.session_state.pop(kind, None):
            show_message(phrasing.markdown(message))
    if reader.may(Action.ORDER_RUN):
        run_making.show(reader, ledger)
    _show_jobs(reader, ledger)
    _show_runs(ledger)


@st.fragment(run_every=REFRESH_SECONDS)
def _show_jobs(reader: Reader, ledger: Ledger) -> None:
    """Jobs and who does them; drawn again by itself, and the whole page when a run became whole."""
    st.html('<h2 class="dx-title">Jobs</h2>')
    try:
        jobs = ledger.jobs()
    except RunError as error:
        # Drawn again by itself, it is not within the router's care.
        st.error(phrasing.markdown(error))
        return
    finished = sum(job.state is State.DONE for job in jobs)
    if st.session_state.setdefault("runs_finished", finished) != finished:
        st.session_state["runs_finished"] = finished
        st.rerun(scope="app")
    _show_workers(ledger, jobs)
    shown = [job for job in jobs if job.is_active] + [job for job in jobs if not job.is_active][:SHOWN_JOBS]
    if not shown:
        st.html(f'<p class="dx-quiet">{run_phrasing.NO_JOBS}</p>')
    for job in shown:
        _show_job(reader, ledger, job)


def _show_workers(ledger: Ledger, jobs: Sequence[Job]) -> None:
    workers = ledger.workers()
    if workers:
        st.html(f'<p class="dx-quiet">{phrasing.html(run_phrasing.workers(workers))}</p>')
        return
    waiting = any(job.state is State.QUEUED for job in jobs)
    # In code, a path with odd letters is shown as it must be typed.
    (st.warning if waiting else st.info)(run_phrasing.NO_WORKER)
    st.code(run_phrasing.worker_command(ledger.runs, os.environ.get(VARIABLE)), language="bash")


def _show_job(reader: Reader, ledger: Ledger, job: Job) -> None:
    with st.container(border=True):
        words, buttons = st.columns([5, 1], vertical_alignment="center")
        words.html(_job_html(ledger, job))
        if job.state is State.FAILED and (output := ledger.last_output(job.id)):
            with words.expander("Output"):
                st.code(output, language=None)
        if not reader.may(Action.ORDER_RUN):
            return
        if job.state in (State.QUEUED, State.RUNNING) and not job.stop_asked:
            _button(buttons, "Stop", RunOrder.STOP, job)
        if job.state in (State.STOPPED, State.FAILED):
            _button(buttons, "Resume", RunOrder.RESUME, job)


def _button(place: "st.delta_generator.DeltaGenerator", label: str, order: RunOrder, job: Job) -> None:
    key = f"{order} {job.id} {job.attempts} {job.changed}"
    place.button(label, key=key, width="stretch", on_click=_order, args=(order, job.id, key))


def _order(order: RunOrder, job: str, key: str) -> None:
    """Stop or resume a job, before anything is drawn again."""
    try:
        reader = current_reader()
        if reader is None:
            st.session_state["runs_fault"] = phrasing.SESSION_ENDED
            return
        curation.order_run(reader.store, reader.name, order, job, key=key)
        ledger = open_ledger(runs_folder())
        if order is RunOrder.STOP:
            desk.stop(ledger, job)
        else:
            desk.resume(ledger, open_queue(os.environ.get(VARIABLE), ledger), job)
    except DermaxisError as error:
        st.session_state["runs_fault"] = str(error)


def _job_html(ledger: Ledger, job: Job) -> str:
    abandoned = ledger.is_abandoned(job)
    word = phrasing.html(run_phrasing.job_state(job, is_abandoned=abandoned))
    pill = f'<span class="dx-pill dx-job-{"failed" if abandoned else job.state}">{word}</span>'
    quiet = phrasing.html(run_phrasing.job_facts(job))
    name = f"<strong>{phrasing.html(job.name)}</strong>"
    html = f'<div class="dx-line">{name}{pill}<span class="dx-quiet">{quiet}</span></div>'
    if job.state is State.DONE and job.run:
        name = phrasing.html(job.run)
        link = f'<a href="{phrasing.html(report_url(job.run))}" target="_blank" rel="noopener">{name}</a>'
        return f'{html}<p class="dx-quiet">{run_phrasing.ITS_RUN} {link}</p>'
    if job.reason:
        return f'{html}<p class="dx-flag">{phrasing.html(job.reason)}</p>'
    progress = ledger.progress(job.id) if job.state in (State.RUNNING, State.STOPPED) else None
    if progress is None:
        return html
    share = round(100 * progress.share)
    is_moving = job.state is State.RUNNING and not abandoned
    said = phrasing.html(run_phrasing.job_progress(progress, is_moving=is_moving))
    bar = (
        f'<div class="dx-bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{share}" '
        f'aria-label="{said}"><i style="width:{share}%"></i></div>'
    )
    return f'{html}{bar}<p class="dx-quiet">{said}</p>'


def _show_runs(ledger: Ledger) -> None:
    st.html('<h2 class="dx-title">Runs</h2>')
    found = whole_runs(ledger.runs)
    if not found:
        st.info(phrasing.markdown(run_phrasing.no_whole_runs(ledger.runs)))
        return
    st.html(_runs_table(found))
    readable = [one.id for one in found if one.fault is None]
    if len(readable) > 1:
        _offer_comparison(ledger.runs, readable)


def _runs_table(found: Sequence[RunSummary]) -> str:
    head = "".join(f"<th>{one}</th>" for one in ("Run", "Finished (UTC)", "Release", "Seed"))
    head += "".join(f"<th>{one}</th>" for one in run_phrasing.RUN_FIGURES)
    rows = "".join(_run_row(one) for one in found)
    return (
        f'<div class="dx-scroll"><table class="dx-table">{head}{rows}</table></div>'
        f'<p class="dx-quiet">{run_phrasing.RUN_FIGURES_MEAN}</p>'
    )


def _run_row(one: RunSummary) -> str:
    name = phrasing.html(one.id)
    if one.fault is not None:
        return f'<tr><td>{name}</td><td colspan="6" class="dx-flag">{phrasing.html(one.fault)}</td></tr>'
    link = f'<a href="{phrasing.html(report_url(one.id))}" target="_blank" rel="noopener">{name}</a>'
    finished = phrasing.html(one.finished[:16].replace("T", " "))
    release = phrasing.html(one.release or run_phrasing.OWN_MASKS)
    figures = "".join(
        f"<td>{phrasing.html(phrasing.estimate(figure))}</td>" for figure in (one.plain, one.whitened, one.axes)
    )
    return (
        f"<tr><td>{link if one.has_report else name}</td><td>{finished}</td><td>{release}</td>"
        f'<td class="dx-number">{one.seed}</td>{figures}</tr>'
    )


def _offer_comparison(runs: Path, readable: Sequence[str]) -> None:
    with st.expander("Compare runs", expanded=bool(st.session_state.get("compared"))):
        chosen = st.multiselect(
            "Runs; the first is the one that the others are held against",
            readable,
            max_selections=MOST_COMPARED,
            key="compared",
        )
        if st.button("Compare", disabled=len(chosen) < 2):
            _compare(runs, chosen)
        name = comparison_name(chosen)
        if len(chosen) > 1 and comparison_file(runs, name).is_file():
            st.html(
                f'<a href="{comparison_url(name)}" target="_blank" rel="noopener">{run_phrasing.OPEN_COMPARISON}</a>'
            )


def _compare(runs: Path, chosen: Sequence[str]) -> None:
    """Write the comparison beside the runs; the figures come from files, so no network is loaded."""
    from pipeline.comparison.runs import compare_runs
    from pipeline.report.pages.comparison import write_comparison

    with st.spinner(run_phrasing.COMPARING):
        write_comparison(compare_runs([runs / one for one in chosen]), comparison_file(runs, comparison_name(chosen)))
