"""Repair without training: directions of the whitened space set to a constant, folded into the network's weights."""

import torch
from torch import nn

from concepts.errors import SettingsError
from pipeline.choices import Placement
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace
from pipeline.whitening.surgery import LinearReadout, owner_of, whitening_layers


@torch.no_grad()
def suppress(network: nn.Module, layer: str, space: ArtefactSpace) -> None:
    """Keep the tail of a network from seeing some directions of its whitened layer, in place.

    Every position is set to the reference along them: z <- z - U^T (U z - c) with the r x C directions U, which with a
    readout y = B z + b is B <- B (I - U^T U) and b <- b + B U^T c. Nothing else is changed, and inference costs what it
    did. The layer itself still gives all activations.

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
