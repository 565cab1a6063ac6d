"""Put concept whitening into a network, by the name of a module."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.whitening.channels import Channels
from pipeline.whitening.choices import Activation
from pipeline.whitening.errors import WhiteningError
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.neighbours import refuse_neighbours
from pipeline.whitening.subspaces import Subspace


class LinearReadout(nn.Module):
    """y = B z + b at every position: what carries the whitened space back to the network's own.

    Args:
        num_features: Channels C of z and of y.
    """

    fx_leaf = True

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def forward(self, z: Tensor) -> Tensor:
        """N x C x H x W or N x C, in the shape of the input."""
        return Channels(z).apply(self.weight, self.bias)

    @torch.no_grad()
    def turn(self, matrix: Tensor, *, shift: Tensor | None = None) -> None:
        """B <- B T and b <- b + B s, for a C x C matrix T and a vector s (C) in float64."""
        weight = self.weight.double()
        if shift is not None:
            self.bias.copy_(self.bias.double() + weight @ shift)
        self.weight.copy_(weight @ matrix)


class TiedReadout(nn.Module):
    """y = (R W)^(-1) z + mu: undoes a whitening layer, whatever its present state.

    Args:
        whitening: The layer to undo; not registered as a submodule here.
    """

    fx_leaf = True

    def __init__(self, whitening: ConceptWhitening) -> None:
        super().__init__()
        self._source = (whitening,)

    def forward(self, z: Tensor) -> Tensor:
        """N x C x H x W or N x C, in the shape of the input."""
        return Channels(z).apply(*self._source[0].inverse_map())


class Whitened(nn.Module):
    """A module followed by concept whitening and a readout: ``readout(whitening(module(x)))``.

    With a learned readout B starts as the inverse of the whitening and is then trained with the network. With a tied
    one the network's function stays the module's for ever, so that in training the readout is the identity map of what
    came in, and only a loss on the whitened maps changes the backbone.

    Args:
        module: What is followed.
        whitening: The layer.
        tied: Whether the readout is tied to the layer instead of learned.
    """

    def __init__(self, module: nn.Module, whitening: ConceptWhitening, *, tied: bool = False) -> None:
        super().__init__()
        self.module = module
        self.whitening = whitening
        self.readout: LinearReadout | TiedReadout
        self.readout = TiedReadout(whitening) if tied else LinearReadout(whitening.num_features)
        self._invert()

    @property
    def tied(self) -> bool:
        """Whether the readout is tied."""
        return isinstance(self.readout, TiedReadout)

    def forward(self, *inputs: Any, **named: Any) -> Tensor:  # noqa: ANN401
        """What the module alone would give, as the readout has it."""
        x = self.module(*inputs, **named)
        z = self.whitening(x)
        if self.training and self.tied:
            return x
        return self.readout(z)

    @torch.no_grad()
    def realign(self, *, mean: Tensor, covariance: Tensor, rotation: Tensor) -> bool:
        """Give the layer new statistics and a new rotation, and turn the readout with them.

        While the running statistics are what the readout was made for, the function is kept: B <- B M_old M_new^(-1)
        with M = R W. After training steps the readout was fitted to maps whitened by their batch; then it only turns
        with the rotation, B <- B R_old R_new^T, so that evaluation now sees what training saw.

        Args:
            mean: C.
            covariance: C x C.
            rotation: C x C orthogonal.

        Returns:
            Whether the function in evaluation mode has changed.
        """
        layer, trained = self.whitening, bool(self.whitening.trained)
        old_map, old_offset = (one.double() for one in layer.affine_map())
        old_rotation = layer.rotation.double()
        layer.set_statistics(mean, covariance)
        layer.set_rotation(rotation)
        if isinstance(self.readout, LinearReadout):
            new_map, new_offset = (one.double() for one in layer.affine_map())
            if trained:
                self.readout.turn(old_rotation @ layer.rotation.double().mT)
            else:
                matrix = torch.linalg.solve(new_map, old_map, left=False)
                self.readout.turn(matrix, shift=old_offset - matrix @ new_offset)
        return trained and not self.tied

    @torch.no_grad()
    def _invert(self) -> None:
        if isinstance(self.readout, LinearReadout):
            weight, bias = self.whitening.inverse_map()
            self.readout.weight.copy_(weight)
            self.readout.bias.copy_(bias)


def replace_norm(
    network: nn.Module,
    name: str,
    *,
    concepts: Sequence[str] = (),
    subspaces: Sequence[Subspace] = (),
    activation: Activation | str = Activation.POOL_MAX,
    **options: float,
) -> nn.Module:
    """Put concept whitening in the place of a batch normalisation, in place.

    The layer starts from the normalisation's running mean and variance, with R = I. The normalisation's scale and
    offset go with it, as in the paper: a short fine-tuning follows. In a residual block the skip bypasses the layer, so
    that the importance of its axes is understated; `insert_after` has neither drawback.

    Args:
        network: Changed in place.
        name: Qualified name of the normalisation, e.g. ``layer4.1.bn1``.
        concepts: Names of the first axes.
        subspaces: Of concepts that own more than one axis.
        activation: How the map of an axis becomes one number per image.
        options: ``momentum``, ``eps`` of `ConceptWhitening`.

    Returns:
        The normalisation that was replaced.

    Raises:
        WhiteningError: If there is no such module, it is not a batch normalisation, or a whitened layer is next to it.
    """
    norm = _module(network, name)
    if not isinstance(norm, nn.modules.batchnorm._BatchNorm):
        raise WhiteningError(
            f"layer '{name}' is a {type(norm).__name__}; concept whitening replaces a {_norms(network)}"
        )
    layer = ConceptWhitening(norm.num_features, concepts, subspaces=subspaces, activation=activation, **options)
    if norm.running_mean is not None and norm.running_var is not None:
        layer.set_statistics(norm.running_mean, norm.running_var.diag())
    _install(network, name, _like(layer, norm, network))
    return norm


def insert_after(
    network: nn.Module,
    name: str,
    *,
    concepts: Sequence[str] = (),
    subspaces: Sequence[Subspace] = (),
    activation: Activation | str = Activation.POOL_MAX,
    tied: bool = False,
    num_features: int | None = None,
    **options: float,
) -> nn.Module:
    """Put concept whitening and a linear readout after a module, in place; the network's function is unchanged.

    Nothing bypasses the layer. It starts as the identity; `pipeline.training.alignment.align` gives it its statistics
    and rotation, and turns the readout with them, so that the function stays unchanged.

    Args:
        network: Changed in place; the named module becomes a `Whitened` that holds it.
        name: Qualified name of a module whose output is N x C x H x W or N x C.
        concepts: Names of the first axes.
        subspaces: Of concepts that own more than one axis.
        activation: How the map of an axis becomes one number per image.
        tied: Whether the readout stays the exact inverse, instead of being trained.
        num_features: C; default: read from the module or the last layer inside it.
        options: ``momentum``, ``eps`` of `ConceptWhitening`.

    Returns:
        The `Whitened` module now in that place.

    Raises:
        WhiteningError: If there is no such module, its channels are not known, or a whitened layer is next to it.
    """
    module = _module(network, name)
    channels = num_features or output_channels(module)
    if channels is None:
        raise WhiteningError(f"{name} is a {type(module).__name__} whose channels are not known; give num_features")
    layer = ConceptWhitening(channels, concepts, subspaces=subspaces, activation=activation, **options)
    whitened = Whitened(module, layer, tied=tied)
    _install(network, name, _like(whitened, module, network))
    return whitened


def whitening_layers(network: nn.Module) -> dict[str, ConceptWhitening]:
    """The whitened layers of a network by qualified name, in the order in which they are registered."""
    return {name: module for name, module in network.named_modules() if isinstance(module, ConceptWhitening)}


@torch.no_grad()
def realign(network: nn.Module, layer: ConceptWhitening, *, mean: Tensor, covariance: Tensor, rotation: Tensor) -> bool:
    """Give a layer of a network new statistics and a new rotation, and turn its readout where it has one.

    Returns:
        Whether the network's function in evaluation mode has changed.
    """
    owner = owner_of(network, layer)
    if owner is not None:
        return owner.realign(mean=mean, covariance=covariance, rotation=rotation)
    layer.set_statistics(mean, covariance)
    layer.set_rotation(rotation)
    return True


@torch.no_grad()
def turn(network: nn.Module, layer: ConceptWhitening, rotation: Tensor) -> None:
    """Give a layer of a network a new rotation; its readout, where it has one, turns with it."""
    owner = owner_of(network, layer)
    if owner is not None and isinstance(owner.readout, LinearReadout):
        owner.readout.turn(layer.rotation.double() @ rotation.double().mT)
    layer.set_rotation(rotation)


def owner_of(network: nn.Module, layer: ConceptWhitening) -> Whitened | None:
    """The `Whitened` that holds a layer; None for a layer in the place of a normalisation."""
    owners = (one for one in network.modules() if isinstance(one, Whitened) and one.whitening is layer)
    return next(owners, None)


def _module(network: nn.Module, name: str) -> nn.Module:
    modules = dict(network.named_modules())
    if not name or name not in modules:
        close = get_close_matches(name, [one for one in modules if one], n=3, cutoff=0.3)
        raise WhiteningError(
            f"layer '{name}': {type(network).__name__} has no such module; close: {', '.join(close) or 'none'}"
        )
    for outer, module in modules.items():
        inside = name == outer or name.startswith(f"{outer}.") or outer.startswith(f"{name}.")
        if outer and inside and isinstance(module, ConceptWhitening | Whitened):
            raise WhiteningError(f"layer '{name}' is whitened already (at {outer}); choose one at a distance")
    return modules[name]


def _install(network: nn.Module, name: str, module: nn.Module) -> None:
    before = network.get_submodule(name)
    network.set_submodule(name, module)
    try:
        refuse_neighbours(network)
    except WhiteningError:
        network.set_submodule(name, before)
        raise


def _like(module: nn.Module, old: nn.Module, network: nn.Module) -> nn.Module:
    tensors = [*old.parameters(), *network.parameters()]
    floats = [one for one in tensors if one.is_floating_point()]
    if floats:
        module.to(device=floats[0].device, dtype=floats[0].dtype)
    return module.train(old.training)


def output_channels(module: nn.Module) -> int | None:
    """Channels of a module's output, from itself or the last layer inside it that has a number of them."""
    for one in reversed(list(module.modules())):
        for attribute in ("num_features", "out_channels", "out_features"):
            value = getattr(one, attribute, None)
            if isinstance(value, int):
                return value
    return None


def _norms(network: nn.Module) -> str:
    norms = [name for name, one in network.named_modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    return f"batch normalisation, here one of: {', '.join(norms) or 'none'}"
