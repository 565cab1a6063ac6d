"""Whether contributions find the cause that was planted, on the phantom, whose rule is known."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom.rule import CONCEPTS, DIAGNOSES, WEIGHTS, probabilities


def planted_cause(present: Mapping[str, bool]) -> tuple[str, str] | None:
    """The concept that decided a phantom lesion by the rule, and the diagnosis that it decided for.

    A concept decides where it is present and, were it absent, another diagnosis would be the most probable; where
    several do so, none of them decided alone. Only concepts that speak for the diagnosis count, not those that speak
    against others.

    Args:
        present: By concept of the rule.

    Returns:
        Concept and diagnosis; None where no single concept decided.
    """
    row = np.array([[float(present[concept]) for concept in CONCEPTS]])
    top = int(probabilities(row)[0].argmax())
    causes = []
    for column, concept in enumerate(CONCEPTS):
        if not present[concept] or WEIGHTS[concept][top] <= 0:
            continue
        without = row.copy()
        without[0, column] = 0.0
        if int(probabilities(without)[0].argmax()) != top:
            causes.append(concept)
    return (causes[0], DIAGNOSES[top]) if len(causes) == 1 else None


def cause_hits(
    labels: NDArray[np.float64],
    calls: Sequence[str],
    shares: Sequence[Mapping[str, Mapping[str, float]]],
    *,
    concepts: Sequence[str],
) -> NDArray[np.float64]:
    """For each case 1 where the planted cause has the largest share in the called diagnosis, 0 where not.

    Args:
        labels: N x k, 1 where a concept was drawn, 0 where not.
        calls: N diagnoses that the network called.
        shares: For each case by diagnosis and concept the Shapley value.
        concepts: k names; those of the rule must be among them.

    Returns:
        N; NaN where no single concept decided the lesion, or the network called another diagnosis than the rule has.
    """
    found = np.full(len(calls), np.nan)
    if not set(CONCEPTS) <= set(concepts):
        return found
    columns = {concept: list(concepts).index(concept) for concept in CONCEPTS}
    for row, (call, share) in enumerate(zip(calls, shares, strict=True)):
        cause = planted_cause({concept: labels[row, column] == 1 for concept, column in columns.items()})
        if cause is None or cause[1] != call:
            continue
        own = share[call]
        found[row] = float(max(own, key=lambda name: own[name]) == cause[0])
    return found
