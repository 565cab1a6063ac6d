"""Drop the free axes of a whitened layer now and then, so that the diagnosis learns to use the named ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pipeline.choices import FreeAxes
from pipeline.whitening.distributed import uniform_numbers
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.surgery import LinearReadout, Whitened, whitening_layers


@contextmanager
def free_axes_dropped(network: nn.Module, probability: float, evaluation: FreeAxes) -> Iterator[None]:
    """Train a network inside, with `drop_free_axes` at each of its whitened layers.

    Afterwards the layers are as they were, and where evaluation has the free axes at their expectation, the readouts
    have taken that up: the network alone gives what it gave in evaluation inside. After an exception nothing is folded.

    Args:
        network: Whitened; with ``evaluation`` as ``EXPECTED``, by `insert_after` with learned readouts.
        probability: Of dropping, for each image on its own.
        evaluation: What evaluation makes of axes that training often dropped.
    """
    handles = [drop_free_axes(layer, probability, evaluation) for layer in whitening_layers(network).values()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if evaluation is FreeAxes.EXPECTED:
        take_expectation_up(network, probability)


def drop_free_axes(layer: ConceptWhitening, probability: float, evaluation: FreeAxes) -> RemovableHandle:
    """In training, set all free axes of an image to their mean with some probability.

    Whitening decorrelates axes over positions, not over images, so what a concept says can also be read from many free
    axes together. A network that must often do without them learns to read it from the concept's own axis, and the
    share of importance that no named axis carries falls. Where the named concepts do not suffice for the diagnosis,
    this costs accuracy.

    The mean of a whitened axis is 0, so a dropped axis is 0 everywhere. In evaluation the free axes are either whole,
    as in the few images that kept them, or at their expectation over what training saw, (1 - p) times themselves: the
    weight scaling of dropout (Srivastava et al. 2014, section 2). Whole axes let a network that hardly ever saw them
    read from them again what it can read from the named ones.

    Args:
        layer: The whitened layer; a forward hook is registered on it.
        probability: Of dropping, p, for each image on its own; drawn from torch's seeded generator.
        evaluation: What evaluation makes of the free axes.

    Returns:
        What removes the hook.
    """
    return layer.register_forward_hook(partial(_weighed, probability=probability, evaluation=evaluation))


@torch.no_grad()
def take_expectation_up(network: nn.Module, probability: float) -> None:
    """Multiply what learned readouts do with the free axes by 1 - p, in place."""
    for module in network.modules():
        if isinstance(module, Whitened) and isinstance(module.readout, LinearReadout):
            module.readout.weight[:, module.whitening.num_concepts :] *= 1 - probability


def _weighed(layer: nn.Module, _: object, output: Tensor, *, probability: float, evaluation: FreeAxes) -> Tensor | None:
    if probability == 0 or not isinstance(layer, ConceptWhitening):
        return None
    named, free = output[:, : layer.num_concepts], output[:, layer.num_concepts :]
    if layer.training:
        kept = uniform_numbers(len(output), 1, *[1] * (output.ndim - 2), device=output.device) >= probability
        return torch.cat([named, free * kept], dim=1)
    return torch.cat([named, free * (1 - probability)], dim=1) if evaluation is FreeAxes.EXPECTED else None
