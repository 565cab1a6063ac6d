"""Progress of long work, shown or not: the work itself never asks which."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[[int], None]


class Tracker(Protocol):
    """Something that can show how far long work has come."""

    def stage(self, name: str) -> None:
        """Show that a stage of a run begins."""

    def task(self, title: str, total: int) -> AbstractContextManager[Advance]:
        """Open a context whose function, called with n, moves the bar by n of ``total`` steps."""

    def say(self, text: str) -> None:
        """Show one line about what happened."""


class Silent:
    """A tracker that shows nothing: for tests, and for every process but the first."""

    def stage(self, name: str) -> None:
        """Show no stage."""

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        """Accept progress and show none."""
        yield lambda steps: None

    def say(self, text: str) -> None:
        """Say nothing."""


class Bars:
    """Progress bars with time left on a terminal; one line a task where the output is a file."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)

    def stage(self, name: str) -> None:
        """Print which stage begins."""
        self.say(f"stage: {name}")

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        """Show a bar with the time left while the context is open."""
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
