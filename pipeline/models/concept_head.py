"""Concept outputs beside the diagnosis, without whitening: the baseline of an auxiliary loss."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from concepts.errors import SettingsError
from pipeline.choices import Activation
from pipeline.models.tail import named_module
from pipeline.whitening.activation import axis_activations
from pipeline.whitening.surgery import output_channels

HEAD = "concept_head"


class ConceptHead(nn.Module):
    """A linear map from a layer's channels to one map for each concept; a side branch that no diagnosis goes through.

    Channels are standardised by batch statistics first, so that the head learns as fast as a whitened axis would.

    Args:
        num_features: Channels C.
        concepts: Names of the k outputs.
        activation: How the map of a concept becomes one number per image.
    """

    fx_leaf = True

    def __init__(self, num_features: int, concepts: Sequence[str], *, activation: Activation) -> None:
        super().__init__()
        self.concepts, self.activation = tuple(concepts), Activation(activation)
        self.norm = nn.BatchNorm2d(num_features, affine=False)
        self.weight = nn.Parameter(torch.zeros(self.num_concepts, num_features))

    @property
    def num_concepts(self) -> int:
        """How many concepts there are: k."""
        return len(self.concepts)

    def forward(self, x: Tensor) -> Tensor:
        """N x k x H x W, from N x C x H x W."""
        return nn.functional.conv2d(self.norm(x), self.weight[:, :, None, None])

    def pool(self, maps: Tensor) -> Tensor:
        """N x k activations, from the head's output."""
        return axis_activations(maps, self.activation)


def put_head(network: nn.Module, layer: str, concepts: Sequence[str], *, activation: Activation) -> ConceptHead:
    """Hang a concept head on the output of one module; the network's own function stays as it is.

    The head becomes the network's submodule ``concept_head`` and runs whenever the module runs.

    Args:
        network: Changed in place.
        layer: Qualified name of a module whose output is N x C x H x W.
        concepts: Names of the k outputs.
        activation: How the map of a concept becomes one number per image.

    Raises:
        SettingsError: If the network has no such module, its channels are not known, or it is an `nn.Sequential`.
    """
    if isinstance(network, nn.Sequential):
        raise SettingsError("an nn.Sequential would run the head as its last module; wrap it in a module of its own")
    module = named_module(network, layer)
    channels = output_channels(module)
    if channels is None:
        raise SettingsError(f"{layer} is a {type(module).__name__} whose channels are not known; choose another module")
    head = ConceptHead(channels, concepts, activation=activation)
    head = head.to(next(network.parameters()).device)
    network.add_module(HEAD, head)
    module.register_forward_hook(_Branch(head))
    return head


def concept_head(network: nn.Module) -> ConceptHead:
    """The head that `put_head` gave to a network.

    Raises:
        SettingsError: If it has none.
    """
    head = getattr(network, HEAD, None)
    if not isinstance(head, ConceptHead):
        raise SettingsError(f"{type(network).__name__} has no concept head; put one there with put_head first")
    return head


class _Branch:
    """A hook that runs the head and leaves the module's output as it is; copied with the network."""

    def __init__(self, head: ConceptHead) -> None:
        self.head = head

    def __call__(self, _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.head(output)
