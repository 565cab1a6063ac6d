"""The test images about which the network was most confidently wrong, with what it saw in them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from concepts.statistics.bootstrap import Weights, known_mean
from concepts.statistics.estimate import Estimate
from pipeline.evaluation.evaluation_data import EvaluationData
from pipeline.explanation.cases.files import picture_file, save_missing_pictures
from pipeline.explanation.cases.reference import AxisReference, Reference
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.results.trust import FailedConcept, Failure, FailuresResult
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker

CONFIDENT = 0.8
"""Calibrated probability of the call from which it counts as confident."""

Table = NDArray[np.float64]


def gather_failures(
    network: ExplainedNetwork, reference: Reference, *, count: int, run: RunFolder, tracker: Tracker
) -> FailuresResult:
    """Find the most confident wrong calls, and write the pictures that the run does not have yet.

    Probabilities and states are those of the cases, by the run's reference, so that gallery and case pages agree.

    Args:
        network: The whitened one, with its images.
        reference: What the cases are read against.
        count: How many failures at most.
        run: Where pictures go.
        tracker: Where progress is shown.
    """
    outputs, test = network.test_outputs(tracker), network.parts.test
    probabilities = reference.calibration.probabilities(outputs.logits.double().numpy())
    failures = failures_of(probabilities, outputs.activations(network.activation), reference.axes, test, count=count)
    samples = {sample.image_id: sample for sample in test.samples}
    image_ids = [failure.image_id for failure in failures.gallery]
    save_missing_pictures(run, image_ids, lambda image_id: network.display(samples[image_id]))
    return failures


def failures_of(
    probabilities: Table, activations: Table, axes: Sequence[AxisReference], test: EvaluationData, *, count: int
) -> FailuresResult:
    """State how often calls are wrong, and describe the most confident wrong ones.

    Args:
        probabilities: N x D, calibrated.
        activations: N x C, the named axes first.
        axes: The k named axes, in their order.
        test: The N images.
        count: How many failures are described at most.
    """
    wrong, wrong_where_confident = failure_rates(probabilities, test.labels, test.weights)
    rows = most_confidently_wrong(probabilities, test.labels, count=count)
    return FailuresResult(
        wrong=wrong,
        confident=CONFIDENT,
        wrong_where_confident=wrong_where_confident,
        gallery=tuple(_failure(test, row, probabilities[row], _concepts(axes, activations, test, row)) for row in rows),
    )


def most_confidently_wrong(probabilities: Table, labels: NDArray[np.int64], *, count: int) -> list[int]:
    """List the rows of wrong calls, the most confident first; of equal ones the first row comes first.

    Args:
        probabilities: N x D.
        labels: N indices.
        count: How many at most.

    Example:
        >>> calls = np.array([[0.6, 0.4], [0.9, 0.1], [0.7, 0.3]])
        >>> most_confidently_wrong(calls, np.array([1, 1, 0]), count=5)
        [1, 0]
    """
    calls = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(calls != labels)
    order = np.argsort(-probabilities[wrong].max(axis=1), kind="stable")
    return [int(row) for row in wrong[order][:count]]


def failure_rates(probabilities: Table, labels: NDArray[np.int64], weights: Weights) -> tuple[Estimate, Estimate]:
    """Estimate how often calls are wrong: all of them, and those whose probability is at least `CONFIDENT`.

    Args:
        probabilities: N x D.
        labels: N indices.
        weights: B x N.
    """
    wrong = (probabilities.argmax(axis=1) != labels).astype(np.float64)
    confident = probabilities.max(axis=1) >= CONFIDENT
    where_confident = known_mean(np.where(confident, wrong, np.nan), weights)
    return known_mean(wrong, weights).estimate(), where_confident.estimate()


def _failure(test: EvaluationData, row: int, probabilities: Table, concepts: tuple[FailedConcept, ...]) -> Failure:
    sample, call = test.samples[row], int(probabilities.argmax())
    return Failure(
        image_id=sample.image_id,
        truth=sample.diagnosis,
        call=test.classes[call],
        probability=float(probabilities[call]),
        probability_of_truth=float(probabilities[test.labels[row]]),
        concepts=concepts,
        picture=picture_file(sample.image_id),
    )


def _concepts(
    axes: Sequence[AxisReference], activations: Table, test: EvaluationData, row: int
) -> tuple[FailedConcept, ...]:
    values = activations[row, : len(axes)].tolist()
    return tuple(
        FailedConcept(
            concept=axis.concept,
            state=str(axis.thresholds.state(activation)),
            label=None if label != label else bool(label),
        )
        for axis, activation, label in zip(axes, values, test.concept_labels[row].tolist(), strict=True)
    )
