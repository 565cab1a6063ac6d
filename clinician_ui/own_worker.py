"""A worker that lives and ends with the tool, for one machine (``dermaxis ui --worker``)."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ENDING_SECONDS = 150.0


@contextmanager
def own_worker(runs: Path, store: str) -> Iterator[None]:
    """Within it a worker does the jobs of a folder of runs; at its end it puts its job back and goes.

    Args:
        runs: The folder.
        store: Address of the concept store, from which its runs read releases.
    """
    command = [sys.executable, "-m", "pipeline", "worker", "--runs", str(runs)]
    environment = {**os.environ, "DERMAXIS_STORE": store}
    # In a session of its own: Ctrl-C at the terminal ends the tool, and the tool ends the worker.
    worker = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        worker.terminate()
        try:
            worker.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
