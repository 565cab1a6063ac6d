"""Repair of a network that takes a shortcut: directions set to a constant, intercepts and image weights to go with it.

Directions of the whitened space are folded into the network's weights, without training. What the network then says
about how common each diagnosis is, is fitted anew, on images weighed so that an artefact goes with no diagnosis.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from concepts.errors import SettingsError
from pipeline.choices import Placement
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace
from pipeline.whitening.surgery import LinearReadout, owner_of, whitening_layers

RIDGE = 1e-4
"""Keeps the intercept of a diagnosis without images finite."""
STEPS = 200
LARGEST = 20.0
"""No image weighs more, however rare its kind is, so that a few images do not decide alone."""

Values = NDArray[np.float64]


@torch.no_grad()
def suppress(network: nn.Module, layer: str, space: ArtefactSpace) -> None:
    """Keep the tail of a network from seeing some directions of its whitened layer, in place.

    Every position is set to the reference along them: z <- z - U^T (U z - c) with the r x C directions U, which with a
    readout y = B z + b is B <- B (I - U^T U) and b <- b + B U^T c. Nothing else changes, and inference costs as much as
    before. The layer itself still gives all activations.

    Args:
        network: Changed.
        layer: Qualified name of the whitened layer.
        space: The directions, and what they are set to.

    Raises:
        SettingsError: If the layer has no learned readout.
    """
    whitening = whitening_layers(network)[layer]
    owner = owner_of(network, whitening)
    if owner is None or not isinstance(owner.readout, LinearReadout):
        raise SettingsError(
            f"{layer} has no readout of its own (model.placement={Placement.REPLACE}), so nothing after it can be kept "
            f"from seeing an axis; train with model.placement={Placement.INSERT}"
        )
    basis, reference = space.directions.double(), space.reference.double()
    unseen = torch.eye(whitening.num_features, dtype=torch.float64) - basis.T @ basis
    owner.readout.turn(unseen, shift=basis.T @ reference)


def fitted_intercepts(logits: Tensor, labels: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Fit what to add to logits so that they fit the labels best: D numbers whose mean is 0, in float64.

    Args:
        logits: N x D.
        labels: N indices.
        weights: Of each image in the cross-entropy, N; default: all 1.

    Example:
        >>> logits, labels = torch.zeros(4, 2), torch.tensor([0, 0, 0, 1])
        >>> [round(number, 2) for number in fitted_intercepts(logits, labels).tolist()]
        [0.55, -0.55]
    """
    fixed, shift = logits.double(), torch.zeros(logits.shape[1], dtype=torch.float64, requires_grad=True)
    image_weights = torch.ones(len(labels), dtype=torch.float64) if weights is None else weights.double()
    search = torch.optim.LBFGS([shift], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        losses = nn.functional.cross_entropy(fixed + shift, labels, reduction="none")
        mean = (image_weights @ losses) / image_weights.sum() + RIDGE * shift.square().sum()
        mean.backward()
        return mean

    with torch.enable_grad():
        search.step(loss)
    intercepts = shift.detach()
    return intercepts - intercepts.mean()


@torch.no_grad()
def add_intercepts(network: nn.Module, intercepts: Tensor) -> None:
    """Add to the logits of a network, in its last linear layer, in place.

    Raises:
        SettingsError: If the network does not end in a linear layer with a bias for each diagnosis.
    """
    layers = [
        layer for layer in network.modules() if isinstance(layer, nn.Linear) and layer.out_features == len(intercepts)
    ]
    if not layers or layers[-1].bias is None:
        raise SettingsError(
            f"{type(network).__name__} has no last linear layer with {len(intercepts)} outputs and a bias; its logits "
            "cannot be moved"
        )
    bias = layers[-1].bias
    bias.copy_(bias.double() + intercepts.to(bias.device))


def independence_weights(table: Values, diagnoses: NDArray[np.int64]) -> Values:
    """Weigh images so that artefacts, taken together, are independent of the diagnosis, as far as the images allow.

    With a the pattern of artefacts of an image and d its diagnosis, its weight is P(a) P(d) / P(a, d). Where no image
    of a diagnosis has a pattern, nothing can stand for it, and independence is not reached.

    Args:
        table: N x A; 1 present, 0 absent, NaN not known.
        diagnoses: N indices.

    Returns:
        N, at most `LARGEST`; 1 where an artefact is not known, or where there is no artefact.

    Source: reweighing, Kamiran & Calders 2012 (Knowl. Inf. Syst. 33, 1).

    Example:
        >>> table, diagnoses = np.array([[1.0], [1.0], [0.0], [0.0]]), np.array([0, 0, 0, 1])
        >>> independence_weights(table, diagnoses).tolist()
        [0.75, 0.75, 1.5, 0.5]
    """
    weights = np.ones(len(table))
    labelled = np.isfinite(table).all(axis=1)
    if table.shape[1] == 0 or not labelled.any():
        return weights
    _, patterns = np.unique(table[labelled], axis=0, return_inverse=True)
    _, strata = np.unique(diagnoses[labelled], return_inverse=True)
    joint = np.zeros((patterns.max() + 1, strata.max() + 1))
    np.add.at(joint, (patterns.ravel(), strata), 1 / labelled.sum())
    expected = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    ratios = np.divide(expected, joint, out=np.zeros_like(joint), where=joint > 0)
    weights[labelled] = np.minimum(ratios[patterns.ravel(), strata], LARGEST)
    return weights
