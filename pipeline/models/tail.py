"""A network cut at one of its modules, so that only one side of the cut need run."""

from difflib import get_close_matches

import torch
from torch import Tensor, fx, nn

from concepts.errors import SettingsError

QUARTERS = 4
"""Quarter turns in a full one."""


class Head(nn.Module):
    """A network from its input to the output of the module at which it was cut.

    Args:
        traced: That part.
        turns: Over how many turns of the input, evenly spaced, what it gives is averaged; maps are turned back before.
    """

    def __init__(self, traced: fx.GraphModule, turns: int = 1) -> None:
        super().__init__()
        self.traced, self.turns = traced, turns

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run up to the cut.

        Args:
            x: N x 3 x H x W.

        Returns:
            The module's output, and what else the tail needs (a skip around the module, say), each with N first.
        """
        views = [self._view(x, turn * QUARTERS // self.turns) for turn in range(self.turns)]
        feature, *rest = (
            torch.stack(turns).mean(dim=0) if self.turns > 1 else turns[0] for turns in zip(*views, strict=True)
        )
        return feature, tuple(rest)

    def _view(self, x: Tensor, quarters: int) -> tuple[Tensor, ...]:
        feature, rest = self.traced(turned(x, quarters))
        return tuple(turned(maps, -quarters) for maps in (feature, *rest))


class Tail(nn.Module):
    """A network from the output of the module at which it was cut to its logits."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__()
        self.traced = traced

    def forward(self, feature: Tensor, rest: tuple[Tensor, ...] = ()) -> Tensor:
        """Run from the cut on; the arguments stay as they are, so they can serve again.

        Args:
            feature: Output of the module, changed or not.
            rest: What the head gave beside it.

        Returns:
            N x D logits.
        """
        # Networks add and rectify in place; the copies keep that from the caller's tensors.
        return self.traced(feature.clone(), *(tensor.clone() for tensor in rest))


def turned(maps: Tensor, quarters: int) -> Tensor:
    """Turn N x C x H x W maps anticlockwise by quarters of a full turn; vectors N x C have no direction and stay.

    Example:
        >>> turned(torch.tensor([[[[1, 2], [3, 4]]]]), 1).tolist()
        [[[[2, 4], [1, 3]]]]
    """
    return torch.rot90(maps, quarters, (2, 3)) if maps.ndim == 4 and quarters % QUARTERS else maps


def split_at(network: nn.Module, module_name: str, *, turns: int = 1) -> tuple[Head, Tail]:
    """Cut a network at the output of one module, so that ``tail(*head(x)) == network(x)``.

    Both sides share the network's modules and parameters and are of the network in evaluation mode; put the network
    into that mode before using them. The tail has only what depends on the module's output.

    Args:
        network: Takes one tensor, gives one tensor; it must be traceable by `torch.fx`, where modules without children,
            modules of `torch.nn` and modules with ``fx_leaf = True`` are not looked into.
        module_name: Qualified name of the module, of one that runs exactly once.
        turns: 1, 2 or 4: over how many turns of its (square) input the head averages what it gives. Beyond 1,
            ``tail(*head(x))`` is no longer ``network(x)``.

    Raises:
        SettingsError: If there is no such module, it does not run exactly once, the output does not depend on it, or
            the network cannot be traced.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
        >>> head, tail = split_at(network, "1")
        >>> x = torch.rand(4, 2)
        >>> torch.equal(tail(*head(x)), network(x))
        True
    """
    named_module(network, module_name)
    graph = _trace(network, module_name)
    calls = [node for node in graph.nodes if node.op == "call_module" and node.target == module_name]
    if len(calls) != 1:
        raise SettingsError(
            f"model.layer: '{module_name}' runs {len(calls)} times in a forward pass; name a module that runs once"
        )
    later = _downstream(graph, calls[0])
    if not any(node.op == "output" for node in later):
        raise SettingsError(f"model.layer: the output does not depend on '{module_name}'; name another module")
    crossing = _crossing(graph, later, calls[0])
    head = fx.GraphModule(network, _head_graph(graph, later, [calls[0], *crossing]))
    tail = fx.GraphModule(network, _tail_graph(graph, later, [calls[0], *crossing]))
    for side in (head, tail):
        side.graph.eliminate_dead_code()
        side.recompile()
        side.delete_all_unused_submodules()
    return Head(head, turns), Tail(tail)


def named_module(network: nn.Module, name: str) -> nn.Module:
    """Find a module of a network by its qualified name, e.g. ``layer4.1.bn1``.

    Raises:
        SettingsError: If there is none of this name; the error gives the closest ones.
    """
    modules = dict(network.named_modules())
    if name in modules and name:
        return modules[name]
    close = get_close_matches(name, [other for other in modules if other], n=3, cutoff=0.0)
    raise SettingsError(
        f"model.layer: {type(network).__name__} has no module '{name}'; the closest names are {', '.join(close)}"
    )


class _Tracer(fx.Tracer):
    def __init__(self, module_name: str) -> None:
        super().__init__()
        self.module_name = module_name

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if module_qualified_name == self.module_name:
            return True
        if self.module_name.startswith(f"{module_qualified_name}."):
            return False
        childless = next(m.children(), None) is None
        return childless or getattr(m, "fx_leaf", False) or super().is_leaf_module(m, module_qualified_name)


def _trace(network: nn.Module, module_name: str) -> fx.Graph:
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        return _Tracer(module_name).trace(network)
    except (ValueError, TypeError, RuntimeError, AttributeError, NameError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(
            f"model.layer: {type(network).__name__} cannot be cut at '{module_name}' ({reason}); use a network that "
            "torch.fx can trace"
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode


def _downstream(graph: fx.Graph, start: fx.Node) -> set[fx.Node]:
    reached: set[fx.Node] = set()
    for node in graph.nodes:
        if any(source is start or source in reached for source in node.all_input_nodes):
            reached.add(node)
    return reached


def _crossing(graph: fx.Graph, later: set[fx.Node], start: fx.Node) -> list[fx.Node]:
    sources = {source: None for node in graph.nodes if node in later for source in node.all_input_nodes}
    return [node for node in sources if node is not start and node not in later and node.op != "get_attr"]


def _head_graph(graph: fx.Graph, later: set[fx.Node], outputs: list[fx.Node]) -> fx.Graph:
    head = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node not in later:
            copies[node] = head.node_copy(node, copies.__getitem__)
    head.output((copies[outputs[0]], tuple(copies[node] for node in outputs[1:])))
    return head


def _tail_graph(graph: fx.Graph, later: set[fx.Node], inputs: list[fx.Node]) -> fx.Graph:
    tail = fx.Graph()
    copies = {node: tail.placeholder(f"cut_{index}") for index, node in enumerate(inputs)}
    for node in graph.nodes:
        if node in later or node.op == "get_attr":
            copies[node] = tail.node_copy(node, copies.__getitem__)
    return tail
