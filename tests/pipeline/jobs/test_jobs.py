"""Jobs: kept once, begun once, stopped, failed, taken over; with children that take no time."""

import json
import multiprocessing
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest
from huey.registry import Message

from concepts.errors import RunError, SettingsError
from pipeline.config import parse_overrides
from pipeline.jobs import desk, supervise, worker
from pipeline.jobs.job import Job, State, checked_id, from_json
from pipeline.jobs.ledger import open_ledger
from pipeline.jobs.queue import JsonMessages, open_queue
from pipeline.jobs.supervise import Ending
from pipeline.jobs.worker import MOST_DEATHS, Worker, recover
from pipeline.run.progress_file import ProgressFile, read_progress

SETTINGS = parse_overrides(["name=tiny", "seed=3"])
FINISHES = "import json, sys; json.dump({'run': 'tiny-1'}, open(sys.argv[1], 'w'))"
SLEEPS = "import time; time.sleep(60)"
COMPLAINS = "import sys; sys.exit(print('noise\\ndermaxis: no such folder; give another', file=sys.stderr) or 2)"


@pytest.fixture
def ledger(tmp_path):
    return open_ledger(tmp_path / "runs", lease=0.2)


@pytest.fixture
def queue(ledger):
    with closing(open_queue(None, ledger)) as one:
        yield one


@pytest.fixture
def children(monkeypatch):
    """Lets a worker start a script in place of a run; gives the commands that it started."""
    started = []
    monkeypatch.setattr(supervise, "POLL_SECONDS", 0.02)

    def use(script: str) -> list[bool]:
        def command(settings, progress, *, resume):
            started.append(resume)
            return [sys.executable, "-S", "-c", script, str(progress)]

        monkeypatch.setattr(worker, "command", command)
        return started

    return use


def submit(ledger, queue, key="k", **changes):
    return desk.submit(ledger, queue, SETTINGS.model_copy(update=changes), by="res", key=key)


def test_a_submit_that_is_sent_twice_makes_one_job(ledger, queue):
    first, second = submit(ledger, queue), submit(ledger, queue)
    assert first == second
    assert [job.id for job in ledger.jobs()] == [first.id]
    assert ledger.settings(first.id) == SETTINGS.model_copy(update={"runs": ledger.runs})
    with pytest.raises(RunError, match="used for another job"):
        submit(ledger, queue, seed=4)


def test_the_same_settings_are_not_trained_twice_at_once(ledger, queue):
    job = submit(ledger, queue)
    with pytest.raises(RunError, match=f"{job.id} has the same settings and is queued; wait for it"):
        submit(ledger, queue, key="other")
    desk.stop(ledger, job.id)
    with pytest.raises(RunError, match="is stopped; resume it"):
        submit(ledger, queue, key="other")
    assert submit(ledger, queue, key="other", seed=4).id != job.id


def test_no_pickle_is_ever_in_the_queue(ledger, queue):
    job = submit(ledger, queue)
    with closing(sqlite3.connect(ledger.folder / "queue.sqlite")) as file:
        (message,) = [bytes(data) for (data,) in file.execute("select data from task")]
        assert file.execute("select count(*) from kv").fetchone() == (0,)
    content = json.loads(message)
    assert content["args"] == [job.id]
    assert set(content) == {"id", "name", "args"}


def test_messages_survive_and_a_pickle_is_dropped_unread(ledger, queue, children):
    children(FINISHES)
    sent = Message(id="1", name="n", args=("job",))
    read = JsonMessages().deserialize(JsonMessages().serialize(sent))
    assert (read.id, read.name, read.args) == ("1", "n", ("job",))
    queue.huey.storage.enqueue(b"\x80\x05cos\nsystem\n.", 0)
    begun = []
    assert queue.take(begun.append)
    assert begun == []
    assert not queue.take(begun.append)


def test_a_queue_outlives_the_process_that_filled_it(ledger, queue):
    job = submit(ledger, queue)
    queue.close()
    with closing(open_queue(None, ledger)) as later:
        assert later.waiting() == [job.id]
        begun = []
        later.take(begun.append)
    assert begun == [job.id]


@pytest.mark.parametrize(
    "url", ["mysql://h/d", "sqlite://", "queue.sqlite", "redis://localhost:1/0", "postgresql://:secret@127.0.0.1:1/d"]
)
def test_a_queue_that_cannot_be_used_is_refused_in_one_line(ledger, url):
    with pytest.raises(SettingsError) as refused:
        open_queue(url, ledger)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_job_is_done(ledger, queue, children):
    children(FINISHES)
    job = submit(ledger, queue)
    assert queue.take(Worker(ledger, queue).do)
    done = ledger.read(job.id)
    assert (done.state, done.run, done.attempts, done.reason) == (State.DONE, "tiny-1", 1, None)
    with pytest.raises(RunError, match="this one is done"):
        desk.stop(ledger, job.id)
    with pytest.raises(RunError, match="this one is done"):
        desk.resume(ledger, queue, job.id)


def test_a_failure_says_why_in_one_line_and_can_be_resumed(ledger, queue, children):
    children(COMPLAINS)
    job = submit(ledger, queue)
    queue.take(Worker(ledger, queue).do)
    failed = ledger.read(job.id)
    assert (failed.state, failed.reason) == (State.FAILED, "no such folder; give another")
    children(FINISHES)
    desk.resume(ledger, queue, job.id)
    queue.take(Worker(ledger, queue).do)
    assert ledger.read(job.id).state is State.DONE
    assert "dermaxis: no such folder" in ledger.log_file(job.id).read_text()


def test_a_run_that_is_killed_takes_no_worker_down(ledger, queue, children):
    children("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    job = submit(ledger, queue)
    queue.take(Worker(ledger, queue).do)
    assert "SIGKILL" in ledger.read(job.id).reason


def test_a_job_that_waits_is_stopped_at_once_and_never_begun(ledger, queue, children):
    started = children(FINISHES)
    job = submit(ledger, queue)
    for _ in range(2):
        assert desk.stop(ledger, job.id).state is State.STOPPED
    assert queue.take(Worker(ledger, queue).do)
    assert started == []
    for _ in range(2):
        assert desk.resume(ledger, queue, job.id).state is State.QUEUED
    assert queue.waiting() == [job.id], "a second click asks for nothing more"
    queue.take(Worker(ledger, queue).do)
    assert ledger.read(job.id).state is State.DONE


def test_a_running_job_is_stopped_from_elsewhere(ledger, queue, children):
    children(SLEEPS)
    job = submit(ledger, queue)
    working = threading.Thread(target=queue.take, args=(Worker(ledger, queue).do,))
    working.start()
    wait_for(ledger, job.id, State.RUNNING)
    assert desk.stop(ledger, job.id).stop_asked
    working.join(timeout=20)
    assert ledger.read(job.id).state is State.STOPPED


def test_a_worker_that_goes_home_leaves_its_job_to_the_next(ledger, queue, children):
    children(SLEEPS)
    job, one = submit(ledger, queue), Worker(ledger, queue)
    working = threading.Thread(target=one.work)
    working.start()
    wait_for(ledger, job.id, State.RUNNING)
    assert ledger.workers() == [one.name]
    one.ending.set()
    working.join(timeout=20)
    assert ledger.workers() == []
    assert ledger.read(job.id).state is State.QUEUED
    assert queue.waiting() == [job.id]


def test_a_job_whose_worker_died_is_taken_over_but_not_for_ever(ledger, queue):
    job = submit(ledger, queue)
    for deaths in range(1, MOST_DEATHS + 1):
        while queue.take(lambda identifier: None):
            pass
        dead = Worker(ledger, queue)
        assert ledger.change(job.id, dead._begun).state is State.RUNNING
        recover(ledger, queue)
        assert ledger.read(job.id).state is State.RUNNING, "its lease has not run out"
        time.sleep(0.25)
        recover(ledger, queue)
        recover(ledger, queue)
        assert ledger.read(job.id).deaths == deaths
        assert queue.waiting() == ([job.id] if deaths < MOST_DEATHS else [])
    assert ledger.read(job.id).state is State.FAILED


def test_a_worker_outlives_what_it_cannot_read_and_says_so_once(ledger, queue, children):
    children(FINISHES)
    said = []
    one = Worker(ledger, queue, say=said.append)
    broken = submit(ledger, queue, seed=8)
    job = submit(ledger, queue, key="after")
    file = ledger.folder / broken.id / "job.json"
    whole = file.read_text()
    file.write_text("{")
    working = threading.Thread(target=one.work)
    working.start()
    wait_for(ledger, job.id, State.DONE)
    time.sleep(0.3)
    file.write_text(whole)
    wait_for(ledger, broken.id, State.DONE)
    one.ending.set()
    working.join(timeout=20)
    assert len([line for line in said if "cannot go on" in line and "damaged JSON" in line]) == 1


def test_a_stop_reaches_a_job_whose_worker_died(ledger, queue):
    job = submit(ledger, queue)
    ledger.change(job.id, Worker(ledger, queue)._begun)
    time.sleep(0.25)
    assert desk.stop(ledger, job.id).state is State.STOPPED


def test_a_dead_workers_late_word_changes_nothing(ledger, queue):
    job = submit(ledger, queue)
    late = Worker(ledger, queue)
    ledger.change(job.id, late._begun)
    ledger.change(job.id, lambda now: replace(now, worker="another-1"))
    assert ledger.change(job.id, lambda now: late._over(now, Ending(0, False, None))) is None


def _begin_all(runs, names) -> None:
    ledger = open_ledger(runs)
    with closing(open_queue(None, ledger)) as queue:
        one = Worker(ledger, queue)

        def begin(identifier: str) -> None:
            if ledger.change(identifier, one._begun) is not None:
                with (runs / names).open("a") as file:
                    file.write(f"{identifier}\n")

        while queue.take(begin):
            pass


@pytest.mark.slow
def test_several_workers_never_begin_the_same_job(ledger, queue):
    jobs = [submit(ledger, queue, key=str(seed), seed=seed) for seed in range(12)]
    for job in jobs:
        queue.put(job.id)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_begin_all, args=(ledger.runs, "begun.txt")) for _ in range(3)]
    for one in workers:
        one.start()
    for one in workers:
        one.join(timeout=30)
    assert sorted((ledger.runs / "begun.txt").read_text().split()) == sorted(job.id for job in jobs)


def test_a_child_that_does_not_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(supervise, "POLL_SECONDS", 0.02)
    deaf = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    log = tmp_path / "log.txt"
    heard = lambda: log.exists() and "deaf" in log.read_text()  # noqa: E731
    ending = supervise.supervise([sys.executable, "-S", "-c", deaf], log, tick=heard, grace=0.1)
    assert ending.code == -signal.SIGKILL
    assert ending.was_stopped


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b", "a..b", "x" * 121])
def test_no_identifier_leads_out_of_the_folder(ledger, name):
    with pytest.raises(RunError):
        checked_id(name)
    with pytest.raises(RunError):
        ledger.read(name)


def test_a_job_survives_writing_and_a_damaged_one_is_named(ledger, queue):
    job = submit(ledger, queue)
    assert from_json(job.to_json(), "place") == job
    for content in ([], {"state": "lost"}, {**job.to_json(), "more": 1}, {"state": "queued"}):
        with pytest.raises(RunError, match="place"):
            from_json(content, "place")
    (ledger.folder / job.id / "job.json").write_text("{")
    with pytest.raises(RunError, match=r"job\.json"):
        ledger.jobs()


def test_drafts_are_validated_as_on_the_command_line(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("name: n\n")
    settings = desk.drafted(file, ["seed=5"], release="derm@2", store="/s.sqlite")
    assert (settings.seed, str(settings.concepts.release), settings.concepts.store) == (5, "derm@2", "/s.sqlite")
    with pytest.raises(SettingsError, match="did you mean 'seed'"):
        desk.drafted(file, ["sead=5"])


def test_progress_is_written_at_most_twice_a_second_and_knows_the_time_left(tmp_path):
    now = [0.0]
    file = tmp_path / "progress.json"
    tracker = ProgressFile(file, ["plain", "report"], clock=lambda: now[0])
    tracker.stage("plain")
    with tracker.task("training", 10) as advance:
        now[0] = 2.0
        advance(4)
        shown = read_progress(file)
        assert (shown.stage, shown.title, shown.steps, shown.share, shown.seconds_left) == (
            "plain",
            "training",
            4,
            0.4,
            3.0,
        )
        now[0] = 2.1
        advance(1)
        assert read_progress(file).steps == 4
    assert read_progress(file).steps == 5
    tracker.finished("run-1")
    assert read_progress(file).run == "run-1"
    assert read_progress(tmp_path / "none") is None


def wait_for(ledger, job: str, state: State) -> Job:
    deadline = time.monotonic() + 20
    while (found := ledger.read(job)).state is not state:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


@pytest.mark.slow
def test_a_screen_that_asks_for_jobs_loads_no_network():
    code = (
        "import sys, pipeline.jobs.desk, pipeline.jobs.worker; "
        "print(sorted({'torch', 'monai', 'ignite', 'sklearn'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
