"""How far concept labels alone could go: their ceiling, and a plain classifier that sees nothing else."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from concepts.statistics.bootstrap import Resampled, Weights, difference, group_weights, ratio, recentred, resample
from concepts.statistics.estimate import Estimate
from pipeline.evaluation.diagnosis import balanced_accuracy, class_aucs, macro
from pipeline.evaluation.evaluation_data import EvaluatedParts, EvaluationData
from pipeline.results.trust import ConceptOnlyResult, LabelCeiling, LabelClassifier, LabelsAgainstNetwork
from pipeline.run.seeds import Stream, random_generator

FOLDS = 5
ITERATIONS = 2000

Labels = NDArray[np.int64]


def concept_only(parts: EvaluatedParts, network: NDArray[np.float64]) -> ConceptOnlyResult:
    """Measure what the concept labels of all images say of the diagnoses, beside what the network says.

    Images with a label that is not known are left out. The classifier's test images are judged by models that saw other
    images of all parts, so it has more to learn from than the network had; the comparison is on the same test images.

    Args:
        parts: The cohort.
        network: M x D probabilities for the test images.
    """
    test, everything = parts.test, (parts.train, parts.validation, parts.test)
    table = np.concatenate([part.concept_labels for part in everything])
    complete = np.isfinite(table).all(axis=1)
    profiles = table[complete]
    labels = np.concatenate([part.labels for part in everything])[complete]
    images, left_out = len(labels), int((~complete).sum())
    if not table.shape[1] or len(np.unique(labels)) < len(test.classes):
        return ConceptOnlyResult(images=images, left_out=left_out)
    groups = np.concatenate([np.array(part.groups, dtype=np.str_) for part in everything])[complete].tolist()
    generator = random_generator(test.seed, Stream.CONCEPT_ONLY)
    weights = group_weights(groups, resamples=test.resamples, generator=generator)
    folds = int(generator.integers(2**31))
    guesses = concept_only_probabilities(profiles, labels, groups=groups, classes=len(test.classes), seed=folds)
    return ConceptOnlyResult(
        images=images,
        left_out=left_out,
        ceiling=label_ceiling(profiles, labels, classes=len(test.classes), weights=weights),
        logistic=None if guesses is None else _classifier(guesses, labels, test.classes, weights),
        test=None if guesses is None else _against_network(guesses, network, test, complete[-len(test) :]),
    )


def label_ceiling(profiles: ArrayLike, labels: Labels, *, classes: int, weights: Weights) -> LabelCeiling:
    """Bound what any classifier can reach that sees only whether each concept is present.

    Images with the same profile are alike to it, so of those with different diagnoses it gets one diagnosis right. The
    bound is read off the images that it is stated for: no classifier that must learn from others reaches it. Resamples
    repeat images, which makes profiles agree more; their spread is kept and centred on the figure.

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
        images = table(weight)
        return ratio(images.max(axis=2).sum(axis=1), images.sum(axis=(1, 2)))

    def balanced(weight: Weights) -> NDArray[np.float64]:
        images = table(weight)
        by_class = images.sum(axis=1, keepdims=True)
        occurring = (by_class > 0).sum(axis=(1, 2))
        return ratio(ratio(images, by_class).max(axis=2, initial=0, where=by_class > 0).sum(axis=1), occurring)

    mixed = ((table(np.ones((1, len(labels))))[0] > 0).sum(axis=1) > 1)[members].astype(np.float64)
    return LabelCeiling(
        accuracy=_bounded(resample(right, weights)),
        balanced_accuracy=_bounded(resample(balanced, weights)),
        conflicting=resample(lambda weight: ratio(weight @ mixed, weight.sum(axis=1)), weights).estimate(),
        profiles=count,
        single=int((np.bincount(members) == 1).sum()),
    )


def concept_only_probabilities(
    profiles: ArrayLike, labels: Labels, *, groups: Sequence[str], classes: int, seed: int
) -> NDArray[np.float64] | None:
    """Predict N x D probabilities by a plain logistic regression on concept labels.

    Each image is judged by a model that never saw its group; diagnoses count alike.

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
    if min(len(np.unique(names[labels == diagnosis])) for diagnosis in range(classes)) < FOLDS:
        return None
    probabilities = np.full((len(labels), classes), np.nan)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for learn, check in folds.split(table, labels, names):
        model = LogisticRegression(class_weight="balanced", max_iter=ITERATIONS).fit(table[learn], labels[learn])
        probabilities[check] = 0.0
        probabilities[np.ix_(check, model.classes_)] = model.predict_proba(table[check])
    return probabilities


def _classifier(
    guesses: NDArray[np.float64], labels: Labels, classes: Sequence[str], weights: Weights
) -> LabelClassifier:
    return LabelClassifier(
        macro_auc=macro(class_aucs(guesses, labels, classes=classes, weights=weights)).estimate(),
        balanced_accuracy=balanced_accuracy(guesses, labels, weights).estimate(),
    )


def _against_network(
    guesses: NDArray[np.float64], network: NDArray[np.float64], test: EvaluationData, complete: NDArray[np.bool_]
) -> LabelsAgainstNetwork | None:
    """Compare with the network on the test images with all labels; the guesses end with theirs."""
    if not complete.any():
        return None
    labels, weights = test.labels[complete], test.weights[:, complete]
    logistic, whitened = (
        macro(class_aucs(probabilities, labels, classes=test.classes, weights=weights))
        for probabilities in (guesses[-len(labels) :], network[complete])
    )
    return LabelsAgainstNetwork(
        logistic=logistic.estimate(), network=whitened.estimate(), difference=difference(whitened, logistic).estimate()
    )


def _bounded(figure: Resampled) -> Estimate:
    spread = recentred(figure).estimate()
    return Estimate(spread.value, spread.low, float(np.minimum(spread.high, 1.0)), spread.n)
