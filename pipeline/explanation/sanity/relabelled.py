"""Where the named axes would lie if the concept labels were others: exact alignment on vectors already pooled."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.choices import Objective
from pipeline.whitening.hierarchy import subspace_rotation
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.statistics import LayerMoments
from pipeline.whitening.whiten import shrunk_whitening


@torch.no_grad()
def relabelled_axes(
    layer: ConceptWhitening,
    pooled: Tensor,
    labels: NDArray[np.float64],
    *,
    objective: Objective,
    shrinkage: float = 0.0,
) -> Tensor:
    """The named axes that the closed form gives for some labels, in the layer's present axes.

    The layer's statistics stay, and it is not changed. With the labels that it was aligned with, these are its own
    axes: the first k rows of the identity. Masks are not used: where the objective is ``regions``, ``contrast`` takes
    its place, since a mask of another image says nothing about this one.

    Args:
        layer: Aligned.
        pooled: N x C, mean over positions of its output for each image.
        labels: N x k; 1 present, 0 absent, NaN not known.
        objective: What axes are aligned with.
        shrinkage: As in the alignment.

    Returns:
        k x C, orthonormal rows, float64.
    """
    matrix, offset = layer.inverse_map()
    inputs = pooled.double() @ matrix.mT + offset
    moments = LayerMoments(layer.num_features, layer.num_concepts)
    moments.add(inputs, layer.layout.inside(torch.from_numpy(labels)))
    found = moments.concept_directions(Objective.CONTRAST if objective is Objective.REGIONS else objective)
    known = found.isfinite().all(dim=1, keepdim=True)
    directions = torch.where(known, found, layer.concept_directions.double())
    means = directions @ shrunk_whitening(layer.covariance.double(), eps=layer.eps, shrinkage=shrinkage)
    present = layer.rotation.double()
    rotation = subspace_rotation(means, layer.layout, rotation=present)
    return (rotation @ present.mT)[: layer.num_concepts]
