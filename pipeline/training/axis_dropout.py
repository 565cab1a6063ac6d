"""Drop the free axes of a whitened layer now and then, so that the diagnosis learns to use the named ones."""

import torch
from torch import Tensor, nn

from pipeline.whitening.distributed import uniform_numbers
from pipeline.whitening.layer import ConceptWhitening


def drop_free_axes(layer: ConceptWhitening, probability: float) -> None:
    """In training, set all free axes of an image to their mean with some probability; in evaluation, do nothing.

    Whitening decorrelates axes over positions, not over images, so what a concept says can also be read from many free
    axes together. A network that must often do without them learns to read it from the concept's own axis, and the
    share of importance that no named axis carries falls. Where the named concepts do not suffice for the diagnosis,
    this costs accuracy.

    The mean of a whitened axis is 0, so nothing needs to be rescaled.

    Args:
        layer: The whitened layer; a forward hook is registered on it.
        probability: Of dropping, for each image on its own; drawn from torch's seeded generator.
    """
    if probability > 0:
        layer.register_forward_hook(lambda module, _, output: _dropped(module, output, probability))


def _dropped(layer: nn.Module, output: Tensor, probability: float) -> Tensor | None:
    if not layer.training or not isinstance(layer, ConceptWhitening):
        return None
    kept = uniform_numbers(len(output), 1, *[1] * (output.ndim - 2), device=output.device) >= probability
    named, free = output[:, : layer.num_concepts], output[:, layer.num_concepts :]
    return torch.cat([named, free * kept], dim=1)
