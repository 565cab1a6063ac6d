"""The rule by which a phantom lesion gets its concepts and, from them, its diagnosis.

Concepts are drawn independently of each other; the logit of each diagnosis is an intercept plus the weights of the
concepts that are present, and the diagnosis is drawn from the softmax of the three. Nothing else has a say: neither
artefacts (unless a shortcut is asked for) nor age, skin or size.

Each diagnosis has one concept that matters most, and no two share it: pigment network for the nevus, blue-whitish veil
for melanoma, milia-like cysts for seborrheic keratosis. Globules, streaks and asymmetry matter a little; regression
does not matter at all.
"""

from collections.abc import Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RULE_VERSION = 1

DIAGNOSES = ("nevus", "melanoma", "seborrheic_keratosis")

PREVALENCE: Mapping[str, float] = {
    "pigment_network": 0.45,
    "globules": 0.35,
    "streaks": 0.30,
    "blue_whitish_veil": 0.35,
    "milia_like_cysts": 0.45,
    "regression": 0.30,
    "asymmetry": 0.40,
}
"""Share of lesions in which each concept is present."""

CONCEPTS = tuple(PREVALENCE)

INTERCEPTS = (0.0, -0.5, 0.5)
"""Logit of each diagnosis in a lesion without any concept."""

WEIGHTS: Mapping[str, tuple[float, float, float]] = {
    "pigment_network": (6.0, 0.0, 0.0),
    "globules": (2.0, 0.0, 0.0),
    "streaks": (0.0, 1.5, 0.0),
    "blue_whitish_veil": (0.0, 7.0, 0.0),
    "milia_like_cysts": (0.0, 0.0, 6.0),
    "regression": (0.0, 0.0, 0.0),
    "asymmetry": (0.0, 2.5, 0.0),
}
"""What the presence of each concept adds to the logit of each diagnosis, in the order of `DIAGNOSES`."""

NETWORK = "pigment_network"

NETWORK_TYPES = ("typical_network", "atypical_network")
"""Sub-concepts of the pigment network, where they are asked for: each network is one of them, by a fair coin. They have
no say in the diagnosis."""

ALIKENESS = 8.0
"""How alike the lesions of one patient are: his own prevalence of a concept is Beta(a p, a (1 - p)), with mean p."""


def probabilities(table: Array) -> Array:
    """Compute the probability of each diagnosis by the rule.

    Args:
        table: N x 7, 1 where a concept is present and 0 where it is absent, in the order of `CONCEPTS`.

    Returns:
        N x 3, in the order of `DIAGNOSES`; rows sum to 1.
    """
    logits = table @ np.array([WEIGHTS[concept] for concept in CONCEPTS]) + np.array(INTERCEPTS)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def throw_tendency(rng: np.random.Generator) -> Array:
    """Throw a patient's prevalence of each concept, 7 values whose means are `PREVALENCE`."""
    prevalence = np.array(list(PREVALENCE.values()))
    return rng.beta(ALIKENESS * prevalence, ALIKENESS * (1 - prevalence))


def throw_concepts(tendency: Array, rng: np.random.Generator) -> frozenset[str]:
    """Throw the concepts of one lesion of a patient with this tendency."""
    present = rng.random(len(CONCEPTS)) < tendency
    return frozenset(concept for concept, there in zip(CONCEPTS, present, strict=True) if there)


def throw_network_type(concepts: frozenset[str], rng: np.random.Generator) -> frozenset[str]:
    """Add the type of the pigment network to the concepts of a lesion that has one."""
    chosen = NETWORK_TYPES[int(rng.random() < 0.5)]
    return concepts | {chosen} if NETWORK in concepts else concepts


def throw_diagnosis(concepts: frozenset[str], rng: np.random.Generator) -> str:
    """Throw a diagnosis for a lesion with these concepts."""
    row = np.array([[float(concept in concepts) for concept in CONCEPTS]])
    return DIAGNOSES[rng.choice(len(DIAGNOSES), p=probabilities(row)[0])]


def true_importance() -> dict[str, dict[str, float]]:
    """Compute what each diagnosis loses, by the rule alone, when a concept is permuted across lesions.

    The loss is the balanced binary cross-entropy of the rule's own probabilities: half the mean over the lesions with
    the diagnosis, half the mean over the others. Because a lesion's concepts are independent, permuting one over an
    infinite cohort draws it anew at its prevalence, and the expectation is a sum over the 128 possible lesions: the
    figures are exact, not estimates.

    Returns:
        By diagnosis, and under ``overall`` (mean loss of the three): by concept, permuted loss over unpermuted loss.
        1 means no effect; the keys are those of ``explanation.json``.
    """
    table, share = _all_lesions()
    plain = _losses(probabilities(table), table, share)
    permuted = {concept: _permuted_losses(j, table, share) for j, concept in enumerate(CONCEPTS)}
    by_diagnosis = {
        diagnosis: {concept: float(loss[d] / plain[d]) for concept, loss in permuted.items()}
        for d, diagnosis in enumerate(DIAGNOSES)
    }
    overall = {concept: float(loss.mean() / plain.mean()) for concept, loss in permuted.items()}
    return {**by_diagnosis, "overall": overall}


def best_auc() -> dict[str, float]:
    """Compute the AUC of each diagnosis against the others that no classifier can exceed, and their mean (``macro``).

    Exact: what the rule's own probabilities reach over the 128 possible lesions.
    """
    table, share = _all_lesions()
    values = {name: _auc(p, share) for name, p in zip(DIAGNOSES, probabilities(table).T, strict=True)}
    return {**values, "macro": float(np.mean(list(values.values())))}


def diagnosis_shares() -> dict[str, float]:
    """Compute the share of lesions with each diagnosis in an infinite cohort."""
    table, share = _all_lesions()
    return dict(zip(DIAGNOSES, (share @ probabilities(table)).tolist(), strict=True))


def _all_lesions() -> tuple[Array, Array]:
    """Return the 128 x 7 combinations of concepts, and the share of lesions with each."""
    table = np.array(list(product([0.0, 1.0], repeat=len(CONCEPTS))))
    prevalence = np.array(list(PREVALENCE.values()))
    return table, np.where(table == 1, prevalence, 1 - prevalence).prod(axis=1)


def _losses(predicted: Array, table: Array, share: Array) -> Array:
    true = probabilities(table)
    frequency = share @ true
    with_it = -(share[:, None] * true * np.log(predicted)).sum(axis=0) / frequency
    without = -(share[:, None] * (1 - true) * np.log(1 - predicted)).sum(axis=0) / (1 - frequency)
    return np.asarray((with_it + without) / 2)


def _permuted_losses(column: int, table: Array, share: Array) -> Array:
    losses = []
    for value in (0.0, 1.0):
        changed = table.copy()
        changed[:, column] = value
        losses.append(_losses(probabilities(changed), table, share))
    prevalence = PREVALENCE[CONCEPTS[column]]
    return np.asarray((1 - prevalence) * losses[0] + prevalence * losses[1])


def _auc(probability: Array, share: Array) -> float:
    positive = share * probability / (share @ probability)
    negative = share * (1 - probability) / (share @ (1 - probability))
    higher = (probability[:, None] > probability) + 0.5 * (probability[:, None] == probability)
    return float(positive @ higher @ negative)
