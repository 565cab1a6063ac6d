"""What a concept's axis is measured against: a linear probe and the best single filter of the plain network."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from concepts.statistics.bootstrap import weighted_auc


class Probe(StrEnum):
    """The linear classifier that is fitted to each concept."""

    LOGISTIC = "logistic"
    SVM = "svm"


STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse regularisation strengths tried, weakest last."""
DEFAULT_STRENGTH = 1e-2
FOLDS = 3
ITERATIONS = 5000

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Filters:
    """One filter of a network for each of k concepts.

    Attributes:
        index: k, the filter's channel; -1 where the training labels cannot choose one.
        sign: k, 1 where the filter rises with the concept, -1 where it falls.
    """

    index: NDArray[np.int64]
    sign: NDArray[np.int64]

    def scores(self, activations: ArrayLike) -> Matrix:
        """Score N images for k concepts by their activations, N x C; NaN for a concept without a filter."""
        rising = np.asarray(activations, dtype=np.float64)[:, self.index] * self.sign
        return np.where(self.index >= 0, rising, np.nan)


def linear_probe(
    train_features: ArrayLike,
    train_labels: ArrayLike,
    test_features: ArrayLike,
    *,
    train_groups: Sequence[str],
    kind: Probe = Probe.LOGISTIC,
) -> Matrix:
    """Score test cases by a linear classifier for each concept, fitted on the training part only.

    Features are standardised, cases weighted so that present and absent count alike; the strength of the L2 penalty is
    the one of `STRENGTHS` with the best mean AUC in cross-validation within the training part, no group divided.

    Args:
        train_features: N x C, pooled activations of the plain network at the layer.
        train_labels: N x k; 1 present, 0 absent, NaN not known (left out for that concept).
        test_features: M x C.
        train_groups: The group (patient) of each training case.
        kind: Logistic regression, or a support vector machine with squared hinge loss (as in TCAV, Kim et al. 2018).

    Returns:
        M x k scores (log odds, or signed distances in units of the margin); NaN for a concept without positives or
        without negatives in training.
    """
    scaler = StandardScaler().fit(np.asarray(train_features, dtype=np.float64))
    train = scaler.transform(np.asarray(train_features, dtype=np.float64))
    test = scaler.transform(np.asarray(test_features, dtype=np.float64))
    groups, table = np.asarray(train_groups), np.asarray(train_labels, dtype=np.float64)
    scores = np.full((len(test), table.shape[1]), np.nan)
    for concept, column in enumerate(table.T):
        labelled = ~np.isnan(column)
        present = column[labelled] == 1
        if present.any() and not present.all():
            strength = _best_strength(train[labelled], present, groups[labelled], kind)
            scores[:, concept] = _path(train[labelled], present, test, kind=kind, strengths=(strength,))[:, 0]
    return scores


def best_filter(train_activations: ArrayLike, train_labels: ArrayLike) -> Filters:
    """Choose the single filter that tells each concept best on the training part, never on the test part.

    Published comparisons choose the filter on the data it is then scored on, which flatters it.

    Args:
        train_activations: N x C of the plain network at the layer, pooled as the axes are.
        train_labels: N x k; 1 present, 0 absent, NaN not known (left out for that concept).
    """
    activations, table = np.asarray(train_activations, dtype=np.float64), np.asarray(train_labels, dtype=np.float64)
    index, sign = np.full(table.shape[1], -1), np.ones(table.shape[1], dtype=np.int64)
    for concept, column in enumerate(table.T):
        labelled = ~np.isnan(column)
        above = _filter_aucs(activations[labelled], column[labelled] == 1) - 0.5
        if np.isfinite(above).all():
            index[concept] = np.abs(above).argmax()
            sign[concept] = 1 if above[index[concept]] >= 0 else -1
    return Filters(index, sign)


def _filter_aucs(activations: Matrix, positives: NDArray[np.bool_]) -> Matrix:
    """Compute the AUC of every column by ranks (Mann & Whitney 1947); NaN where one kind is missing."""
    count, rest = int(positives.sum()), int((~positives).sum())
    if not count or not rest:
        return np.full(activations.shape[1], np.nan)
    ranks: Matrix = rankdata(activations, axis=0)
    return (ranks[positives].sum(axis=0) - count * (count + 1) / 2) / (count * rest)


def _best_strength(features: Matrix, present: NDArray[np.bool_], groups: NDArray[np.str_], kind: Probe) -> float:
    folds = min(FOLDS, len(np.unique(groups[present])), len(np.unique(groups[~present])))
    if folds < 2:
        return DEFAULT_STRENGTH
    aucs = []
    for learn, check in StratifiedGroupKFold(folds).split(features, present, groups):
        if len(np.unique(present[learn])) == len(np.unique(present[check])) == 2:
            scores = _path(features[learn], present[learn], features[check], kind=kind, strengths=STRENGTHS)
            aucs.append([weighted_auc(column, present[check])[0] for column in scores.T])
    return STRENGTHS[int(np.mean(aucs, axis=0).argmax())] if aucs else DEFAULT_STRENGTH


def _path(
    features: Matrix, present: NDArray[np.bool_], others: Matrix, *, kind: Probe, strengths: Sequence[float]
) -> Matrix:
    """Score the other cases for each strength in turn; each logistic fit starts from the previous one."""
    model = (
        LinearSVC(class_weight="balanced", max_iter=ITERATIONS, dual=False)
        if kind is Probe.SVM
        else LogisticRegression(class_weight="balanced", max_iter=ITERATIONS, warm_start=True)
    )
    scores = [model.set_params(C=strength).fit(features, present).decision_function(others) for strength in strengths]
    return np.stack(scores, axis=1)
