"""The beginning of a tail that is linear in every axis: what one axis gives is added to what the others give."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from pipeline.models.tail import Tail
from pipeline.whitening.surgery import LinearReadout, TiedReadout

CHANNELWISE = (nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Dropout, nn.BatchNorm2d)
"""Modules that in evaluation mode act on each channel by itself; convolutions with a group for each channel do too."""


@dataclass(frozen=True)
class LinearStart:
    """A tail as ``after(b + sum_j K_j f(z_j), rest)``: f acts on each channel by itself, K_j is linear.

    Attributes:
        channelwise: f, from N x C maps to maps of as many channels.
        linear: z -> b + K z, any linear map of channels and positions.
        after: What follows, to the logits.
    """

    channelwise: nn.Sequential
    linear: Callable[[Tensor], Tensor]
    after: Tail

    def all_axes(self, maps: Tensor) -> Tensor:
        """Compute what all axes give together, b included, for each of N maps, which stay as they are."""
        return self.linear(self.channelwise(maps.clone()))

    def one_axis(self, maps: Tensor, axis: int) -> Tensor:
        """Compute what one axis gives, K_j f(z_j), in the shape of `all_axes`; zeros where it is not read."""
        features = self.channelwise(maps.clone())
        alone = torch.zeros_like(features)
        nothing = self.linear(alone[:1])
        alone[:, axis] = features[:, axis]
        return self.linear(alone) - nothing


def linear_start(tail: object) -> LinearStart | None:
    """Take a tail apart that begins with a linear map of the channels, at most after what acts on each by itself.

    So begin the tails behind a whitened layer with a readout (the readout), and those of a normalisation that was
    replaced in a residual block or before a 1 x 1 convolution.

    Returns:
        The tail in parts; None for any other tail, and for what is not from `pipeline.models.tail.split_at`.
    """
    if not isinstance(tail, Tail):
        return None
    traced = tail.traced
    chain = [next(node for node in traced.graph.nodes if node.op == "placeholder")]
    modules: list[nn.Module] = []
    while len(chain[-1].users) == 1:
        (node,) = chain[-1].users
        if node.op != "call_module" or len(node.args) != 1 or node.kwargs:
            return None
        chain.append(node)
        modules.append(traced.get_submodule(str(node.target)))
        if _is_linear(modules[-1]):
            *channelwise, linear = modules
            return LinearStart(nn.Sequential(*channelwise), linear, Tail(_following(traced, chain)))
        if not _is_channelwise(modules[-1]):
            return None
    return None


def _is_linear(module: nn.Module) -> bool:
    mixing = isinstance(module, nn.Conv2d) and module.groups == 1
    return mixing or isinstance(module, nn.Linear | LinearReadout | TiedReadout)


def _is_channelwise(module: nn.Module) -> bool:
    depthwise = isinstance(module, nn.Conv2d) and module.groups == module.in_channels == module.out_channels
    return depthwise or isinstance(module, CHANNELWISE)


def _following(traced: fx.GraphModule, chain: Sequence[fx.Node]) -> fx.GraphModule:
    """Copy a tail without the chain of nodes with which it starts; what the last of them gave is its first input."""
    graph = fx.Graph()
    copies = {chain[-1]: graph.placeholder("started")}
    for node in traced.graph.nodes:
        if node not in chain:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    return fx.GraphModule(traced, graph)
