"""The screen of runs: what it lists, what it lets whom do, and what it says when no worker is alive."""

import asyncio
import json
import os
from contextlib import closing
from dataclasses import asdict

import pytest
from fake_evaluation import made_evaluation
from fake_explanation import made_record
from sqlalchemy import update
from starlette.applications import Starlette
from streamlit.testing.v1 import AppTest

from clinician_ui import run_phrasing, workplace
from clinician_ui.report_files import (
    COMPARISONS,
    comparison_file,
    comparison_name,
    comparison_url,
    report_route,
    report_url,
)
from clinician_ui.screens import run_making
from clinician_ui.sessions import COOKIE, Sessions
from concepts.curation import door
from concepts.curation.judging import judge
from concepts.judgement import Judgement, Verdict
from concepts.statistics.estimate import Estimate
from pipeline.config import dump_settings, parse_overrides
from pipeline.jobs.job import JobState
from pipeline.jobs.ledger import LEASE_SECONDS, VARIABLE, open_ledger
from pipeline.jobs.overview import whole_runs
from pipeline.jobs.supervise import Ending
from pipeline.jobs.tables import JOB
from pipeline.jobs.transitions import after_ending
from pipeline.run.progress_file import RunProgress

CANARY = "<script>document.title='broken'</script>"
FIGURE = Estimate(0.912, 0.881, 0.94, 520)


def make_run(runs, name: str, *, seed: int = 0) -> None:
    folder = runs / name
    folder.mkdir(parents=True)
    evaluation = made_evaluation(plain=FIGURE, whitened=FIGURE)
    (folder / "settings.yaml").write_text(dump_settings(parse_overrides([f"seed={seed}", "concepts.release=derm@1"])))
    record = made_record(seed=seed, finished=f"2026-01-0{seed + 1}T09:30:00+00:00")
    (folder / record.file).write_text(record.to_text())
    (folder / evaluation.file).write_text(evaluation.to_text())
    (folder / "report.html").write_text(f"<h1>Report of {name}</h1>")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    folder, configs = tmp_path / "runs", tmp_path / "configs"
    configs.mkdir()
    (configs / "tiny.yaml").write_text("# A tiny experiment.\n# Command: x\nname: tiny\n")
    monkeypatch.setenv(workplace.RUNS_VARIABLE, str(folder))
    monkeypatch.setenv(run_making.CONFIGS_VARIABLE, str(configs))
    make_run(folder, "first")
    make_run(folder, "second", seed=1)
    return folder


@pytest.fixture
def ledger(runs):
    with closing(open_ledger(runs)) as opened:
        yield opened


def texts(app: AppTest) -> str:
    kinds = (app.markdown, app.info, app.warning, app.success, app.error, app.caption, app.code)
    return " ".join(
        [str(element.value) for kind in kinds for element in kind] + [element.proto.body for element in app.get("html")]
    )


def button(app: AppTest, label: str):
    return next(widget for widget in app.button if widget.label == label)


def order(app: AppTest, **fields: str) -> AppTest:
    for name, value in fields.items():
        next(widget for widget in (*app.selectbox, *app.text_area) if widget.key == f"run_{name}").set_value(value)
    return button(app, "Start").click().run()


def test_runs_are_listed_with_figures_and_lead_to_their_reports(open_page, runs):
    (runs / "third").mkdir()
    (runs / "third" / "settings.yaml").write_text("name: third\n")
    (runs / "going.partial").mkdir()
    text = texts(open_page("runs", "rev"))
    assert text.index("second") < text.index("first"), "the one that was finished last comes first"
    assert "0.91 (0.88 to 0.94), n = 520" in text
    assert "derm@1" in text
    assert 'href="/run-report?run=first"' in text
    assert "run.json is missing" in text
    assert "going" not in text


def test_without_a_worker_the_screen_says_which_command_starts_one(open_page, ledger):
    text = texts(open_page("runs", "res"))
    assert run_phrasing.NO_WORKER in text
    assert f"dermaxis worker --runs {ledger.runs}" in text
    ledger.claim("host-1")
    assert "1 worker running: host-1" in texts(open_page("runs", "res"))


@pytest.fixture
def release(store_and_images) -> str:
    """A frozen release in the store."""
    for reader in ("ann", "ben"):
        judgement = Judgement(reader=reader, image_id="lesion00", concept="streaks", verdict=Verdict.PRESENT)
        judge(store_and_images[0], reader, "derm", judgement, key=reader)
    info = door.freeze(store_and_images[0], "cur", "derm", key="freeze")
    return f"{info.name}@{info.version}"


def test_a_run_is_ordered_once_with_release_and_changes(open_page, store_and_images, ledger, release):
    app = order(open_page("runs", "res"), config="tiny", release=release, changes="seed=7\n\ntraining.plain_epochs=2")
    assert not app.exception
    assert "Submitted: tiny" in texts(app).replace("\\", "")
    (job,) = ledger.jobs()
    settings = ledger.settings(job.id)
    assert (job.state, job.by, settings.seed, settings.training.plain_epochs) == (JobState.QUEUED, "res", 7, 2)
    assert str(settings.concepts.release) == "derm@1"
    assert "store.sqlite" not in dump_settings(settings), "where the store is, the operator says to the worker"
    (event,) = door.read_runs(store_and_images[0], "rev")
    assert (event.actor, event.payload["order"]) == ("res", "start")
    assert ledger.claim("host-1").id == job.id


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ("sead=1", "did you mean 'seed'"),
        ("training.plain_epochs=none", "training.plain_epochs"),
        ("seed", "expected key=value"),
        ("name={", "not YAML"),
        (f"name=[{CANARY}]", "valid string"),
    ],
)
def test_what_is_no_setting_is_refused_in_words(open_page, store_and_images, ledger, changes, fault):
    app = order(open_page("runs", "res"), config="tiny", changes=changes)
    assert fault in app.error[0].value.replace("\\", "")
    assert ledger.jobs() == []
    assert door.read_runs(store_and_images[0], "rev") == []


def test_no_password_of_the_store_reaches_the_screen_the_job_or_the_history(
    open_page, store_and_images, ledger, release, monkeypatch
):
    monkeypatch.setenv(workplace.STORE_VARIABLE, "postgresql://x:hunter2-of-the-store@127.0.0.1:1/x")
    app = order(open_page("runs", "res"), config="tiny", release=release)
    (job,) = ledger.jobs()
    events = door.read_runs(store_and_images[0], "rev")
    assert "hunter2" not in f"{texts(app)} {events} {dump_settings(ledger.settings(job.id))}"
    for changes in ("concepts.store=postgresql://x:hunter2@127.0.0.1:1/x", "data.root=postgresql://x:hunter2@h/x"):
        app = order(open_page("runs", "res"), config="tiny", changes=changes)
        assert app.error
        assert "hunter2" not in texts(app)
    assert len(ledger.jobs()) == 1


def test_a_job_reaches_only_the_folders_that_the_operator_opened(open_page, ledger, tmp_path, monkeypatch):
    app = order(open_page("runs", "res"), config="tiny", changes="data.root=/etc")
    assert "not in a folder that is open to jobs" in app.error[0].value.replace("\\", "")
    assert "/etc" not in app.error[0].value
    monkeypatch.setenv(workplace.ROOTS_VARIABLE, str(tmp_path))
    assert not order(open_page("runs", "res"), config="tiny", changes=f"data.root={tmp_path}/isic").error
    assert ledger.settings(ledger.jobs()[0].id).data.root == tmp_path / "isic"


def test_odd_jobs_and_runs_are_shown_beside_the_others(open_page, ledger, runs):
    odd, good = (ledger.submit(parse_overrides([f"seed={seed}", "name=n"]), by="res", key=str(seed)) for seed in (1, 2))
    ledger.claim("host-1")
    with ledger.engine.begin() as connection:
        connection.execute(update(JOB).where(JOB.c.id == odd.id).values(progress='{"stages": 3, "steps": "many"}'))
    (runs / "first" / "evaluation.json").write_text("[" * 100_000)
    (runs / "second" / "run.json").write_bytes(b"\xff\xfe")
    text = texts(open_page("runs", "rev"))
    assert odd.id in text
    assert good.id in text
    assert "damaged JSON" in text
    assert "not UTF-8" in text
    with ledger.engine.begin() as connection:
        connection.execute(update(JOB).where(JOB.c.id == odd.id).values(state="paused", id="../odd"))
    text = texts(open_page("runs", "rev"))
    assert "cannot be read; another version" in text
    assert good.id in text
    assert "first" in text


def test_stopping_and_resuming_from_the_screen(open_page, store_and_images, ledger):
    order(open_page("runs", "adm"), config="tiny")
    (job,) = ledger.jobs()
    button(open_page("runs", "res"), "Stop").click().run()
    assert ledger.read(job.id).state is JobState.STOPPED
    app = button(open_page("runs", "res"), "Resume").click().run()
    assert not app.error
    assert ledger.read(job.id).state is JobState.QUEUED
    assert [event.payload["order"] for event in door.read_runs(store_and_images[0], "rev")] == [
        "resume",
        "stop",
        "start",
    ]


def test_a_reviewer_reads_and_orders_nothing(open_page, ledger):
    order(open_page("runs", "res"), config="tiny")
    app = open_page("runs", "rev")
    assert "tiny" in texts(app)
    assert not [button.label for button in app.button if button.label in ("Start", "Stop", "Resume")]


def finish(ledger, job: str, **ending: object) -> None:
    ledger.change(job, lambda before: after_ending(before, "host-1", Ending(was_stopped=False, **ending)))


def test_a_running_job_shows_stage_and_time_left_and_a_failed_one_its_reason(open_page, ledger):
    failed, running = (
        ledger.submit(parse_overrides([f"seed={seed}", "name=n"]), by=CANARY, key=str(seed)).id for seed in (1, 2)
    )
    for _ in range(2):
        ledger.claim("host-1")
    ledger.report("host-1", failed, progress=None, output=f"line 98\nline 99 {CANARY}")
    finish(ledger, failed, code=2, reason=f"no folder {CANARY}")
    progress = RunProgress(
        stages=("plain", "whitened"), stage="whitened", title="training", steps=100, total=400, seconds_left=300.0
    )
    ledger.report("host-1", running, progress=json.dumps(asdict(progress)), output="")
    text = texts(open_page("runs", "rev"))
    assert "Stage 2 of 2: whitened; training, 100 of 400; 5 min left of this step" in text
    assert 'aria-valuenow="25"' in text
    assert "no folder &lt;script&gt;" in text
    assert "line 99" in text
    assert "submitted by &lt;script&gt;" in text
    assert "<script>" not in text.replace(f"line 99 {CANARY}", ""), "a code block shows text as it is"


def test_a_job_whose_worker_is_gone_does_not_seem_to_run(open_page, ledger):
    job = ledger.submit(parse_overrides(["name=n"]), by="res", key="k").id
    ledger.claim("host-1")
    assert "its worker is gone" not in texts(open_page("runs", "rev"))
    progress = json.dumps(asdict(RunProgress(stages=("plain",), stage="plain", total=4, seconds_left=300.0)))
    ledger.report("host-1", job, progress=progress, output="")
    with ledger.engine.begin() as connection:
        connection.execute(update(JOB).values(beaten=JOB.c.beaten - LEASE_SECONDS - 1))
    text = texts(open_page("runs", "rev"))
    assert "its worker is gone" in text
    assert "left of this step" not in text


def test_a_done_job_leads_to_the_report_of_its_run(open_page, ledger):
    job = ledger.submit(parse_overrides(["name=n"]), by="res", key="k").id
    ledger.claim("host-1")
    before = texts(open_page("runs", "rev")).count('href="/run-report?run=first"')
    finish(ledger, job, code=0, run="first")
    assert texts(open_page("runs", "rev")).count('href="/run-report?run=first"') == before + 1


def test_runs_are_listed_where_no_job_can_be_kept(open_page, runs, monkeypatch):
    monkeypatch.setenv(VARIABLE, "redis://queue:6379/0")
    app = open_page("runs", "rev")
    assert "cannot be kept in 'redis'; allowed: a file" in app.error[0].value.replace("\\", "")
    assert 'href="/run-report?run=first"' in texts(app)


def ask(app: Starlette, address: str, token: str | None) -> tuple[int, dict[str, str], bytes]:
    path, _, query = address.partition("?")
    sent: list[dict] = []
    headers = [(b"cookie", f"{COOKIE}={token}".encode())] if token else []
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": headers}

    async def receive() -> dict:
        return {"type": "http.request"}

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(app({**scope, "scheme": "http", "root_path": "", "raw_path": path.encode()}, receive, send))
    received = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], received, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture
def served(store_and_images, runs):
    sessions = Sessions()
    return Starlette(routes=[report_route(lambda: store_and_images[0], runs, sessions=sessions)]), sessions


def test_a_report_opens_in_a_sandbox_for_those_who_may_read_runs(served):
    app, sessions = served
    status, headers, body = ask(app, report_url("first"), sessions.open("rev"))
    assert (status, body) == (200, b"<h1>Report of first</h1>")
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("name", [None, "ann", "cur", "nobody"])
def test_a_report_is_shut_to_all_others(served, name):
    app, sessions = served
    assert ask(app, report_url("first"), sessions.open(name) if name else None)[0] == 403


@pytest.mark.parametrize("run", ["../runs/first", "none", "", "first/../first", ".jobs", COMPARISONS])
def test_no_address_leads_to_another_file(served, run):
    app, sessions = served
    assert ask(app, report_url(run), sessions.open("rev"))[0] == 404
    assert ask(app, comparison_url(run), sessions.open("rev"))[0] == 404


def test_a_report_that_is_a_link_or_a_pipe_is_not_sent(served, runs):
    app, sessions = served
    (runs / ".jobs").mkdir(exist_ok=True)
    (runs / ".jobs" / "log.txt").write_text("private")
    report = runs / "first" / "report.html"
    report.unlink()
    report.symlink_to(runs / ".jobs" / "log.txt")
    assert ask(app, report_url("first"), sessions.open("rev"))[0] == 404
    report.unlink()
    os.mkfifo(report)
    assert ask(app, report_url("first"), sessions.open("rev"))[0] == 404


def test_a_comparison_opens_like_a_report(served, runs):
    app, sessions = served
    file = comparison_file(runs, comparison_name(["first", "second"]))
    file.parent.mkdir()
    file.write_text("compared")
    assert ask(app, comparison_url(file.stem), sessions.open("res"))[2] == b"compared"
    assert comparison_name(["second", "first"]) != file.stem


def test_a_run_that_lacks_a_figure_says_which(runs):
    (runs / "first" / "evaluation.json").write_text('{"format": 2, "classes": []}')
    faults = {summary.id: summary.fault for summary in whole_runs(runs)}
    assert "cohort: field required" in faults["first"]
    assert faults["second"] is None
