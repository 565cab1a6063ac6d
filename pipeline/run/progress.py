"""Progress of long work: the work reports it to a tracker and need not know whether anyone sees it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[[int], None]
"""Called with the number of steps that were completed since the last call."""


class Tracker(Protocol):
    """Something that can show how far long work has come."""

    def stage(self, name: str) -> None:
        """Begin a stage of a run."""

    def task(self, title: str, total: int) -> AbstractContextManager[Advance]:
        """Open a task of ``total`` steps; calling the function that the context gives with n completes n of them."""

    def say(self, text: str) -> None:
        """Report in one line what happened."""


class Silent:
    """A tracker that shows nothing: for tests, and for every process but the first."""

    def stage(self, name: str) -> None:
        """Ignore the stage."""

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        """Accept progress and ignore it."""
        yield lambda steps: None

    def say(self, text: str) -> None:
        """Ignore the line."""


class Bars:
    """Progress bars with the time left on a terminal; one line a task where the output is not a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)

    def stage(self, name: str) -> None:
        """Print which stage begins."""
        self.say(f"stage: {name}")

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        """Show a bar while the context is open."""
        if not self.console.is_terminal:
            self.console.print(f"{title} ({total})", markup=False, highlight=False)
            yield lambda steps: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self.console) as bars:
            bar = bars.add_task(title, total=total)
            yield lambda steps: bars.advance(bar, steps)

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, markup=False, highlight=False)
