"""Jobs on disk, beside the runs: one folder a job, changed under one lock, with heartbeats of those who work."""

import fcntl
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from concepts.errors import RunError
from concepts.files import write_atomically
from pipeline.config import RunSettings, dump_settings, load_settings
from pipeline.jobs.job import Job, State, checked_id, from_json, moment
from pipeline.run.progress_file import Progress, read_progress

FOLDER = ".jobs"
OUTPUT_LINES, OUTPUT_BYTES = 30, 16_384
LEASE_SECONDS = 30.0
"""After so long without a heartbeat a worker counts as dead; clocks of several machines must agree better than that."""


@dataclass(frozen=True)
class Ledger:
    """The jobs whose runs go into one folder.

    Workers on several machines share that folder, under the same path. Every change happens under one lock, so that
    two workers never begin the same job.

    Attributes:
        runs: The folder of the runs, absolute.
        lease: Seconds without a heartbeat after which a worker counts as dead.
    """

    runs: Path
    lease: float = LEASE_SECONDS

    @property
    def folder(self) -> Path:
        """Where the jobs are."""
        return self.runs / FOLDER

    def settings_file(self, job: str) -> Path:
        """The settings of a job; validated before it was queued."""
        return self._of(job) / "settings.yaml"

    def settings(self, job: str) -> RunSettings:
        """The settings of a job."""
        return load_settings(self.settings_file(job))

    def progress_file(self, job: str) -> Path:
        """Where the run says how far it has come."""
        return self._of(job) / "progress.json"

    def progress(self, job: str) -> Progress | None:
        """How far a job has come; None where it never began."""
        return read_progress(self.progress_file(job))

    def log_file(self, job: str) -> Path:
        """What the run said, all attempts one after the other."""
        return self._of(job) / "log.txt"

    def last_output(self, job: str) -> str:
        """The last lines of what the run said; empty where it said nothing."""
        file = self.log_file(job)
        if not file.is_file():
            return ""
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - OUTPUT_BYTES))
            return "\n".join(log.read().decode("utf-8", errors="replace").splitlines()[-OUTPUT_LINES:])

    def read(self, job: str) -> Job:
        """One job.

        Raises:
            RunError: If there is none of that identifier, or its file is damaged.
        """
        file = self._of(job) / "job.json"
        try:
            return from_json(json.loads(file.read_text(encoding="utf-8")), str(file))
        except FileNotFoundError:
            raise RunError(f"{job}: no such job in {self.folder}") from None
        except json.JSONDecodeError as error:
            raise RunError(f"{file}: damaged JSON ({error}); move its folder away") from error

    def jobs(self) -> list[Job]:
        """All jobs, the newest first."""
        found = [self.read(file.parent.name) for file in self.folder.glob("*/job.json")]
        return sorted(found, key=lambda job: (job.at, job.id), reverse=True)

    def create(self, settings: RunSettings, *, by: str, key: str) -> Job:
        """Put a job down, queued; the same key gives the same job.

        Raises:
            RunError: If a job with the same settings is on its way already, or the key was used for other settings.
        """
        with self.lock():
            for job in self.jobs():
                same = (job.key == key or job.is_active) and self.settings(job.id) == settings
                if job.key == key:
                    if not same:
                        raise RunError(f"key {key!r:.60} was used for another job; give each submit a key of its own")
                    return job
                if same:
                    hint = "resume it" if job.state is State.STOPPED else "wait for it"
                    raise RunError(f"job {job.id} has the same settings and is {job.state}; {hint} or change the seed")
            return self._put_down(settings, by=by, key=key)

    def change(self, job: str, changed: Callable[[Job], Job | None]) -> Job | None:
        """Change a job under the lock.

        Args:
            job: Which.
            changed: Gives the new job, or None where it must stay as it is.

        Returns:
            The new job; None where it stayed as it was.
        """
        with self.lock():
            new = changed(self.read(job))
            if new is not None:
                self._write(new)
            return new

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the ledger for this process for a moment; released by the system even when the process is killed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def beat(self, worker: str, job: str | None = None) -> None:
        """Say that a worker lives, and that it works on a job."""
        (self.folder / "workers").mkdir(parents=True, exist_ok=True)
        (self.folder / "workers" / checked_id(worker)).touch()
        if job is not None:
            (self._of(job) / "heartbeat").touch()

    def leave(self, worker: str) -> None:
        """Say that a worker went home."""
        (self.folder / "workers" / checked_id(worker)).unlink(missing_ok=True)

    def workers(self) -> list[str]:
        """The workers that live."""
        return sorted(file.name for file in (self.folder / "workers").glob("*") if self._age(file) <= self.lease)

    def is_abandoned(self, job: Job) -> bool:
        """Whether its worker died."""
        return job.state is State.RUNNING and self._age(self._of(job.id) / "heartbeat") > self.lease

    def _put_down(self, settings: RunSettings, *, by: str, key: str) -> Job:
        now = moment()
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        name = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in settings.name)[:60]
        job = Job(
            id=f"{name or 'run'}-{stamp}-{secrets.token_hex(2)}",
            name=settings.name,
            by=by,
            at=now,
            key=key,
            changed=now,
        )
        self._of(job.id).mkdir(parents=True)
        write_atomically(self.settings_file(job.id), dump_settings(settings))
        self._write(job)
        return job

    def _write(self, job: Job) -> None:
        write_atomically(self._of(job.id) / "job.json", json.dumps(job.to_json(), indent=1, ensure_ascii=False) + "\n")

    def _of(self, job: str) -> Path:
        return self.folder / checked_id(job)

    @staticmethod
    def _age(file: Path) -> float:
        try:
            return time.time() - file.stat().st_mtime
        except FileNotFoundError:
            return float("inf")


def open_ledger(runs: Path, *, lease: float = LEASE_SECONDS) -> Ledger:
    """The ledger of a folder of runs."""
    return Ledger(runs.expanduser().resolve(), lease)
