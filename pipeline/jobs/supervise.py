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
        reason: Where it failed, why, in one line.
    """

    code: int
    was_stopped: bool
    reason: str | None


def command(settings: Path, progress: Path, *, resume: bool) -> list[str]:
    """The command that does a job: the same that a person would type, and two options for the worker."""
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
    failed = child.returncode != 0
    return Ending(child.returncode, asked is not None, _reason(log, start, child.returncode) if failed else None)


def _reason(log: Path, start: int, code: int) -> str:
    """The last line that says why; what the command line complains about is marked by its name."""
    with log.open("rb") as file:
        file.seek(start)
        said = file.read().decode("utf-8", errors="replace")
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    complaints = [line.removeprefix("dermaxis: ") for line in lines if line.startswith("dermaxis: ")]
    if code < 0:
        return f"the run was killed by {signal.Signals(-code).name}; memory may have run out"
    return (complaints or lines or [f"exit status {code}"])[-1][:REASON_LIMIT]
