"""Refine aligned axes for activations that are not linear: the objective is what the layer's own activation gives."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.choices import Objective
from pipeline.data.loaders import place_images
from pipeline.results.record import Refinement
from pipeline.whitening.activation import axis_activations
from pipeline.whitening.channels import Channels
from pipeline.whitening.early_exit import layer_inputs
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.rotate import cayley_step
from pipeline.whitening.surgery import turn, whitening_layers

IMAGES = 512
"""Images whose maps are kept at a time."""


@torch.no_grad()
def refine(
    network: nn.Module,
    layer: str,
    batches: Iterable[Mapping[str, Any]],
    *,
    objective: Objective,
    steps: int,
) -> Refinement:
    """Raise the mean activations of a layer's concepts by steps along Cayley curves, from where closed form left them.

    The closed form is exact for activations that are linear in the axes. For a maximum, a positive mean or pooled
    maxima it is only a start: which positions count depends on the rotation. Whitened maps of some images are kept and
    the low-rank search of `cayley_step` runs on them; readouts turn with the axes, so the network's function stays.

    Args:
        network: Changed in place; put into evaluation mode.
        layer: Name of a whitened layer without subspaces.
        batches: As for `pipeline.training.alignment.align`; read from until `IMAGES` images are kept.
        objective: ``positives``, else present against absent.
        steps: Steps at most.
    """
    whitened = whitening_layers(network)[layer]
    maps, labels = _whitened_maps(network, layer, batches)
    weights = _weights(labels, objective)

    def value(named: Tensor) -> Tensor:
        activations = axis_activations(Channels(maps).apply(named), whitened.activation)
        return (activations.double() * weights).sum()

    rotation, length, taken = whitened.rotation.double(), 1.0, 0
    before = after = float(value(rotation[: whitened.num_concepts]))
    for _ in range(steps):
        step = cayley_step(rotation, value, num_concepts=whitened.num_concepts, step=length)
        if not step.succeeded:
            break
        rotation, length, after, taken = step.rotation, 2 * step.step, step.after, taken + 1
    if taken:
        turn(network, whitened, rotation)
    return Refinement(before=before, after=after, steps=taken)


def _whitened_maps(network: nn.Module, name: str, batches: Iterable[Mapping[str, Any]]) -> tuple[Tensor, Tensor]:
    """Whitened, not yet rotated maps of the first images, and their labels."""
    layer = whitening_layers(network)[name]
    whitening = layer.whitening()
    device = next(network.parameters()).device
    maps: list[Tensor] = []
    labels: list[Tensor] = []
    for batch in batches:
        x = layer_inputs(network, {name: layer}, place_images(batch["image"], device))[name]
        maps.append(Channels(x).apply(whitening, -whitening @ layer.mean.double()))
        labels.append(_labels(batch, layer, x))
        if sum(map(len, maps)) >= IMAGES:
            break
    return torch.cat(maps), torch.cat(labels)


def _labels(batch: Mapping[str, Any], layer: ConceptWhitening, x: Tensor) -> Tensor:
    labels = batch.get("concepts")
    if labels is None:
        return torch.full((len(x), layer.num_concepts), torch.nan, device=x.device)
    return labels.to(x.device)


def _weights(labels: Tensor, objective: Objective) -> Tensor:
    """N x k by which activations are weighted and added up; a concept without one of the two kinds gets zeros."""
    present, absent = (labels == 1).double(), (labels == 0).double()
    shares = present / present.sum(dim=0).clamp(min=1)
    usable = present.any(dim=0)
    if objective is not Objective.POSITIVES:
        shares = shares - absent / absent.sum(dim=0).clamp(min=1)
        usable = usable & absent.any(dim=0)
    return shares * usable / usable.sum().clamp(min=1)
