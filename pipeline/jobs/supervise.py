"""One run as a child process: started, watched, stopped by Ctrl-C; its crash takes nobody else down."""

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from concepts.addresses import blanked
from concepts.errors import RunError

POLL_SECONDS = 0.5
GRACE_SECONDS = 120.0
"""How long a run may take to end after Ctrl-C before it is killed; its checkpoints are whole at any moment."""
REASON_LIMIT = 400
REASON_BYTES = 65_536
"""How much of the log's end is searched for the reason."""
GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the operator lets a run take.

    Attributes:
        hours: Until it is stopped; None: as long as it takes. A run that is resumed has them anew.
        memory: GiB for the data of each of its processes (Linux); None: what the machine has.
    """

    hours: float | None = None
    memory: float | None = None

    def apply(self, process: int) -> None:
        """Limit the memory of a process that was just started, and of all that it will start.

        Raises:
            RunError: If the system cannot.
        """
        if self.memory is None:
            return
        if not hasattr(resource, "prlimit"):
            raise RunError("this system cannot limit a run's memory; start the worker without --job-memory")
        limit = int(self.memory * GIB)
        resource.prlimit(process, resource.RLIMIT_DATA, (limit, limit))

    def reason(self, reason: str, *, is_late: bool) -> str:
        """Return why a run failed, where a limit may be why."""
        if is_late:
            return f"the run took longer than {self.hours:g} hours, the limit of this worker (--job-hours)"
        if self.memory is not None and "memory" in reason.lower():
            return f"{reason}; each process of a run may take {self.memory:g} GiB on this worker (--job-memory)"
        return reason


UNLIMITED = Limits()


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


def supervise(
    words: list[str], log: Path, *, tick: Callable[[], bool], grace: float = GRACE_SECONDS, limits: Limits = UNLIMITED
) -> Ending:
    """Run a command until it ends.

    The child's standard input is a pipe that nobody writes to: when this process dies, however it dies, the pipe closes
    and the child stops itself (``--attended``), so that no orphan holds the run's folder.

    Args:
        words: The command.
        log: Where its output is appended.
        tick: Called every half second; true asks the child to stop.
        grace: Seconds from Ctrl-C to the kill.
        limits: What the command may take; one that takes longer is stopped.
    """
    start, begun = log.stat().st_size if log.exists() else 0, time.monotonic()
    asked: float | None = None
    is_late = False
    with (
        log.open("ab") as output,
        subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as child,
    ):
        try:
            limits.apply(child.pid)
            while child.poll() is None:
                is_late = is_late or (asked is None and _is_over(limits, begun))
                if (tick() or is_late) and asked is None:
                    asked = time.monotonic()
                    child.send_signal(signal.SIGINT)
                if asked is not None and time.monotonic() - asked > grace:
                    child.kill()
                time.sleep(POLL_SECONDS)
        except BaseException:
            child.kill()
            raise
    reason = limits.reason(_reason_in(log, start, child.returncode), is_late=is_late) if child.returncode else None
    return Ending(child.returncode, was_stopped=asked is not None and not is_late, reason=reason)


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
    return blanked((complaints or lines or [f"exit status {code}"])[-1][:REASON_LIMIT])


def _is_over(limits: Limits, begun: float) -> bool:
    return limits.hours is not None and time.monotonic() - begun > limits.hours * 3600


def _reason_in(log: Path, start: int, code: int) -> str:
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - REASON_BYTES))
        return failure_reason(file.read().decode("utf-8", errors="replace"), code)
