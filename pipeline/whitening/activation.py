"""How the map of an axis becomes one number per image."""

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.whitening.choices import Activation

WINDOW = 3
"""Side and stride of the windows of ``Activation.POOL_MAX``, in positions."""


def axis_activations(z: Tensor, activation: Activation) -> Tensor:
    """The activation of every axis on every image.

    - ``mean``: over all positions.
    - ``max``: the largest position.
    - ``positive_mean``: mean of the positive positions; 0 where there is none.
    - ``pool_max``: largest value in each 3 x 3 window, then the mean over windows. Windows do not overlap; a border too
      narrow for a whole window is left out, as in the published code, but a map smaller than a window is one window.

    Differentiable; the same for an image alone and in a batch.

    Args:
        z: N x C x H x W maps, or N x C vectors (returned as they are: a single position).
        activation: Which of the four.

    Returns:
        N x C.

    Source: Chen, Bei, Rudin 2020 (arXiv 2002.01650), supplementary information B.
    """
    if z.ndim == 2:
        return z.clamp(min=0.0) if activation is Activation.POSITIVE_MEAN else z
    if activation is Activation.MEAN:
        return z.mean(dim=(2, 3))
    if activation is Activation.MAX:
        return z.amax(dim=(2, 3))
    if activation is Activation.POSITIVE_MEAN:
        return positive_mean(z)
    return pooled_max(z)


def positive_mean(z: Tensor) -> Tensor:
    """Mean of the positive values of each map of N x C x H x W; 0 where none is positive."""
    positive = (z > 0).sum(dim=(2, 3)).clamp(min=1)
    return z.clamp(min=0.0).sum(dim=(2, 3)) / positive.to(z.dtype)


def pooled_max(z: Tensor) -> Tensor:
    """Mean over 3 x 3 windows of the largest value in each, for maps N x C x H x W of any size."""
    window = (min(WINDOW, z.shape[2]), min(WINDOW, z.shape[3]))
    pooled: Tensor = functional.max_pool2d(z, window, stride=window)
    return torch.mean(pooled, dim=(2, 3))
