"""How far concept labels alone could go: their ceiling, and a plain classifier that sees nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from concepts.statistics.bootstrap import Resampled, Weights, ratio, recentred, resample
from concepts.statistics.estimate import Estimate

FOLDS = 5
ITERATIONS = 2000

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Ceiling:
    """What the best rule from concept labels to a diagnosis can reach on these very images.

    Attributes:
        accuracy: Share that is right where each profile of concepts gets its most frequent diagnosis.
        balanced_accuracy: Mean sensitivity where each profile gets the diagnosis that serves this best.
        conflicting: Share of the images whose profile occurs with more than one diagnosis.
        profiles: How many profiles occur.
        single: How many of them in one image only; such a profile cannot conflict, so it flatters the ceiling.
    """

    accuracy: Estimate
    balanced_accuracy: Estimate
    conflicting: Estimate
    profiles: int
    single: int

    def to_json(self) -> dict[str, Any]:
        """As the run folder holds it."""
        return vars(self)


def ceiling(profiles: ArrayLike, labels: Labels, *, classes: int, weights: Weights) -> Ceiling:
    """The ceiling of any classifier that sees only whether each concept is present.

    Images with the same profile are one to it, so of those with different diagnoses it gets only one right. It is read
    off the images that it is stated for: an upper bound on them, reached by no classifier that must learn from others.
    Resamples repeat images, which makes profiles agree more; their spread is kept and centred on the figure.

    Args:
        profiles: N x k, 0 or 1.
        labels: N indices of the diagnoses.
        classes: Number D of diagnoses.
        weights: B x N, from `group_weights`.
    """
    _, members = np.unique(np.asarray(profiles), axis=0, return_inverse=True)
    members = members.reshape(-1)
    count = int(members.max()) + 1
    cells = np.zeros((len(labels), count * classes), dtype=np.float32)
    cells[np.arange(len(labels)), members * classes + labels] = 1

    def table(weight: Weights) -> NDArray[np.float64]:
        return (np.asarray(weight, dtype=np.float32) @ cells).astype(np.float64).reshape(-1, count, classes)

    def right(weight: Weights) -> NDArray[np.float64]:
        found = table(weight)
        return ratio(found.max(axis=2).sum(axis=1), found.sum(axis=(1, 2)))

    def balanced(weight: Weights) -> NDArray[np.float64]:
        found = table(weight)
        by_class = found.sum(axis=1, keepdims=True)
        occurs = (by_class > 0).sum(axis=(1, 2))
        return ratio(ratio(found, by_class).max(axis=2, initial=0, where=by_class > 0).sum(axis=1), occurs)

    mixed = ((table(np.ones((1, len(labels))))[0] > 0).sum(axis=1) > 1)[members].astype(np.float64)
    share = resample(lambda weight: ratio(weight @ mixed, weight.sum(axis=1)), weights)
    return Ceiling(
        accuracy=_bounded(resample(right, weights)),
        balanced_accuracy=_bounded(resample(balanced, weights)),
        conflicting=share.estimate(),
        profiles=count,
        single=int((np.bincount(members) == 1).sum()),
    )


def concept_only_probabilities(
    profiles: ArrayLike, labels: Labels, *, groups: Sequence[str], classes: int, seed: int
) -> NDArray[np.float64] | None:
    """N x D probabilities of a plain logistic regression on concept labels, each image by a model that never saw it.

    Cross-validated by group, so no patient is in a model that judges him; diagnoses count alike.

    Args:
        profiles: N x k, 0 or 1.
        labels: N indices of the diagnoses.
        groups: The group (patient) of each image.
        classes: Number D of diagnoses.
        seed: Of the folds.

    Returns:
        None where a diagnosis has fewer groups than there are folds.
    """
    table, names = np.asarray(profiles, dtype=np.float64), np.asarray(groups)
    if min(len(np.unique(names[labels == one])) for one in range(classes)) < FOLDS:
        return None
    found = np.full((len(labels), classes), np.nan)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for learn, check in folds.split(table, labels, names):
        model = LogisticRegression(class_weight="balanced", max_iter=ITERATIONS).fit(table[learn], labels[learn])
        found[check] = 0.0
        found[np.ix_(check, model.classes_)] = model.predict_proba(table[check])
    return found


def _bounded(figure: Resampled) -> Estimate:
    spread = recentred(figure).estimate()
    return Estimate(spread.value, spread.low, float(np.minimum(spread.high, 1.0)), spread.n)
