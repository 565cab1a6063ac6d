"""Progress as a small JSON file that another process reads while the work goes on."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from pipeline.run.folder import write_atomically
from pipeline.run.progress import Advance, Silent, Tracker

EVERY_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run has come.

    Attributes:
        stages: All its stages, in order.
        stage: The one that it is in; None before the first.
        title: What it does there.
        done: How much of that is done, of ``total`` steps.
        total: 0 where steps are not counted.
        seconds_left: Until that is done, at the pace so far; None where not known yet.
        said: Its last message.
        at: When this was written, ISO 8601 in UTC.
        run: Identifier of the run once it is whole.
    """

    stages: tuple[str, ...] = ()
    stage: str | None = None
    title: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    said: str = ""
    at: str = ""
    run: str | None = None

    @property
    def share(self) -> float:
        """How much of what it does now is done, 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total else 0.0


class ProgressFile:
    """A tracker that writes `Progress`, in one step and at most every half second, and shows it elsewhere too.

    Args:
        path: The file.
        stages: All stages of the run, in order.
        shown: Where progress is shown besides.
        clock: Seconds; for tests.
    """

    def __init__(
        self,
        path: Path,
        stages: Sequence[str] = (),
        *,
        shown: Tracker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path, self.shown, self.clock = path, shown or Silent(), clock
        self._now: dict[str, object] = {"stages": tuple(stages)}
        self._written = float("-inf")
        self._write()

    def stage(self, name: str) -> None:
        """A stage begins."""
        self.shown.stage(name)
        self._now |= {"stage": name, "title": "", "done": 0, "total": 0, "seconds_left": None}
        self._write()

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        """Write how many steps are done while the context is open."""
        start, steps_done = self.clock(), 0
        self._now |= {"title": title, "done": 0, "total": total, "seconds_left": None}
        self._write()
        with self.shown.task(title, total) as advance_shown:

            def advance(steps: int) -> None:
                nonlocal steps_done
                steps_done += steps
                advance_shown(steps)
                pace = (self.clock() - start) / max(steps_done, 1)
                self._now |= {"done": steps_done, "seconds_left": round(pace * max(total - steps_done, 0), 1)}
                if self.clock() - self._written >= EVERY_SECONDS:
                    self._write()

            yield advance
        self._write()

    def say(self, text: str) -> None:
        """Keep the last message."""
        self.shown.say(text)
        self._now["said"] = text
        self._write()

    def finished(self, run: str) -> None:
        """The run is whole."""
        self._now["run"] = run
        self._write()

    def _write(self) -> None:
        self._written = self.clock()
        now = Progress(**self._now, at=datetime.now(UTC).isoformat(timespec="seconds"))  # type: ignore[arg-type]
        write_atomically(self.path, json.dumps(asdict(now), ensure_ascii=False) + "\n")


def read_progress(path: Path) -> Progress | None:
    """What a run wrote last; None where it wrote nothing that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    if not isinstance(content, dict):
        return None
    known = {field.name for field in fields(Progress)}
    kept = {key: entry for key, entry in content.items() if key in known}
    return Progress(**{**kept, "stages": tuple(kept.get("stages", ()))})
