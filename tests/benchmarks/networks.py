"""Networks as the benchmarks need them: with batch normalisation, and the same with concept whitening in its place."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from pipeline.config import ModelSettings
from pipeline.models.backbones import build_backbone
from pipeline.whitening.surgery import replace_norm

LAYER = "layer4.1.bn1"
CONCEPTS = tuple(f"concept {number}" for number in range(7))
CLASSES = 3


def plain_resnet(device: torch.device, *, seed: int = 0) -> nn.Module:
    """ResNet-18, channels last, with batch normalisation everywhere."""
    torch.manual_seed(seed)
    network = build_backbone(ModelSettings(architecture="resnet18"), CLASSES).network
    return network.to(device=device, memory_format=torch.channels_last)


def whitened_resnet(plain: nn.Module) -> nn.Module:
    """A copy with concept whitening in place of one batch normalisation."""
    network = deepcopy(plain)
    replace_norm(network, LAYER, concepts=CONCEPTS)
    return network


def pictures(count: int, device: torch.device, *, size: int = 224, seed: int = 1) -> Tensor:
    """Images with smooth structure, as photographs have it: count x 3 x size x size, channels last."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, size // 8, size // 8, generator=generator)
    fine = nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
    fine = fine + 0.3 * torch.randn(fine.shape, generator=generator)
    return fine.to(device=device, memory_format=torch.channels_last)
