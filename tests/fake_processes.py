"""The processes of a distributed run as threads of one process: a sum over them takes microseconds."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, local
from typing import TypeVar

import pytest
import torch
from torch import Tensor, distributed

Result = TypeVar("Result")
PATIENCE = 20.0
"""Seconds after which a thread no longer waits for one that failed."""


class Together:
    """What torch says of the processes, and their sums.

    Args:
        world: Number of processes.
    """

    def __init__(self, world: int) -> None:
        self.world = world
        self._thread = local()
        self._shares: list[Tensor] = [torch.empty(0)] * world
        self._barrier = Barrier(world, timeout=PATIENCE)

    def work(self, task: Callable[[int], Result], rank: int) -> Result:
        """Do a process's task; where it fails, the others stop waiting."""
        self._thread.rank = rank
        try:
            return task(rank)
        except BaseException:
            self._barrier.abort()
            raise

    def all_reduce(self, tensor: Tensor) -> None:
        """Sum in place, as torch does."""
        self._shares[self._thread.rank] = tensor.detach().clone()
        self._barrier.wait()
        total = torch.stack(self._shares).sum(dim=0)
        self._barrier.wait()
        tensor.copy_(total)


def in_processes(task: Callable[[int], Result], world: int = 2) -> list[Result]:
    """Do a task, given the rank, as each of several processes; return what they return, by rank."""
    together = Together(world)
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(world) as pool:
        patch.setattr(distributed, "is_initialized", lambda: True)
        patch.setattr(distributed, "get_world_size", lambda: world)
        patch.setattr(distributed, "all_reduce", together.all_reduce)
        return list(pool.map(lambda rank: together.work(task, rank), range(world)))
