"""How a command stops: at Ctrl-C, or when the program that started it closes its input or dies."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

GRACE = 60.0
"""Seconds after an interrupt until a command that hangs is ended."""
INTERRUPTED = 130
"""Exit status of a command that was interrupted: 128 and the number of the signal, as shells have it."""


@contextmanager
def resumable() -> Iterator[None]:
    """Turn Ctrl-C into one line that says how to resume, and exit status 130."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("dermaxis: stopped; resume the run with the same command and --resume", err=True)
        raise typer.Exit(INTERRUPTED) from None


def interrupt_when_input_closes() -> None:
    """Do as at Ctrl-C once standard input closes; a command that still hangs after `GRACE` seconds is ended."""
    # A program that is started in the background may have inherited that Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    when_input_closes(_interrupt)


def when_input_closes(act: Callable[[], object]) -> None:
    """Call ``act`` once, in a thread of its own, when nobody holds the other end of standard input any more."""
    import threading

    def wait() -> None:
        # Not sys.stdin: the interpreter cannot end while a thread holds the lock of its buffer.
        while os.read(0, 4096):
            pass
        act()

    threading.Thread(target=wait, daemon=True).start()


def _interrupt() -> None:
    from _thread import interrupt_main

    interrupt_main()
    time.sleep(GRACE)
    # Without cleaning up: every file of a run is complete at any moment.
    os._exit(INTERRUPTED)
