"""How concepts evolve through a network with several whitened layers."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pipeline.data.loaders import place_images
from pipeline.run.progress import Tracker
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.surgery import whitening_layers


@torch.no_grad()
def activations_by_layer(
    network: nn.Module, loader: DataLoader[Any], *, tracker: Tracker, title: str
) -> dict[str, NDArray[np.float64]]:
    """Collect the activations of the named axes at every whitened layer, from one pass.

    Args:
        network: Put into evaluation mode.
        loader: In order; each batch a dictionary with ``image``.
        tracker: Where progress is shown.
        title: What the progress bar says.

    Returns:
        By layer, in the order in which the network runs them: N x k.
    """
    network.eval()
    device = next(network.parameters()).device
    batches: dict[str, list[Tensor]] = {}
    with tracker.task(title, len(loader)) as advance:
        for batch in loader:
            for name, activations in layer_activations(network, place_images(batch["image"], device)).items():
                batches.setdefault(name, []).append(activations)
            advance(1)
    return {name: torch.cat(parts).numpy() for name, parts in batches.items()}


@torch.no_grad()
def layer_activations(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Compute the activations N x k of the named axes at every whitened layer, in the order of the network.

    Args:
        network: In evaluation mode.
        images: N x 3 x H x W.
    """
    activations: dict[str, Tensor] = {}

    def keep(name: str) -> Any:  # noqa: ANN401  # a hook, typed by torch
        def hook(layer: ConceptWhitening, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            activations[name] = layer.pool(output).double().cpu()

        return hook

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in whitening_layers(network).items()]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return activations
