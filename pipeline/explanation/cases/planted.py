"""Whether contributions find the cause that was planted, on the phantom, whose rule is known.

Decided means: the rule's most probable diagnosis would be another one if the concept were absent and all others as
they are, the concept speaks for that diagnosis, and it is the only one of which both are true. This is read from the
rule and the planted concepts alone; neither the network nor the diagnosis that was drawn has a say.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom.rule import CONCEPTS, DIAGNOSES, WEIGHTS, probabilities


def planted_cause(present: Mapping[str, bool]) -> tuple[str, str] | None:
    """Return the concept that decided a phantom lesion by the rule, and the diagnosis that it decided for.

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
    labels: NDArray[np.float64], shares: Sequence[Mapping[str, Mapping[str, float]]], *, concepts: Sequence[str]
) -> NDArray[np.float64]:
    """For each lesion that one concept decided, whether it has the largest share in the rule's diagnosis.

    Args:
        labels: N x k, 1 where a concept was drawn, 0 where not.
        shares: For each case by diagnosis and concept the Shapley value.
        concepts: k names; those of the rule must be among them.

    Returns:
        N: 1 or 0; NaN where no single concept decided.
    """
    hits = np.full(len(labels), np.nan)
    for row, cause in enumerate(causes(labels, concepts)):
        if cause is not None:
            of_diagnosis = shares[row][cause[1]]
            hits[row] = float(max(of_diagnosis, key=lambda name: of_diagnosis[name]) == cause[0])
    return hits


def causes(labels: NDArray[np.float64], concepts: Sequence[str]) -> list[tuple[str, str] | None]:
    """For each of N lesions `planted_cause`; None for all where the rule's concepts are not among ``concepts``."""
    if not set(CONCEPTS) <= set(concepts):
        return [None] * len(labels)
    columns = {concept: list(concepts).index(concept) for concept in CONCEPTS}
    return [planted_cause({concept: row[column] == 1 for concept, column in columns.items()}) for row in labels]
