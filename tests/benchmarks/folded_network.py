"""The folded network in inference against the same network with its batch normalisation, folded likewise."""

from copy import deepcopy

import torch
from networks import pictures, plain_resnet, whitened_resnet
from timing import Comparison, compare
from torch import nn
from torch.fx.experimental.optimization import fuse

from pipeline.whitening.fold import fold_concept_whitening


def folded_network(device: torch.device, *, rounds: int = 30) -> Comparison:
    """Batches of 32 images of 224 px; both networks with every normalisation folded into the convolution before it."""
    plain = plain_resnet(device).eval()
    whitened = whitened_resnet(plain).eval()
    candidate, reference = _fused(fold_concept_whitening(whitened)), _fused(deepcopy(plain))
    images = pictures(32, device)

    def forward(network: nn.Module) -> None:
        with torch.inference_mode():
            network(images)

    return compare(lambda: forward(candidate), lambda: forward(reference), rounds=rounds)


def _fused(network: nn.Module) -> nn.Module:
    return fuse(network.eval()).to(memory_format=torch.channels_last)
