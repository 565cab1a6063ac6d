"""The test images about which the network was most confidently wrong, with what it saw in them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concepts.statistics.bootstrap import Resampled, Weights, ratio, resample
from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.data.splits import Part
from pipeline.data.transforms import display_transforms
from pipeline.evaluation.evaluate import bootstrap_weights
from pipeline.evaluation.evaluation_data import class_indices
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.cases.files import has_picture, picture_file
from pipeline.explanation.cases.network import REFERENCE
from pipeline.explanation.cases.reference import Reference
from pipeline.run.folder import RunFolder
from pipeline.run.pictures import save_picture

CONFIDENT = 0.8
"""Calibrated probability of the call from which it counts as confident."""

Figures = NDArray[np.float64]


def most_confidently_wrong(probabilities: Figures, labels: NDArray[np.int64], *, count: int) -> list[int]:
    """Rows of wrong calls, the most confident first; of equal ones the first row comes first.

    Args:
        probabilities: N x D.
        labels: N indices.
        count: How many at most.
    """
    calls = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(calls != labels)
    order = np.argsort(-probabilities[wrong].max(axis=1), kind="stable")
    return [int(row) for row in wrong[order][:count]]


def failure_rates(probabilities: Figures, labels: NDArray[np.int64], weights: Weights) -> dict[str, Any]:
    """How often calls are wrong: all of them, and those that are confident; each with interval and n.

    Args:
        probabilities: N x D.
        labels: N indices.
        weights: B x N.
    """
    wrong = (probabilities.argmax(axis=1) != labels).astype(np.float64)
    sure = probabilities.max(axis=1) >= CONFIDENT
    return {
        "wrong": _share(wrong, weights).estimate(),
        "confident": CONFIDENT,
        "wrong_where_confident": _share(wrong[sure], weights[:, sure]).estimate(),
    }


def gather_failures(settings: RunSettings, cohort: Cohort, *, run: RunFolder, outputs: LayerOutputs) -> dict[str, Any]:
    """The gallery: of each failure its picture, the call and the truth, and each concept as seen and as known.

    Probabilities and states are those of the cases, by the run's reference, so that gallery and case pages agree.

    Args:
        settings: The experiment.
        cohort: Its images.
        run: Where pictures go; it must have its reference.
        outputs: Of the whitened layer for the test images, in order.
    """
    reference = Reference.model_validate(run.read_json(REFERENCE))
    test = cohort.part(Part.TEST)
    labels, concept_labels = class_indices(test, cohort.classes), cohort.concept_labels(test)
    probabilities = reference.calibration.probabilities(outputs.logits.double().numpy())
    activations = outputs.activations(settings.model.activation)
    gallery = []
    for row in most_confidently_wrong(probabilities, labels, count=settings.explanation.failures):
        sample, call = test[row], int(probabilities[row].argmax())
        if not has_picture(run, sample.image_id):
            shown = display_transforms(settings.transforms)({"image": cohort.cache.get(sample)})["image"]
            save_picture(run, picture_file(sample.image_id), np.asarray(shown))
        gallery.append(
            {
                "image_id": sample.image_id,
                "truth": sample.diagnosis,
                "call": cohort.classes[call],
                "probability": float(probabilities[row, call]),
                "probability_of_truth": float(probabilities[row, labels[row]]),
                "concepts": _concepts(reference, activations[row], concept_labels[row].tolist()),
                "picture": picture_file(sample.image_id),
            }
        )
    rates = failure_rates(probabilities, labels, bootstrap_weights(settings, cohort.groups(test)))
    return {"failures": rates | {"gallery": gallery}}


def _concepts(reference: Reference, activations: Figures, labels: Sequence[float]) -> list[dict[str, Any]]:
    return [
        {
            "concept": axis.concept,
            "state": str(axis.thresholds.state(float(activation))),
            "label": None if label != label else int(label),
        }
        for axis, activation, label in zip(reference.axes, activations, labels, strict=False)
    ]


def _share(values: Figures, weights: Weights) -> Resampled:
    if not len(values):
        return Resampled(float("nan"), np.full(len(weights), np.nan), 0)
    return resample(lambda weight: ratio(weight @ values, weight.sum(axis=1)), weights)
