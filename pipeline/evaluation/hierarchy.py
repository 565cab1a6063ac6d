"""Purity of concepts that own a subspace: are children told apart inside their parent, and does anything leak out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from concepts.statistics.bootstrap import Weights, auc
from concepts.statistics.estimate import Estimate
from pipeline.evaluation.purity import Assessability, assess, purity_matrix
from pipeline.models.whitened import whitening_refusals
from pipeline.whitening.subspaces import AxisLayout, Subspace


@dataclass(frozen=True)
class ChildPurity:
    """How the axis of a sub-concept tells it from its siblings, among the cases that show the parent.

    Attributes:
        sibling_auc: By the child's own axis, child present against absent; NaN where not assessable.
        parent_axis_auc: By the parent's axis, the same cases. Near 0.5: the two levels are kept apart.
        counts: Cases that show the parent, with and without the child; and whether they suffice.
    """

    sibling_auc: Estimate
    parent_axis_auc: Estimate
    counts: Assessability


@dataclass(frozen=True)
class Leak:
    """The strongest answer of a subspace to a concept outside it.

    Attributes:
        concept: The concept.
        axis: Name of the axis: a concept's, or ``free axis 1`` and so on.
        auc: Its AUC for the concept, on all cases; chosen as the farthest from 0.5.
        pairs: Among how many pairs of an axis and a concept it was chosen, so that a chance maximum can be judged.
    """

    concept: str
    axis: str
    auc: Estimate
    pairs: int


@dataclass(frozen=True)
class SubspacePurity:
    """Purity of one subspace.

    Attributes:
        children: By name.
        free: Number of its free axes.
        leak: None where no concept outside can be assessed.
    """

    children: dict[str, ChildPurity]
    free: int
    leak: Leak | None

    def to_json(self) -> dict[str, Any]:
        """The figures as nested dictionaries of estimates and numbers."""
        return {
            "free": self.free,
            "children": {name: _child_json(one) for name, one in self.children.items()},
            "leak": None if self.leak is None else dict(vars(self.leak)),
        }


def subspace_purity(
    activations: ArrayLike,
    labels: ArrayLike,
    *,
    layout: AxisLayout,
    train_positives: Sequence[int],
    minimum: int,
    weights: Weights,
) -> dict[str, SubspacePurity]:
    """Purity of every subspace on the test set, by parent.

    Args:
        activations: N x C, every axis pooled; columns as the layout has them.
        labels: N x k; 1 present, 0 absent, NaN not known.
        layout: Which axis is whose.
        train_positives: Training cases in which each concept is present.
        minimum: Fewest training positives with which an axis is stable.
        weights: B x N, from `group_weights`.

    Raises:
        DataError: If a child is present where its parent is absent.
    """
    score, table = np.asarray(activations, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    with whitening_refusals():
        inside = layout.inside(torch.from_numpy(table)).numpy()
    counts = assess(inside, train_positives, minimum=minimum)
    fine = [one.assessable for one in assess(table, train_positives, minimum=minimum)]
    found = {}
    for subspace in layout.subspaces:
        children = {
            layout.concepts[child]: _child(score, inside[:, child], (child, parent), counts[child], weights)
            for child, parent in layout.parents.items()
            if layout.concepts[parent] == subspace.parent
        }
        leak = _leak(score, np.where(fine, table, np.nan), layout, subspace, weights)
        found[subspace.parent] = SubspacePurity(children, subspace.free, leak)
    return found


def _child(
    score: NDArray[np.float64],
    labels: NDArray[np.float64],
    axes: tuple[int, int],
    counts: Assessability,
    weights: Weights,
) -> ChildPurity:
    if not counts.assessable:
        nothing = Estimate(float("nan"), float("nan"), float("nan"), counts.positives + counts.negatives)
        return ChildPurity(nothing, nothing, counts)
    own, parents = (auc(score[:, axis], labels, weights).estimate() for axis in axes)
    return ChildPurity(own, parents, counts)


def _leak(
    score: NDArray[np.float64],
    labels: NDArray[np.float64],
    layout: AxisLayout,
    subspace: Subspace,
    weights: Weights,
) -> Leak | None:
    axes = layout.axes(subspace)
    outside = [index for index, name in enumerate(layout.concepts) if name not in subspace.names]
    distance = np.abs(purity_matrix(score[:, axes], labels[:, outside]) - 0.5)
    if not np.isfinite(distance).any():
        return None
    row, column = np.unravel_index(np.nanargmax(distance), distance.shape)
    names = [*subspace.names, *(f"free axis {number + 1}" for number in range(subspace.free))]
    figure = auc(score[:, axes[row]], labels[:, outside[column]], weights)
    pairs = int(np.isfinite(distance).sum())
    return Leak(layout.concepts[outside[column]], names[row], figure.estimate(), pairs)


def _child_json(child: ChildPurity) -> dict[str, Any]:
    return {
        "sibling_auc": child.sibling_auc,
        "parent_axis_auc": child.parent_axis_auc,
        "positives": child.counts.positives,
        "negatives": child.counts.negatives,
        "assessable": child.counts.assessable,
        "reason": child.counts.reason,
    }
