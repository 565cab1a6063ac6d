"""Progress as a small JSON file that another process reads while the work goes on."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from concepts.files import write_atomically
from pipeline.run.progress import Advance, Silent, Tracker

EVERY_SECONDS = 0.5
LONGEST = 65_536
"""Characters of a progress that is read; a whole one has some 500."""
Steps = Annotated[int, Field(ge=0, le=10**15)]


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """How far a run has come.

    Attributes:
        stages: All its stages, in order.
        stage: The stage that it is in; None before the first.
        title: What it does there.
        steps: How many steps of that it did, of ``total``.
        total: 0 where steps are not counted.
        seconds_left: Until that is done, at the pace so far; None where not known yet.
        message: Its last message.
        run: Identifier of the run once it is whole.
    """

    stages: tuple[str, ...] = ()
    stage: str | None = None
    title: str = ""
    steps: Steps = 0
    total: Steps = 0
    seconds_left: Annotated[float, Field(ge=0, le=1e9)] | None = None
    message: str = ""
    run: str | None = None

    @property
    def share(self) -> float:
        """How much of what it does now is done, 0 to 1.

        >>> RunProgress(steps=3, total=4).share
        0.75
        """
        return min(self.steps / self.total, 1.0) if self.total else 0.0


_PROGRESS = TypeAdapter(RunProgress)


class ProgressFile:
    """A tracker that writes `RunProgress`, in one step and at most every half second, and tells another tracker too.

    Args:
        path: The file.
        stages: All stages of the run, in order.
        display: Where progress is shown besides.
        clock: Seconds; for tests.
    """

    def __init__(
        self,
        path: Path,
        stages: Sequence[str] = (),
        *,
        display: Tracker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path, self.display, self.clock = path, display or Silent(), clock
        self._progress = RunProgress(stages=tuple(stages))
        self._update()

    def stage(self, name: str) -> None:
        """Begin a stage."""
        self.display.stage(name)
        self._update(stage=name, title="", steps=0, total=0, seconds_left=None)

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        """Write how many steps are done while the context is open."""
        start, taken = self.clock(), 0
        self._update(title=title, steps=0, total=total, seconds_left=None)
        with self.display.task(title, total) as advance_display:

            def advance(steps: int) -> None:
                nonlocal taken
                taken += steps
                advance_display(steps)
                pace = (self.clock() - start) / max(taken, 1)
                left = round(pace * max(total - taken, 0), 1)
                self._progress = replace(self._progress, steps=taken, seconds_left=left)
                if self.clock() - self._written >= EVERY_SECONDS:
                    self._update()

            yield advance
        self._update()

    def say(self, text: str) -> None:
        """Keep the last message."""
        self.display.say(text)
        self._update(message=text)

    def finished(self, run: str) -> None:
        """Write that the run is whole."""
        self._update(run=run)

    def _update(self, **changes: object) -> None:
        self._progress, self._written = replace(self._progress, **changes), self.clock()  # type: ignore[arg-type]
        write_atomically(self.path, json.dumps(asdict(self._progress), ensure_ascii=False) + "\n")


def parse_progress(text: str) -> RunProgress | None:
    """Return the progress that a run wrote; None where the text is not one.

    >>> parse_progress('{"stage": "plain", "steps": 2, "total": 8}').share
    0.25
    >>> parse_progress("") is None
    True
    """
    try:
        return _PROGRESS.validate_python(json.loads(text)) if len(text) <= LONGEST else None
    except (ValueError, RecursionError):
        return None
