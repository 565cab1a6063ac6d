"""How alike the latent vectors of concepts are: within a concept, and between two."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from concepts.statistics.bootstrap import Statistic, Weights, ratio, resample
from pipeline.results.axes import ConceptSimilarity

Rows = NDArray[np.bool_]


def concept_similarity(
    features: ArrayLike, labels: ArrayLike, weights: Weights, *, concepts: Sequence[str]
) -> ConceptSimilarity:
    """Take the mean cosine similarity of the latent vectors within each concept and between concepts.

    Well separated concepts have a high similarity within and a low one between. Pairs of a case with itself are left
    out, also where a resample or a case with both concepts would bring them in.

    Args:
        features: N x C, one latent vector per case, e.g. all axes of the layer pooled over the image.
        labels: N x k; 1 present, anything else is left out.
        weights: B x N, from `group_weights`.
        concepts: The k names.

    Returns:
        Similarities in [-1, 1], those within a concept with interval and n; NaN where there is no pair.

    Source: Chen, Bei & Rudin 2020 (arXiv 2002.01650), "separability of latent representations". They divide the
    similarity between two concepts by the geometric mean of those within; here both are given as they are.
    """
    vectors = np.asarray(features, dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    members = dict(zip(concepts, (np.asarray(labels) == 1).T, strict=True))
    cases = np.ones((1, len(unit)))
    return ConceptSimilarity(
        intra={
            concept: resample(mean_cosine(unit, rows, rows), weights, n=int(rows.sum())).estimate()
            for concept, rows in members.items()
        },
        inter={
            concept: {other: float(mean_cosine(unit, rows, members[other])(cases)[0]) for other in concepts}
            for concept, rows in members.items()
        },
    )


def mean_cosine(unit: NDArray[np.float64], first: Rows, second: Rows) -> Statistic:
    """Return the statistic: sum over pairs of distinct cases of w_a w_b cos(a, b), over the sum of w_a w_b.

    With S = sum_a w_a u_a for each concept, the sum over all pairs is S_1 . S_2; those of a case with itself are taken
    off, so no N x N matrix is needed.

    Args:
        unit: N x C, vectors of length 1 (or 0).
        first: N, the cases of one concept.
        second: N, the cases of the other.
    """
    both = first & second
    squares = (unit[both] ** 2).sum(axis=1)

    def statistic(weight: Weights) -> NDArray[np.float64]:
        left, right, twice = (weight[:, rows].astype(np.float64) for rows in (first, second, both))
        total = ((left @ unit[first]) * (right @ unit[second])).sum(axis=1)
        mass = left.sum(axis=1) * right.sum(axis=1)
        return ratio(total - twice**2 @ squares, mass - (twice**2).sum(axis=1))

    return statistic
