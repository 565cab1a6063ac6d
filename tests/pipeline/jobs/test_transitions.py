"""What happens to a job, event by event: nothing here needs a database, a clock or a process."""

from dataclasses import replace

import pytest

from concepts.errors import RunError
from pipeline.jobs.job import Job, JobState, checked_id
from pipeline.jobs.supervise import Ending
from pipeline.jobs.transitions import MOST_DEATHS, after_death, after_ending, begun, resumed, stopped

QUEUED = Job(id="tiny-1", name="tiny", by="res", at="2026-01-01", key="k", changed="2026-01-01")
RUNNING = replace(QUEUED, state=JobState.RUNNING, worker="host-1", attempts=1)
ABANDONED = replace(RUNNING, is_abandoned=True)
OVER = [replace(QUEUED, state=state) for state in (JobState.STOPPED, JobState.FAILED, JobState.FINISHED)]


def of_state(state: JobState) -> Job:
    return replace(QUEUED, state=state)


def test_only_a_waiting_job_is_begun_and_starts_afresh():
    again = replace(QUEUED, attempts=1, worker="host-0", reason="no such folder", stop_asked=True)
    expected = replace(QUEUED, state=JobState.RUNNING, attempts=2, worker="host-1", reason=None, stop_asked=False)
    assert begun(again, "host-1") == expected
    assert [begun(job, "host-1") for job in (RUNNING, ABANDONED, *OVER)] == [None] * 5


def test_a_waiting_job_stops_at_once_a_running_one_is_asked():
    assert stopped(QUEUED) == of_state(JobState.STOPPED)
    assert stopped(RUNNING) == replace(RUNNING, stop_asked=True)
    assert [stopped(job) for job in OVER] == [None] * 3


def test_a_job_whose_worker_is_gone_stops_at_once():
    assert stopped(replace(ABANDONED, stop_asked=True)) == replace(ABANDONED, state=JobState.STOPPED, stop_asked=False)


@pytest.mark.parametrize("state", [JobState.STOPPED, JobState.FAILED])
def test_a_resumed_job_waits_and_its_deaths_are_forgotten(state):
    job = replace(QUEUED, state=state, deaths=3, reason="killed", attempts=4, stop_asked=True)
    assert resumed(job) == replace(QUEUED, attempts=4)


@pytest.mark.parametrize("job", [QUEUED, RUNNING, of_state(JobState.FINISHED)])
def test_nothing_else_is_resumed(job):
    assert resumed(job) is None


def test_the_third_death_is_the_last():
    job, states = ABANDONED, []
    for _ in range(MOST_DEATHS):
        job = after_death(replace(job, is_abandoned=True))
        states.append((job.state, job.deaths))
    assert states == [(JobState.QUEUED, 1), (JobState.QUEUED, 2), (JobState.FAILED, 3)]
    assert job.reason == "3 workers died on this job; read its log, then resume it"


def test_a_death_after_a_stop_was_asked_stops_the_job():
    after = after_death(replace(ABANDONED, stop_asked=True, deaths=2))
    assert (after.state, after.stop_asked, after.deaths, after.reason) == (JobState.STOPPED, False, 2, None)


def test_a_job_with_a_living_worker_is_left_alone():
    assert after_death(RUNNING) is None


@pytest.mark.parametrize(
    ("ending", "stop_asked", "state"),
    [
        (Ending(0, was_stopped=False, run="tiny-1"), False, JobState.FINISHED),
        (Ending(0, was_stopped=True, run="tiny-1"), True, JobState.FINISHED),
        (Ending(130, was_stopped=True), True, JobState.STOPPED),
        (Ending(2, was_stopped=False, reason="no folder"), True, JobState.STOPPED),
        (Ending(130, was_stopped=True), False, JobState.QUEUED),
        (Ending(2, was_stopped=False, reason="no folder"), False, JobState.FAILED),
        (Ending(-9, was_stopped=False, reason="killed"), False, JobState.FAILED),
    ],
)
def test_what_an_ending_makes_of_a_job(ending, stop_asked, state):
    after = after_ending(replace(RUNNING, stop_asked=stop_asked), "host-1", ending)
    assert (after.state, after.stop_asked) == (state, False)
    assert after.run == (ending.run if state is JobState.FINISHED else None)
    assert after.reason == (ending.reason if state is JobState.FAILED else None)


@pytest.mark.parametrize("job", [QUEUED, replace(RUNNING, worker="host-2"), *OVER])
def test_the_late_word_of_a_worker_that_lost_its_job_changes_nothing(job):
    assert after_ending(job, "host-1", Ending(0, was_stopped=False, run="tiny-1")) is None


def test_a_job_is_active_until_it_failed_or_is_done():
    active = [state for state in JobState if of_state(state).is_active]
    assert active == [JobState.QUEUED, JobState.RUNNING, JobState.STOPPED]


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b", "a..b", "x" * 121, "-x", "ä"])
def test_no_identifier_leads_out_of_the_folder(name):
    with pytest.raises(RunError, match="at most 120 characters"):
        checked_id(name)


@pytest.mark.parametrize("name", ["tiny-20260101-120000-ab12", "x" * 120, "A_b.c-1"])
def test_an_identifier_may_name_a_folder(name):
    assert checked_id(name) == name
