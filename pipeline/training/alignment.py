"""Turn the named axes of whitened layers onto their concepts by an exact pass over the images."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from concepts.errors import SettingsError
from pipeline.choices import Objective
from pipeline.training.layer_statistics import Batch, collect_statistics
from pipeline.training.processes import is_first
from pipeline.training.refinement import RefinementReport, refine
from pipeline.whitening.distributed import take_from_first
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


@torch.no_grad()
def align(
    network: nn.Module,
    batches: Iterable[Batch],
    *,
    objective: Objective = Objective.CONTRAST,
    shrinkage: float = 0.0,
    refinement_steps: int = 0,
    device: torch.device | str | None = None,
) -> dict[str, AlignmentReport]:
    """Give every whitened layer exact statistics and the best rotation, without training anything.

    One forward pass over the batches, in evaluation mode, that stops at the last whitened layer. A layer whose
    realignment changes the function of the network makes another pass necessary for the layers after it; a freshly
    inserted layer does not. A concept without positives keeps the direction that it had. Statistics are those of the
    images that come in, normally the training images as evaluation sees them; over all processes of a distributed run.

    Args:
        network: Changed in place.
        batches: Iterated once per pass. Each has ``image`` (N x 3 x S x S) and may have ``concepts`` (N x k; 1, 0, NaN)
            and ``regions`` (N x k x h x w in [0, 1]; NaN planes where there is no mask).
        objective: What the axes are aligned with.
        shrinkage: How much directions of little variance count less (`pipeline.whitening.whiten.shrunk_whitening`).
        refinement_steps: Steps at most beyond the closed form (`pipeline.training.refinement`), for activations that
            are not linear in the axes; the batches are then read from once more. Layers with subspaces get none.
        device: Where the network is; default: that of its parameters.

    Returns:
        A report for each layer, in the order in which the network runs them.

    Raises:
        DataError: If a sub-concept is present where its parent is absent.
        SettingsError: If the network has no whitened layer, there is no batch, or the labels do not fit the concepts.

    Example:
        >>> from pipeline.whitening.surgery import insert_after
        >>> _ = torch.manual_seed(0)
        >>> network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)).eval()
        >>> labels = torch.tensor([[1.0], [0.0]] * 4)
        >>> images = torch.rand(8, 3, 4, 4) + labels[:, :, None, None]
        >>> before = network(images)
        >>> whitened = insert_after(network, "0", concepts=["bright"], activation="mean")
        >>> report = align(network, [{"image": images, "concepts": labels}])["0.whitening"]
        >>> report.positives, report.residual < 1e-3
        ({'bright': 4}, True)
        >>> scores = whitened.whitening.activations(whitened.module(images))[:, 0]
        >>> bool(scores[0::2].min() > scores[1::2].max()), torch.allclose(network(images), before, atol=1e-4)
        (True, True)
    """
    layers = whitening_layers(network)
    if not layers:
        raise SettingsError("the network has no whitened layer; insert one first (pipeline.whitening.surgery)")
    reports: dict[str, AlignmentReport] = {}
    while len(reports) < len(layers):
        waiting = {name: layer for name, layer in layers.items() if name not in reports}
        for name, moments in collect_statistics(network, waiting, batches, device=device).items():
            reports[name], changed = _align_layer(
                network, name, moments, objective=Objective(objective), shrinkage=shrinkage
            )
            if changed:
                break
    if refinement_steps > 0 and is_first():
        reports |= _refined(network, reports, batches, objective=Objective(objective), steps=refinement_steps)
    take_from_first(network)
    return reports


def _align_layer(
    network: nn.Module, name: str, moments: LayerMoments, *, objective: Objective, shrinkage: float
) -> tuple[AlignmentReport, bool]:
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


def _refined(
    network: nn.Module,
    reports: Mapping[str, AlignmentReport],
    batches: Iterable[Batch],
    *,
    objective: Objective,
    steps: int,
) -> dict[str, AlignmentReport]:
    """Refine the layers that can be refined on the first process's images; return their reports."""
    layers = whitening_layers(network)
    plain = [name for name in reports if layers[name].num_concepts and not layers[name].layout.subspaces]
    return {
        name: replace(reports[name], refinement=refine(network, name, batches, objective=objective, steps=steps))
        for name in plain
    }


def _objective(rotation: Tensor, means: Tensor, concepts: Sequence[int]) -> float:
    """Mean of r_j · m_j over the concepts of these indices."""
    return float((rotation.double()[concepts] * means[concepts]).sum() / max(1, len(concepts)))


def _spreads(layer: ConceptWhitening, moments: LayerMoments) -> list[Tensor]:
    """What varies among the images of each subspace's parent, in whitened space; none where no axis would take it."""
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
