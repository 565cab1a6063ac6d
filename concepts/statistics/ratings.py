"""Verdicts of several readers on the same items, as numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True)
class Ratings:
    """Verdicts of R readers on N items.

    Attributes:
        codes: N x R: index of the category, -1 where a reader gave no verdict.
        categories: Number of categories q that readers could choose from, used or not.
    """

    codes: NDArray[np.intp]
    categories: int

    @property
    def counts(self) -> NDArray[np.float64]:
        """N x q: readers who chose each category, n_ik."""
        return np.asarray((self.codes[:, :, None] == np.arange(self.categories)).sum(axis=1), dtype=np.float64)

    @property
    def is_compared(self) -> NDArray[np.bool_]:
        """N: whether at least two readers judged the item."""
        return np.asarray((self.codes >= 0).sum(axis=1) >= 2)

    @property
    def compared(self) -> int:
        """Number of items with at least two verdicts."""
        return int(self.is_compared.sum())


def condense(ratings: Ratings) -> tuple[Ratings, sparse.csr_array]:
    """Take items with the same verdicts of the same readers together.

    Returns:
        Ratings of the P different items, and N x P, 1 where the item is such a one: weights of the items (B x N) times
        this matrix are weights of the different ones.

    Example:
        >>> different, members = condense(Ratings(np.array([[0, 1], [0, 0], [0, 1]]), categories=2))
        >>> different.codes.tolist(), (np.ones((1, 3)) @ members).tolist()
        ([[0, 0], [0, 1]], [[1.0, 2.0]])
    """
    different, which = np.unique(ratings.codes, axis=0, return_inverse=True)
    items = np.arange(len(ratings.codes))
    shape = (len(items), len(different))
    return Ratings(different, ratings.categories), sparse.csr_array(
        (np.ones(len(items)), (items, which.ravel())), shape=shape
    )
