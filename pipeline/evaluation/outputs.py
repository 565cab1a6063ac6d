"""What networks give for the images of one part: logits, the maps of the whitened layer, pooled features."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pipeline.choices import Activation
from pipeline.data.loaders import place_images
from pipeline.models.tail import split_at
from pipeline.run.progress import Tracker
from pipeline.whitening.activation import axis_activations


@dataclass(frozen=True)
class LayerOutputs:
    """A network cut at one module, over N images.

    Attributes:
        maps: N x C x H x W (or N x C), output of the module.
        rest: What else the tail needs, e.g. the skip of a residual block; first dimension N.
        logits: N x D.
        tail: ``tail(maps, rest)`` gives the logits; the module itself is not in it.
    """

    maps: Tensor
    rest: tuple[Tensor, ...]
    logits: Tensor
    tail: Callable[[Tensor, tuple[Tensor, ...]], Tensor]

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """N x D, rows add up to 1."""
        return self.logits.double().softmax(dim=1).numpy()

    def activations(self, activation: Activation) -> NDArray[np.float64]:
        """Pool every axis to one number per image: N x C."""
        return axis_activations(self.maps, activation).double().numpy()


@torch.no_grad()
def layer_outputs(
    network: nn.Module, module: str, loader: DataLoader[Any], *, turns: int = 1, tracker: Tracker, title: str
) -> LayerOutputs:
    """Run a network over a loader once, keeping what the named module gave.

    Args:
        network: Put into evaluation mode.
        module: Name of the module at which to cut.
        loader: In order; each batch a dictionary with ``image``.
        turns: Over how many turns of an image the maps are averaged.
        tracker: Where progress is shown.
        title: What the progress bar says.
    """
    head, tail = split_at(network.eval(), module, turns=turns)
    device = next(network.parameters()).device
    parts: list[tuple[Tensor, tuple[Tensor, ...], Tensor]] = []
    with tracker.task(title, len(loader)) as advance:
        for batch in loader:
            maps, rest = head(place_images(batch["image"], device))
            logits = tail(maps, rest)
            parts.append((maps.cpu(), tuple(tensor.cpu() for tensor in rest), logits.cpu()))
            advance(1)
    maps, rests, logits = zip(*parts, strict=True)
    rest = tuple(torch.cat(batches) for batches in zip(*rests, strict=True))
    return LayerOutputs(torch.cat(maps), rest, torch.cat(logits), tail)


@torch.no_grad()
def pooled_features(
    network: nn.Module,
    module: str,
    loader: DataLoader[Any],
    *,
    activations: Sequence[Activation],
    tracker: Tracker,
    title: str,
    visit: Callable[[Tensor, int], None] | None = None,
) -> dict[Activation, NDArray[np.float32]]:
    """Pool a module's output over each image of a loader, keeping no maps.

    Args:
        network: Put into evaluation mode.
        module: Name of the module.
        loader: In order.
        activations: The ways of pooling; one asked for twice is done once.
        tracker: Where progress is shown.
        title: What the progress bar says.
        visit: Called with each batch's maps and the number of images before it, e.g. to accumulate moments.

    Returns:
        N x C for each way of pooling.
    """
    head, _ = split_at(network.eval(), module)
    device = next(network.parameters()).device
    pooled: dict[Activation, list[NDArray[np.float32]]] = {activation: [] for activation in activations}
    images = 0
    with tracker.task(title, len(loader)) as advance:
        for batch in loader:
            maps, _ = head(place_images(batch["image"], device))
            for activation, batches in pooled.items():
                batches.append(axis_activations(maps, activation).float().cpu().numpy())
            if visit is not None:
                visit(maps, images)
            images += len(maps)
            advance(1)
    return {activation: np.concatenate(parts) for activation, parts in pooled.items()}
