"""One case explained: the network's output, taken apart and read against the reference of its run."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.choices import Activation
from pipeline.explanation.cases.calibration import UNUSUAL, percentile
from pipeline.explanation.cases.contributions import Contributions, contributions
from pipeline.explanation.cases.counterfactual import Flip, smallest_flip
from pipeline.explanation.cases.evidence import averaged
from pipeline.explanation.cases.reference import AxisReference, ExampleReference, Reference, nearest
from pipeline.explanation.permutation import Tail
from pipeline.images.measures.quality import ARTEFACTS, Quality, is_found
from pipeline.results.case import (
    CaseContent,
    ConceptContent,
    ConceptOnlyContent,
    ContributionContent,
    DiagnosisContent,
    EvidenceContent,
    FlipContent,
    NeighbourContent,
    QualityContent,
    ScopeContent,
    ShiftContent,
    StageContent,
)
from pipeline.whitening.activation import axis_activations

EXTREME = 2.5
"""Percentile from either end at which a picture's measurement is unusual."""
NEIGHBOURS = 3
"""Examples shown for, and against."""


@dataclass(frozen=True)
class CaseInput:
    """What the network gave for one image, and what is known of it.

    Attributes:
        image_id: Which.
        digest: SHA-256 of the file.
        maps: C x H x W or C, output of the whitened layer.
        rest: Other inputs of the tail, first dimension 1.
        logits: D.
        quality: Of the picture.
        part: ``test`` and the like, or None.
        reference: Its diagnosis, or None.
        labels: k, 1 shows the concept, 0 does not, NaN not known.
        picture: File with the image, beside the case.
        by_layer: k activations at each whitened layer, from low to high, where there are several.
    """

    image_id: str
    digest: str
    maps: Tensor
    rest: tuple[Tensor, ...]
    logits: NDArray[np.float64]
    quality: Quality
    part: str | None = None
    reference: str | None = None
    labels: Sequence[float] | None = None
    picture: str | None = None
    by_layer: Mapping[str, Sequence[float]] = field(default_factory=dict)


def explain_case(
    case: CaseInput,
    reference: Reference,
    tail: Tail,
    *,
    activation: Activation,
    run_id: str,
    generator: np.random.Generator,
) -> CaseContent:
    """Explain one case.

    Args:
        case: The image.
        reference: Of the run.
        tail: Gives logits from maps.
        activation: How the map of an axis becomes one number.
        run_id: Name of the run.
        generator: For contributions of more than ten named axes.
    """
    count = len(reference.axes)
    off = switched_off(case.maps, reference)
    account = contributions(tail, case.maps, case.rest, named=count, generator=generator, reference=off)
    activations = axis_activations(case.maps[None, :count], activation)[0].double().numpy()
    differential = _differential(case, reference, account)
    call = differential[0].diagnosis
    supporting, opposing = _neighbours(activations, call, reference)
    return CaseContent(
        image_id=case.image_id,
        digest=case.digest,
        run=run_id,
        release=reference.release,
        part=case.part,
        reference=case.reference,
        picture=case.picture,
        call=call,
        abstain=sum(entry.plausible for entry in differential) > 1,
        differential=differential,
        scope=_scope(case.maps, reference),
        quality=_quality(case.quality, reference),
        concepts=tuple(
            _concept(axis, column, case, activation=float(activations[column]), reference=reference, account=account)
            for column, axis in enumerate(reference.axes)
        ),
        free=_shares(account, count, reference.classes),
        concept_only=_concept_only(activations, call, reference),
        flip=_flip(smallest_flip(tail, case.maps, case.rest, named=count), reference),
        supporting=supporting,
        opposing=opposing,
    )


def switched_off(maps: Tensor, reference: Reference) -> Tensor:
    """Return what the axes are where they are switched off, in the shape of an image's maps: C x H x W or C."""
    off = torch.zeros_like(maps)
    for column, axis in enumerate(reference.axes):
        if axis.absent:
            off[column] = torch.tensor(axis.absent, dtype=maps.dtype).reshape(maps.shape[1:])
    return off


def summaries(maps: Tensor) -> NDArray[np.float64]:
    """Return the mean of each axis over each image's positions, N x C, of N x C x H x W maps or N x C."""
    return (maps.double().mean(dim=(2, 3)) if maps.ndim == 4 else maps.double()).numpy()


def _differential(case: CaseInput, reference: Reference, account: Contributions) -> tuple[DiagnosisContent, ...]:
    probabilities = reference.calibration.probabilities(case.logits[None])
    plausible = reference.calibration.plausible(probabilities)[0]
    order = np.argsort(-probabilities[0], kind="stable")
    return tuple(
        DiagnosisContent(
            diagnosis=reference.classes[column],
            probability=float(probabilities[0, column]),
            plausible=bool(plausible[column]),
            baseline=float(account.baseline[column]),
            outcome=float(account.outcome[column]),
        )
        for column in order
    )


def _concept(
    axis: AxisReference,
    column: int,
    case: CaseInput,
    *,
    activation: float,
    reference: Reference,
    account: Contributions,
) -> ConceptContent:
    label = float("nan") if case.labels is None else float(case.labels[column])
    return ConceptContent(
        concept=axis.concept,
        name=axis.name,
        activation=activation,
        percentile=percentile(activation, axis.activations),
        state=axis.thresholds.state(activation),
        label=None if np.isnan(label) else bool(label),
        auc=axis.auc,
        positives=axis.positives,
        reason=axis.reason,
        agreement=axis.agreement,
        contributions=_shares(account, column, reference.classes),
        evidence=_evidence(case.maps[column], axis.evidence_width),
        stages=_stages(axis, column, case),
    )


def _stages(axis: AxisReference, column: int, case: CaseInput) -> tuple[StageContent, ...]:
    stages = []
    for stage in axis.stages if case.by_layer else ():
        activation = float(case.by_layer[stage.layer][column])
        stages.append(
            StageContent(
                layer=stage.layer,
                activation=activation,
                percentile=percentile(activation, stage.activations),
                state=stage.thresholds.state(activation),
            )
        )
    return tuple(stages)


def _shares(account: Contributions, player: int, classes: Sequence[str]) -> dict[str, ContributionContent]:
    return {
        name: ContributionContent(
            share=float(account.shares[player, column]),
            error=float(account.errors[player, column]),
            alone=float(account.alone[player, column]),
        )
        for column, name in enumerate(classes)
    }


def _evidence(plane: Tensor, width: int) -> EvidenceContent | None:
    if plane.ndim != 2:
        return None
    values = averaged(plane[None].double(), width)[0].numpy()
    low, high = float(values.min()), float(values.max())
    span = high - low if high > low else 1.0
    cells = np.round((values - low) / span * 255).astype(np.uint8)
    return EvidenceContent(
        height=values.shape[0],
        width=values.shape[1],
        low=low,
        high=high,
        cells=base64.b64encode(cells.tobytes()).decode("ascii"),
        averaged_over=width,
    )


def _scope(maps: Tensor, reference: Reference) -> ScopeContent:
    distance = float(reference.scope.distances(summaries(maps[None]))[0])
    rank = percentile(distance, reference.distances)
    return ScopeContent(
        distance=distance,
        percentile=rank,
        out_of_scope=rank is not None and rank > 100 * UNUSUAL,
    )


def _quality(quality: Quality, reference: Reference) -> tuple[QualityContent, ...]:
    entries = []
    for measure, value in asdict(quality).items():
        among = np.asarray(reference.quality.get(measure, ()))
        rank = percentile(value, among)
        # Most pictures share the commonest value of some measures, e.g. no clipped pixel; that is not unusual.
        far = rank is not None and (rank < EXTREME or 100.0 * float((among < value).mean()) > 100 - EXTREME)
        unusual = is_found(measure, value) if measure in ARTEFACTS else far
        entries.append(QualityContent(measure=measure, value=value, percentile=rank, unusual=unusual))
    return tuple(entries)


def _concept_only(activations: NDArray[np.float64], call: str, reference: Reference) -> ConceptOnlyContent | None:
    model = reference.concept_only
    if model is None:
        return None
    probabilities = model.probabilities(activations[None])[0]
    top = int(probabilities.argmax())
    called = reference.classes.index(call)
    return ConceptOnlyContent(
        diagnosis=reference.classes[top],
        probability=float(probabilities[top]),
        conflict=bool(called != top and probabilities[called] < model.threshold),
    )


def _flip(flip: Flip | None, reference: Reference) -> FlipContent | None:
    if flip is None:
        return None
    order = np.argsort(-np.abs(flip.shifts), kind="stable")
    shifts = tuple(ShiftContent(concept=reference.concepts[axis], shift=float(flip.shifts[axis])) for axis in order)
    return FlipContent(diagnosis=reference.classes[flip.diagnosis], size=flip.size, shifts=shifts)


def _neighbours(
    activations: NDArray[np.float64], call: str, reference: Reference
) -> tuple[tuple[NeighbourContent, ...], tuple[NeighbourContent, ...]]:
    scale = np.array([np.std(axis.activations) or 1.0 for axis in reference.axes])
    sides: list[list[ExampleReference]] = [[], []]
    for example in reference.examples:
        sides[example.diagnosis != call].append(example)
    supporting, opposing = (
        tuple(
            NeighbourContent(
                image_id=example.image_id, diagnosis=example.diagnosis, shows=example.shows, distance=distance
            )
            for example, distance in nearest(activations.tolist(), side, scale=scale, count=NEIGHBOURS)
        )
        for side in sides
    )
    return supporting, opposing
