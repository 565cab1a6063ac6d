"""How far an image lies from what the network was trained on, in the whitened space.

Compared are means of the axes over an image's positions. Single positions tell little: a foreign image is made of the
same edges and colours, but it mixes them as no image of the cohort does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from concepts.errors import DataError

Figures = NDArray[np.float64]

DIRECTIONS = 32
"""Directions whose own spread is kept; all others share one."""
IMAGES_EACH = 10
"""Images behind each such direction, at least."""
SMALLEST = 1e-6
"""Smallest variance of a direction, as a share of the mean one."""


@dataclass(frozen=True)
class Scope:
    """A Gaussian of C axes, of which r directions have their own spread (probabilistic principal components).

    Attributes:
        mean: C.
        directions: r x C, orthonormal rows.
        variances: r, along these.
        rest: Variance along every other direction; 0 where there is none.
    """

    mean: tuple[float, ...]
    directions: tuple[tuple[float, ...], ...]
    variances: tuple[float, ...]
    rest: float

    def distances(self, summaries: Figures) -> Figures:
        """N squared Mahalanobis distances over the number of axes, of N x C summaries; about 1 for training images."""
        centred = summaries - np.array(self.mean)
        along = centred @ np.array(self.directions).reshape(-1, centred.shape[1]).T
        squared = (along**2 / np.array(self.variances)).sum(axis=1)
        if self.rest > 0:
            squared += np.clip((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0, None) / self.rest
        return np.asarray(squared / centred.shape[1])


def fit_scope(summaries: Figures) -> Scope:
    """Fit the Gaussian.

    Args:
        summaries: N x C, mean of each axis over the positions of N training images.

    Raises:
        DataError: If there are fewer than two images.

    Source: Tipping & Bishop 1999 (probabilistic PCA); Lee et al. 2018 (arXiv 1807.03888) for the use of it.
    """
    count, axes = summaries.shape
    if count < 2:
        raise DataError(
            f"the release has examples in {count} training images; at least 2 are needed to judge what is out of "
            "scope: train on a release with more images"
        )
    mean = summaries.mean(axis=0)
    variances, columns = np.linalg.eigh(np.cov(summaries.T).reshape(axes, axes))
    variances, directions = variances[::-1], columns[:, ::-1].T
    count_kept = max(1, min(DIRECTIONS, axes, count // IMAGES_EACH))
    least = max(SMALLEST * float(variances.mean()), np.finfo(np.float64).tiny)
    rest = max(float(variances[count_kept:].mean()), least) if count_kept < axes else 0.0
    return Scope(
        mean=tuple(mean.tolist()),
        directions=tuple(tuple(row) for row in directions[:count_kept].tolist()),
        variances=tuple(np.maximum(variances[:count_kept], least).tolist()),
        rest=rest,
    )
