"""What a run's concept labels alone say about the diagnoses, beside what its network says."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from concepts.statistics.bootstrap import Weights, difference, group_weights
from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.data.splits import Part
from pipeline.evaluation.ceiling import ceiling, concept_only_probabilities
from pipeline.evaluation.diagnosis import balanced_accuracy, class_aucs, macro

CONCEPT_ONLY = 7
"""Distinguishes the generator of these resamples from the run's others."""


def concept_only_figures(
    settings: RunSettings, cohort: Cohort, *, network: NDArray[np.float64], weights: Weights
) -> dict[str, Any]:
    """Ceiling and cross-validated logistic regression on the labels of all images, and the latter against the network.

    Images with a label that is not known are left out. The classifier's test images are judged by models that saw other
    images of all parts, so it has more to learn from than the network had; the comparison is on the same test images.

    Args:
        settings: The experiment.
        cohort: Its images.
        network: M x D probabilities for the test images.
        weights: B x M resamples of the test images.
    """
    classes = len(cohort.classes)
    table = cohort.concept_labels(cohort.samples)
    known = np.isfinite(table).all(axis=1)
    samples = [cohort.samples[row] for row in np.flatnonzero(known)]
    labels = np.array([cohort.classes.index(sample.diagnosis) for sample in samples], dtype=np.int64)
    left_out = int((~known).sum())
    if not table.shape[1] or len(np.unique(labels)) < classes:
        return {"images": len(samples), "left_out": left_out}
    groups = cohort.groups(samples)
    generator = np.random.default_rng([settings.seed, CONCEPT_ONLY])
    own = group_weights(groups, resamples=settings.evaluation.resamples, generator=generator)
    found: dict[str, Any] = {
        "images": len(samples),
        "left_out": left_out,
        "ceiling": ceiling(table[known], labels, classes=classes, weights=own),
    }
    guesses = concept_only_probabilities(table[known], labels, groups=groups, classes=classes, seed=settings.seed)
    if guesses is None:
        return found
    found["logistic"] = {
        "macro_auc": macro(class_aucs(guesses, labels, classes=cohort.classes, weights=own)).estimate(),
        "balanced_accuracy": balanced_accuracy(guesses, labels, own).estimate(),
    }
    by_image = {sample.image_id: row for row, sample in enumerate(samples)}
    test = [(row, by_image[one.image_id]) for row, one in enumerate(cohort.part(Part.TEST)) if one.image_id in by_image]
    if test:
        rows, places = (list(one) for one in zip(*test, strict=True))
        concepts, whitened = (
            macro(class_aucs(one, labels[places], classes=cohort.classes, weights=weights[:, rows]))
            for one in (guesses[places], network[rows])
        )
        found["test"] = {
            "logistic": concepts.estimate(),
            "network": whitened.estimate(),
            "difference": difference(whitened, concepts).estimate(),
        }
    return found
