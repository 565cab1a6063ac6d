"""Runs: start one, watch it, stop it, read its report, compare it with others."""

import os
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from clinician_ui import phrasing, run_phrasing
from clinician_ui.report_files import comparison_file, comparison_name, comparison_url, report_url
from clinician_ui.screens import run_making
from clinician_ui.screens.performing import perform, show_outcome
from clinician_ui.workplace import Reader, job_ledger, runs_folder
from concepts.curation import door
from concepts.curation.run_orders import RunOrder
from concepts.errors import DermaxisError
from concepts.store.roles import Action
from pipeline.jobs import desk
from pipeline.jobs.job import Job, JobState
from pipeline.jobs.ledger import VARIABLE, Ledger
from pipeline.jobs.overview import RunSummary, whole_runs

REFRESH_SECONDS = 2.0
LISTED_JOBS = 8
MOST_COMPARED = 6


def show(reader: Reader) -> None:
    """Draw the screen; runs can be read also where the jobs cannot."""
    door.read_runs(reader.store, reader.name, limit=1)
    show_outcome("runs")
    try:
        ledger = job_ledger()
    except DermaxisError as error:
        st.error(phrasing.markdown(error))
    else:
        if reader.may(Action.ORDER_RUN):
            run_making.show(reader, ledger)
        _show_jobs(reader, ledger)
    _show_runs(runs_folder())


@st.fragment(run_every=REFRESH_SECONDS)
def _show_jobs(reader: Reader, ledger: Ledger) -> None:
    """Show the jobs and who does them; redrawn by itself, and with the whole page when a run was finished."""
    st.html('<h2 class="dx-title">Jobs</h2>')
    try:
        _list_jobs(reader, ledger)
    except DermaxisError as error:
        # The router does not catch what a fragment raises when it is redrawn by itself.
        st.error(phrasing.markdown(error))


def _list_jobs(reader: Reader, ledger: Ledger) -> None:
    jobs = ledger.jobs()
    finished = sum(job.state is JobState.FINISHED for job in jobs)
    if st.session_state.setdefault("runs_finished", finished) != finished:
        st.session_state["runs_finished"] = finished
        st.rerun(scope="app")
    _show_workers(ledger, jobs)
    listed = [job for job in jobs if job.is_active] + [job for job in jobs if not job.is_active][:LISTED_JOBS]
    if not listed:
        st.html(f'<p class="dx-quiet">{run_phrasing.NO_JOBS}</p>')
    for job in listed:
        try:
            _show_job(reader, ledger, job)
        except DermaxisError as error:  # one that cannot be shown hides no other
            st.error(phrasing.markdown(f"{job.id}: {error}"))


def _show_workers(ledger: Ledger, jobs: Sequence[Job]) -> None:
    workers = ledger.workers()
    if workers:
        st.html(f'<p class="dx-quiet">{phrasing.html(run_phrasing.workers(workers))}</p>')
        return
    waiting = any(job.state is JobState.QUEUED for job in jobs)
    # A code block shows a path with odd letters as you must type it.
    (st.warning if waiting else st.info)(run_phrasing.NO_WORKER)
    st.code(run_phrasing.worker_command(ledger.runs, os.environ.get(VARIABLE)), language="bash")


def _show_job(reader: Reader, ledger: Ledger, job: Job) -> None:
    with st.container(border=True):
        words, buttons = st.columns([5, 1], vertical_alignment="center")
        words.html(_job_html(ledger, job))
        if job.state is JobState.FAILED and (output := ledger.last_output(job.id)):
            with words.expander("Output"):
                st.code(output, language=None)
        if not reader.may(Action.ORDER_RUN):
            return
        if job.state in (JobState.QUEUED, JobState.RUNNING) and not job.stop_asked:
            _button(buttons, "Stop", RunOrder.STOP, job)
        if job.state in (JobState.STOPPED, JobState.FAILED):
            _button(buttons, "Resume", RunOrder.RESUME, job)


def _button(column: "st.delta_generator.DeltaGenerator", label: str, order: RunOrder, job: Job) -> None:
    key = f"{order} {job.id} {job.attempts} {job.changed}"
    column.button(label, key=key, width="stretch", on_click=_order, args=(order, job.id, key))


def _order(order: RunOrder, job: str, key: str) -> None:
    """Stop or resume a job before anything is drawn again."""

    def obey(reader: Reader) -> None:
        door.order_run(reader.store, reader.name, order, job, key=key)
        act = desk.stop if order is RunOrder.STOP else desk.resume
        act(job_ledger(), job)

    perform("runs", obey)


def _job_html(ledger: Ledger, job: Job) -> str:
    state = phrasing.html(run_phrasing.job_state(job))
    pill = f'<span class="dx-pill dx-job-{"failed" if job.is_abandoned else job.state}">{state}</span>'
    quiet = phrasing.html(run_phrasing.job_facts(job))
    name = f"<strong>{phrasing.html(job.name)}</strong>"
    html = f'<div class="dx-line">{name}{pill}<span class="dx-quiet">{quiet}</span></div>'
    if job.state is JobState.FINISHED and job.run:
        name = phrasing.html(job.run)
        link = f'<a href="{phrasing.html(report_url(job.run))}" target="_blank" rel="noopener">{name}</a>'
        return f'{html}<p class="dx-quiet">{run_phrasing.ITS_RUN} {link}</p>'
    if job.reason:
        return f'{html}<p class="dx-flag">{phrasing.html(job.reason)}</p>'
    progress = ledger.progress(job.id) if job.state in (JobState.RUNNING, JobState.STOPPED) else None
    if progress is None:
        return html
    share = round(100 * progress.share)
    is_moving = job.state is JobState.RUNNING and not job.is_abandoned
    description = phrasing.html(run_phrasing.job_progress(progress, is_moving=is_moving))
    bar = (
        f'<div class="dx-bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{share}" '
        f'aria-label="{description}"><i style="width:{share}%"></i></div>'
    )
    return f'{html}{bar}<p class="dx-quiet">{description}</p>'


def _show_runs(runs: Path) -> None:
    st.html('<h2 class="dx-title">Runs</h2>')
    summaries = whole_runs(runs)
    if not summaries:
        st.info(phrasing.markdown(run_phrasing.no_whole_runs(runs)))
        return
    st.html(_runs_table(summaries))
    readable = [summary.id for summary in summaries if summary.fault is None]
    if len(readable) > 1:
        _offer_comparison(runs, readable)


def _runs_table(summaries: Sequence[RunSummary]) -> str:
    head = "".join(f"<th>{label}</th>" for label in ("Run", "Finished (UTC)", "Release", "Seed"))
    head += "".join(f"<th>{label}</th>" for label in run_phrasing.RUN_FIGURES)
    rows = "".join(_run_row(summary) for summary in summaries)
    return (
        f'<div class="dx-scroll"><table class="dx-table">{head}{rows}</table></div>'
        f'<p class="dx-quiet">{run_phrasing.RUN_FIGURES_NOTE}</p>'
    )


def _run_row(summary: RunSummary) -> str:
    name = phrasing.html(summary.id)
    if summary.fault is not None:
        return f'<tr><td>{name}</td><td colspan="6" class="dx-flag">{phrasing.html(summary.fault)}</td></tr>'
    link = f'<a href="{phrasing.html(report_url(summary.id))}" target="_blank" rel="noopener">{name}</a>'
    finished = phrasing.html(summary.finished[:16].replace("T", " "))
    release = phrasing.html(summary.release or run_phrasing.OWN_MASKS)
    figures = (summary.plain, summary.whitened, summary.axes)
    cells = "".join(f"<td>{phrasing.html(phrasing.estimate(figure))}</td>" for figure in figures)
    return (
        f"<tr><td>{link if summary.has_report else name}</td><td>{finished}</td><td>{release}</td>"
        f'<td class="dx-number">{summary.seed}</td>{cells}</tr>'
    )


def _offer_comparison(runs: Path, readable: Sequence[str]) -> None:
    with st.expander("Compare runs", expanded=bool(st.session_state.get("compared"))):
        run_ids = st.multiselect(
            "Runs; the others are compared with the first",
            readable,
            max_selections=MOST_COMPARED,
            key="compared",
        )
        if st.button("Compare", disabled=len(run_ids) < 2):
            _compare(runs, run_ids)
        name = comparison_name(run_ids)
        if len(run_ids) > 1 and comparison_file(runs, name).is_file():
            st.html(
                f'<a href="{comparison_url(name)}" target="_blank" rel="noopener">{run_phrasing.OPEN_COMPARISON}</a>'
            )


def _compare(runs: Path, run_ids: Sequence[str]) -> None:
    """Write the comparison beside the runs; its figures come from files, so no network is loaded."""
    from pipeline.comparison.runs import compare_runs
    from pipeline.report.pages.comparison import write_comparison

    with st.spinner(run_phrasing.COMPARING):
        write_comparison(
            compare_runs([runs / run_id for run_id in run_ids]), comparison_file(runs, comparison_name(run_ids))
        )
