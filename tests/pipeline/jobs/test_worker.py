"""A worker: what it makes of a job, what it survives, and when it lets go."""

import logging
import os
import signal
import threading
import time
from contextlib import closing
from itertools import pairwise

import pytest

from concepts.errors import StoreError
from pipeline.config import dump_settings, parse_overrides
from pipeline.jobs import desk, worker
from pipeline.jobs.files import OUTPUT_BYTES, OUTPUT_LINES, JobFiles
from pipeline.jobs.job import JobState
from pipeline.jobs.ledger import LEASE_SECONDS, Ledger, open_ledger
from pipeline.jobs.worker import Worker, ended_by_signals, finished_run
from pipeline.run.folder import PARTIAL, RunFolder

FINISHES = "import json, sys; json.dump({'run': 'tiny-1'}, open(sys.argv[1], 'w')); print('all went well')"
SLEEPS = (
    # Whoever runs the tests in the background of a shell lets children ignore Ctrl-C.
    "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "print('asleep', flush=True); time.sleep(60)"
)
COMPLAINS = "import sys; sys.exit(print('noise\\ndermaxis: no such folder; give another', file=sys.stderr) or 2)"
SETTINGS = parse_overrides(["name=tiny", "seed=3"])


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not (answer := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return answer


def wait_for_state(ledger, job: str, state: JobState):
    return wait_for(lambda: ledger.read(job).state is state and ledger.read(job))


def make_run(ledger, name: str, settings=SETTINGS) -> RunFolder:
    run = RunFolder(ledger.runs / name)
    run.path.mkdir(parents=True)
    run.write_text("settings.yaml", dump_settings(settings.model_copy(update={"runs": ledger.runs})))
    return run


def die(ledger, silence) -> None:
    """Begin the next job as a worker that dies at once."""
    assert ledger.claim("dead-1")
    silence(ledger, LEASE_SECONDS + 1)


@pytest.fixture
def at_work():
    """Start workers in threads; all end with the test."""
    hired = []

    def start(hand: Worker) -> threading.Thread:
        thread = threading.Thread(target=hand.work)
        thread.start()
        hired.append((hand, thread))
        return thread

    yield start
    for hand, thread in hired:
        hand.ending.set()
        thread.join(timeout=20)
        assert not thread.is_alive()


def test_a_job_is_done(ledger, submit, children):
    started, lines = children(FINISHES), []
    job = submit(ledger)
    hand = Worker(ledger, tell=lines.append)
    assert hand.do_next()
    after = ledger.read(job.id)
    assert (after.state, after.run, after.attempts, after.reason) == (JobState.FINISHED, "tiny-1", 1, None)
    assert after.worker == hand.name
    assert lines == [f"{job.id}: begins (attempt 1), for res", f"{job.id}: done"]
    assert started == [False]
    assert not hand.do_next()


def test_what_a_run_wrote_last_is_in_the_database(ledger, submit, children):
    children(FINISHES)
    job = submit(ledger)
    Worker(ledger).do_next()
    assert ledger.last_output(job.id) == "all went well"
    assert ledger.progress(job.id).run == "tiny-1"


def test_a_run_reads_the_settings_of_its_job(ledger, submit, children):
    children("import sys; print(open(sys.argv[2]).read())")
    job = submit(ledger)
    Worker(ledger).do_next()
    assert ledger.files(job.id).log.read_text().strip() == dump_settings(ledger.settings(job.id)).strip()


def test_a_failure_says_why_in_one_line_and_can_be_resumed(ledger, submit, children):
    children(COMPLAINS)
    job, lines = submit(ledger), []
    Worker(ledger, tell=lines.append).do_next()
    failed = ledger.read(job.id)
    assert (failed.state, failed.reason) == (JobState.FAILED, "no such folder; give another")
    assert lines[-1] == f"{job.id}: failed: no such folder; give another"
    children(FINISHES)
    desk.resume(ledger, job.id)
    Worker(ledger).do_next()
    assert ledger.read(job.id).state is JobState.FINISHED
    assert "dermaxis: no such folder" in ledger.files(job.id).log.read_text()


def test_a_run_that_is_killed_takes_no_worker_down(ledger, submit, children):
    children("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    job = submit(ledger)
    Worker(ledger).do_next()
    assert "SIGKILL" in ledger.read(job.id).reason


@pytest.mark.parametrize("fault", ["settings", "folder"])
def test_a_job_that_cannot_be_started_fails_with_its_reason(ledger, submit, children, fault):
    started = children(FINISHES)
    job = submit(ledger)
    if fault == "settings":
        with ledger.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE job SET settings = 'sead: 1'")
    else:
        ledger.files(job.id).folder.write_text("a file where a folder should be")
    Worker(ledger).do_next()
    failed = ledger.read(job.id)
    assert failed.state is JobState.FAILED
    assert ("sead" if fault == "settings" else "File exists") in failed.reason
    assert started == []


def test_a_running_job_is_stopped_from_elsewhere(ledger, submit, children, at_work):
    children(SLEEPS)
    job = submit(ledger)
    at_work(Worker(ledger))
    wait_for(lambda: ledger.last_output(job.id) == "asleep")
    assert desk.stop(ledger, job.id).stop_asked
    after = wait_for_state(ledger, job.id, JobState.STOPPED)
    assert (after.stop_asked, after.attempts) == (False, 1)


def test_a_worker_that_ends_leaves_its_job_to_the_next(ledger, submit, children, at_work):
    children(SLEEPS)
    job, hand = submit(ledger), Worker(ledger)
    thread = at_work(hand)
    wait_for(lambda: ledger.last_output(job.id))
    assert ledger.workers() == [hand.name]
    hand.ending.set()
    thread.join(timeout=20)
    assert ledger.workers() == []
    after = ledger.read(job.id)
    assert (after.state, after.deaths) == (JobState.QUEUED, 0)


def test_a_worker_that_lost_its_job_stops_the_run_and_leaves_the_record_alone(ledger, submit, children, at_work):
    children(SLEEPS)
    job = submit(ledger)
    at_work(Worker(ledger))
    wait_for(lambda: ledger.last_output(job.id))
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE job SET worker = 'next-1'")
    log = ledger.files(job.id).log
    wait_for(lambda: "KeyboardInterrupt" in log.read_text())
    after = ledger.read(job.id)
    assert (after.state, after.worker) == (JobState.RUNNING, "next-1")


def test_a_takeover_resumes_from_the_checkpoint(ledger, submit, children, silence):
    started = children(FINISHES)
    job = submit(ledger)
    die(ledger, silence)
    make_run(ledger, f"tiny-1{PARTIAL}")
    Worker(ledger).do_next()
    after = ledger.read(job.id)
    assert (after.state, after.attempts, after.deaths) == (JobState.FINISHED, 2, 1)
    assert started == [True]


def test_a_takeover_without_a_checkpoint_starts_afresh(ledger, submit, children, silence):
    started = children(FINISHES)
    submit(ledger)
    die(ledger, silence)
    make_run(ledger, f"other-1{PARTIAL}", SETTINGS.model_copy(update={"seed": 4}))
    Worker(ledger).do_next()
    assert started == [False]


def test_a_first_attempt_resumes_nothing(ledger, submit, children):
    started = children(FINISHES)
    make_run(ledger, f"tiny-1{PARTIAL}")
    submit(ledger)
    Worker(ledger).do_next()
    assert started == [False]


def test_a_takeover_waits_until_the_orphan_released_the_run(ledger, submit, children, silence, at_work):
    started = children(FINISHES)
    job = submit(ledger)
    die(ledger, silence)
    run = make_run(ledger, f"tiny-1{PARTIAL}")
    with run.lock():
        at_work(Worker(ledger))
        wait_for_state(ledger, job.id, JobState.RUNNING)
        time.sleep(0.1)
        assert started == []
    wait_for_state(ledger, job.id, JobState.FINISHED)
    assert started == [True]


def test_a_run_that_was_finished_before_its_record_is_not_done_twice(ledger, submit, children, silence):
    started = children(FINISHES)
    job = submit(ledger)
    die(ledger, silence)
    ledger.files(job.id).prepare(ledger.settings(job.id))
    make_run(ledger, "tiny-20260101-120000")
    Worker(ledger).do_next()
    after = ledger.read(job.id)
    assert (after.state, after.run, after.deaths) == (JobState.FINISHED, "tiny-20260101-120000", 1)
    assert started == []


def test_only_a_younger_whole_run_of_the_same_settings_is_the_jobs_own(ledger, tmp_path):
    files = JobFiles(tmp_path / "job")
    settings = SETTINGS.model_copy(update={"runs": ledger.runs})
    older = make_run(ledger, "older")
    files.prepare(settings)
    born = files.settings.stat().st_mtime_ns

    def date(run: RunFolder, nanoseconds: int) -> None:
        os.utime(run.file("settings.yaml"), ns=(born + nanoseconds,) * 2)

    date(older, -1)
    date(make_run(ledger, f"partial{PARTIAL}"), 1)
    date(make_run(ledger, "other", SETTINGS.model_copy(update={"seed": 4})), 2)
    broken = make_run(ledger, "broken")
    broken.write_text("settings.yaml", "sead: 1")
    date(broken, 3)
    assert finished_run(settings, files) is None
    date(make_run(ledger, "again"), 5)
    date(make_run(ledger, "first"), 4)
    assert finished_run(settings, files) == "first"
    date(older, 0)
    assert finished_run(settings, files) == "older"


def test_settings_are_written_by_the_first_attempt_alone(tmp_path):
    files = JobFiles(tmp_path / "job")
    files.prepare(SETTINGS)
    files.prepare(SETTINGS.model_copy(update={"seed": 4}))
    assert files.settings.read_text() == dump_settings(SETTINGS)


def test_the_last_lines_of_a_log_are_short_whatever_it_holds(tmp_path):
    files = JobFiles(tmp_path)
    assert files.last_output() == ""
    assert files.progress_text() is None
    files.log.write_bytes(b"".join(b"line %d\n" % number for number in range(100)))
    assert files.last_output().splitlines() == [f"line {number}" for number in range(100 - OUTPUT_LINES, 100)]
    files.log.write_bytes(b"\xff" + b"x" * 2 * OUTPUT_BYTES)
    assert files.last_output() == "x" * OUTPUT_BYTES


class Flaky:
    """A ledger whose database is away for some calls of one act."""

    def __init__(self, ledger: Ledger, act: str, times: int) -> None:
        self.ledger, self.act, self.times = ledger, act, times

    def __getattr__(self, name: str):
        if name == self.act and self.times > 0:
            self.times -= 1
            raise StoreError("the database refused: gone away")
        return getattr(self.ledger, name)


@pytest.mark.parametrize("act", ["claim", "report", "change"])
def test_a_worker_outlives_a_database_that_goes_away_and_says_so_once(ledger, submit, children, at_work, act):
    children(FINISHES)
    job, lines = submit(ledger), []
    at_work(Worker(Flaky(ledger, act, 3), tell=lines.append))
    wait_for_state(ledger, job.id, JobState.FINISHED)
    faults = [line for line in lines if "will try again" in line]
    assert faults == ["cannot continue, will try again: the database refused: gone away"]
    assert ledger.read(job.id).attempts == 1


def test_a_worker_that_ends_does_not_insist(ledger, submit, children):
    children(FINISHES)
    job = submit(ledger)
    hand = Worker(Flaky(ledger, "change", 10**6))
    hand.ending.set()
    assert hand.do_next()
    assert ledger.read(job.id).state is JobState.RUNNING, "its lease runs out, and the next finds the run finished"


def test_a_fault_of_ours_can_be_looked_up(ledger, caplog):
    caplog.set_level(logging.DEBUG, logger=worker.__name__)
    hand = Worker(Flaky(ledger, "claim", 1))
    assert hand._try(hand.do_next) is None
    assert "gone away" in caplog.text


def test_a_worker_reports_well_within_its_lease(ledger, submit, monkeypatch):
    job, now, reports = submit(ledger), [0.0], []
    hand = Worker(ledger)
    ledger.claim(hand.name)
    monkeypatch.setattr(worker.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(hand, "_report", lambda *_: reports.append(now[0]) or False)
    watch = hand._watch(job.id, ledger.files(job.id))
    for step in range(100):
        now[0] = step / 2
        assert not watch()
    gaps = {later - earlier for earlier, later in pairwise(reports)}
    assert gaps == {2.0} == {LEASE_SECONDS / 15}


def test_an_idle_worker_waits_between_looks_and_a_busy_one_does_not(ledger, monkeypatch):
    hand, looks, events = Worker(ledger), [True, False, False, True, False], []

    def wait(seconds: float) -> None:
        events.append(seconds)

    def look() -> bool:
        events.append("look")
        if len(looks) == 1:
            hand.ending.set()
        return looks.pop(0)

    monkeypatch.setattr(hand.ending, "wait", wait)
    monkeypatch.setattr(hand, "do_next", look)
    hand.work()
    pause = worker.IDLE_SECONDS
    assert events == ["look", "look", pause, "look", pause, "look", "look", pause]


def test_names_of_workers_differ_within_one_process_and_may_name_files(ledger, monkeypatch):
    monkeypatch.setattr(worker.platform, "node", lambda: "höst/1." + "x" * 99)
    names = {Worker(ledger).name for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith(f"h_st_1_{'x' * 53}-{os.getpid()}-") for name in names)
    monkeypatch.setattr(worker.platform, "node", lambda: "")
    assert Worker(ledger).name.startswith("host-")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_let_a_worker_end_in_good_order(ledger, number):
    before = signal.getsignal(number)
    hand = Worker(ledger)
    with ended_by_signals(hand):
        assert not hand.ending.is_set()
        signal.raise_signal(number)
        assert hand.ending.is_set()
    assert signal.getsignal(number) is before


def test_jobs_wait_for_a_worker_that_comes_later(tmp_path, submit, children):
    children(FINISHES)
    with closing(open_ledger(tmp_path / "runs")) as desk_ledger:
        job = submit(desk_ledger)
    with closing(open_ledger(tmp_path / "runs")) as ledger:
        Worker(ledger).do_next()
        assert ledger.read(job.id).state is JobState.FINISHED


@pytest.mark.slow
def test_a_screen_that_asks_for_jobs_loads_no_network():
    import subprocess
    import sys

    code = (
        "import sys, pipeline.jobs.desk, pipeline.jobs.worker; "
        "print(sorted({'torch', 'monai', 'ignite', 'sklearn', 'matplotlib'} & sys.modules.keys()))"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stdout.strip() == "[]"
