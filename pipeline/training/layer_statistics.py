"""What an alignment needs to know of the inputs of whitened layers: one early-exit pass over batches."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from concepts.errors import SettingsError
from pipeline.data.loaders import place_images
from pipeline.models.whitened import whitening_refusals
from pipeline.whitening.early_exit import layer_inputs
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.statistics import LayerMoments

Batch = Mapping[str, Any]


@torch.no_grad()
def collect_statistics(
    network: nn.Module,
    layers: Mapping[str, ConceptWhitening],
    batches: Iterable[Batch],
) -> dict[str, LayerMoments]:
    """Collect moments of the inputs of whitened layers, over all batches and processes.

    Args:
        network: Put into evaluation mode for the pass.
        layers: By name; the pass stops at the last of them that the network runs.
        batches: As for `pipeline.training.alignment.align`.

    Returns:
        Moments by name, in the order in which the network runs the layers.

    Raises:
        DataError: If a sub-concept is present where its parent is absent.
        SettingsError: If there is no batch, a layer is never run, or the labels do not fit the concepts.

    Example:
        >>> from pipeline.whitening.surgery import insert_after
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(16, 2))
        >>> whitened = insert_after(network, "0", concepts=["streaks"])
        >>> batch = {"image": torch.rand(5, 3, 2, 2), "concepts": torch.tensor([[1.0], [0.0], [1.0], [0.0], [0.0]])}
        >>> moments = collect_statistics(network, {"0.whitening": whitened.whitening}, [batch])["0.whitening"]
        >>> int(moments.count), moments.present.weights.tolist()
        (20, [2.0])
    """
    where = device_of(network)
    moments: dict[str, LayerMoments] = {}
    for batch in batches:
        for name, x in layer_inputs(network, layers, place_images(batch["image"], where)).items():
            if name not in moments:
                moments[name] = _no_moments(layers[name], where)
            moments[name].add(x, batch_labels(batch, layers[name], where), batch_regions(batch, layers[name], where))
    missing = [name for name in layers if name not in moments]
    if missing:
        raise SettingsError(
            f"no statistics of {', '.join(missing)}: the batches are empty, or the network never runs the layer"
        )
    return {name: local.over_processes() for name, local in moments.items()}


@whitening_refusals()
def batch_labels(batch: Batch, layer: ConceptWhitening, device: torch.device) -> Tensor | None:
    """Return a batch's labels for a layer (N x k), children's only inside their parents; None where it has none.

    Raises:
        DataError: If a sub-concept is present where its parent is absent.
        SettingsError: If there is not one column per concept.
    """
    labels = _targets(batch, "concepts", layer, device)
    return None if labels is None else layer.layout.inside(labels)


def batch_regions(batch: Batch, layer: ConceptWhitening, device: torch.device) -> Tensor | None:
    """Return a batch's regions for a layer (N x k x h x w), children's only inside their parents'; None without any.

    Raises:
        SettingsError: If there is not one plane per concept.
    """
    regions = _targets(batch, "regions", layer, device)
    return None if regions is None else layer.layout.inside_regions(regions)


def device_of(network: nn.Module) -> torch.device:
    """Return the device of a network's parameters."""
    return next(network.parameters()).device


def _no_moments(layer: ConceptWhitening, device: torch.device) -> LayerMoments:
    owners = [layer.concepts.index(subspace.parent) for subspace in layer.layout.subspaces if subspace.free]
    return LayerMoments(layer.num_features, layer.num_concepts, spread_of=owners, device=device)


def _targets(batch: Batch, key: str, layer: ConceptWhitening, device: torch.device) -> Tensor | None:
    """Labels or regions of a batch, if it has them and the layer has concepts."""
    values = batch.get(key)
    if values is None or layer.num_concepts == 0:
        return None
    if values.shape[1] != layer.num_concepts:
        raise SettingsError(
            f"batches have {values.shape[1]} columns of {key} but the layer has {layer.num_concepts} concepts "
            f"({', '.join(layer.concepts)}); give one column per concept, in that order"
        )
    return values.to(device)
