"""What a network says with an artefact's directions taken out of its layer's output."""

import torch
from torch import Tensor

from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace

BATCH = 64
"""Images at a time."""


@torch.no_grad()
def logits_without(outputs: LayerOutputs, space: ArtefactSpace) -> Tensor:
    """N x D logits with an artefact's directions set to their reference."""
    parts = []
    for start in range(0, len(outputs.maps), BATCH):
        rows = slice(start, start + BATCH)
        maps = space.removed(outputs.maps[rows])
        parts.append(outputs.tail(maps, tuple(one[rows] for one in outputs.rest)).cpu())
    return torch.cat(parts)
