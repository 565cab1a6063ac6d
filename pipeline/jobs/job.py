"""A job: one retrain-and-report that somebody asked for, and what became of it."""

import re
from dataclasses import dataclass
from enum import StrEnum

from concepts.errors import RunError

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,119}")


class JobState(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    """Waits for a worker; also between the death of one and the next."""
    RUNNING = "running"
    STOPPED = "stopped"
    """Somebody stopped it; it goes on from its checkpoint when it is resumed."""
    FAILED = "failed"
    FINISHED = "done"


ACTIVE = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.STOPPED})
"""States in which a second job with the same settings would do the same work twice."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job as it stood in the database when it was read.

    Attributes:
        id: Identifier, also the name of the folder with its log.
        name: Name of the experiment.
        by: Who asked for it.
        at: When it was asked for, ISO 8601 in UTC, by the database's clock.
        key: Chosen by the sender, once for each submit: a repeat makes no second job.
        changed: When it came into its state, by the same clock.
        state: Where it is.
        attempts: How often a worker began it.
        deaths: How many workers died on it since it was submitted or resumed.
        worker: Who works on it, or worked on it last.
        stop_asked: Whether somebody asked to stop it and the worker has not done so yet.
        reason: Why it failed, in one line.
        run: Identifier of the finished run.
        is_abandoned: Whether it runs by its state, but its worker gave no sign of life for longer than the lease.
    """

    id: str
    name: str
    by: str
    at: str
    key: str
    changed: str
    state: JobState = JobState.QUEUED
    attempts: int = 0
    deaths: int = 0
    worker: str | None = None
    stop_asked: bool = False
    reason: str | None = None
    run: str | None = None
    is_abandoned: bool = False

    @property
    def is_active(self) -> bool:
        """Whether it may still produce its run."""
        return self.state in ACTIVE


def checked_id(text: str) -> str:
    """Return an identifier that may name a folder.

    Raises:
        RunError: If it may not.
    """
    if not IDENTIFIER.fullmatch(text) or ".." in text:
        raise RunError(
            f"{text!r:.60} cannot name a job or a run; allowed: letters, digits, _ . and -, at most 120 characters"
        )
    return text
