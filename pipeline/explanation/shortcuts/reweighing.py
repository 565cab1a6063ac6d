"""Weights of images under which artefacts go with no diagnosis."""

import numpy as np
from numpy.typing import NDArray

LARGEST = 20.0
"""No image weighs more, however rare its kind is, so that a few images do not decide alone."""

Values = NDArray[np.float64]


def independence_weights(table: Values, diagnoses: NDArray[np.int64]) -> Values:
    """Weights with which some artefacts, taken together, are independent of the diagnosis, as far as the images allow.

    With a the pattern of artefacts of an image and d its diagnosis, its weight is P(a) P(d) / P(a, d). Where no image
    of a diagnosis has a pattern, nothing can stand for it, and independence is not reached.

    Args:
        table: N x A; 1 present, 0 absent, NaN not known.
        diagnoses: N indices.

    Returns:
        N, at most `LARGEST`; 1 where an artefact is not known, or where there is none to look at.

    Source: reweighing, Kamiran & Calders 2012 (Knowl. Inf. Syst. 33, 1).
    """
    weights = np.ones(len(table))
    known = np.isfinite(table).all(axis=1)
    if table.shape[1] == 0 or not known.any():
        return weights
    _, patterns = np.unique(table[known], axis=0, return_inverse=True)
    _, own = np.unique(diagnoses[known], return_inverse=True)
    joint = np.zeros((patterns.max() + 1, own.max() + 1))
    np.add.at(joint, (patterns.ravel(), own), 1 / known.sum())
    expected = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    found = np.divide(expected, joint, out=np.zeros_like(joint), where=joint > 0)
    weights[known] = np.minimum(found[patterns.ravel(), own], LARGEST)
    return weights
