"""What the networks of a run give for its images, gathered once; all figures of the evaluation are computed from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from pipeline.choices import Activation
from pipeline.evaluation.evaluation_data import EvaluatedParts
from pipeline.evaluation.outputs import LayerOutputs, layer_outputs, pooled_features
from pipeline.evaluation.trajectory import activations_by_layer
from pipeline.evaluation.whiteness import layer_residual
from pipeline.models.concept_head import concept_head
from pipeline.results.evaluation import Residual
from pipeline.run.progress import Tracker
from pipeline.whitening.surgery import whitening_layers

Pooled = Mapping[Activation, NDArray[np.floating]]
"""By way of pooling: N x C, every axis or channel of a layer as one number per image."""


@dataclass(frozen=True, kw_only=True)
class PooledOutputs:
    """A network on N images.

    Attributes:
        probabilities: N x D, rows add up to 1.
        activations: At the whitened layer, N x C by way of pooling.
    """

    probabilities: NDArray[np.float64]
    activations: Pooled


@dataclass(frozen=True, kw_only=True)
class AuxiliaryOutputs:
    """The network with concept outputs and without whitening, on N images.

    Attributes:
        probabilities: N x D, rows add up to 1.
        concepts: N x k concept outputs.
    """

    probabilities: NDArray[np.float64]
    concepts: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class NetworkOutputs:
    """All that the evaluation needs of a run's networks.

    Attributes:
        plain: The plain network on the test images; its activations are those of channels.
        whitened: The whitened network on the test images; its activations are those of axes, the named ones first.
        auxiliary: The network without whitening on the test images; None where there is none.
        train_features: The plain network on the training images, pooled as ``plain.activations`` are.
        residual: How white the layer is.
        layers: Where several layers are whitened, by layer in the order of the network: N x k activations of the named
            axes on the test images; else empty.
    """

    plain: PooledOutputs
    whitened: PooledOutputs
    auxiliary: AuxiliaryOutputs | None
    train_features: Pooled
    residual: Residual
    layers: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class EvaluatedNetworks:
    """The networks of a run.

    Attributes:
        plain: Without whitening.
        whitened: With it.
        auxiliary: With concept outputs and without whitening; None where there is none.
        layer: Name of the module at which figures are taken, in the plain and the auxiliary network.
        whitening: Name of the layer in the whitened network.
    """

    plain: nn.Module
    whitened: nn.Module
    auxiliary: nn.Module | None
    layer: str
    whitening: str


@dataclass(frozen=True, kw_only=True)
class PartLoaders:
    """The images of two parts in order, each batch a dictionary with ``image``."""

    train: DataLoader[Any]
    test: DataLoader[Any]


def gather_outputs(
    networks: EvaluatedNetworks,
    loaders: PartLoaders,
    parts: EvaluatedParts,
    *,
    activation: Activation,
    turns: int,
    tracker: Tracker,
) -> NetworkOutputs:
    """Run the networks over the images of a run.

    Args:
        networks: Put into evaluation mode.
        loaders: The images.
        parts: Their groups, for the interval of the residual.
        activation: The way of pooling that the axes were aligned with.
        turns: Over how many turns of an image the maps of test images are averaged.
        tracker: Where progress is shown.
    """
    pooling = (Activation.MEAN, activation)
    of_test = partial(layer_outputs, loader=loaders.test, turns=turns, tracker=tracker)
    plain = _pooled(of_test(networks.plain, networks.layer, title="plain network, test images"), pooling)
    whitened = _pooled(
        of_test(networks.whitened, networks.whitening, title="whitened network, test images"), Activation
    )
    auxiliary = None
    if networks.auxiliary is not None:
        outputs = of_test(networks.auxiliary, networks.layer, title="auxiliary network, test images")
        auxiliary = _with_concepts(networks.auxiliary, outputs)
    return NetworkOutputs(
        plain=plain,
        whitened=whitened,
        auxiliary=auxiliary,
        train_features=pooled_features(
            networks.plain,
            networks.layer,
            loaders.train,
            activations=pooling,
            tracker=tracker,
            title="plain network, training images",
        ),
        residual=_residual(networks, loaders, parts, tracker),
        layers=_layers(networks.whitened, loaders.test, tracker),
    )


def _pooled(outputs: LayerOutputs, ways: Iterable[Activation]) -> PooledOutputs:
    return PooledOutputs(
        probabilities=outputs.probabilities, activations={how: outputs.activations(how) for how in ways}
    )


@torch.no_grad()
def _with_concepts(network: nn.Module, outputs: LayerOutputs) -> AuxiliaryOutputs:
    head = concept_head(network)
    concepts = head.pool(head(outputs.maps)).double().numpy()
    return AuxiliaryOutputs(probabilities=outputs.probabilities, concepts=concepts)


def _residual(networks: EvaluatedNetworks, loaders: PartLoaders, parts: EvaluatedParts, tracker: Tracker) -> Residual:
    train, test = (
        layer_residual(
            networks.whitened,
            networks.whitening,
            loader,
            groups=part.groups,
            tracker=tracker,
            title=f"whitened network, {name} images",
        )
        for loader, part, name in ((loaders.train, parts.train, "training"), (loaders.test, parts.test, "test"))
    )
    return Residual(train=train, test=test)


def _layers(network: nn.Module, loader: DataLoader[Any], tracker: Tracker) -> dict[str, NDArray[np.float64]]:
    if len(whitening_layers(network)) < 2:
        return {}
    activations = activations_by_layer(network, loader, tracker=tracker, title="every whitened layer, test images")
    return {name.removesuffix(".whitening"): axes for name, axes in activations.items()}
