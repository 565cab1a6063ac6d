"""Modules that act as if one process had the whole batch, though each has only its share of it."""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.nn import functional

from pipeline.whitening.distributed import is_distributed


def see_whole_batch(network: nn.Module) -> None:
    """Let the batch normalisations and dropouts of a network see the whole batch of a distributed run.

    Batch statistics are then those of all processes, forward and backward, and an image is dropped from as it would be
    in one process. Names, parameters, buffers and hooks stay; without other processes nothing changes. PyTorch's own
    `SyncBatchNorm` does the same for normalisation, but only on GPUs.

    Args:
        network: Changed in place. Normalisations of derived classes are left alone.
    """
    for module in network.modules():
        if type(module) in _WHOLE and is_distributed():
            # Its class only, so that hooks, e.g. of frozen modules, and references to it stay valid.
            module.__class__ = _WHOLE[type(module)]


def normalise_batch(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, *, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise a batch with the statistics of all processes.

    Args:
        x: N x C or N x C x …, this process's share of the batch.
        weight: C, or None for ones.
        bias: C, or None for zeros.
        eps: Added to the variance.

    Returns:
        The output in the shape and type of x, and the whole batch's mean and unbiased variance (C, float64), which
        carry no gradient.
    """
    weight = torch.ones(x.shape[1], dtype=torch.float32, device=x.device) if weight is None else weight
    bias = torch.zeros_like(weight) if bias is None else bias
    return _NormaliseBatch.apply(x, weight, bias, eps)


class _NormaliseBatch(Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401
        x, weight, bias, eps = inputs
        wide = x if x.dtype == torch.float64 else x.float()
        variance, mean = (moment.double() for moment in torch.var_mean(wide, dim=_others(x), correction=0))
        count = torch.full_like(mean, x.numel() // max(1, x.shape[1]))
        totals = torch.stack([count * mean, count * (variance + mean.square()), count])
        distributed.all_reduce(totals)
        count = totals[2]
        mean, second = totals[0] / count, totals[1] / count
        variance = (second - mean.square()).clamp(min=0)
        inverse = (variance + eps).rsqrt()
        scale = weight.double() * inverse
        ctx.save_for_backward(x, weight, mean, inverse, count)
        unbiased = variance * count / (count - 1).clamp(min=1)
        ctx.mark_non_differentiable(mean, unbiased)
        y = wide * _spread(scale, wide) + _spread(bias.double() - mean * scale, wide)
        return y.to(x.dtype), mean, unbiased

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weight, mean, inverse, count = ctx.saved_tensors
        wide = x if x.dtype == torch.float64 else x.float()
        grad = grads[0].to(wide.dtype)
        centred = wide - _spread(mean, wide)
        local = torch.stack([grad.sum(dim=_others(x)), (grad * centred).sum(dim=_others(x))]).double()
        totals = local.clone()
        distributed.all_reduce(totals)
        mean_grad, slope = totals[0] / count, totals[1] / count * inverse.square()
        inner = grad - _spread(mean_grad, wide) - centred * _spread(slope, wide)
        grad_x = inner * _spread(weight.double() * inverse, wide)
        return grad_x.to(x.dtype), (local[1] * inverse).to(weight.dtype), local[0].to(weight.dtype), None


class _WholeBatchNorm(nn.modules.batchnorm._BatchNorm):
    def forward(self, input: Tensor) -> Tensor:  # torch's name
        if not self.training or not is_distributed():
            return super().forward(input)
        self._check_input_dim(input)
        y, mean, variance = normalise_batch(input, self.weight, self.bias, eps=self.eps)
        self._track(mean, variance)
        return y

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        weight = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
        self.running_var.lerp_(variance.to(self.running_var.dtype), weight)


class _WholeBatchNorm1d(_WholeBatchNorm, nn.BatchNorm1d):
    pass


class _WholeBatchNorm2d(_WholeBatchNorm, nn.BatchNorm2d):
    pass


class _WholeBatchDropout(nn.Dropout):
    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not is_distributed():
            return super().forward(input)
        rank, world = distributed.get_rank(), distributed.get_world_size()
        factors = functional.dropout(input.new_ones(len(input) * world, *input.shape[1:]), self.p)
        return input * factors[rank::world]


_WHOLE: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _WholeBatchNorm1d,
    nn.BatchNorm2d: _WholeBatchNorm2d,
    nn.Dropout: _WholeBatchDropout,
}


def _others(x: Tensor) -> list[int]:
    return [dim for dim in range(x.ndim) if dim != 1]


def _spread(vector: Tensor, x: Tensor) -> Tensor:
    return vector.to(x.dtype).view(1, -1, *[1] * (x.ndim - 2))
