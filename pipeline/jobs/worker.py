"""A worker: does one waiting job after the other, also those whose worker died."""

import logging
import os
import platform
import re
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TypeVar

from concepts.addresses import blanked
from concepts.errors import DermaxisError, RunError
from pipeline.config import RunSettings
from pipeline.jobs.files import JobFiles
from pipeline.jobs.job import Job
from pipeline.jobs.ledger import Ledger
from pipeline.jobs.supervise import GRACE_SECONDS, UNLIMITED, Ending, Limits, command, supervise
from pipeline.jobs.transitions import after_ending
from pipeline.run.folder import RunFolder, find_unfinished
from pipeline.run.progress_file import parse_progress

LOGGER = logging.getLogger(__name__)
IDLE_SECONDS = 0.5
REPORTS_PER_LEASE = 15
"""How many reports of a worker may get lost before it counts as dead."""
Answer = TypeVar("Answer")
Tell = Callable[[str], None]


class Worker:
    """One worker, with a name of its own.

    Args:
        ledger: Whose jobs it does.
        tell: Called with each line about what it does.
        limits: What a job may take.
    """

    def __init__(self, ledger: Ledger, *, tell: Tell = lambda line: None, limits: Limits = UNLIMITED) -> None:
        self.ledger, self.tell, self.limits = ledger, tell, limits
        host = re.sub(r"[^A-Za-z0-9_-]", "_", platform.node())[:60] or "host"
        # Containers may agree in host and process number.
        self.name = f"{host}-{os.getpid()}-{secrets.token_hex(2)}"
        self.ending = threading.Event()
        self._fault = ""

    def work(self) -> None:
        """Work until `ending` is set; a job in hand is then queued again, to continue from its checkpoint."""
        try:
            while not self.ending.is_set():
                if not self._try(self.do_next):
                    self.ending.wait(IDLE_SECONDS)
        finally:
            self._try(lambda: self.ledger.leave(self.name))

    def do_next(self) -> bool:
        """Do the job that waits longest; return whether there was one."""
        job = self.ledger.claim(self.name)
        if job is None:
            return False
        self.tell(f"{job.id}: begins (attempt {job.attempts}), for {job.by}")
        files = self.ledger.files(job.id)
        try:
            ending = self._run(job, files)
        except (DermaxisError, OSError) as error:
            ending = Ending(2, was_stopped=False, reason=_line(error))
        after = self._insist(lambda: self._record(job.id, files, ending))
        if after is not None:
            self.tell(f"{after.id}: {after.state}{f': {after.reason}' if after.reason else ''}")
        return True

    def _run(self, job: Job, files: JobFiles) -> Ending:
        settings = self.ledger.settings(job.id)
        files.prepare(settings)
        finished = finished_run(settings, files) if job.attempts > 1 else None
        if finished is not None:
            return Ending(0, was_stopped=False, run=finished)
        watch = self._watch(job.id, files)
        unfinished = _unfinished_run(settings) if job.attempts > 1 else None
        if unfinished is not None:
            self._await_release(unfinished, watch)
        words = command(files.settings, files.progress, resume=unfinished is not None)
        ending = supervise(words, files.log, tick=watch, limits=self.limits)
        progress = parse_progress(files.progress_text() or "")
        return replace(ending, run=progress.run if progress else None)

    def _watch(self, job: str, files: JobFiles) -> Callable[[], bool]:
        """Make what is called while a run goes on: it reports now and then, and says whether the run must stop."""
        due, must_stop = float("-inf"), False

        def watch() -> bool:
            nonlocal due, must_stop
            if time.monotonic() >= due:
                due = time.monotonic() + self.ledger.lease / REPORTS_PER_LEASE
                # While the database is away the run goes on: the lock of its folder keeps others out.
                must_stop = bool(self._try(lambda: self._report(job, files)))
            return must_stop or self.ending.is_set()

        return watch

    def _report(self, job: str, files: JobFiles) -> bool:
        return self.ledger.report(self.name, job, progress=files.progress_text(), output=files.last_output())

    def _record(self, job: str, files: JobFiles, ending: Ending) -> Job | None:
        self._report(job, files)
        return self.ledger.change(job, lambda before: after_ending(before, self.name, ending))

    def _await_release(self, run: RunFolder, watch: Callable[[], bool]) -> None:
        """Wait until the orphan of a dead worker has released the run."""
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and not watch():
            try:
                with run.lock():
                    return
            except RunError:
                self.ending.wait(IDLE_SECONDS)

    def _insist(self, act: Callable[[], Answer]) -> Answer | None:
        """Do something, again and again until it succeeds or the worker ends; an ending worker tries once."""
        while (answer := self._try(lambda: (act(),))) is None:
            if self.ending.wait(IDLE_SECONDS):
                return None
        return answer[0]

    def _try(self, act: Callable[[], Answer]) -> Answer | None:
        """Do something; return None, and tell why once, where it fails: a database that went away comes back."""
        try:
            return act()
        except Exception as error:
            LOGGER.debug("tried in vain", exc_info=True)
            fault = _line(error)
            if fault != self._fault:
                self.tell(f"cannot continue, will try again: {fault}")
            self._fault = fault
            return None


@contextmanager
def ended_by_signals(worker: Worker) -> Iterator[None]:
    """Let a worker finish in good order at Ctrl-C and SIGTERM instead of ending the process."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        worker.ending.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def finished_run(settings: RunSettings, files: JobFiles) -> str | None:
    """Return the run that an earlier attempt finished without recording it: its worker died at the last moment.

    It is the first run of the job's settings that is younger than the job's own settings file. Both files lie in one
    file system, so that one clock dates them.
    """
    begun = files.settings.stat().st_mtime_ns
    younger = [
        (file.stat().st_mtime_ns, RunFolder(file.parent))
        for file in settings.runs.glob("*/settings.yaml")
        if file.stat().st_mtime_ns >= begun
    ]
    for _, run in sorted(younger, key=lambda entry: (entry[0], entry[1].id)):
        if run.is_whole and _has_settings(run, settings):
            return run.id
    return None


def _has_settings(run: RunFolder, settings: RunSettings) -> bool:
    try:
        return run.settings() == settings
    except DermaxisError:
        return False


def _unfinished_run(settings: RunSettings) -> RunFolder | None:
    try:
        return find_unfinished(settings)
    except RunError:
        return None


def _line(error: Exception) -> str:
    return blanked(" ".join(str(error).split())) or type(error).__name__
