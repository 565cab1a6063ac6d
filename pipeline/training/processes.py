"""The processes of a job that ``torchrun`` started: they join, agree on failures, and the first one leads."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
from ignite import distributed as idist
from torch import distributed

from concepts.errors import DermaxisError, RunError

PATIENCE = timedelta(hours=12)
"""How long a process waits for the others: as long as the first may need to read a large cohort."""


@contextmanager
def joined_processes() -> Iterator[None]:
    """Join the processes of a job that ``torchrun`` started, for the time of the context; alone, do nothing.

    When ``torchrun`` stops its processes, because one of them ended or because it was stopped itself, the first
    process is interrupted as by Ctrl-C and the others end silently.

    Raises:
        RunError: If another process ended, on the first process; or if there are more processes on this machine than
            GPUs.
    """
    if not started_with_others():
        yield
        return
    idist.initialize(_backend(), timeout=PATIENCE)
    try:
        with _only_first_interrupted():
            yield
    except RuntimeError as error:
        if not _lost_another(error):
            raise
        if not is_first():
            raise SystemExit(RunError.exit_code) from error
        raise RunError("another process of this job ended; the same command with --resume continues the run") from error
    idist.finalize()


def started_with_others() -> bool:
    """Tell whether ``torchrun`` started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Tell whether this process is the one that writes."""
    return idist.get_rank() == 0


@contextmanager
def agreed() -> Iterator[None]:
    """Hold a context whose work fails on all processes where it fails on one; all leave it together.

    The first process that failed raises its own error, the others end silently with the same status: the user reads
    one line.
    """
    problem: DermaxisError | None = None
    try:
        yield
    except DermaxisError as error:
        problem = error
    failed = _failures(problem)
    if problem is not None and failed.index(1) == idist.get_rank():
        raise problem
    if any(failed):
        raise SystemExit(DermaxisError.exit_code)


def from_first(value: Any) -> Any:  # noqa: ANN401  # whatever JSON can hold
    """Return the first process's value, on every process; others may give None.

    Example:
        >>> from_first({"run": "phantom"})
        {'run': 'phantom'}
    """
    if idist.get_world_size() == 1:
        return value
    # As ASCII, for Ignite counts characters where it should count bytes.
    return json.loads(str(idist.broadcast(json.dumps(value) if is_first() else "", src=0)))


@contextmanager
def _only_first_interrupted() -> Iterator[None]:
    kind, action = (signal.SIGTERM, _interrupt) if is_first() else (signal.SIGINT, signal.SIG_DFL)
    before = signal.signal(kind, action)
    try:
        yield
    finally:
        signal.signal(kind, before)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _failures(problem: DermaxisError | None) -> list[int]:
    mine = int(problem is not None)
    return [mine] if idist.get_world_size() == 1 else list(idist.all_gather(mine))


def _backend() -> str:
    if not torch.cuda.is_available():
        return "gloo"
    here, devices = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if here > devices:
        raise RunError(
            f"{here} processes on a machine with {devices} GPUs; start one for each, or set CUDA_VISIBLE_DEVICES= to "
            "train on the CPU"
        )
    return "nccl"


def _lost_another(error: RuntimeError) -> bool:
    return isinstance(error, distributed.DistError) or "gloo" in str(error)
