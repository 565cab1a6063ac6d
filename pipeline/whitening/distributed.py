"""Sums over the processes of a distributed run; without one, everything stays as it is."""

from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd import Function


def is_distributed() -> bool:
    """Whether this process trains together with others."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def sum_over_processes(tensor: Tensor) -> Tensor:
    """The sum of a tensor over all processes, differentiable: the gradient, too, is summed over them."""
    return _Sum.apply(tensor) if is_distributed() else tensor


class _Sum(Function):
    @staticmethod
    def forward(_ctx: Any, tensor: Tensor) -> Tensor:  # noqa: ANN401
        total = tensor.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ANN401
        return _Sum.apply(grads[0])
