"""The jobs' database: the same laws on SQLite and on PostgreSQL, seen from several machines."""

import re
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from concepts.errors import RunError, SettingsError, StoreError
from pipeline.config import dump_settings, parse_overrides
from pipeline.jobs import desk
from pipeline.jobs import ledger as ledger_module
from pipeline.jobs.job import JobState
from pipeline.jobs.ledger import LEASE_SECONDS, VARIABLE, open_ledger
from pipeline.jobs.supervise import Ending
from pipeline.jobs.tables import FORMAT, JOB, VERSION, DatabaseSeconds
from pipeline.jobs.transitions import MOST_DEATHS, after_ending

SETTINGS = parse_overrides(["name=tiny", "seed=3"])
NEARLY = LEASE_SECONDS - 5


@pytest.fixture
def ledger(machines):
    return machines("runs")


def test_a_submit_that_is_sent_twice_makes_one_job(ledger, submit):
    first, second = submit(ledger), submit(ledger)
    assert first == second
    assert [job.id for job in ledger.jobs()] == [first.id]
    assert (first.name, first.by, first.key, first.state, first.attempts) == ("tiny", "res", "k", JobState.QUEUED, 0)
    with pytest.raises(RunError, match="used for another job"):
        submit(ledger, seed=4)


def test_a_repeated_submit_gives_the_job_also_when_it_is_over(ledger, submit):
    job = submit(ledger)
    ledger.claim("host-1")
    ledger.change(job.id, lambda before: after_ending(before, "host-1", Ending(0, was_stopped=False, run="tiny-1")))
    assert submit(ledger) == ledger.read(job.id)
    assert ledger.read(job.id).run == "tiny-1"
    assert submit(ledger, "another").id != job.id, "what is done may be done again"


def test_the_same_settings_are_not_trained_twice_at_once(ledger, submit):
    job = submit(ledger)
    with pytest.raises(RunError, match=f"{job.id} has the same settings and is queued; wait for it"):
        submit(ledger, "other")
    desk.stop(ledger, job.id)
    with pytest.raises(RunError, match="is stopped; resume it"):
        submit(ledger, "other")
    assert submit(ledger, "other", seed=4).id != job.id


def test_every_machine_puts_the_run_into_its_own_folder(machines, submit):
    here, there = machines("here"), machines("there")
    job = submit(here, runs="anywhere")
    assert here.settings(job.id) == SETTINGS.model_copy(update={"runs": here.runs})
    assert there.settings(job.id).runs == there.runs != here.runs
    with pytest.raises(RunError, match="same settings"):
        submit(there, "other")


def test_jobs_are_begun_in_the_order_in_which_they_came_to_wait(ledger, submit):
    first, second = submit(ledger, "1", seed=1), submit(ledger, "2", seed=2)
    desk.stop(ledger, first.id)
    desk.resume(ledger, first.id)
    assert [ledger.claim("host-1").id for _ in range(2)] == [second.id, first.id]
    assert ledger.claim("host-1") is None
    assert [job.id for job in ledger.jobs()] == [second.id, first.id], "the newest first"


def test_a_claimed_job_runs_under_its_worker(ledger, submit):
    job = submit(ledger)
    claimed = ledger.claim("host-1")
    assert claimed == replace(job, state=JobState.RUNNING, worker="host-1", attempts=1, changed=claimed.changed)
    assert claimed == ledger.read(job.id)


def test_two_workers_never_begin_the_same_job(machines, submit):
    submitting = machines("desk")
    jobs = [submit(submitting, str(seed), seed=seed) for seed in range(12)]
    begun_by: dict[str, list[str]] = {name: [] for name in ("one", "two", "three")}
    start = threading.Barrier(len(begun_by))

    def begin_all(name: str) -> None:
        ledger = machines(name)
        start.wait()
        while job := ledger.claim(name):
            begun_by[name].append(job.id)

    threads = [threading.Thread(target=begin_all, args=(name,)) for name in begun_by]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(job for names in begun_by.values() for job in names) == sorted(job.id for job in jobs)
    assert {job.attempts for job in submitting.jobs()} == {1}


def test_a_double_click_on_two_machines_makes_one_job(machines, submit):
    start, made = threading.Barrier(4), []

    def click(ledger) -> None:
        start.wait()
        made.append(submit(ledger).id)

    threads = [threading.Thread(target=click, args=(machines(f"tool{number}"),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(made) == 4
    assert len(set(made)) == 1


def test_the_job_of_a_dead_worker_goes_to_the_next_when_the_lease_is_over(machines, submit, silence):
    here, there = machines("here"), machines("there")
    job = submit(here)
    here.claim("dead-1")
    silence(here, NEARLY)
    assert there.claim("next-1") is None
    assert not there.read(job.id).is_abandoned
    silence(here, LEASE_SECONDS - NEARLY)
    assert there.read(job.id).is_abandoned
    claimed = there.claim("next-1")
    assert (claimed.id, claimed.worker, claimed.attempts, claimed.deaths) == (job.id, "next-1", 2, 1)
    assert not claimed.is_abandoned


def test_three_deaths_are_a_failure(ledger, submit, silence):
    job = submit(ledger)
    for death in range(MOST_DEATHS):
        assert ledger.claim(f"host-{death}").deaths == death
        silence(ledger, LEASE_SECONDS + 1)
    assert ledger.claim("host-9") is None
    failed = ledger.read(job.id)
    assert (failed.state, failed.deaths) == (JobState.FAILED, MOST_DEATHS)
    assert "workers died" in failed.reason


def test_a_report_keeps_a_job_alive_and_says_what_its_run_wrote(ledger, submit, silence):
    job = submit(ledger)
    assert ledger.progress(job.id) is None
    assert ledger.last_output(job.id) == ""
    ledger.claim("host-1")
    for _ in range(3):
        silence(ledger, NEARLY)
        assert ledger.report("host-1", job.id, progress='{"stage": "plain"}', output="line 1\nli\0ne 2") is False
    assert not ledger.read(job.id).is_abandoned
    assert ledger.workers() == ["host-1"]
    assert ledger.progress(job.id).stage == "plain"
    assert ledger.last_output(job.id) == "line 1\nline 2", "PostgreSQL takes no NUL in a text"


def test_a_report_tells_the_worker_to_stop(ledger, submit):
    job = submit(ledger)
    ledger.claim("host-1")
    assert desk.stop(ledger, job.id).stop_asked
    assert ledger.report("host-1", job.id, progress=None, output="")


def test_a_worker_that_lost_its_job_is_told_and_writes_nothing(ledger, submit, silence):
    job = submit(ledger)
    ledger.claim("late-1")
    silence(ledger, LEASE_SECONDS + 1)
    ledger.claim("next-1")
    assert ledger.report("late-1", job.id, progress='{"stage": "late"}', output="late")
    assert ledger.last_output(job.id) == ""
    assert ledger.progress(job.id) is None


def test_a_stop_reaches_a_job_whose_worker_died(ledger, submit, silence):
    job = submit(ledger)
    ledger.claim("dead-1")
    silence(ledger, LEASE_SECONDS + 1)
    assert desk.stop(ledger, job.id).state is JobState.STOPPED
    assert ledger.claim("next-1") is None


def test_a_waiting_job_is_stopped_and_resumed_as_often_as_people_click(ledger, submit):
    job = submit(ledger)
    for _ in range(2):
        assert desk.stop(ledger, job.id).state is JobState.STOPPED
    assert ledger.claim("host-1") is None
    for _ in range(2):
        assert desk.resume(ledger, job.id).state is JobState.QUEUED
    assert ledger.claim("host-1").id == job.id
    assert ledger.claim("host-2") is None


@pytest.mark.parametrize("code", [0, 2])
def test_what_is_over_cannot_be_stopped_and_what_is_done_cannot_be_resumed(ledger, submit, code):
    job = submit(ledger)
    ledger.claim("host-1")
    ending = Ending(code, was_stopped=False, reason="no folder" if code else None)
    over = ledger.change(job.id, lambda before: after_ending(before, "host-1", ending))
    with pytest.raises(RunError, match=f"this one is {over.state}"):
        desk.stop(ledger, job.id)
    if over.state is JobState.FINISHED:
        with pytest.raises(RunError, match="this one is done"):
            desk.resume(ledger, job.id)


def test_workers_come_and_go(ledger, silence):
    for name in ("b-1", "a-1"):
        ledger.claim(name)
    assert ledger.workers() == ["a-1", "b-1"]
    ledger.leave("b-1")
    assert ledger.workers() == ["a-1"]
    silence(ledger, LEASE_SECONDS + 1)
    assert ledger.workers() == []


def test_a_change_that_is_none_changes_nothing(ledger, submit):
    job = submit(ledger)
    assert ledger.change(job.id, lambda before: None) is None
    assert ledger.read(job.id) == job


def test_an_error_within_a_change_leaves_no_trace(ledger, submit):
    job = submit(ledger)

    def fail(before):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ledger.change(job.id, fail)
    assert ledger.read(job.id) == job


def test_times_are_the_databases_whatever_the_clocks_of_machines_say(machines, submit, monkeypatch):
    here, there = machines("here"), machines("there")

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=1)

    monkeypatch.setattr(ledger_module, "datetime", Tomorrow)
    monkeypatch.setattr("time.time", lambda: 0.0)
    job = submit(there)
    here.claim("host-1")
    assert there.claim("host-2") is None
    assert not there.read(job.id).is_abandoned
    with here.engine.connect() as connection:
        now = datetime.fromtimestamp(connection.scalar(select(DatabaseSeconds())), UTC)
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5), "both run on this machine"
    assert abs(datetime.fromisoformat(job.at) - now) < timedelta(seconds=5)


def test_the_database_counts_parts_of_seconds(ledger):
    with ledger.engine.connect() as connection:
        seconds = {connection.scalar(select(DatabaseSeconds())) % 1 for _ in range(5)}
    assert seconds != {0.0}


def test_a_job_enters_its_state_at_a_time(ledger, submit):
    job = submit(ledger)
    with ledger.engine.begin() as connection:
        connection.execute(update(JOB).values(at=JOB.c.at - 60, changed=JOB.c.changed - 60))
    waiting = ledger.read(job.id)
    assert waiting.at == waiting.changed < job.at
    running = ledger.claim("host-1")
    assert running.at == waiting.at
    assert running.changed > waiting.changed
    assert desk.stop(ledger, job.id).changed == running.changed, "it still runs"


def test_jobs_outlive_whoever_opened_them(address, tmp_path, submit):
    with closing(open_ledger(tmp_path, address)) as first:
        job = submit(first)
    with closing(open_ledger(tmp_path, address)) as later:
        assert later.jobs() == [job]


def test_an_unknown_job_is_named(ledger):
    for act in (ledger.read, ledger.settings, ledger.progress, ledger.last_output):
        with pytest.raises(RunError, match="none-1: no such job in"):
            act("none-1")
    with pytest.raises(RunError, match="cannot name a job"):
        ledger.read("../x")
    with pytest.raises(RunError, match="cannot name a job"):
        ledger.files("../x")


def test_jobs_of_another_format_are_refused(address, tmp_path):
    with closing(open_ledger(tmp_path, address)) as ledger, ledger.engine.begin() as connection:
        connection.execute(update(VERSION).values(number=FORMAT + 1))
    with pytest.raises(StoreError, match=f"format {FORMAT + 1}, this Dermaxis reads format {FORMAT}"):
        open_ledger(tmp_path, address)
    with closing(ledger), ledger.engine.begin() as connection:
        connection.execute(update(VERSION).values(number=FORMAT))


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("redis://localhost:1/0", "cannot be kept in 'redis'; allowed: a file, sqlite:///…, postgresql://…"),
        ("mysql://h/d", "cannot be kept in 'mysql'"),
        ("sqlite://", "one in memory would lose what it holds"),
        ("postgresql://someone:secret@127.0.0.1:1/d", "the database refused"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused_in_one_line(tmp_path, url, fault):
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError) as refused:
        open_ledger(tmp_path, url)
    assert fault in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_jobs_lie_beside_the_runs_by_default(tmp_path):
    with closing(open_ledger(tmp_path / "runs")) as ledger:
        assert (tmp_path / "runs" / ".jobs" / "jobs.sqlite").is_file()
        assert (VARIABLE, ledger.lease) == ("DERMAXIS_QUEUE", 30.0), "as docs/jobs.md says"
        assert ledger.files("tiny-1").log == tmp_path / "runs" / ".jobs" / "tiny-1" / "log.txt"


@pytest.mark.parametrize(("name", "start"), [("../ä b", "b-"), ("", "run-"), ("x" * 99, "x" * 60 + "-"), ("_", "run-")])
def test_a_job_is_called_after_its_experiment_as_far_as_a_folder_may_be(ledger, name, start):
    job = ledger.submit(SETTINGS.model_copy(update={"name": name}), by="res", key="k")
    assert job.id.startswith(start)
    assert ledger.read(job.id).name == name


def test_the_name_of_a_job_says_what_and_when(ledger, submit):
    assert re.fullmatch(r"tiny-\d{8}-\d{6}-[0-9a-f]{4}", submit(ledger).id)


def test_only_what_comes_later_may_be_missing_in_a_row():
    later = {"worker", "reason", "run", "beaten", "progress"}
    assert {column.name for column in JOB.columns if column.nullable} == later


def test_settings_that_this_version_does_not_know_are_named(ledger, submit):
    job = submit(ledger)
    with ledger.engine.begin() as connection:
        connection.execute(update(JOB).values(settings="sead: 1"))
    with pytest.raises(SettingsError, match=f"job {job.id}: .*sead"):
        ledger.settings(job.id)


def test_settings_survive_the_database(ledger, submit):
    settings = parse_overrides(["name='Größe: 1'", "concepts.release=derm@2", "data.phantom.images=12"])
    job = ledger.submit(settings, by="rés", key="'; drop table job")
    assert dump_settings(ledger.settings(job.id)) == dump_settings(settings.model_copy(update={"runs": ledger.runs}))
    assert (job.by, job.key) == ("rés", "'; drop table job")


def test_drafts_are_validated_as_on_the_command_line(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("name: n\n")
    settings = desk.draft(file, ["seed=5"], release="derm@2")
    assert (settings.seed, str(settings.concepts.release)) == (5, "derm@2")
    assert desk.draft(file) == parse_overrides(["name=n"])
    with pytest.raises(SettingsError, match="did you mean 'seed'"):
        desk.draft(file, ["sead=5"])
