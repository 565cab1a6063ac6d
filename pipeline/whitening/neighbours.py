"""Refuse whitened layers that stand next to each other."""

from collections.abc import Iterator

from torch import fx, nn

from pipeline.whitening.errors import WhiteningError
from pipeline.whitening.layer import ConceptWhitening

WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)
"""Layers that mix channels; at least two of them must lie between two whitened layers."""

Nodes = dict[str, list[str]]


class LeafTracer(fx.Tracer):
    """Traces a network down to torch's own modules and those that call themselves leaves (``fx_leaf = True``)."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is taken as a whole."""
        return getattr(m, "fx_leaf", False) or super().is_leaf_module(m, module_qualified_name)


def trace(network: nn.Module) -> fx.Graph | None:
    """The graph of a network's modules, or None where it cannot be traced."""
    try:
        return LeafTracer().trace(network)
    except Exception:  # noqa: BLE001  # tracing runs the user's own code, which may raise anything
        return None


def refuse_neighbours(network: nn.Module) -> None:
    """Check that at least two convolutions or linear layers lie between any two whitened layers.

    Whitening what was whitened just before costs twice and gains nothing: the covariance that the second one sees is
    mostly the work of the first, and its axes mix the named ones.

    Raises:
        WhiteningError: If two whitened layers are neighbours.
    """
    names = [name for name, module in network.named_modules() if isinstance(module, ConceptWhitening)]
    if len(names) < 2:
        return
    for first, second, between in _pairs(network, names):
        if between < 2:
            raise WhiteningError(
                f"whitened layers {first} and {second} are neighbours ({between} weighted layers between them): the "
                "second would mix the axes of the first; leave at least two convolutions between, or whiten one layer"
            )


def _pairs(network: nn.Module, names: list[str]) -> Iterator[tuple[str, str, int]]:
    graph = trace(network)
    modules = dict(network.named_modules())
    if graph is None:
        yield from _registered_pairs(modules, names)
        return
    for node in graph.nodes:
        if node.op == "call_module" and node.target in names:
            for other, between in _reached(node, modules).items():
                yield str(node.target), other, between


def _reached(start: fx.Node, modules: dict[str, nn.Module]) -> dict[str, int]:
    """Whitened layers after a node, with the fewest weighted layers on a path to each."""
    found: dict[str, int] = {}
    best: dict[fx.Node, int] = {start: 0}
    queue = [start]
    while queue:
        node = queue.pop(0)
        for user in node.users:
            module = modules.get(str(user.target)) if user.op == "call_module" else None
            cost = best[node] + isinstance(module, WEIGHTED)
            if isinstance(module, ConceptWhitening):
                found[str(user.target)] = min(cost, found.get(str(user.target), cost))
            elif cost < best.get(user, 2):
                best[user] = cost
                queue.append(user)
    return found


def _registered_pairs(modules: dict[str, nn.Module], names: list[str]) -> Iterator[tuple[str, str, int]]:
    """Neighbours in the order of registration: what there is for networks that cannot be traced."""
    previous, between = "", 0
    for name, module in modules.items():
        if name in names:
            if previous:
                yield previous, name, between
            previous, between = name, 0
        between += isinstance(module, WEIGHTED)
