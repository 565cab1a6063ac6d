"""One run as a child process: started, watched, stopped by Ctrl-C; its crash takes nobody else down."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.5
GRACE_SECONDS = 120.0
"""How long a run may take to end after Ctrl-C before it is killed; its checkpoints are whole at any moment."""
REASON_LIMIT = 400


@dataclass(frozen=True)
class Ending:
    """How a child ended.

    Attributes:
        code: Its exit status.
        was_stopped: Whether it was asked to stop.
        reason: Why it failed, in one line; None where it did not fail.
        run: Identifier of the run that it finished.
    """

    code: int
    was_stopped: bool
    reason: str | None = None
    run: str | None = None


def command(settings: Path, progress: Path, *, resume: bool) -> list[str]:
    """Return the command that does a job: the one that a person would type, with two options for the worker."""
    words = [sys.executable, "-m", "pipeline", "run", str(settings), "--progress", str(progress), "--attended"]
    return [*words, "--resume"] if resume else words


def supervise(words: list[str], log: Path, *, tick: Callable[[], bool], grace: float = GRACE_SECONDS) -> Ending:
    """Run a command until it ends.

    The child's standard input is a pipe that nobody writes to: when this process dies, however it dies, the pipe closes
    and the child stops itself (``--attended``), so that no orphan holds the run's folder.

    Args:
        words: The command.
        log: Where its output is appended.
        tick: Called every half second; true asks the child to stop.
        grace: Seconds from Ctrl-C to the kill.
    """
    start = log.stat().st_size if log.exists() else 0
    asked: float | None = None
    with (
        log.open("ab") as output,
        subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as child,
    ):
        try:
            while child.poll() is None:
                if tick() and asked is None:
                    asked = time.monotonic()
                    child.send_signal(signal.SIGINT)
                if asked is not None and time.monotonic() - asked > grace:
                    child.kill()
                time.sleep(POLL_SECONDS)
        except BaseException:
            child.kill()
            raise
    reason = _reason_in(log, start, child.returncode) if child.returncode else None
    return Ending(child.returncode, was_stopped=asked is not None, reason=reason)


def failure_reason(output: str, code: int) -> str:
    r"""Return why a run failed, in one line: its last line that starts with ``dermaxis:``, else its last line.

    >>> failure_reason("reading images\ndermaxis: no such folder\nbye", 2)
    'no such folder'
    >>> failure_reason("", 3)
    'exit status 3'
    """
    if code < 0:
        return f"the run was killed by {signal.Signals(-code).name}; memory may have run out"
    lines = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    complaints = [line.removeprefix("dermaxis: ") for line in lines if line.startswith("dermaxis: ")]
    return (complaints or lines or [f"exit status {code}"])[-1][:REASON_LIMIT]


def _reason_in(log: Path, start: int, code: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        return failure_reason(file.read().decode("utf-8", errors="replace"), code)
