"""A worker: takes one job after the other from the queue, and takes over those whose worker died."""

import logging
import os
import platform
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from concepts.errors import RunError
from pipeline.jobs.job import Job, State
from pipeline.jobs.ledger import Ledger
from pipeline.jobs.queue import Queue
from pipeline.jobs.supervise import GRACE_SECONDS, Ending, command, supervise
from pipeline.run.folder import RunFolder, find_unfinished

LOGGER = logging.getLogger(__name__)
IDLE_SECONDS = 0.5
MOST_DEATHS = 3
"""Workers that may die on one job before it counts as failed; it may be what kills them."""
Say = Callable[[str], None]


class Worker:
    """One worker, with a name of its own.

    Args:
        ledger: Whose jobs it does.
        queue: Where it hears of them.
        say: Where it tells what it does.
    """

    def __init__(self, ledger: Ledger, queue: Queue, *, say: Say = lambda line: None) -> None:
        self.ledger, self.queue, self.say = ledger, queue, say
        self.name = f"{re.sub(r'[^A-Za-z0-9_-]', '_', platform.node())[:60] or 'host'}-{os.getpid()}"
        self.ending = threading.Event()
        self._fault = ""

    def work(self) -> None:
        """Work until `ending` is set; a job in hand then goes back into the queue, to go on from its checkpoint."""
        swept = float("-inf")
        try:
            while not self.ending.is_set():
                self.ledger.beat(self.name)
                if time.monotonic() - swept >= self.ledger.lease / 3:
                    self._try(lambda: recover(self.ledger, self.queue))
                    swept = time.monotonic()
                if not self._try(lambda: self.queue.take(self.do)):
                    self.ending.wait(IDLE_SECONDS)
        finally:
            self.ledger.leave(self.name)

    def do(self, identifier: str) -> None:
        """Do a job, unless another worker has it or it is not wanted any more."""
        job = self.ledger.change(identifier, self._begun)
        if job is None:
            return
        self.say(f"{job.id}: begins (attempt {job.attempts}), for {job.by}")
        ending = self._run(job)
        over = self.ledger.change(identifier, lambda now: self._over(now, ending))
        if over is not None:
            self.say(f"{job.id}: {over.state}{f': {over.reason}' if over.reason else ''}")
            if over.state is State.QUEUED:
                self.queue.put(over.id)

    def _try(self, act: Callable[[], bool | None]) -> bool | None:
        """Do something; a database that went away or a damaged file is told, and tried again later."""
        try:
            return act()
        except Exception as error:
            LOGGER.debug("tried in vain", exc_info=True)
            fault = " ".join(str(error).split()) or type(error).__name__
            if fault != self._fault:
                self.say(f"cannot go on, tries again: {fault}")
            self._fault = fault
            return None

    def _begun(self, job: Job) -> Job | None:
        if job.state is not State.QUEUED:
            return None
        # The heartbeat comes first, or a sweep in between would take the job for abandoned.
        self.ledger.beat(self.name, job.id)
        return job.now(State.RUNNING, worker=self.name, attempts=job.attempts + 1, stop_asked=False, reason=None)

    def _run(self, job: Job) -> Ending:
        unfinished = _unfinished(self.ledger, job.id) if job.attempts > 1 else None
        if unfinished is not None:
            self._await_release(unfinished, job.id)
        words = command(
            self.ledger.settings_file(job.id), self.ledger.progress_file(job.id), resume=unfinished is not None
        )
        return supervise(words, self.ledger.log_file(job.id), tick=lambda: self._tick(job.id))

    def _tick(self, job: str) -> bool:
        self.ledger.beat(self.name, job)
        return self.ending.is_set() or self.ledger.read(job).stop_asked

    def _await_release(self, run: RunFolder, job: str) -> None:
        """Wait until the orphan of a dead worker has let go of the run."""
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and not self._tick(job):
            try:
                with run.lock():
                    return
            except RunError:
                self.ending.wait(IDLE_SECONDS)

    def _over(self, job: Job, ending: Ending) -> Job | None:
        if job.state is not State.RUNNING or job.worker != self.name:
            return None
        if ending.code == 0:
            progress = self.ledger.progress(job.id)
            return job.now(State.DONE, stop_asked=False, run=progress.run if progress else None)
        if job.stop_asked:
            return job.now(State.STOPPED, stop_asked=False)
        if ending.was_stopped:
            return job.now(State.QUEUED, stop_asked=False)
        return job.now(State.FAILED, stop_asked=False, reason=ending.reason)


def recover(ledger: Ledger, queue: Queue) -> None:
    """Put back the jobs whose worker died, and let workers know again of those whose message was lost."""
    for job in ledger.jobs():
        if ledger.is_abandoned(job):
            ledger.change(job.id, lambda now: _put_back(now) if ledger.is_abandoned(now) else None)
    waiting = set(queue.waiting())
    for job in ledger.jobs():
        if job.state is State.QUEUED and job.id not in waiting:
            queue.put(job.id)


@contextmanager
def ended_by_signals(worker: Worker) -> Iterator[None]:
    """Within it, Ctrl-C and SIGTERM let a worker finish in good order instead of ending the process."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        worker.ending.set()

    before = {one: signal.signal(one, end) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _put_back(job: Job) -> Job:
    if job.stop_asked:
        return job.now(State.STOPPED, stop_asked=False)
    if job.deaths + 1 >= MOST_DEATHS:
        reason = f"{MOST_DEATHS} workers died on it; look at its log, then resume it"
        return job.now(State.FAILED, deaths=job.deaths + 1, reason=reason)
    return job.now(State.QUEUED, deaths=job.deaths + 1)


def _unfinished(ledger: Ledger, job: str) -> RunFolder | None:
    try:
        return find_unfinished(ledger.settings(job))
    except RunError:
        return None
