"""What a case is read against: everything that validation and training images say, in one file of the run.

With it and the network a single image can be explained at any time, without the rest of the cohort.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from pipeline.explanation.cases.calibration import Calibration, lower_bound
from pipeline.explanation.cases.concept_states import Thresholds
from pipeline.explanation.cases.scope import Scope
from pipeline.results.result import Figure, Result, ResultFile

Figures = NDArray[np.float64]

FOLDS = 5
COVERAGE = 0.9
"""Share of cases whose diagnosis the concepts alone are to hold plausible; else there would be conflicts by chance."""


class StageReference(Result):
    """A named axis at one of several whitened layers: its thresholds and its activations on all validation images."""

    layer: str
    thresholds: Thresholds
    activations: tuple[float, ...]


class AxisReference(Result):
    """What is known of one named axis.

    Attributes:
        concept: Which concept.
        name: What people call it.
        thresholds: Set on validation images.
        activations: Of all validation images, ascending.
        auc: Of the axis on test images, present against absent; None where not assessable.
        positives: Test images that show the concept.
        reason: Why the axis cannot be assessed, or None.
        agreement: How far the readers of the release agreed about the concept, where it says so.
        stages: The axis at each whitened layer, from low to high, where there are several.
        absent: The axis's map, row by row, averaged over the release's training images that do not show the concept:
            where it is switched off to. Empty for 0 everywhere, where too few such images are known.
        evidence_width: Cells over whose square its evidence map is averaged, chosen on validation images with masks.
    """

    concept: str
    name: str
    thresholds: Thresholds
    activations: tuple[float, ...]
    auc: Figure | None = None
    positives: int = 0
    reason: str | None = None
    agreement: Figure | None = None
    stages: tuple[StageReference, ...] = ()
    absent: tuple[float, ...] = ()
    evidence_width: Annotated[int, Field(ge=1)] = 1


class ConceptOnly(Result):
    """Logistic regression from the k named activations alone to the diagnosis, fitted on validation images.

    Attributes:
        mean: k, taken off the activations.
        scale: k, by which they are then divided.
        weights: D x k.
        intercepts: D.
        threshold: A diagnosis is plausible from the concepts where its probability is at least this (conformal,
            cross-validated).
        n: Validation images.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]
    threshold: float
    n: int

    def probabilities(self, activations: Figures) -> Figures:
        """N x D from N x k."""
        standard = (activations - np.array(self.mean)) / np.array(self.scale)
        return softmax(standard @ np.array(self.weights).T + np.array(self.intercepts), axis=1)


class ExampleReference(Result):
    """A training image of the release.

    Attributes:
        image_id: Which.
        diagnosis: What it is.
        shows: Concepts that it was said to show.
        activations: k.
    """

    image_id: str
    diagnosis: str
    shows: tuple[str, ...]
    activations: tuple[float, ...]


class Reference(ResultFile):
    """What the cases of a run are read against.

    Attributes:
        classes: The diagnoses in the order of the network's outputs.
        axes: The named axes in their order.
        calibration: Of the network's logits.
        scope: Where the release's training images lie in the whitened space.
        distances: Of all validation images from there, ascending.
        quality: By measure, of all validation images, ascending.
        concept_only: What the concepts alone would say; None where validation has too few images of a diagnosis.
        examples: Training images of the release.
        release: Digest of the release.
    """

    file: ClassVar[str] = "reference.json"
    version: ClassVar[int] = 2
    remedy: ClassVar[str] = "explain the run again: dermaxis explain {run}"

    classes: tuple[str, ...]
    axes: tuple[AxisReference, ...]
    calibration: Calibration
    scope: Scope
    distances: tuple[float, ...]
    quality: dict[str, tuple[float, ...]]
    concept_only: ConceptOnly | None
    examples: tuple[ExampleReference, ...]
    release: str

    @property
    def concepts(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.concept for axis in self.axes)


def fit_concept_only(activations: Figures, labels: NDArray[np.int64], *, classes: int) -> ConceptOnly | None:
    """Fit what the named activations alone say about the diagnosis.

    Args:
        activations: N x k of validation images.
        labels: N indices.
        classes: D.

    Returns:
        None where a diagnosis has fewer than `FOLDS` images, or there are no concepts.
    """
    counts = np.bincount(labels, minlength=classes)
    if activations.shape[1] == 0 or counts.min() < FOLDS:
        return None
    mean, scale = activations.mean(axis=0), activations.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    standard = (activations - mean) / scale
    model = LogisticRegression(max_iter=2000, class_weight=None)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    held_out = cross_val_predict(model, standard, labels, cv=folds, method="predict_proba")
    held_out_truth = held_out[np.arange(len(labels)), labels]
    model.fit(standard, labels)
    weights, intercepts = _one_row_each(model.coef_, model.intercept_, classes)
    return ConceptOnly(
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        weights=tuple(tuple(row) for row in weights.tolist()),
        intercepts=tuple(intercepts.tolist()),
        threshold=max(0.0, lower_bound(held_out_truth, share=COVERAGE)),
        n=len(labels),
    )


def nearest(
    activations: Sequence[float], examples: Sequence[ExampleReference], *, scale: Figures, count: int
) -> list[tuple[ExampleReference, float]]:
    """Return the examples nearest in the named axes, each in units of its spread, with their distances."""
    if not examples or len(scale) == 0:
        return []
    table = np.array([example.activations for example in examples])
    distances = np.linalg.norm((table - np.asarray(activations)) / scale, axis=1)
    order = np.argsort(distances, kind="stable")[:count]
    return [(examples[row], float(distances[row])) for row in order]


def _one_row_each(weights: Figures, intercepts: Figures, classes: int) -> tuple[Figures, Figures]:
    """With two diagnoses scikit-learn keeps the second's row only."""
    if classes == 2 and len(weights) == 1:
        return np.vstack([np.zeros_like(weights), weights]), np.array([0.0, float(intercepts[0])])
    return weights, intercepts
