"""ZCA whitening: from samples to the matrix that makes their covariance the identity. Pure functions.

The published layer (Chen, Bei, Rudin 2020; Huang et al. 2019, "Iterative Normalization") takes ten Newton steps towards
the inverse root in float32. Here it is exact: an eigendecomposition in float64, with a gradient that stays finite when
eigenvalues coincide.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

FLOOR = 1e-10
"""Variance added whatever the scale of the data, so that a constant input, too, has a whitening matrix."""


def positions(x: Tensor) -> Tensor:
    """Take every position of every image as one sample: N x C (as it is) or N x C x … -> (N·…) x C.

    Example:
        >>> positions(torch.zeros(2, 3, 4, 5)).shape
        torch.Size([40, 3])
    """
    return x if x.ndim == 2 else x.movedim(1, -1).reshape(-1, x.shape[1])


def covariance(x: Tensor) -> tuple[Tensor, Tensor]:
    """Compute mean and covariance over all positions.

    Args:
        x: N x C or N x C x H x W, at least one position. Half precision is computed in float32.

    Returns:
        The mean (C) and the covariance (C x C, divided by the number of positions, not by one less).

    Example:
        >>> mean, cov = covariance(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
        >>> mean.tolist(), cov.tolist()
        ([1.0, 1.0], [[1.0, 0.0], [0.0, 0.0]])
    """
    samples = positions(x)
    if samples.dtype not in (torch.float32, torch.float64):
        samples = samples.float()
    mean = samples.mean(dim=0)
    centred = samples - mean
    return mean, centred.mT @ centred / len(samples)


def whitening_matrix(covariance: Tensor, *, eps: float = 1e-5) -> Tensor:
    """Compute the symmetric (ZCA) inverse square root of a covariance.

    W = (Sigma + r I)^(-1/2) with the ridge r = eps tr(Sigma) / C, so that dead and duplicate channels do no harm at any
    scale of the data. Of all whitening matrices it changes the data least (Kessy, Lewin, Strimmer 2018).

    Differentiable any number of times. The gradient needs no 1 / (l_i - l_j): for the inverse root the divided
    difference of eigenvalues l = s^2 is -1 / (s_i s_j (s_i + s_j)), always finite.

    Args:
        covariance: C x C, symmetric up to rounding (its symmetric part is taken).
        eps: Ridge relative to the mean variance; the smallest variance that is fully whitened is some 100 times this.

    Returns:
        C x C in the dtype of the covariance; computed in float64. All NaN where the covariance is not finite, as batch
        normalisation would pass it on.

    Example:
        >>> sigma = torch.tensor([[4.0, 1.0], [1.0, 2.0]])
        >>> white = whitening_matrix(sigma)
        >>> torch.allclose(white @ sigma @ white, torch.eye(2), atol=1e-4)
        True
    """
    wide = covariance.double()
    _, inverse = roots((wide + wide.mT) / 2, ridge(wide, eps=eps))
    return inverse.to(covariance.dtype)


def shrunk_whitening(covariance: Tensor, *, eps: float, shrinkage: float) -> Tensor:
    """Compute what whitening makes of differences of means when channels of little variance are trusted less.

    V = (Sigma + r I)^(1/2) (Sigma + (r + s) I)^(-1), with s = shrinkage tr(Sigma) / C. Without shrinkage it is W. A
    direction d of the input becomes V d: that of the discriminant (Sigma + (r + s) I)^(-1) d of ridge-regularised
    linear discriminant analysis, seen in exactly whitened space. Whitening itself stays as it is.

    Args:
        covariance: C x C.
        eps: As for `whitening_matrix`.
        shrinkage: Relative to the mean variance; 0 and more.

    Returns:
        C x C, symmetric, in the dtype of the covariance; computed in float64.

    Example:
        >>> sigma = torch.diag(torch.tensor([1.0, 3.0]))
        >>> shrunk_whitening(sigma, eps=0.0, shrinkage=1.0).diagonal().tolist()  # s / (s^2 + 2)
        [0.3333333432674408, 0.3464101552963257]

    Source: Friedman 1989, "Regularized discriminant analysis", with the identity as the only target.
    """
    wide = covariance.double()
    scales, vectors = eigenpairs((wide + wide.mT) / 2, ridge(wide, eps=eps))
    added = shrinkage * wide.diagonal().mean().clamp(min=0.0)
    return ((vectors * (scales / (scales.square() + added))) @ vectors.mT).to(covariance.dtype)


def ridge(covariance: Tensor, *, eps: float) -> Tensor:
    """Compute the variance added to every channel before whitening: a scalar, r = eps tr(Sigma) / C + 1e-10.

    Example:
        >>> round(ridge(2 * torch.eye(3), eps=0.5).item(), 6)
        1.0
    """
    return eps * covariance.diagonal().mean().clamp(min=0.0) + FLOOR


def roots(matrix: Tensor, ridge: Tensor) -> tuple[Tensor, Tensor]:
    """Compute square root S and inverse square root W of A + r I, A symmetric, positive semidefinite up to rounding.

    Differentiable any number of times: dS solves S dS + dS S = dA + dr I (a Lyapunov equation), dW = -W dS W.

    Example:
        >>> root, inverse = roots(torch.diag(torch.tensor([3.0, 8.0])), torch.tensor(1.0))
        >>> root.diagonal().tolist(), inverse.diagonal().tolist()
        ([2.0, 3.0], [0.5, 0.3333333432674408])
    """
    return _Roots.apply(matrix, ridge)


def eigenpairs(matrix: Tensor, ridge: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the square roots of the eigenvalues of A + r I (C) and its eigenvectors (C x C, in columns).

    Eigenvalues of A that rounding made negative count as zero. All NaN where A is not finite.

    Example:
        >>> scales, vectors = eigenpairs(torch.diag(torch.tensor([-0.1, 3.0])), torch.tensor(1.0))
        >>> scales.tolist()
        [1.0, 2.0]
    """
    if not torch.isfinite(matrix).all():
        return torch.full_like(matrix[0], torch.nan), torch.full_like(matrix, torch.nan)
    values, vectors = torch.linalg.eigh(matrix)
    return (values.clamp(min=0.0) + ridge).sqrt(), vectors


def inverse_root_gradient(grad: Tensor, scales: Tensor, vectors: Tensor) -> Tensor:
    """Compute the gradient of A from that of W = A^(-1/2), given `eigenpairs` of A: symmetric, C x C.

    In the basis of the eigenvectors it is that of W times -1 / (s_i s_j (s_i + s_j)).

    Example:
        >>> inverse_root_gradient(torch.tensor([[1.0]]), torch.tensor([2.0]), torch.eye(1)).item()  # -4^(-3/2) / 2
        -0.0625
    """
    sums = -scales * scales[:, None] * (scales + scales[:, None])
    inside = vectors.mT @ (grad + grad.mT) @ vectors / (2 * sums)
    return vectors @ inside @ vectors.mT


class _Roots(Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, ridge: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        scales, vectors = eigenpairs(matrix, ridge)
        root = (vectors * scales) @ vectors.mT
        inverse = (vectors / scales) @ vectors.mT
        ctx.save_for_backward(root, inverse, scales, vectors)
        return root, inverse

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        root, inverse, scales, vectors = ctx.saved_tensors
        grad_root, grad_inverse = grads
        total = _Lyapunov.apply(root, grad_root - inverse @ grad_inverse @ inverse, scales, vectors)
        return total, total.trace()


class _Lyapunov(Function):
    """X of S X + X S = Q, for a symmetric S whose eigenpairs are at hand."""

    @staticmethod
    def forward(ctx: Any, root: Tensor, right: Tensor, scales: Tensor, vectors: Tensor) -> Tensor:  # noqa: ANN401
        solution = vectors @ ((vectors.mT @ right @ vectors) / (scales[:, None] + scales)) @ vectors.mT
        ctx.save_for_backward(root, solution, scales, vectors)
        return solution

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:  # noqa: ANN401
        root, solution, scales, vectors = ctx.saved_tensors
        right = _Lyapunov.apply(root, grads[0], scales, vectors)
        return -(right @ solution.mT + solution.mT @ right), right, None, None
