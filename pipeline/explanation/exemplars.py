"""The images on which an axis is most active."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Exemplar:
    """One image and how active an axis is on it.

    Attributes:
        image_id: The image.
        activation: The axis's activation, in standard deviations of the whitened space.
        percentile: Share of the images with at most this activation, in percent.
    """

    image_id: str
    activation: float
    percentile: float


def most_activated(activations: ArrayLike, image_ids: Sequence[str], *, count: int) -> tuple[tuple[Exemplar, ...], ...]:
    """For each axis the most activated images, strongest first; images with equal activation keep their order.

    Args:
        activations: N x k.
        image_ids: The N images.
        count: How many images per axis; fewer where there are fewer images.
    """
    table = np.asarray(activations, dtype=np.float64)
    return tuple(_of_axis(column, image_ids, count) for column in table.T)


def _of_axis(column: np.ndarray, image_ids: Sequence[str], count: int) -> tuple[Exemplar, ...]:
    order = np.argsort(-column, kind="stable")[:count]
    at_most = np.searchsorted(np.sort(column), column[order], side="right")
    return tuple(
        Exemplar(image_ids[row], float(column[row]), 100.0 * float(rank) / len(column))
        for row, rank in zip(order, at_most, strict=True)
    )
