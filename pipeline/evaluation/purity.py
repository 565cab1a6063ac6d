"""Purity: does an axis answer to its concept, and to no other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from concepts.errors import DataError
from concepts.statistics.bootstrap import Resampled, Weights, auc, mean_of, weighted_auc
from concepts.statistics.estimate import Estimate

FEWEST_TEST_CASES = 5
"""Fewest positives, and fewest negatives, in the test set on which an interval by resampling means anything."""


@dataclass(frozen=True)
class Assessability:
    """Whether there is enough to say something about one concept.

    Attributes:
        positives: Test cases in which it is present.
        negatives: Test cases in which it is absent.
        train_positives: Training cases in which it is present.
        reason: Why it cannot be assessed, or None.
    """

    positives: int
    negatives: int
    train_positives: int
    reason: str | None

    @property
    def assessable(self) -> bool:
        """Whether figures may be shown."""
        return self.reason is None


def assess(labels: ArrayLike, train_positives: Sequence[int], *, minimum: int) -> tuple[Assessability, ...]:
    """Count each concept's cases and say whether they suffice.

    Args:
        labels: N x k of the test cases; 1 present, 0 absent, NaN not known.
        train_positives: Training cases in which each concept is present.
        minimum: Fewest training positives with which an axis is stable.
    """
    table = np.asarray(labels, dtype=np.float64)
    positives, negatives = (table == 1).sum(axis=0).tolist(), (table == 0).sum(axis=0).tolist()
    return tuple(
        Assessability(*counts, _reason(*counts, minimum))
        for counts in zip(positives, negatives, train_positives, strict=True)
    )


def concept_aucs(
    scores: ArrayLike, labels: ArrayLike, weights: Weights, *, assessable: Sequence[bool] | None = None
) -> tuple[Resampled, ...]:
    """Compute the AUC of column j of the scores for concept j; serves for axes, probes and filters alike.

    Args:
        scores: N x k.
        labels: N x k; 1 present, 0 absent, NaN not known (left out for that concept).
        weights: B x N, from `group_weights`.
        assessable: Concepts that may get a figure; the others get NaN. Default: all.

    Raises:
        DataError: If the shapes do not agree.
    """
    score, table = _checked(scores, labels)
    allowed = [True] * table.shape[1] if assessable is None else assessable
    figures = [auc(score[:, column], table[:, column], weights) for column in range(table.shape[1])]
    return tuple(
        figure if is_allowed else _undefined(figure) for figure, is_allowed in zip(figures, allowed, strict=True)
    )


def mean_auc(figures: Sequence[Resampled]) -> Estimate:
    """Take the mean over the concepts that can be assessed, paired by resample."""
    return mean_of([figure for figure in figures if np.isfinite(figure.value)]).estimate()


def purity_matrix(activations: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Compute the AUC of every axis for every concept: entry i, j is how well axis i tells concept j from its absence.

    The diagonal should be high and the rest near 0.5, as far as the concepts themselves are independent.

    Args:
        activations: N x k' of the axes.
        labels: N x k; 1 present, 0 absent, NaN not known.

    Returns:
        k' x k; NaN for a concept without positives or without negatives.
    """
    score, table = np.asarray(activations, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    matrix = np.empty((score.shape[1], table.shape[1]))
    for concept, column in enumerate(table.T):
        labelled = ~np.isnan(column)
        for axis in range(score.shape[1]):
            matrix[axis, concept] = weighted_auc(score[labelled, axis], column[labelled] == 1)[0]
    return matrix


def _undefined(figure: Resampled) -> Resampled:
    return Resampled(float("nan"), np.full_like(figure.replicates, np.nan), figure.n)


def _reason(positives: int, negatives: int, train_positives: int, minimum: int) -> str | None:
    if train_positives < minimum:
        return f"{train_positives} training positives, fewer than the {minimum} below which an axis is not stable"
    for count, kind in ((positives, "positives"), (negatives, "negatives")):
        if count < FEWEST_TEST_CASES:
            return f"{count} {kind} in the test set, fewer than the {FEWEST_TEST_CASES} that an interval needs"
    return None


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    score, table = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if score.shape != table.shape or table.ndim != 2:
        raise DataError(
            f"scores {score.shape} do not go with concept labels {table.shape}; expected one row per case and one "
            "column per concept in both"
        )
    return score, table
