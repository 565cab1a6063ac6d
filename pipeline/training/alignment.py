"""Turn the named axes of whitened layers onto their concepts: an exact pass, and a handler for any Ignite trainer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from concepts.errors import SettingsError
from pipeline.choices import Objective, Schedule
from pipeline.data.loaders import place_images
from pipeline.models.whitened import whitening_refusals
from pipeline.training.processes import is_first
from pipeline.training.refinement import RefinementReport, refine
from pipeline.training.stochastic import ActivationGradient, turn_along
from pipeline.whitening.distributed import take_from_first
from pipeline.whitening.early_exit import layer_inputs
from pipeline.whitening.hierarchy import subspace_rotation, turn_upper
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.statistics import LayerMoments
from pipeline.whitening.surgery import realign, whitening_layers
from pipeline.whitening.whiten import shrunk_whitening, whitening_matrix

Batch = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class AlignmentReport:
    """What an alignment did to one layer.

    Attributes:
        layer: Its qualified name.
        objective: ``positives``, ``contrast`` or ``regions``.
        before: Mean over concepts of the objective with the old rotation and the new statistics, in standard deviations
            of a white axis; where there are subspaces, over the concepts that are no child.
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
        """The report as a JSON object; ``inside`` only with subspaces, ``refinement`` only where it was asked for."""
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
        SettingsError: If the network has no whitened layer, there is no batch, or the labels do not fit the concepts.
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


@torch.no_grad()
def collect_statistics(
    network: nn.Module,
    layers: Mapping[str, ConceptWhitening],
    batches: Iterable[Batch],
    *,
    device: torch.device | str | None = None,
) -> dict[str, LayerMoments]:
    """Moments of the inputs of some whitened layers, over all batches and processes: one early-exit forward pass.

    Args:
        network: Put into evaluation mode for the pass.
        layers: By name; the pass stops at the last of them that the network runs.
        batches: As for `align`.
        device: As for `align`.

    Returns:
        Moments by name, in the order in which the network runs the layers.

    Raises:
        SettingsError: If there is no batch, a layer is never run, or the labels do not fit the concepts.
    """
    where = torch.device(device) if device is not None else _device(network)
    moments: dict[str, LayerMoments] = {}
    for batch in batches:
        for name, x in layer_inputs(network, layers, place_images(batch["image"], where)).items():
            layer = layers[name]
            if name not in moments:
                owners = [layer.concepts.index(one.parent) for one in layer.layout.subspaces if one.free]
                moments[name] = LayerMoments(layer.num_features, layer.num_concepts, spread_of=owners, device=where)
            moments[name].add(x, _labels(batch, layer, where), _regions(batch, layer, where))
    missing = [name for name in layers if name not in moments]
    if missing:
        raise SettingsError(
            f"no statistics of {', '.join(missing)}: the batches are empty, or the network never runs the layer"
        )
    return {name: one.over_processes() for name, one in moments.items()}


class ConceptAlignment:
    """Keeps whitened layers aligned while a trainer trains the network: an Ignite handler.

    ``exact``: after every epoch, `align` over the whole loader; the running statistics, which lag behind the weights,
    become those of the loader's images. ``paper``: every few iterations one stochastic update from a few batches, as in
    the published procedure (Chen, Bei, Rudin 2020, algorithm 1), for comparison: the gradient of the named activations
    over the positives that the batches happen to hold, averaged with momentum, and one step along its Cayley curve.

    Attach it before handlers that validate or store the network at the end of an epoch.

    Args:
        network: With whitened layers; the bare network, not its distributed wrapper.
        loader: Batches as for `align`.
        schedule: ``exact`` or ``paper``.
        objective: What the axes are aligned with.
        every: Iterations between two updates (``paper``).
        shrinkage: As for `align` (``exact``).
        refinement_steps: As for `align` (``exact``).
        momentum: Weight of the past in the averaged gradient (``paper``).
    """

    def __init__(
        self,
        network: nn.Module,
        loader: Iterable[Batch],
        *,
        schedule: Schedule = Schedule.EXACT,
        objective: Objective = Objective.CONTRAST,
        every: int = 30,
        shrinkage: float = 0.0,
        refinement_steps: int = 0,
        momentum: float = 0.9,
    ) -> None:
        self.network, self.loader = network, loader
        self.schedule, self.objective = Schedule(schedule), Objective(objective)
        self.every, self.momentum = every, momentum
        self.shrinkage, self.refinement_steps = shrinkage, refinement_steps
        self.reports: dict[str, AlignmentReport] = {}
        self._gradients: dict[str, Tensor] = {}
        self._drawn = 0
        self._batches = _endless(loader, skip=0)

    def attach(self, engine: Engine) -> None:
        """Register on a trainer's events."""
        if self.schedule is Schedule.EXACT:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._align)
        else:
            engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self._update)

    def state_dict(self) -> dict[str, Any]:
        """The averaged gradients and how many batches were drawn (``paper``)."""
        return {"gradients": dict(self._gradients), "drawn": self._drawn}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state; the batches drawn before are passed over."""
        self._gradients = dict(state["gradients"])
        self._drawn = int(state["drawn"])
        self._batches = _endless(self.loader, skip=self._drawn)

    def _align(self, _engine: Engine) -> None:
        self.reports = align(
            self.network,
            self.loader,
            objective=self.objective,
            shrinkage=self.shrinkage,
            refinement_steps=self.refinement_steps,
        )

    def _update(self, _engine: Engine) -> None:
        layers = whitening_layers(self.network)
        wanted = max(layer.num_concepts for layer in layers.values())
        gradients = {name: ActivationGradient(layer, self.objective) for name, layer in layers.items()}
        for batch in islice(self._batches, wanted):
            self._drawn += 1
            for name, x in layer_inputs(
                self.network, layers, place_images(batch["image"], _device(self.network))
            ).items():
                gradients[name].add(x, _labels(batch, layers[name], x.device))
            if all(gradient.complete for gradient in gradients.values()):
                break
        for name, layer in layers.items():
            self._gradients[name] = gradients[name].averaged(self._gradients.get(name), momentum=self.momentum)
            turn_along(self.network, layer, self._gradients[name])


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
    """The reports of the layers that can be refined, after that was done on the first process's images."""
    layers = whitening_layers(network)
    plain = [name for name in reports if layers[name].num_concepts and not layers[name].layout.subspaces]
    return {
        name: replace(reports[name], refinement=refine(network, name, batches, objective=objective, steps=steps))
        for name in plain
    }


def _objective(rotation: Tensor, means: Tensor, concepts: Sequence[int]) -> float:
    """Mean over some concepts of r_j · m_j."""
    return float((rotation.double()[concepts] * means[concepts]).sum() / max(1, len(concepts)))


def _spreads(layer: ConceptWhitening, moments: LayerMoments) -> list[Tensor]:
    """What varies among the images of each subspace's parent, in whitened space; none where no axis would take it."""
    if layer.layout.owned == layer.num_concepts:
        return []
    whitening = whitening_matrix(moments.covariance, eps=layer.eps)
    nothing = torch.zeros_like(whitening)
    return [
        whitening @ moments.spread(layer.concepts.index(one.parent)) @ whitening if one.free else nothing
        for one in layer.layout.subspaces
    ]


def _residual(whitening: Tensor, covariance: Tensor) -> float:
    white = whitening @ covariance.double() @ whitening
    identity = torch.eye(len(white), dtype=white.dtype, device=white.device)
    return float(torch.linalg.matrix_norm(white - identity) / len(white) ** 0.5)


def _counts(layer: ConceptWhitening, weights: Tensor) -> dict[str, int]:
    return dict(zip(layer.concepts, weights.round().long().tolist(), strict=True))


@whitening_refusals()
def _labels(batch: Batch, layer: ConceptWhitening, device: torch.device) -> Tensor | None:
    """Labels of a batch, children's only inside their parents."""
    labels = _targets(batch, "concepts", layer, device)
    return None if labels is None else layer.layout.inside(labels)


def _regions(batch: Batch, layer: ConceptWhitening, device: torch.device) -> Tensor | None:
    """Regions of a batch, children's only inside their parents'."""
    regions = _targets(batch, "regions", layer, device)
    return None if regions is None else layer.layout.inside_regions(regions)


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


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _endless(loader: Iterable[Batch], *, skip: int) -> Iterator[Batch]:
    """The batches of a loader over and over, but for the first ``skip``; ends where the loader is empty."""
    passed = 0
    while True:
        before = passed
        for batch in loader:
            passed += 1
            if passed > skip:
                yield batch
        if passed == before:
            return
