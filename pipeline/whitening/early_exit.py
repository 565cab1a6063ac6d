"""What reaches the whitened layers of a network, without running the rest of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.whitening.layer import ConceptWhitening


def layer_inputs(network: nn.Module, layers: Mapping[str, ConceptWhitening], images: Tensor) -> dict[str, Tensor]:
    """What reaches each layer, in evaluation mode, by a forward pass that stops at the last one.

    Args:
        network: Its training flags are put back afterwards.
        layers: By name.
        images: N x 3 x S x S.

    Returns:
        The inputs by name, in the order in which the network runs the layers.
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Any:  # noqa: ANN401  # a hook, typed by torch
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            kept[name] = inputs[0]
            if len(kept) == len(layers):
                raise _AllSeenError

        return hook

    hooks = [layer.register_forward_pre_hook(keep(name)) for name, layer in layers.items()]
    try:
        with evaluating(network):
            network(images)
    except _AllSeenError:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return kept


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every module's own mode is put back afterwards."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


class _AllSeenError(Exception):
    """Ends a forward pass early."""
