"""A job: one retrain-and-report that somebody asked for, and what became of it."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from concepts.errors import RunError

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,119}")


class State(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    """Waits for a worker; also between the death of one and the next."""
    RUNNING = "running"
    STOPPED = "stopped"
    """Somebody stopped it; it goes on from its checkpoint when it is resumed."""
    FAILED = "failed"
    DONE = "done"


ACTIVE = frozenset({State.QUEUED, State.RUNNING, State.STOPPED})
"""States in which a second job with the same settings would do the same work twice."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job as it stands on disk.

    Attributes:
        id: Identifier, also the name of its folder.
        name: Name of the experiment.
        by: Who asked for it.
        at: When it was asked for, ISO 8601 in UTC.
        key: Chosen by the sender, once for each submit: a repeat makes no second job.
        state: Where it is.
        changed: When it came into that state.
        attempts: How often a worker began with it.
        deaths: How many workers died on it.
        worker: Who works on it, or did last.
        stop_asked: Whether somebody asked to stop it and the worker has not done so yet.
        reason: Why it failed, in one line.
        run: Identifier of the whole run.
    """

    id: str
    name: str
    by: str
    at: str
    key: str
    changed: str
    state: State = State.QUEUED
    attempts: int = 0
    deaths: int = 0
    worker: str | None = None
    stop_asked: bool = False
    reason: str | None = None
    run: str | None = None

    @property
    def is_active(self) -> bool:
        """Whether it may still produce its run."""
        return self.state in ACTIVE

    def now(self, state: State, **more: Any) -> Self:  # noqa: ANN401  # fields of several types
        """The same job in another state, from this moment on."""
        return replace(self, state=state, changed=moment(), **more)

    def to_json(self) -> dict[str, Any]:
        """The job as JSON."""
        return asdict(self)


def from_json(content: Any, place: str) -> Job:  # noqa: ANN401  # JSON is whatever the file holds
    """The job that a file holds.

    Raises:
        RunError: If it is not one; ``place`` names the file.
    """
    names = {field.name for field in fields(Job)}
    if not isinstance(content, Mapping) or not names >= content.keys() or content.get("state") not in set(State):
        raise RunError(f"{place}: not a job of this version; move its folder away")
    try:
        return Job(**{**content, "state": State(content["state"])})
    except TypeError as error:
        raise RunError(f"{place}: not a whole job ({error}); move its folder away") from error


def checked_id(text: str) -> str:
    """An identifier that may name a folder.

    Raises:
        RunError: If it may not.
    """
    if not IDENTIFIER.fullmatch(text) or ".." in text:
        raise RunError(f"{text!r:.60} cannot name a job or run: letters, digits, _ . and - may, at most 120")
    return text


def moment() -> str:
    """Now, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
