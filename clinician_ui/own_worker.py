"""A worker that lives and ends with the tool, for one machine (``dermaxis ui --worker``)."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_worker(runs: Path, store: str) -> Iterator[None]:
    """Keep a worker for a folder of runs while the context is open; then it queues its job again and ends.

    Args:
        runs: The folder of runs.
        store: Address of the concept store, from which the runs read releases.
    """
    command = [sys.executable, "-m", "pipeline", "worker", "--runs", str(runs), "--attended"]
    environment = {**os.environ, "DERMAXIS_STORE": store}
    # In a session of its own, so that Ctrl-C at the terminal reaches the tool alone. However the tool ends, even by a
    # kill, the pipe to the worker closes, and the worker queues its job again and ends.
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True):
        yield
