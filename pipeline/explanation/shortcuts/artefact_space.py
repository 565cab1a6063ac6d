"""Where in the whitened space an artefact lies: the directions along which images with it differ from those without.

An artefact such as a coloured sticker has no single direction: it may be orange or green. What all kinds of it share is
that they carry the positions which they cover away from where positions lie without it. So the directions are found by
energy, not by mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from concepts.errors import DataError

Values = NDArray[np.float64]
SAME = 1e-8
"""Singular value below which directions depend on each other."""


@dataclass(frozen=True)
class ArtefactSpace:
    """The directions of one artefact, the strongest first.

    Attributes:
        directions: r x C, orthonormal, float64.
        reference: r, where along them positions of images without the artefact lie on average.
        energies: r, how much further from there positions lie with the artefact, in mean squared units of the whitened
            space (whose directions all have variance 1).
        beyond_chance: How many of them carry more of the artefact than chance would.
    """

    directions: Tensor
    reference: Tensor
    energies: Tensor
    beyond_chance: int = 1

    @property
    def rank(self) -> int:
        """Number of directions."""
        return len(self.directions)

    def removed(self, maps: Tensor) -> Tensor:
        """Maps N x C x H x W or N x C, every position set to the reference along the directions."""
        basis = self.directions.to(maps.dtype)
        shape = (1, -1, *[1] * (maps.ndim - 2))
        away = torch.tensordot(basis, maps, dims=([1], [1])).movedim(0, 1) - self.reference.to(maps.dtype).view(shape)
        return maps - torch.tensordot(basis.T, away, dims=([1], [1])).movedim(0, 1)

    def transplanted(self, maps: Tensor, donors: Tensor) -> Tensor:
        """Maps that have along the directions, position by position, what the donors' have; shapes as in `removed`."""
        basis = self.directions.to(maps.dtype)
        change = torch.tensordot(basis, donors - maps, dims=([1], [1])).movedim(0, 1)
        return maps + torch.tensordot(basis.T, change, dims=([1], [1])).movedim(0, 1)

    def energy(self, maps: Tensor) -> Values:
        """N: mean over positions of the squared distance from the reference, along the directions alone."""
        basis, reference = self.directions.to(maps.dtype), self.reference.to(maps.dtype)
        along = torch.tensordot(maps.movedim(1, -1), basis.T, dims=1) - reference
        found: Values = along.square().sum(dim=-1).flatten(1).double().mean(dim=1).cpu().numpy()
        return found


def contrast_weights(labels: NDArray[np.float64], strata: NDArray[np.int64]) -> Values:
    """Weights that contrast present with absent inside each stratum (diagnosis), as Mantel and Haenszel have it.

    An artefact that goes with a diagnosis would otherwise be taken for it, and removed together with it.

    Args:
        labels: N; 1 present, 0 absent, NaN not known.
        strata: N.

    Returns:
        N; those of present images add up to 1, those of absent ones to -1; all zero where no stratum has both.
    """
    weights = np.zeros(len(labels))
    for stratum in np.unique(strata):
        inside = strata == stratum
        present, absent = inside & (labels == 1), inside & (labels == 0)
        ones, zeros = int(present.sum()), int(absent.sum())
        if ones and zeros:
            share = ones * zeros / (ones + zeros)
            weights[present], weights[absent] = share / ones, -share / zeros
    total = weights[weights > 0].sum()
    return weights / total if total > 0 else weights


def permuted_inside(
    labels: NDArray[np.float64], strata: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.float64]:
    """Labels dealt anew among the images of each stratum whose label is known."""
    dealt = labels.copy()
    for stratum in np.unique(strata):
        rows = np.flatnonzero((strata == stratum) & np.isfinite(labels))
        dealt[rows] = labels[generator.permutation(rows)]
    return dealt


class ContrastMoments:
    """Accumulates, for K sets of weights, how second moments of positions differ between present and absent.

    Args:
        weights: K x N, each row from `contrast_weights`.
        channels: C of the layer.
    """

    def __init__(self, weights: Values, channels: int) -> None:
        self.weights, self.channels = torch.from_numpy(weights), channels
        self.second = torch.zeros(len(weights), channels * channels, dtype=torch.float64)
        self.shift = torch.zeros(len(weights), channels, dtype=torch.float64)
        self.absent = torch.zeros(len(weights), channels, dtype=torch.float64)
        self.seen = 0

    def add(self, maps: Tensor) -> None:
        """Take in the next images, N x C x H x W or N x C, in the order of the weights.

        Raises:
            DataError: If there are more images than weights.
        """
        positions = (maps.flatten(2) if maps.ndim > 2 else maps[:, :, None]).double().cpu()
        rows = slice(self.seen, self.seen + len(maps))
        if rows.stop > self.weights.shape[1]:
            raise DataError(f"{rows.stop} images for {self.weights.shape[1]} weights; give one weight for each image")
        weights, means = self.weights[:, rows], positions.mean(dim=2)
        self.second += weights @ (positions @ positions.mT / positions.shape[2]).flatten(1)
        self.shift += weights @ means
        self.absent += (-weights).clamp(min=0) @ means
        self.seen = rows.stop

    def energies(self, row: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of one set of weights: eigenvalues, largest first, their vectors as rows, and the mean without the artefact.

        With m the mean of positions without the artefact, the matrix is E1[(z - m)(z - m)^T] - E0[(z - m)(z - m)^T].
        """
        shift, absent = self.shift[row], self.absent[row]
        cross = torch.outer(shift, absent)
        second = self.second[row].view(self.channels, self.channels)
        values, vectors = torch.linalg.eigh(second - cross - cross.T)
        return values.flip(0), vectors.T.flip(0), absent


def artefact_space(moments: ContrastMoments, row: int, *, chance: Sequence[int]) -> ArtefactSpace:
    """The directions whose energy is beyond what the same labels, dealt at random inside each diagnosis, give.

    Where none is, the strongest one alone: a thin artefact is seen in few positions, and whether the network reads a
    diagnosis from a direction is for another test to say.

    Args:
        moments: Of all training images.
        row: The artefact's weights.
        chance: Rows of the weights with dealt labels; a direction must have more energy than the largest of all these.

    Source: parallel analysis (Horn 1965, Psychometrika 30, 179) with permuted labels in the place of random data.
    """
    values, vectors, absent = moments.energies(row)
    largest = max((float(moments.energies(one)[0][0]) for one in chance), default=0.0)
    beyond = int((values > max(largest, 0.0)).sum())
    kept = slice(0, max(beyond, 1))
    return ArtefactSpace(vectors[kept].clone(), vectors[kept] @ absent, values[kept].clone(), beyond)


def axis_space(axis: int, channels: int) -> ArtefactSpace:
    """One axis, set to its mean: 0 in the whitened space."""
    direction = torch.eye(channels, dtype=torch.float64)[axis : axis + 1]
    zero = torch.zeros(1, dtype=torch.float64)
    return ArtefactSpace(direction, zero, zero)


def joined(spaces: Sequence[ArtefactSpace], channels: int) -> ArtefactSpace:
    """All directions of several spaces, orthonormal; each keeps its reference where they do not overlap.

    Where they do, the references are met as well as they can be (least squares). What is joined has no energies of its
    own: they are 0.
    """
    rows = torch.cat([torch.zeros(0, channels, dtype=torch.float64), *(one.directions for one in spaces)])
    wanted = torch.cat([torch.zeros(0, dtype=torch.float64), *(one.reference for one in spaces)])
    point = torch.linalg.pinv(rows) @ wanted
    _, values, basis = torch.linalg.svd(rows, full_matrices=False)
    basis = basis[values > SAME]
    beyond = sum(one.beyond_chance for one in spaces)
    return ArtefactSpace(basis, basis @ point, torch.zeros(len(basis), dtype=torch.float64), beyond)
