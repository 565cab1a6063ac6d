"""Fold concept whitening away: in evaluation mode it is one affine map of the channels."""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from pipeline.whitening.activation import axis_activations
from pipeline.whitening.choices import Activation
from pipeline.whitening.errors import WhiteningError
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.neighbours import trace
from pipeline.whitening.surgery import LinearReadout, Whitened, owner_of, whitening_layers

PROBE = "probe"


@dataclass(frozen=True)
class Affine:
    """y = M x + o at every position, in float64; M is D x C."""

    matrix: Tensor
    offset: Tensor

    def after(self, first: "Affine") -> "Affine":
        """This map of the output of another one."""
        return Affine(self.matrix @ first.matrix, self.matrix @ first.offset + self.offset)


class ChannelMap(nn.Module):
    """An affine map of the channels, on N x C x H x W (a 1 x 1 convolution) and N x C (a linear layer)."""

    fx_leaf = True

    def __init__(self, affine: Affine, *, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(affine.matrix.to(dtype))
        self.bias = nn.Parameter(affine.offset.to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """D channels at every position."""
        if x.ndim == 2:
            return nn.functional.linear(x, self.weight, self.bias)
        return nn.functional.conv2d(x, self.weight[:, :, None, None], self.bias)


class AxisActivations(nn.Module):
    """N x k activations of named axes, from maps on which an affine map gives those axes.

    Args:
        affine: To the named axes; None where they are the first k channels already.
        num_concepts: k.
        activation: How the map of an axis becomes one number per image.
        dtype: Of the network.
    """

    fx_leaf = True

    def __init__(self, affine: Affine | None, *, num_concepts: int, activation: Activation, dtype: torch.dtype) -> None:
        super().__init__()
        self.num_concepts, self.activation = num_concepts, activation
        self.map = nn.Identity() if affine is None else ChannelMap(affine, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """N x k, from N x C x H x W or N x C."""
        return axis_activations(self.map(x)[:, : self.num_concepts], self.activation)


class Chain(nn.Module):
    """Modules one after the other; the first may take several inputs."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The output of the last module."""
        first, *rest = self.children()
        x = first(*inputs)
        for module in rest:
            x = module(x)
        return x


@torch.no_grad()
def fold_concept_whitening(network: nn.Module, *, activations: bool = False) -> nn.Module:
    """A copy of a network, for inference, without whitened layers and with the same function.

    A layer (with its readout) goes into the convolution or linear layer before it where that is its only producer,
    through a batch normalisation between them; else it becomes one 1 x 1 convolution. A tied readout undoes its layer,
    so both vanish.

    Args:
        network: Left as it is.
        activations: Whether the copy also gives the activations of the named axes. An inserted layer with a learned
            readout then keeps a 1 x 1 convolution of its own, since the activations need what comes before it.

    Returns:
        The copy, in evaluation mode. With ``activations`` its output is a tuple: the network's output, then N x k
        activations for each layer that has concepts.

    Raises:
        WhiteningError: If activations are asked for and the network cannot be traced by `torch.fx`.
    """
    folded = deepcopy(network).eval()
    heads: dict[str, AxisActivations] = {}
    for name, layer in whitening_layers(folded).items():
        owner = owner_of(folded, layer)
        if owner is None:
            _fold_replaced(folded, name, layer, heads=heads if activations else None)
        else:
            place = name.rpartition(".")[0]
            _fold_inserted(folded, place, owner, heads=heads if activations else None)
    if not heads:
        return folded
    return _with_outputs(folded, heads)


def fold_into(module: nn.Module, affine: Affine) -> nn.Module | None:
    """The module with an affine map of its output channels folded in, or None where it cannot take it."""
    if isinstance(module, nn.Conv2d) and module.groups == 1:
        return _weighted(module, affine, kernel=module.weight.flatten(1))
    if isinstance(module, nn.Linear):
        return _weighted(module, affine, kernel=module.weight)
    return None


def as_affine(module: nn.Module) -> Affine | None:
    """A batch normalisation with running statistics as an affine map; None for any other module."""
    if not isinstance(module, nn.modules.batchnorm._BatchNorm) or module.running_mean is None:
        return None
    if module.running_var is None:
        return None
    scale = (module.running_var.double() + module.eps).rsqrt()
    if module.weight is not None:
        scale = scale * module.weight.double()
    offset = -scale * module.running_mean.double()
    return Affine(scale.diag(), offset if module.bias is None else offset + module.bias.double())


def _fold_inserted(
    network: nn.Module, place: str, owner: Whitened, *, heads: dict[str, AxisActivations] | None
) -> None:
    layer, readout = owner.whitening, owner.readout
    whitening = _affine_of(layer)
    dtype = layer.rotation.dtype
    chain: dict[str, nn.Module] = {"module": owner.module}
    if heads is not None and layer.num_concepts:
        chain[PROBE] = nn.Identity()
        heads[f"{place}.{PROBE}"] = _head(layer, _first(whitening, layer.num_concepts))
    if isinstance(readout, LinearReadout):
        affine = Affine(readout.weight.double(), readout.bias.double()).after(whitening)
        if PROBE not in chain:
            _fold_behind(network, place, owner.module, affine)
            return
        chain["map"] = ChannelMap(affine, dtype=dtype)
    network.set_submodule(place, Chain(**chain) if len(chain) > 1 else owner.module)


def _fold_behind(network: nn.Module, place: str, module: nn.Module, affine: Affine) -> None:
    """Put a module followed by an affine map at a place, with as little as possible left of the map."""
    direct = fold_into(module, affine)
    if direct is not None:
        network.set_submodule(place, direct)
        return
    norm = as_affine(module)
    network.set_submodule(place, module)
    if norm is not None:
        _put_map(network, place, affine.after(norm), dtype=_dtype(network))
    else:
        network.set_submodule(place, Chain(module=module, map=ChannelMap(affine, dtype=_dtype(network))))


def _fold_replaced(
    network: nn.Module, name: str, layer: ConceptWhitening, *, heads: dict[str, AxisActivations] | None
) -> None:
    _put_map(network, name, _affine_of(layer), dtype=layer.rotation.dtype)
    if heads is not None and layer.num_concepts:
        network.set_submodule(name, Chain(map=network.get_submodule(name), **{PROBE: nn.Identity()}))
        heads[f"{name}.{PROBE}"] = _head(layer, None)


def _put_map(network: nn.Module, name: str, affine: Affine, *, dtype: torch.dtype) -> None:
    """Put an affine map in the place of a module: into its only producer, or as a 1 x 1 convolution."""
    producer = _only_producer(network, name)
    taken = None if producer is None else fold_into(network.get_submodule(producer), affine)
    if producer is None or taken is None:
        network.set_submodule(name, ChannelMap(affine, dtype=dtype))
        return
    network.set_submodule(producer, taken)
    network.set_submodule(name, nn.Identity())


def _only_producer(network: nn.Module, name: str) -> str | None:
    """The module whose output goes to the named module and nowhere else, if both are called once."""
    graph = trace(network)
    nodes = [] if graph is None else [node for node in graph.nodes if node.op == "call_module"]
    here = [node for node in nodes if node.target == name]
    if len(here) != 1 or len(here[0].all_input_nodes) != 1:
        return None
    source = here[0].all_input_nodes[0]
    once = sum(node.target == source.target for node in nodes) == 1
    return str(source.target) if source.op == "call_module" and len(source.users) == 1 and once else None


def _with_outputs(network: nn.Module, heads: dict[str, AxisActivations]) -> nn.Module:
    graph = trace(network)
    if graph is None:
        raise WhiteningError(
            f"{type(network).__name__} cannot be traced by torch.fx, which a second output needs; fold it without "
            "activations"
        )
    output = next(node for node in graph.nodes if node.op == "output")
    values = [output.args[0]]
    for number, (name, head) in enumerate(heads.items()):
        probe = next(node for node in graph.nodes if node.op == "call_module" and node.target == name)
        network.add_module(f"axis_activations_{number}", head)
        with graph.inserting_before(output):
            values.append(graph.call_module(f"axis_activations_{number}", (probe,)))
    output.args = (tuple(values),)
    graph.lint()
    return fx.GraphModule(network, graph).eval()


def _head(layer: ConceptWhitening, affine: Affine | None) -> AxisActivations:
    return AxisActivations(
        affine, num_concepts=layer.num_concepts, activation=layer.activation, dtype=layer.rotation.dtype
    )


def _affine_of(layer: ConceptWhitening) -> Affine:
    matrix, offset = layer.affine_map()
    return Affine(matrix.double(), offset.double())


def _first(affine: Affine, count: int) -> Affine:
    return Affine(affine.matrix[:count], affine.offset[:count])


def _weighted(module: nn.Conv2d | nn.Linear, affine: Affine, *, kernel: Tensor) -> nn.Module:
    copy = deepcopy(module)
    weight = affine.matrix @ kernel.double()
    offset = affine.offset if module.bias is None else affine.offset + affine.matrix @ module.bias.double()
    copy.weight = nn.Parameter(weight.view(module.weight.shape).to(module.weight.dtype))
    copy.bias = nn.Parameter(offset.to(module.weight.dtype))
    return copy


def _dtype(network: nn.Module) -> torch.dtype:
    return next(network.parameters()).dtype
