"""Verdicts of several readers on the same items, as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from concepts.errors import DataError


@dataclass(frozen=True)
class Ratings:
    """Checked ratings. Make them with `coded`.

    Attributes:
        codes: N x R: index of the category, -1 where a reader gave no verdict.
        categories: Number of categories q that readers could choose from.
    """

    codes: NDArray[np.intp]
    categories: int

    @property
    def chosen(self) -> NDArray[np.float64]:
        """N x R x q: 1 where the reader chose the category."""
        return np.asarray(self.codes[:, :, None] == np.arange(self.categories), dtype=np.float64)

    @property
    def counts(self) -> NDArray[np.float64]:
        """N x q: readers who chose each category, n_ik."""
        return np.asarray(self.chosen.sum(axis=1))

    @property
    def compared(self) -> int:
        """Items with at least two verdicts."""
        return int(((self.codes >= 0).sum(axis=1) >= 2).sum())


def coded(ratings: ArrayLike, *, categories: Sequence[float] | None = None) -> Ratings:
    """Check a matrix of ratings and number its categories.

    Args:
        ratings: N x R.
        categories: All that a reader could have chosen, used or not (matters to Gwet's AC1 only); default: those that
            occur.

    Raises:
        DataError: If the matrix is not two-dimensional or not of numbers, or holds a rating that is no category.
    """
    try:
        values = np.asarray(ratings, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"ratings are numbers, NaN or None where missing ({error}); code the categories") from error
    if values.ndim != 2:
        raise DataError(f"ratings are a matrix of items x readers, these have shape {values.shape}")
    given = values[~np.isnan(values)]
    allowed = np.unique(given) if categories is None else np.unique(np.asarray(categories, dtype=np.float64))
    strange = np.setdiff1d(given, allowed[np.isfinite(allowed)])
    if strange.size:
        raise DataError(f"rating {strange[0]:g} is none of the categories {', '.join(f'{c:g}' for c in allowed)}")
    codes = np.where(np.isnan(values), -1, np.searchsorted(allowed, np.nan_to_num(values)))
    return Ratings(codes.astype(np.intp), len(allowed))


def condense(ratings: Ratings) -> tuple[Ratings, sparse.csr_array]:
    """Items with the same verdicts of the same readers, taken together.

    Returns:
        Ratings of the P different items, and N x P, 1 where the item is such a one: weights of the items (B x N) times
        this matrix are weights of the different ones.
    """
    unlike, which = np.unique(ratings.codes, axis=0, return_inverse=True)
    items = np.arange(len(ratings.codes))
    members = sparse.csr_array((np.ones(len(items)), (items, which.ravel())), shape=(len(items), len(unlike)))
    return Ratings(unlike, ratings.categories), members
