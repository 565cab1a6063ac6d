"""The layer alone, forward and backward, against a 3 x 3 convolution of the same width."""

import torch
from networks import CONCEPTS
from timing import Comparison, Work, compare
from torch import nn

from pipeline.whitening.layer import ConceptWhitening

SHAPES = ((32, 512, 7, 7), (32, 64, 56, 56))


def layer_alone(device: torch.device, shape: tuple[int, int, int, int], *, rounds: int = 30) -> Comparison:
    """Concept whitening against a convolution on maps of one shape, channels last, gradient of the input included."""
    channels = shape[1]
    convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    convolution = convolution.to(device=device, memory_format=torch.channels_last)
    whitening = ConceptWhitening(channels, CONCEPTS).to(device).train()
    return compare(
        _forward_backward(whitening, shape, device), _forward_backward(convolution, shape, device), rounds=rounds
    )


def _forward_backward(module: nn.Module, shape: tuple[int, int, int, int], device: torch.device) -> Work:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(shape[1], shape[1], generator=generator) / shape[1] ** 0.5
    x = torch.einsum("dc,nchw->ndhw", mixing, torch.randn(shape, generator=generator))
    x = x.to(device=device, memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn(shape, generator=generator).to(device=device, memory_format=torch.channels_last)

    def work() -> None:
        module.zero_grad(set_to_none=True)
        x.grad = None
        module(x).backward(grad)

    return work
