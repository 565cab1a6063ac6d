"""Whitening by a batch's own statistics in one autograd function: five products with the positions, not sixteen.

The forward pass forms the covariance (one product) and applies the fused map R W (one product). The backward pass keeps
only the input and C x C matrices; with g the gradient of z, n positions and D = sum g (x - mu)^T,

    dx = M^T g + (2/n) S (x - mean) + const,    S = gradient of Sigma, from R^T D by the divided differences of W,

which is three products more. A 3 x 3 convolution of the same width takes 27.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd import Function

from pipeline.whitening.channels import Channels
from pipeline.whitening.distributed import is_distributed, sum_over_processes
from pipeline.whitening.whiten import covariance, eigenpairs, inverse_root_gradient, ridge, whitening_matrix

OFF_CENTRE = 30.0
"""Mean over standard deviation of a channel beyond which the input is centred before products are formed."""


@dataclass(frozen=True)
class Moments:
    """Mean (C), covariance (C x C) and number of positions.

    Example:
        >>> Moments(torch.zeros(2), torch.eye(2), count=10.0).count
        10.0
    """

    mean: Tensor
    covariance: Tensor
    count: float


def whiten_batch(
    x: Tensor, rotation: Tensor, *, running: tuple[Tensor, Tensor], eps: float, enough: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Whiten and rotate a batch by its own statistics, z = R W (x - mu), over all processes of a distributed run.

    A batch with fewer than ``enough`` positions is mixed with the running statistics: mu and Sigma are those of a
    mixture distribution that has the batch's share of n / enough.

    Args:
        x: N x C x H x W or N x C, at least one position, float32 or float64.
        rotation: C x C.
        running: Running mean (C) and covariance (C x C), used only for the mixture.
        eps: Relative ridge.
        enough: Number of positions from which the batch's statistics are used alone.

    Returns:
        The output, in the shape of x, and the batch's own mean and covariance in float64, which carry no gradient.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [0.0, -3.0]])
        >>> z, mean, cov = whiten_batch(x, torch.eye(2), running=(torch.zeros(2), torch.eye(2)), eps=0.0, enough=4)
        >>> cov.tolist()
        [[0.5, 0.0], [0.0, 4.5]]
        >>> torch.allclose(z.mT @ z / 4, torch.eye(2))
        True
    """
    return _WhitenBatch.apply(x, rotation, *running, eps, enough)


def mix_statistics(batch: Moments, running: tuple[Tensor, Tensor], *, share: float) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of a mixture of two distributions, ``share`` of it the batch.

    With a the share and d the difference of the means: mu = a mu_b + (1 - a) mu_r and
    Sigma = a Sigma_b + (1 - a) Sigma_r + a (1 - a) d d^T.

    Args:
        batch: Of the batch.
        running: Mean (C) and covariance (C x C) of the other distribution.
        share: 0 to 1; from 1 on the batch alone.

    Example:
        >>> batch = Moments(torch.tensor([2.0]), torch.tensor([[0.0]]), count=1.0)
        >>> mean, cov = mix_statistics(batch, (torch.tensor([0.0]), torch.tensor([[0.0]])), share=0.5)
        >>> mean.item(), cov.item()
        (1.0, 1.0)
    """
    if share >= 1:
        return batch.mean, batch.covariance
    mean, cov = running[0].to(batch.mean), running[1].to(batch.mean)
    gap = batch.mean - mean
    mixed = share * batch.covariance + (1 - share) * cov + share * (1 - share) * torch.outer(gap, gap)
    return mean + share * gap, mixed


def composed(x: Tensor, rotation: Tensor, running: tuple[Tensor, Tensor], *, eps: float, enough: int) -> Tensor:
    """Compute the output of `whiten_batch` by operations that autograd differentiates any number of times.

    Example:
        >>> x, running = torch.tensor([[1.0], [3.0]]), (torch.zeros(1), torch.eye(1))
        >>> composed(x, torch.eye(1), running, eps=0.0, enough=1).round(decimals=4).tolist()
        [[-1.0], [1.0]]
    """
    mean, cov = covariance(x.double())
    count = float(x.numel() // x.shape[1])
    if is_distributed():
        total = sum_over_processes(torch.tensor(count, dtype=torch.float64, device=x.device))
        mean, second = sum_over_processes(count * mean), sum_over_processes(count * (cov + torch.outer(mean, mean)))
        mean, count = mean / total, float(total)
        cov = second / total - torch.outer(mean, mean)
    mean, cov = mix_statistics(Moments(mean, cov, count), running, share=min(1.0, count / enough))
    matrix = rotation.double() @ whitening_matrix(cov, eps=eps)
    return Channels(x.double()).apply(matrix, -matrix @ mean).to(x.dtype)


class _WhitenBatch(Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401
        x, rotation, running_mean, running_cov, eps, enough = inputs
        shift, local = _local_moments(x)
        batch = _over_processes(local)
        share = min(1.0, batch.count / enough)
        mean, cov = mix_statistics(batch, (running_mean, running_cov), share=share)
        scales, vectors = eigenpairs(cov, ridge(cov, eps=eps))
        whitening = (vectors / scales) @ vectors.mT
        matrix = rotation.double() @ whitening
        centred = x if shift is None else x - _spread(shift, x)
        offset = -matrix @ (mean if shift is None else mean - shift)
        ctx.save_for_backward(x, rotation, running_mean, running_cov, matrix, mean, batch.mean, scales, vectors)
        ctx.shift, ctx.share, ctx.count, ctx.eps, ctx.enough = shift, share, batch.count, eps, enough
        ctx.mark_non_differentiable(batch.mean, batch.covariance)
        ctx.set_materialize_grads(False)
        return Channels(centred).apply(matrix, offset), batch.mean, batch.covariance

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        grad = grads[0]
        x, rotation, running_mean, running_cov, *_ = ctx.saved_tensors
        if grad is None:
            return (None,) * 6
        if torch.is_grad_enabled():
            z = composed(x, rotation, (running_mean, running_cov), eps=ctx.eps, enough=ctx.enough)
            return (*torch.autograd.grad(z, x, grad, create_graph=True), *(None,) * 5)
        with torch.autocast(x.device.type, enabled=False):
            return (_gradient(ctx, grad, ctx.saved_tensors), *(None,) * 5)


def _gradient(ctx: Any, grad: Tensor, saved: Sequence[Tensor]) -> Tensor:  # noqa: ANN401
    """Gradient of x from that of z, by the equations at the top of the module."""
    x, rotation, running_mean, _, matrix, mean, batch_mean, scales, vectors = saved
    shift = ctx.shift
    centred = x if shift is None else x - _spread(shift, x)
    here = 0 if shift is None else shift
    channels, grads = Channels(centred), Channels(grad)
    total = grads.sum().double()
    products = grads.outer(channels).double() - torch.outer(total, mean - here)
    if is_distributed():
        distributed.all_reduce(both := torch.cat([products, total[None]]))
        products, total = both[:-1], both[-1]
    of_covariance = inverse_root_gradient(rotation.double().mT @ products, scales, vectors)
    of_covariance.diagonal().add_(ctx.eps * of_covariance.trace() / len(mean))
    of_mean = -matrix.mT @ total
    if ctx.share < 1:
        of_mean = of_mean + 2 * (1 - ctx.share) * of_covariance @ (batch_mean - running_mean.double())
    slope = 2 * ctx.share / ctx.count * of_covariance
    constant = ctx.share / ctx.count * of_mean - slope @ (batch_mean - here)
    return grads.apply(matrix.mT, constant, plus=channels.apply(slope))


def _local_moments(x: Tensor) -> tuple[Tensor | None, Moments]:
    """Moments of this process's positions; and what the input must be shifted by where it is far off centre."""
    channels = Channels(x)
    mean = channels.sum().double() / channels.count
    cov = channels.outer(channels).double() / channels.count - torch.outer(mean, mean)
    variance = cov.diagonal()
    if not (mean.square() > OFF_CENTRE**2 * variance).any():
        return None, Moments(mean, cov, channels.count)
    shift = mean
    centred = Channels(x - _spread(shift, x))
    rest = centred.sum().double() / centred.count
    cov = centred.outer(centred).double() / centred.count - torch.outer(rest, rest)
    return shift, Moments(shift + rest, cov, channels.count)


def _over_processes(local: Moments) -> Moments:
    if not is_distributed():
        return local
    mean, cov, count = local.mean, local.covariance, local.count
    rows = count * torch.cat([cov + torch.outer(mean, mean), mean[None], torch.ones_like(mean)[None]])
    distributed.all_reduce(rows)
    total = float(rows[-1, 0])
    mean = rows[-2] / total
    return Moments(mean, rows[:-2] / total - torch.outer(mean, mean), total)


def _spread(vector: Tensor, x: Tensor) -> Tensor:
    return vector.to(x.dtype).view(1, -1, *[1] * (x.ndim - 2))
