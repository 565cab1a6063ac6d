"""A worker that lives and ends with the tool, for one machine (``dermaxis ui --worker``)."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_worker(runs: Path, store: str) -> Iterator[None]:
    """Within it a worker does the jobs of a folder of runs; at its end it puts its job back and goes.

    Args:
        runs: The folder.
        store: Address of the concept store, from which its runs read releases.
    """
    command = [sys.executable, "-m", "pipeline", "worker", "--runs", str(runs), "--attended"]
    environment = {**os.environ, "DERMAXIS_STORE": store}
    # In a session of its own: Ctrl-C at the terminal ends the tool. However the tool ends, even by a kill, the pipe
    # to the worker closes, and the worker puts its job back and goes.
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True):
        yield
