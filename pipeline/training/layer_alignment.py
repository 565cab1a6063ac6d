"""Turn the named axes of one whitened layer onto their concepts, given the moments of its input."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.choices import Objective
from pipeline.results.record import LayerAlignment
from pipeline.whitening.hierarchy import subspace_rotation, turn_upper
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.statistics import LayerMoments
from pipeline.whitening.surgery import realign, whitening_layers
from pipeline.whitening.whiten import shrunk_whitening, whitening_matrix


def align_layer(
    network: nn.Module, name: str, moments: LayerMoments, *, objective: Objective, shrinkage: float
) -> tuple[LayerAlignment, bool]:
    """Give one layer the statistics and the best rotation that the moments of its input determine.

    Args:
        network: Changed in place.
        name: Qualified name of the layer.
        moments: Of the layer's input.
        objective: What the axes are aligned with.
        shrinkage: As for `pipeline.training.alignment.align`.

    Returns:
        A report, and whether the function of the network in evaluation mode has changed.
    """
    layer = whitening_layers(network)[name]
    mean, covariance = moments.mean, moments.covariance
    residual_before = _residual(layer.whitening(), covariance)
    layer.set_concept_directions(moments.concept_directions(objective))
    means = layer.concept_directions.double() @ shrunk_whitening(covariance, eps=layer.eps, shrinkage=shrinkage)
    upper, children = layer.layout.upper, layer.layout.children
    before = _objective(layer.rotation, means, upper)
    cleared = turn_upper(means, layer.layout, layer.rotation.double()) if children else layer.rotation
    inside = {"before": _objective(cleared, means, children)}
    rotation = subspace_rotation(means, layer.layout, rotation=layer.rotation, spreads=_spreads(layer, moments))
    changed = realign(network, layer, mean=mean, covariance=covariance, rotation=rotation)
    report = LayerAlignment(
        layer=name,
        objective=objective.value,
        before=before,
        after=_objective(rotation, means, upper),
        positives=_counts(layer, moments.present.weights),
        negatives=_counts(layer, moments.absent.weights),
        regions=_counts(layer, moments.inside.weights),
        positions=int(moments.count),
        residual_before=residual_before,
        residual=_residual(layer.whitening(), covariance),
        inside=inside | {"after": _objective(rotation, means, children)} if children else None,
    )
    return report, changed


def _objective(rotation: Tensor, means: Tensor, concepts: Sequence[int]) -> float:
    """Mean of r_j · m_j over the concepts of these indices."""
    return float((rotation.double()[concepts] * means[concepts]).sum() / max(1, len(concepts)))


def _spreads(layer: ConceptWhitening, moments: LayerMoments) -> list[Tensor]:
    """Spread, in whitened space, among the images of each subspace's parent; none where no axis would take it."""
    if layer.layout.owned == layer.num_concepts:
        return []
    whitening = whitening_matrix(moments.covariance, eps=layer.eps)
    nothing = torch.zeros_like(whitening)
    return [
        whitening @ moments.spread(layer.concepts.index(subspace.parent)) @ whitening if subspace.free else nothing
        for subspace in layer.layout.subspaces
    ]


def _residual(whitening: Tensor, covariance: Tensor) -> float:
    white = whitening @ covariance.double() @ whitening
    identity = torch.eye(len(white), dtype=white.dtype, device=white.device)
    return float(torch.linalg.matrix_norm(white - identity) / len(white) ** 0.5)


def _counts(layer: ConceptWhitening, weights: Tensor) -> dict[str, int]:
    return dict(zip(layer.concepts, weights.round().long().tolist(), strict=True))
