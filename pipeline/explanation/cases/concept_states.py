"""From an activation to present, absent or uncertain, by two thresholds set on validation cases."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pipeline.explanation.cases.calibration import lower_bound
from pipeline.results.case import ConceptState

CONFIDENCE = 0.9
"""Share of images that show a concept which are not called absent, and of those that do not, not called present."""
FEWEST = 10
"""Validation images that must show a concept, and that must not, for thresholds to be set."""


@dataclass(frozen=True)
class Thresholds:
    """Of one axis.

    Attributes:
        absent_below: Activations below this are called absent; None where thresholds could not be set.
        present_above: Activations above this are called present; at least ``absent_below``.
        positives: Validation images that show the concept.
        negatives: Those that do not.
    """

    absent_below: float | None
    present_above: float | None
    positives: int
    negatives: int

    def state(self, activation: float) -> ConceptState:
        """Return what an activation is called."""
        if self.absent_below is None or self.present_above is None:
            return ConceptState.NOT_ASSESSABLE
        if activation > self.present_above:
            return ConceptState.PRESENT
        return ConceptState.ABSENT if activation < self.absent_below else ConceptState.UNCERTAIN


def set_thresholds(activations: ArrayLike, labels: ArrayLike, *, confidence: float = CONFIDENCE) -> Thresholds:
    """Thresholds of one axis from validation images.

    At most a tenth of the images that show the concept is called absent and at most a tenth of the others present, for
    new images drawn as these were (conformal, for each class by itself). Between the thresholds nothing is claimed.
    Where the classes lie so far apart that the thresholds cross, both are their middle.

    Args:
        activations: N.
        labels: N: 1 shows the concept, 0 does not, NaN not known.
        confidence: 0.9 for the tenths above.

    Returns:
        Thresholds; None in both places where fewer than `FEWEST` images are on either side, or the axis is no better
        than chance on these images.
    """
    values, label = np.asarray(activations, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    with_concept, without_concept = values[label == 1], values[label == 0]
    counts = len(with_concept), len(without_concept)
    if min(counts) < FEWEST or np.median(with_concept) <= np.median(without_concept):
        return Thresholds(None, None, *counts)
    absent_below = lower_bound(with_concept, share=confidence)
    present_above = -lower_bound(-without_concept, share=confidence)
    if absent_below > present_above:
        absent_below = present_above = (absent_below + present_above) / 2
    if not np.isfinite([absent_below, present_above]).all():
        return Thresholds(None, None, *counts)
    return Thresholds(absent_below, present_above, *counts)
