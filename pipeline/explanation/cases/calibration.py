"""Probabilities that can be believed, and when to abstain: both fitted on validation cases only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from concepts.errors import DataError

Figures = NDArray[np.float64]

COVERAGE = 0.9
"""Share of cases whose diagnosis the set of plausible diagnoses is to contain."""
TEMPERATURES = (0.05, 20.0)
UNUSUAL = 0.99
"""Share of validation cases below the distance from which a case is out of scope."""


@dataclass(frozen=True)
class Calibration:
    """How logits become a differential.

    Attributes:
        temperature: What logits are divided by.
        threshold: A diagnosis is plausible where its probability is at least this; 0 where there are too few cases to
            leave any out.
        n: Validation cases behind both.
    """

    temperature: float
    threshold: float
    n: int

    def probabilities(self, logits: ArrayLike) -> Figures:
        """N x D calibrated probabilities of N x D logits."""
        return softmax(np.asarray(logits, dtype=np.float64) / self.temperature, axis=1)

    def plausible(self, probabilities: ArrayLike) -> NDArray[np.bool_]:
        """N x D: which diagnoses are plausible; the most probable always is."""
        table = np.asarray(probabilities, dtype=np.float64)
        return (table >= self.threshold) | (table == table.max(axis=1, keepdims=True))


def calibrate(logits: ArrayLike, labels: ArrayLike, *, coverage: float = COVERAGE) -> Calibration:
    """Fit temperature and the threshold of plausibility.

    The set of plausible diagnoses contains the true one in at least ``coverage`` of new cases that are drawn as the
    validation cases were (split conformal prediction, up to the temperature being fitted on the same cases: one
    number). A case whose set has more than one diagnosis is one on which to abstain.

    Args:
        logits: N x D of validation cases.
        labels: N indices.
        coverage: Share of new cases whose set is to contain their diagnosis, 0 to 1.

    Raises:
        DataError: If there are no cases.

    Source: Guo et al. 2017 (arXiv 1706.04599); Sadinle, Lei & Wasserman 2019 (least ambiguous sets).
    """
    raw, label = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if len(raw) == 0:
        raise DataError("no validation cases to calibrate on; check that the split has a validation part")
    rows = np.arange(len(raw))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(raw / np.exp(log_temperature), axis=1)[rows, label].mean())

    bounds = tuple(np.log(TEMPERATURES))
    temperature = float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))
    of_truth = softmax(raw / temperature, axis=1)[rows, label]
    return Calibration(temperature, max(0.0, lower_bound(of_truth, share=coverage)), len(raw))


def lower_bound(values: ArrayLike, *, share: float) -> float:
    """Return the largest bound that a new value of the same kind reaches with probability ``share``.

    Args:
        values: N exchangeable values; minus infinity is returned where N is too small to promise the share.
        share: Between 0 and 1.

    Source: Vovk, Gammerman & Shafer 2005: the k-th smallest value with k = floor((N + 1) (1 - share)).
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    position = int(np.floor((len(ordered) + 1) * (1 - share) + 1e-9))
    return float(ordered[position - 1]) if position >= 1 else float("-inf")


def percentile(value: float, among: ArrayLike) -> float | None:
    """Return the share of ``among`` that is at most the value, in percent.

    Args:
        value: A number.
        among: Numbers, ascending.

    Returns:
        0 to 100; None where there are no numbers.
    """
    values = np.asarray(among, dtype=np.float64)
    return 100.0 * float(np.searchsorted(values, value, side="right")) / len(values) if len(values) else None
