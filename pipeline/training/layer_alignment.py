"""Turn the named axes of one whitened layer onto their concepts, given the moments of its input."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.choices import Objective
from pipeline.training.refinement import RefinementReport
from pipeline.whitening.hierarchy import subspace_rotation, turn_upper
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.statistics import LayerMoments
from pipeline.whitening.surgery import realign, whitening_layers
from pipeline.whitening.whiten import shrunk_whitening, whitening_matrix


@dataclass(frozen=True, kw_only=True)
class AlignmentReport:
    """What an alignment did to one layer.

    Attributes:
        layer: Its qualified name.
        objective: ``positives``, ``contrast`` or ``regions``.
        before: Mean over concepts of r_j · m_j (axis and concept mean) with the old rotation and the new statistics, in
            standard deviations of a white axis; where there are subspaces, over the concepts that are no child.
        after: The same with the new rotation; never less.
        inside: Where there are subspaces, the mean over children of theirs, told from their siblings: ``before`` with
            the old axes once they had made room for the parents' new ones, and ``after``, never less.
        refinement: What steps beyond the closed form did.
        positives: Images that show each concept.
        negatives: Images known not to show it.
        regions: Positions inside its masks.
        positions: Number of positions behind the statistics.
        residual_before: Relative distance of the covariance from the identity under the statistics that the layer had.
        residual: The same under the new ones.

    Example:
        >>> report = AlignmentReport(
        ...     layer="norm", objective="contrast", before=0.1, after=0.9, positives={"streaks": 2},
        ...     negatives={"streaks": 3}, regions={"streaks": 0}, positions=20, residual_before=0.5, residual=0.0)
        >>> report.to_json()["after"], "inside" in report.to_json()
        (0.9, False)
    """

    layer: str
    objective: str
    before: float
    after: float
    positives: dict[str, int]
    negatives: dict[str, int]
    regions: dict[str, int]
    positions: int
    residual_before: float
    residual: float
    inside: dict[str, float] | None = None
    refinement: RefinementReport | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; it has ``inside`` only with subspaces, ``refinement`` only where asked for."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def align_layer(
    network: nn.Module, name: str, moments: LayerMoments, *, objective: Objective, shrinkage: float
) -> tuple[AlignmentReport, bool]:
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
    report = AlignmentReport(
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
