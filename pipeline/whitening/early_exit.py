"""What reaches the whitened layers of a network, without running the rest of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.whitening.layer import ConceptWhitening


def layer_inputs(network: nn.Module, layers: Mapping[str, ConceptWhitening], images: Tensor) -> dict[str, Tensor]:
    """Catch what reaches each layer, in evaluation mode, by a forward pass that stops at the last one.

    Args:
        network: Its training flags are put back afterwards.
        layers: By name.
        images: N x 3 x S x S, or whatever the network takes.

    Returns:
        The inputs by name, in the order in which the network runs the layers; a layer that runs several times gives
        its last input before all layers were reached.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 3), ConceptWhitening(3), nn.Linear(3, 2))
        >>> x = torch.ones(4, 3)
        >>> inputs = layer_inputs(network, {"1": network[1]}, x)
        >>> torch.equal(inputs["1"], network[0](x)), network.training
        (True, True)
    """
    inputs: dict[str, Tensor] = {}

    def keep(name: str) -> Any:  # noqa: ANN401  # a hook, typed by torch
        def hook(_module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs[name] = arguments[0]
            if len(inputs) == len(layers):
                raise _AllReachedError

        return hook

    hooks = [layer.register_forward_pre_hook(keep(name)) for name, layer in layers.items()]
    try:
        with evaluating(network):
            network(images)
    except _AllReachedError:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return inputs


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode without gradients; every module's own mode is put back afterwards.

    Example:
        >>> network = nn.Dropout(0.5)
        >>> with evaluating(network):
        ...     print(network.training, torch.is_grad_enabled())
        False False
        >>> network.training
        True
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


class _AllReachedError(Exception):
    """Ends a forward pass early."""
