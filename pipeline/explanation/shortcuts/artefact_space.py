"""Where in the whitened space an artefact lies: the directions along which images with it differ from those without.

An artefact such as a coloured sticker has no single direction: it may be orange or green. What all kinds of it share is
that they carry the positions which they cover away from where positions lie without it. So the directions are found by
energy, not by mean.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from concepts.errors import DataError
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.shortcuts.artefacts import ArtefactLabels
from pipeline.models.state import read_named_tensors, write_tensors
from pipeline.run.folder import RunFolder

Values = NDArray[np.float64]
SAME = 1e-8
"""Singular value below which directions depend on each other."""
DEALS = 20
"""How often an artefact's labels are dealt at random, to see what chance gives."""
BATCH = 64
"""Images that the tail takes at a time."""
SPACES = "shortcuts/spaces.safetensors"
TENSORS = ("directions", "reference", "energies")
BEYOND = "beyond_chance"


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
        """Set every position of N x C x H x W or N x C maps to the reference along the directions.

        Example:
            >>> axis_space(0, channels=2).removed(torch.tensor([[3.0, 4.0]])).tolist()
            [[0.0, 4.0]]
        """
        basis = self.directions.to(maps.dtype)
        shape = (1, -1, *[1] * (maps.ndim - 2))
        away = torch.tensordot(basis, maps, dims=([1], [1])).movedim(0, 1) - self.reference.to(maps.dtype).view(shape)
        return maps - torch.tensordot(basis.T, away, dims=([1], [1])).movedim(0, 1)

    def transplanted(self, maps: Tensor, donors: Tensor) -> Tensor:
        """Give maps along the directions, position by position, what the donors' have; shapes as in `removed`."""
        basis = self.directions.to(maps.dtype)
        change = torch.tensordot(basis, donors - maps, dims=([1], [1])).movedim(0, 1)
        return maps + torch.tensordot(basis.T, change, dims=([1], [1])).movedim(0, 1)

    def energy(self, maps: Tensor) -> Values:
        """Average over the positions of N maps the squared distance from the reference along the directions."""
        basis, reference = self.directions.to(maps.dtype), self.reference.to(maps.dtype)
        along = torch.tensordot(maps.movedim(1, -1), basis.T, dims=1) - reference
        return along.square().sum(dim=-1).reshape(len(maps), -1).double().mean(dim=1).cpu().numpy()


def contrast_weights(labels: NDArray[np.float64], strata: NDArray[np.int64]) -> Values:
    """Weigh images so that present is contrasted with absent inside each stratum (diagnosis).

    These are the weights of Mantel and Haenszel.

    An artefact that goes with a diagnosis would otherwise be taken for it, and removed together with it.

    Args:
        labels: N; 1 present, 0 absent, NaN not known.
        strata: N.

    Returns:
        N; those of present images add up to 1, those of absent ones to -1; all zero where no stratum has both.

    Example:
        >>> contrast_weights(np.array([1.0, 0.0, 0.0, 1.0]), np.array([0, 0, 0, 1])).tolist()
        [1.0, -0.5, -0.5, 0.0]
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
    """Deal labels anew among the images of each stratum whose label is known."""
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
        """Return, of one set of weights, eigenvalues (largest first), their vectors as rows, the mean without artefact.

        With m the mean of positions without the artefact, the matrix is E1[(z - m)(z - m)^T] - E0[(z - m)(z - m)^T].
        """
        shift, absent = self.shift[row], self.absent[row]
        cross = torch.outer(shift, absent)
        second = self.second[row].view(self.channels, self.channels)
        values, vectors = torch.linalg.eigh(second - cross - cross.T)
        return values.flip(0), vectors.T.flip(0), absent


def artefact_space(moments: ContrastMoments, row: int, *, chance: Sequence[int]) -> ArtefactSpace:
    """Find the directions whose energy is beyond what the same labels give when dealt at random inside each diagnosis.

    Where there is none, the strongest direction stands alone: a thin artefact is seen in few positions, and whether the
    network reads a diagnosis from a direction is the subject of another test.

    Args:
        moments: Of all training images.
        row: Row of the weights that hold the artefact's labels.
        chance: Rows of the weights with dealt labels; a direction must have more energy than the largest of all these.

    Source: parallel analysis (Horn 1965, Psychometrika 30, 179) with permuted labels in the place of random data.
    """
    values, vectors, absent = moments.energies(row)
    largest = max((float(moments.energies(deal)[0][0]) for deal in chance), default=0.0)
    beyond = int((values > max(largest, 0.0)).sum())
    leading = slice(0, max(beyond, 1))
    return ArtefactSpace(vectors[leading].clone(), vectors[leading] @ absent, values[leading].clone(), beyond)


def artefact_spaces(
    maps: Iterable[Tensor],
    labels: ArtefactLabels,
    diagnoses: NDArray[np.int64],
    *,
    axes: Mapping[str, int],
    channels: int,
    generator: np.random.Generator,
) -> tuple[ArtefactSpace, ...]:
    """Find where the layer has each artefact: along any of its directions, and along the artefact's own axis.

    One pass over the images serves all artefacts. Axes of other concepts are not left out: a network that learns to
    read a diagnosis from hair does so along whatever axes respond to hair, those of streaks or network among them.

    Args:
        maps: The layer's output for the N training images, batch by batch.
        labels: Of the A artefacts in the same images.
        diagnoses: N indices.
        axes: By concept, its axis.
        channels: C of the layer.
        generator: Deals the labels.
    """
    moments = ContrastMoments(_contrasts(labels.table, diagnoses, generator), channels)
    for batch in maps:
        moments.add(batch)
    spaces = []
    for row, name in enumerate(labels.names):
        first = len(labels.names) + row * DEALS
        space = artefact_space(moments, row, chance=range(first, first + DEALS))
        if name in axes:
            space = joined([axis_space(axes[name], channels), space], channels)
        spaces.append(space)
    return tuple(spaces)


def _contrasts(table: Values, diagnoses: NDArray[np.int64], generator: np.random.Generator) -> Values:
    """Return A contrasts of the labels, then `DEALS` contrasts of the first artefact's dealt labels, and so on."""
    contrasts = [contrast_weights(labels, diagnoses) for labels in table.T]
    for labels in table.T:
        deals = [permuted_inside(labels, diagnoses, generator) for _ in range(DEALS)]
        contrasts += [contrast_weights(deal, diagnoses) for deal in deals]
    return np.array(contrasts)


def axis_space(axis: int, channels: int) -> ArtefactSpace:
    """Return one axis, set to its mean: 0 in the whitened space."""
    direction = torch.eye(channels, dtype=torch.float64)[axis : axis + 1]
    zero = torch.zeros(1, dtype=torch.float64)
    return ArtefactSpace(direction, zero, zero)


def joined(spaces: Sequence[ArtefactSpace], channels: int) -> ArtefactSpace:
    """Join the directions of several spaces, orthonormal; each keeps its reference where they do not overlap.

    Where they do, the references are met as well as possible (least squares). A joined space has no energies of its
    own: they are 0.
    """
    rows = torch.cat([torch.zeros(0, channels, dtype=torch.float64), *(space.directions for space in spaces)])
    references = torch.cat([torch.zeros(0, dtype=torch.float64), *(space.reference for space in spaces)])
    point = torch.linalg.pinv(rows) @ references
    _, values, basis = torch.linalg.svd(rows, full_matrices=False)
    basis = basis[values > SAME]
    beyond = sum(space.beyond_chance for space in spaces)
    return ArtefactSpace(basis, basis @ point, torch.zeros(len(basis), dtype=torch.float64), beyond)


@torch.no_grad()
def logits_without(outputs: LayerOutputs, space: ArtefactSpace) -> Tensor:
    """Return N x D logits with an artefact's directions set to their reference."""
    logits = []
    for start in range(0, len(outputs.maps), BATCH):
        rows = slice(start, start + BATCH)
        maps = space.removed(outputs.maps[rows])
        logits.append(outputs.tail(maps, tuple(extra[rows] for extra in outputs.rest)).cpu())
    return torch.cat(logits)


def write_spaces(run: RunFolder, spaces: Mapping[str, ArtefactSpace]) -> None:
    """Keep the directions of each artefact in the run folder; those of an earlier audit are deleted."""
    file = run.file(SPACES)
    file.unlink(missing_ok=True)
    if not spaces:
        return
    tensors: dict[str, Tensor] = {
        f"{name}.{part}": torch.as_tensor(getattr(space, part))
        for name, space in spaces.items()
        for part in (*TENSORS, BEYOND)
    }
    write_tensors(file, tensors, metadata={})


def read_spaces(run: RunFolder) -> dict[str, ArtefactSpace]:
    """Read the directions of each artefact that a run audited; empty where it audited none.

    Raises:
        WeightsError: If the file is damaged.
    """
    if not run.has(SPACES):
        return {}
    tensors, _ = read_named_tensors(run.file(SPACES))
    names = sorted({name.rpartition(".")[0] for name in tensors})
    return {name: _space(tensors, name) for name in names}


def _space(tensors: Mapping[str, Tensor], name: str) -> ArtefactSpace:
    directions, reference, energies = (tensors[f"{name}.{part}"] for part in TENSORS)
    return ArtefactSpace(directions, reference, energies, int(tensors[f"{name}.{BEYOND}"]))
