"""What is left of a network or its axes when what was learnt is taken away: weights in random order, other labels."""

from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.choices import Objective
from pipeline.whitening.hierarchy import subspace_rotation
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.statistics import LayerMoments
from pipeline.whitening.whiten import shrunk_whitening


@torch.no_grad()
def randomised_tail(
    tail: nn.Module,
    maps: Tensor,
    rest: tuple[Tensor, ...],
    *,
    generator: np.random.Generator,
) -> nn.Module:
    """Copy a tail with the entries of each parameter tensor in random order: the same architecture, nothing learnt.

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


@torch.no_grad()
def relabelled_axes(
    layer: ConceptWhitening,
    pooled: Tensor,
    labels: NDArray[np.float64],
    *,
    objective: Objective,
    shrinkage: float = 0.0,
) -> Tensor:
    """Align the named axes with some labels by the closed form, in the layer's present axes.

    The layer's statistics stay, and it is not changed. With the labels that it was aligned with, these are its own
    axes: the first k rows of the identity. Masks are not used: where the objective is ``regions``, ``contrast`` takes
    its place, since a mask of another image says nothing about this one.

    Args:
        layer: Aligned.
        pooled: N x C, mean over positions of its output for each image.
        labels: N x k; 1 present, 0 absent, NaN not known.
        objective: What axes are aligned with.
        shrinkage: As in the alignment.

    Returns:
        k x C, orthonormal rows, float64.
    """
    matrix, offset = layer.inverse_map()
    inputs = pooled.double() @ matrix.mT + offset
    moments = LayerMoments(layer.num_features, layer.num_concepts)
    moments.add(inputs, layer.layout.inside(torch.from_numpy(labels)))
    computed = moments.concept_directions(Objective.CONTRAST if objective is Objective.REGIONS else objective)
    is_computed = computed.isfinite().all(dim=1, keepdim=True)
    directions = torch.where(is_computed, computed, layer.concept_directions.double())
    means = directions @ shrunk_whitening(layer.covariance.double(), eps=layer.eps, shrinkage=shrinkage)
    present = layer.rotation.double()
    rotation = subspace_rotation(means, layer.layout, rotation=present)
    return (rotation @ present.mT)[: layer.num_concepts]
