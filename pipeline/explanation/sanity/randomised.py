"""The tail of a network with its weights randomised: the same architecture, with nothing learnt in it."""

from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def randomised_tail(
    tail: nn.Module,
    maps: Tensor,
    rest: tuple[Tensor, ...],
    *,
    generator: np.random.Generator,
) -> nn.Module:
    """A copy of a tail whose parameter tensors have their entries in random order.

    Every tensor keeps its distribution of values, and so its scale, and loses its structure. Batch normalisations then
    take the statistics of what now reaches them, from one pass over the maps, without labels: with those of the trained
    network most of their outputs would be constant.

    Args:
        tail: ``tail(maps, rest)`` gives logits; unchanged.
        maps: N x C x H x W or N x C, from which normalisations take their statistics.
        rest: Other inputs of the tail.
        generator: Draws the orders.
    """
    copy = deepcopy(tail).eval()
    for parameter in copy.parameters():
        order = torch.from_numpy(generator.permutation(parameter.numel())).to(parameter.device)
        parameter.copy_(parameter.flatten()[order].view_as(parameter))
    norms = [module for module in copy.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    momenta = [module.momentum for module in norms]
    for module in norms:
        module.reset_running_stats()
        module.momentum = None
        module.train()
    if norms:
        copy(maps, rest)
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum
        module.eval()
    return copy
