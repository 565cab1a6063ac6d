"""Jobs with real runs on a tiny phantom: done by a worker, stopped, resumed; killed and taken over by the next."""

import signal
import subprocess
import sys
import time
from contextlib import closing

import pytest

from pipeline.config import parse_overrides
from pipeline.jobs import desk
from pipeline.jobs.job import JobState
from pipeline.jobs.ledger import LEASE_SECONDS, open_ledger
from pipeline.retrain import retrain
from pipeline.run.progress import Silent

pytestmark = pytest.mark.slow

TINY = [
    "name=tiny",
    "data.phantom.images=240",
    "data.phantom.size=64",
    "transforms.size=64",
    "transforms.margin=4",
    "model.width=0.25",
    "training.plain_epochs=2",
    "training.whitened_epochs=2",
    "training.batch_size=16",
    "evaluation.resamples=100",
    "explanation.cases=4",
    "threads=1",
]
RESULTS = ("evaluation.json", "explanation.json", "predictions.csv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("jobs")


def tiny(folder, *more):
    return parse_overrides([*TINY, f"data.cache={folder / 'cache'}", *more])


@pytest.fixture(scope="module")
def uninterrupted(folder):
    return retrain(tiny(folder, f"runs={folder / 'alone'}"), tracker=Silent())


@pytest.fixture
def ledger(folder):
    with closing(open_ledger(folder / "runs")) as opened:
        yield opened


@pytest.fixture
def hire(folder):
    """Starts a worker as people do; all are ended."""
    hired = []

    def start():
        command = [sys.executable, "-m", "pipeline", "worker", "--runs", str(folder / "runs")]
        log = (folder / "worker.txt").open("ab")
        hired.append((subprocess.Popen(command, stderr=log, cwd=folder), log))
        return hired[-1][0]

    yield start
    for process, log in hired:
        process.terminate()
        process.wait(timeout=150)
        log.close()


def wait_until(condition, seconds=300.0):
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return answer


def same_results(run, other):
    for name in RESULTS:
        assert (run / name).read_text() == (other / name).read_text(), name


def test_a_worker_that_is_killed_is_replaced_and_the_result_is_the_same(folder, uninterrupted, ledger, hire):
    job = ledger.submit(tiny(folder), by="res", key="killed").id
    first = hire()
    wait_until(lambda: list(ledger.runs.glob("*.partial/plain.state.safetensors")))
    assert ledger.progress(job).stage == "plain"
    first.send_signal(signal.SIGKILL)
    first.wait()
    died = time.monotonic()
    hire()
    wait_until(lambda: ledger.read(job).attempts == 2, LEASE_SECONDS + 60)
    assert time.monotonic() - died >= LEASE_SECONDS - 2
    over = wait_until(lambda: ledger.read(job).state in (JobState.FINISHED, JobState.FAILED) and ledger.read(job))
    assert (over.state, over.deaths, over.reason) == (JobState.FINISHED, 1, None)
    same_results(ledger.runs / over.run, uninterrupted.path)
    assert not list(ledger.runs.glob("*.partial"))
    assert ledger.progress(job).stages[-1] == "report"


def test_stopping_keeps_the_checkpoint_and_resuming_gives_the_same(folder, uninterrupted, ledger, hire):
    job = ledger.submit(tiny(folder, "name=stopped"), by="res", key="stopped").id
    hire()
    wait_until(lambda: list(ledger.runs.glob("stopped-*.partial/plain.state.safetensors")))
    desk.stop(ledger, job)
    wait_until(lambda: ledger.read(job).state is JobState.STOPPED)
    assert list(ledger.runs.glob("stopped-*.partial/plain.state.safetensors"))
    desk.resume(ledger, job)
    over = wait_until(lambda: ledger.read(job).state in (JobState.FINISHED, JobState.FAILED) and ledger.read(job))
    assert (over.state, over.attempts) == (JobState.FINISHED, 2)
    same_results(ledger.runs / over.run, uninterrupted.path)


def test_no_orphan_outlives_whoever_started_it(folder):
    settings = folder / "attended.yaml"
    settings.write_text("name: attended\n")
    command = [sys.executable, "-m", "pipeline", "run", str(settings), *TINY[1:], f"data.cache={folder / 'cache'}"]
    command += [f"runs={folder / 'attended'}", "training.plain_epochs=50", "--attended"]
    deaf = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731  # as in the background of a shell
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=deaf) as child:
        wait_until(lambda: list((folder / "attended").glob("*.partial/plain.state.safetensors")))
        assert child.poll() is None
        child.stdin.close()
        assert child.wait(timeout=60) == 130
    assert next((folder / "attended").glob("*.partial")).is_dir()
