"""What cases are read against, gathered from a run's validation and training images, its evaluation and its readers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from concepts.release import Release
from pipeline.choices import Activation
from pipeline.evaluation.evaluation_data import EvaluationData
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.cases.calibration import calibrate
from pipeline.explanation.cases.case import summaries
from pipeline.explanation.cases.concept_states import set_thresholds
from pipeline.explanation.cases.reference import (
    AxisReference,
    ExampleReference,
    Reference,
    StageReference,
    fit_concept_only,
)
from pipeline.explanation.cases.scope import fit_scope
from pipeline.images.measures.quality import MEASURES, Quality
from pipeline.results.axes import AxisPurity
from pipeline.whitening.activation import axis_activations

FEWEST_WITHOUT = 10
"""Training images that must be known not to show a concept for its absence to be a reference."""

Table = NDArray[np.float64]


@dataclass(frozen=True)
class ListedActivations:
    """What the layer says of the n training images that the release lists, and of where concepts are absent.

    Attributes:
        rows: n, their rows among the training images.
        activations: n x k, of the named axes.
        means: n x C, the mean of each axis over an image's positions.
        absent: By axis, its mean map, row by row, over listed images without the concept; empty where they are few.
    """

    rows: NDArray[np.int64]
    activations: Table
    means: Table
    absent: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class ReferenceParts:
    """What a reference is made of.

    Attributes:
        validation: The validation images.
        outputs: Of the layer for them, in order.
        qualities: Of their pictures, in order.
        by_layer: N x k activations at each whitened layer, from low to high, where there are several.
        widths: By axis, cells over whose square its evidence map is averaged.
        train: The training images.
        listed: What the layer says of those that the release lists.
        purity: Of each axis on test images, by concept.
        release: The run's release.
    """

    validation: EvaluationData
    outputs: LayerOutputs
    qualities: Sequence[Quality]
    by_layer: Mapping[str, Table]
    widths: Sequence[int]
    train: EvaluationData
    listed: ListedActivations
    purity: Mapping[str, AxisPurity]
    release: Release


def build_reference(parts: ReferenceParts, *, activation: Activation) -> Reference:
    """Build the reference of a run.

    Args:
        parts: What it is made of.
        activation: How the map of an axis becomes one number: the key of its AUC in ``parts.purity``.
    """
    validation, listed = parts.validation, parts.listed
    activations = parts.outputs.activations(activation)[:, : len(validation.concepts)]
    scope = fit_scope(listed.means)
    distances = scope.distances(summaries(parts.outputs.maps))
    qualities = np.array([astuple(quality) for quality in parts.qualities])
    return Reference(
        classes=validation.classes,
        axes=tuple(
            _axis(parts, column, activations[:, column], activation=activation)
            for column in range(len(validation.concepts))
        ),
        calibration=calibrate(parts.outputs.logits.double().numpy(), validation.labels),
        scope=scope,
        distances=tuple(np.sort(distances).tolist()),
        quality={
            name: tuple(column.tolist()) for name, column in zip(MEASURES, np.sort(qualities, axis=0).T, strict=True)
        },
        concept_only=fit_concept_only(activations, validation.labels, classes=len(validation.classes)),
        examples=tuple(_examples(parts.train, listed)),
        release=parts.release.digest,
    )


def listed_activations(
    train: EvaluationData, batches: Iterable[Tensor], listed: NDArray[np.bool_], *, activation: Activation
) -> ListedActivations:
    """Gather what the layer says of the training images that the release lists.

    Args:
        train: The N training images.
        batches: The layer's output for them, batch by batch, in order; looked at once, since not all may be kept.
        listed: N, whether the release lists the image.
        activation: How the map of an axis becomes one number.
    """
    named = len(train.concepts)
    without = torch.from_numpy(((train.concept_labels == 0) & listed[:, None]).astype(np.float64))
    activations, means = [], []
    sums, start = torch.zeros(()), 0
    for maps in batches:
        rows = slice(start, start + len(maps))
        of_release = maps[torch.from_numpy(listed[rows])]
        activations.append(axis_activations(of_release[:, :named], activation).double().numpy())
        means.append(summaries(of_release))
        sums = sums + torch.einsum("nk,nk...->k...", without[rows], maps[:, :named].double())
        start = rows.stop
    counts = without.sum(dim=0)
    absent = tuple(
        tuple((sums[column] / counts[column]).flatten().tolist()) if counts[column] >= FEWEST_WITHOUT else ()
        for column in range(named)
    )
    return ListedActivations(np.flatnonzero(listed), np.concatenate(activations), np.concatenate(means), absent)


def _axis(parts: ReferenceParts, column: int, activations: Table, *, activation: Activation) -> AxisReference:
    concept, labels = parts.validation.concepts[column], parts.validation.concept_labels[:, column]
    purity = parts.purity[concept]
    names = {entry.id: entry.name for entry in parts.release.concepts}
    return AxisReference(
        concept=concept,
        name=names.get(concept, concept),
        thresholds=set_thresholds(activations, labels),
        activations=tuple(np.sort(activations).tolist()),
        stages=tuple(
            StageReference(
                layer=layer,
                thresholds=set_thresholds(table[:, column], labels),
                activations=tuple(np.sort(table[:, column]).tolist()),
            )
            for layer, table in parts.by_layer.items()
        ),
        absent=parts.listed.absent[column],
        evidence_width=parts.widths[column],
        auc=purity.axis_auc[activation] if purity.is_assessable else None,
        positives=purity.positives,
        reason=purity.reason,
        agreement=next((entry.figure for entry in parts.release.agreement or () if entry.concept == concept), None),
    )


def _examples(train: EvaluationData, listed: ListedActivations) -> list[ExampleReference]:
    return [
        ExampleReference(
            image_id=train.samples[row].image_id,
            diagnosis=train.samples[row].diagnosis,
            shows=tuple(
                concept for concept, label in zip(train.concepts, train.concept_labels[row], strict=True) if label == 1
            ),
            activations=tuple(activations.tolist()),
        )
        for row, activations in zip(listed.rows.tolist(), listed.activations, strict=True)
    ]
