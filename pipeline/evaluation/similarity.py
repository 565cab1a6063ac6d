"""How alike the latent vectors of concepts are: within a concept, and between two."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from concepts.statistics.bootstrap import Resampled, Weights, ratio, resample
from concepts.statistics.estimate import Estimate


@dataclass(frozen=True)
class Similarity:
    """Mean cosine similarities of latent vectors.

    Attributes:
        intra: k Estimates, between two cases of the same concept.
        inter: k x k Estimates, between a case of one concept and a case of another; the diagonal is ``intra``.
    """

    intra: tuple[Estimate, ...]
    inter: tuple[tuple[Estimate, ...], ...]


def concept_similarity(features: ArrayLike, labels: ArrayLike, weights: Weights) -> Similarity:
    """Mean cosine similarity of the latent vectors within each concept and between concepts.

    Well separated concepts have a high similarity within and a low one between. Pairs of a case with itself are left
    out, also where a resample or a case with both concepts would bring them in.

    Args:
        features: N x C, one latent vector per case, e.g. all axes of the layer pooled over the image.
        labels: N x k; 1 present, anything else is left out.
        weights: B x N, from `group_weights`.

    Returns:
        Estimates; n is the number of cases of either concept. NaN where there is no pair.

    Source: Chen, Bei & Rudin 2020 (arXiv 2002.01650), "separability of latent representations". They divide the
    similarity between two concepts by the geometric mean of those within; here both are given as they are.
    """
    vectors = np.asarray(features, dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    members = (np.asarray(labels) == 1).T
    count = len(members)
    pairs = {
        (one, other): _pair(unit, members[one], members[other], weights).estimate()
        for one in range(count)
        for other in range(one, count)
    }
    inter = tuple(tuple(pairs[min(a, b), max(a, b)] for b in range(count)) for a in range(count))
    return Similarity(tuple(inter[one][one] for one in range(count)), inter)


def _pair(
    unit: NDArray[np.float64], first: NDArray[np.bool_], second: NDArray[np.bool_], weights: Weights
) -> Resampled:
    """Sum over pairs of distinct cases of w_a w_b cos(a, b), over the sum of w_a w_b.

    With S = sum_a w_a u_a for each concept, the sum over all pairs is S_1 . S_2; those of a case with itself are taken
    off, so no N x N matrix is needed.
    """
    both = first & second
    own = (unit[both] ** 2).sum(axis=1)

    def statistic(weight: Weights) -> NDArray[np.float64]:
        left, right, twice = (weight[:, part].astype(np.float64) for part in (first, second, both))
        total = ((left @ unit[first]) * (right @ unit[second])).sum(axis=1)
        mass = left.sum(axis=1) * right.sum(axis=1)
        return ratio(total - twice**2 @ own, mass - (twice**2).sum(axis=1))

    return resample(statistic, weights, n=int((first | second).sum()))
