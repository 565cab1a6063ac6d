"""Sums over the processes of a distributed run; without one, everything stays as it is.

The convention of every gradient here: what is minimised is the sum over processes of their losses. Each loss is that of
the whole batch, so averaging the gradients of parameters over processes (as PyTorch's `DistributedDataParallel` does)
gives the gradient that one process with the whole batch would find.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function


def is_distributed() -> bool:
    """Tell whether this process trains together with others.

    Example:
        >>> is_distributed()
        False
    """
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def sum_over_processes(tensor: Tensor) -> Tensor:
    """Sum a tensor over all processes, differentiably: the gradient, too, is summed over them.

    Example:
        >>> sum_over_processes(torch.tensor([1.0, 2.0])).tolist()
        [1.0, 2.0]
    """
    return _Sum.apply(tensor) if is_distributed() else tensor


def mean_over_processes(mean: Tensor, weight: Tensor) -> Tensor:
    """Average over the whole batch, from the mean over each process's share and the weight of that share (scalars).

    Example:
        >>> mean_over_processes(torch.tensor(3.0), torch.tensor(8.0)).item()
        3.0
    """
    if not is_distributed():
        return mean
    total = sum_over_processes(torch.stack([mean * weight, weight]))
    return total[0] / total[1]


def uniform_numbers(rows: int, *shape: int, device: torch.device) -> Tensor:
    """Draw numbers in [0, 1) for this process's rows of a batch: those that one process would draw for these rows.

    Every process draws for the whole batch from its equally seeded generator and keeps every n-th row. Loaders must
    divide batches among n processes in the same way.

    Args:
        rows: Of this process.
        shape: Of what is drawn for each row.
        device: Where to draw.

    Example:
        >>> uniform_numbers(4, 1, device=torch.device("cpu")).shape
        torch.Size([4, 1])
    """
    if not is_distributed():
        return torch.rand(rows, *shape, device=device)
    world = distributed.get_world_size()
    return torch.rand(rows * world, *shape, device=device)[distributed.get_rank() :: world]


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace the gradients of parameters by their mean over processes; parameters without one stay so.

    Example:
        >>> parameter = nn.Parameter(torch.ones(1))
        >>> (3 * parameter).backward()
        >>> average_gradients([parameter])
        >>> parameter.grad.item()
        3.0
    """
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not is_distributed() or not grads:
        return
    flat = torch.cat([grad.flatten() for grad in grads])
    distributed.all_reduce(flat)
    means = flat.div_(distributed.get_world_size()).split([grad.numel() for grad in grads])
    for grad, mean in zip(grads, means, strict=True):
        grad.copy_(mean.view_as(grad))


@torch.no_grad()
def take_from_first(network: nn.Module) -> None:
    """Give every process the first one's parameters and buffers: rounding may differ where the machines do.

    Example:
        >>> take_from_first(nn.Linear(2, 2))
    """
    if is_distributed():
        for tensor in (*network.parameters(), *network.buffers()):
            same = tensor.contiguous()
            distributed.broadcast(same, src=0)
            tensor.copy_(same)


class _Sum(Function):
    @staticmethod
    def forward(_ctx: Any, tensor: Tensor) -> Tensor:  # noqa: ANN401
        total = tensor.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ANN401
        return _Sum.apply(grads[0])
