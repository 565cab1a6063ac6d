"""MobileNet v1: depthwise-separable convolutions, small and fast on a CPU.

A plain chain without skips, so nothing bypasses a concept-whitening layer wherever it is put.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
"""Channels after the stem and after each block, at width 1."""

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
"""Stride of each block's depthwise convolution; the stem has stride 2."""

NARROWEST = 8
"""No layer gets fewer channels than this, however small the width."""


class SameConv2d(nn.Conv2d):
    """A 3 x 3 convolution without bias, padded as TensorFlow's SAME.

    At stride 1 that is one zero on every side. At stride 2 the output has ceil(size / 2) positions and the zeros that
    this needs go to the bottom and right first: an even size gets none at the top and left, an odd one gets one.
    PyTorch's own ``padding=1`` shifts even-sized maps by a pixel, which weights trained with SAME do not expect.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, groups: int = 1) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size=3,
            stride=stride,
            padding=1 if stride == 1 else 0,
            groups=groups,
            bias=False,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map N x C x H x W to N x C' x ceil(H / stride) x ceil(W / stride)."""
        if self.stride != (1, 1):
            x = functional.pad(x, (x.shape[3] % 2, 1, x.shape[2] % 2, 1))
        return super().forward(x)


class ConvNorm(nn.Module):
    """A convolution, its batch normalisation and ReLU6."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels, eps=1e-3)
        self.activation = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        """Map N x C x H x W to N x C' x H' x W', in [0, 6]."""
        return self.activation(self.norm(self.conv(x)))


class SeparableBlock(nn.Module):
    """A 3 x 3 convolution of each channel by itself, then a 1 x 1 convolution across channels."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.depthwise = ConvNorm(SameConv2d(in_channels, in_channels, stride=stride, groups=in_channels))
        self.pointwise = ConvNorm(nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Map N x C x H x W to N x C' x ceil(H / stride) x ceil(W / stride)."""
        return self.pointwise(self.depthwise(x))


class MobileNetV1(nn.Module):
    """MobileNet v1 for RGB images in [-1, 1], of any size from 32 px up.

    The maps of block 12 are a 32nd of the input in each direction. Names of the parameters: ``stem.{conv,norm}``,
    ``blocks.{0..12}.{depthwise,pointwise}.{conv,norm}``, ``classifier``.

    Args:
        num_classes: Number of logits.
        width: Multiplies the channels of every layer, 0.75 for the ImageNet weights in use here.
        dropout: Probability that a pooled feature is dropped in training.

    Example:
        >>> import torch
        >>> MobileNetV1(5, width=0.25)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 5])

    Source: Howard et al. 2017, arXiv 1704.04861, table 1. As in the weights that Google published, the activation is
    ReLU6 and the normalisation adds 1e-3 to the variance.
    """

    def __init__(self, num_classes: int, *, width: float = 0.75, dropout: float = 0.2) -> None:
        super().__init__()
        channels = [max(NARROWEST, int(count * width)) for count in WIDTHS]
        self.stem = ConvNorm(SameConv2d(3, channels[0], stride=2))
        self.blocks = nn.Sequential(
            *(
                SeparableBlock(before, after, stride=stride)
                for (before, after), stride in zip(pairwise(channels), STRIDES, strict=True)
            )
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels[-1], num_classes)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Map N x 3 x H x W to N x D logits."""
        x = self.blocks(self.stem(x))
        return self.classifier(self.dropout(x.mean(dim=(2, 3))))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
