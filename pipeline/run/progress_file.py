"""Progress as a small JSON file that another process reads while the work goes on."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from concepts.files import write_atomically
from pipeline.run.progress import Advance, Silent, Tracker

EVERY_SECONDS = 0.5
"""Least time between two writings while a task advances."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run has come.

    Attributes:
        stages: All stages of the run, in order.
        stage: The current stage; None before the first.
        title: The current task.
        steps: Completed steps of the task, of ``total``.
        total: Steps of the task; 0 where they are not counted.
        seconds_left: Time left for the task at its pace so far; None where not known yet.
        message: The last message.
        at: When this was written, ISO 8601 in UTC.
        run: Identifier of the run once it is whole.
    """

    stages: tuple[str, ...] = ()
    stage: str | None = None
    title: str = ""
    steps: int = 0
    total: int = 0
    seconds_left: float | None = None
    message: str = ""
    at: str = ""
    run: str | None = None

    @property
    def share(self) -> float:
        """Share of the current task that is completed, 0 to 1."""
        return min(self.steps / self.total, 1.0) if self.total else 0.0


class ProgressFile:
    """A tracker that writes `Progress` in one step, at most every half second, and passes it on to another tracker.

    Args:
        path: The file.
        stages: All stages of the run, in order.
        further: The tracker to pass it on to; default: none.
        clock: Seconds; for tests.
    """

    def __init__(
        self,
        path: Path,
        stages: Sequence[str] = (),
        *,
        further: Tracker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path, self.further, self.clock = path, further or Silent(), clock
        self._now: dict[str, object] = {"stages": tuple(stages)}
        self._written = float("-inf")
        self._write()

    def stage(self, name: str) -> None:
        """Begin a stage."""
        self.further.stage(name)
        self._now |= {"stage": name, "title": "", "steps": 0, "total": 0, "seconds_left": None}
        self._write()

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        """Write how many steps are completed while the context is open."""
        start, completed = self.clock(), 0
        self._now |= {"title": title, "steps": 0, "total": total, "seconds_left": None}
        self._write()
        with self.further.task(title, total) as advance_further:

            def advance(steps: int) -> None:
                nonlocal completed
                completed += steps
                advance_further(steps)
                pace = (self.clock() - start) / max(completed, 1)
                self._now |= {"steps": completed, "seconds_left": round(pace * max(total - completed, 0), 1)}
                if self.clock() - self._written >= EVERY_SECONDS:
                    self._write()

            yield advance
        self._write()

    def say(self, text: str) -> None:
        """Write the last message."""
        self.further.say(text)
        self._now["message"] = text
        self._write()

    def finished(self, run: str) -> None:
        """Write the identifier of the run, which is whole now."""
        self._now["run"] = run
        self._write()

    def _write(self) -> None:
        self._written = self.clock()
        now = Progress(**self._now, at=datetime.now(UTC).isoformat(timespec="seconds"))  # type: ignore[arg-type]
        write_atomically(self.path, json.dumps(asdict(now), ensure_ascii=False) + "\n")


def read_progress(path: Path) -> Progress | None:
    """Read the progress that was written last; None where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    if not isinstance(content, dict):
        return None
    names = {field.name for field in fields(Progress)}
    entries = {key: entry for key, entry in content.items() if key in names}
    return Progress(**{**entries, "stages": tuple(entries.get("stages", ()))})
