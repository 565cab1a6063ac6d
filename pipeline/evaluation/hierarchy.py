"""Purity of concepts that own a subspace: are children told apart inside their parent, and does anything leak out."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from concepts.statistics.bootstrap import Weights, auc
from concepts.statistics.estimate import Estimate
from pipeline.evaluation.purity import Assessability, assess, purity_matrix
from pipeline.results.axes import ChildPurity, SubspaceLeak, SubspacePurity
from pipeline.whitening.subspaces import AxisLayout, Subspace


def subspace_purity(
    activations: ArrayLike,
    labels: ArrayLike,
    weights: Weights,
    *,
    layout: AxisLayout,
    train_positives: Sequence[int],
    minimum: int,
) -> dict[str, SubspacePurity]:
    """Measure the purity of every subspace on the test set, by parent.

    Args:
        activations: N x C, every axis pooled; columns as the layout has them.
        labels: N x k; 1 present, 0 absent, NaN not known.
        weights: B x N, from `group_weights`.
        layout: Which axis is whose.
        train_positives: Training cases in which each concept is present.
        minimum: Fewest training positives with which an axis is stable.

    Raises:
        LabelsError: If a child is present where its parent is absent.
    """
    table = np.asarray(labels, dtype=np.float64)
    axes = _Axes(np.asarray(activations, dtype=np.float64), weights, layout)
    inside = layout.inside(torch.from_numpy(table)).numpy()
    counts = assess(inside, train_positives, minimum=minimum)
    assessable = [count.assessable for count in assess(table, train_positives, minimum=minimum)]
    outside = np.where(assessable, table, np.nan)
    return {
        subspace.parent: SubspacePurity(
            children={
                layout.concepts[child]: _child(
                    counts[child], axes.auc(child, inside[:, child]), axes.auc(parent, inside[:, child])
                )
                for child, parent in layout.parents.items()
                if layout.concepts[parent] == subspace.parent
            },
            free=subspace.free,
            leak=axes.leak(subspace, outside),
        )
        for subspace in layout.subspaces
    }


@dataclass(frozen=True)
class _Axes:
    """Activations N x C of all axes, resamples B x N, and which axis is whose."""

    activations: NDArray[np.float64]
    weights: Weights
    layout: AxisLayout

    def auc(self, axis: int, labels: NDArray[np.float64]) -> Estimate:
        """Return the AUC of one axis for one column of labels."""
        return auc(self.activations[:, axis], labels, self.weights).estimate()

    def leak(self, subspace: Subspace, labels: NDArray[np.float64]) -> SubspaceLeak | None:
        """Find the AUC farthest from 0.5 of the subspace's axes for the concepts outside; NaN labels are left out."""
        axes = self.layout.axes(subspace)
        outside = [column for column, name in enumerate(self.layout.concepts) if name not in subspace.names]
        distance = np.abs(purity_matrix(self.activations[:, axes], labels[:, outside]) - 0.5)
        if not np.isfinite(distance).any():
            return None
        row, column = np.unravel_index(np.nanargmax(distance), distance.shape)
        names = [*subspace.names, *(f"free axis {number + 1}" for number in range(subspace.free))]
        return SubspaceLeak(
            concept=self.layout.concepts[outside[column]],
            axis=names[row],
            auc=self.auc(axes[row], labels[:, outside[column]]),
            pairs=int(np.isfinite(distance).sum()),
        )


def _child(counts: Assessability, sibling_auc: Estimate, parent_axis_auc: Estimate) -> ChildPurity:
    """Put a child's figures together; NaN where there is too little to assess it."""
    unknown = Estimate(nan, nan, nan, sibling_auc.n)
    return ChildPurity(
        sibling_auc=sibling_auc if counts.assessable else unknown,
        parent_axis_auc=parent_axis_auc if counts.assessable else unknown,
        positives=counts.positives,
        negatives=counts.negatives,
        reason=counts.reason,
    )
