"""Rotations that turn named axes onto concepts. Pure functions; row j < k of a rotation is the axis of concept j."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

TIE = 1e-7
"""Weight of the present axes, relative to the means, that decides where the means leave an axis undetermined."""

SUFFICIENT_INCREASE = 1e-4
"""Share of the first-order gain that a step must bring (the Armijo condition)."""

DRIFT = 1e-6
"""Typical entry of R R^T - I at which a rotation is put right."""

PROBED = 64
"""Rows, about, on which that is seen."""


@dataclass(frozen=True)
class CayleyStep:
    """The outcome of one curvilinear search.

    Attributes:
        rotation: C x C; the one that came in where no step raised the objective.
        before: Objective of the rotation that came in.
        after: Objective of ``rotation``; never below ``before``.
        step: Step length taken; 0 where the search failed.
        succeeded: Whether a step raised the objective enough.

    Example:
        >>> CayleyStep(torch.eye(2), before=1.0, after=1.0, step=0.0, succeeded=False).succeeded
        False
    """

    rotation: Tensor
    before: float
    after: float
    step: float
    succeeded: bool


def procrustes_rotation(means: Tensor, *, rotation: Tensor | None = None) -> Tensor:
    """Find the rotation whose first k rows have the largest sum of inner products with k means: closed form.

    The named rows are the polar factor of M (Schönemann 1966). The other C - k rows are the previous ones, moved by the
    direct rotation that carries the previous named subspace onto the new one: of all rotations that do, the one
    closest to the identity (Davis & Kahan 1970). It has rank 2k, so an update costs O(C² k).

    The objective, sum of r_j · m_j, never decreases. A mean of zeros leaves its axis as near to where it was as the
    others allow.

    Args:
        means: k x C, the concepts' means in whitened space, k <= C.
        rotation: C x C orthogonal, the present rotation; default: the identity.

    Returns:
        C x C orthogonal, in the dtype of the means. The named rows are computed in float64, the others in the dtype
        of the rotation, which they have anyway.

    Example:
        >>> rotation = procrustes_rotation(torch.tensor([[0.6, 0.8]]))
        >>> rotation.round(decimals=4).tolist()
        [[0.6000000238418579, 0.800000011920929], [-0.800000011920929, 0.6000000238418579]]
    """
    count, channels = means.shape
    wide = means.double()
    present = torch.eye(channels, dtype=wide.dtype, device=wide.device) if rotation is None else rotation
    if count == 0:
        return present.to(means.dtype)
    return restore_orthogonality(turn_rows(present, wide)).to(means.dtype)


def turn_rows(rows: Tensor, means: Tensor, *, tie: float = TIE) -> Tensor:
    """Turn orthonormal rows inside their span, so that the first k become the polar factor of k means in that span.

    Args:
        rows: n x C, orthonormal, n >= k.
        means: k x C, in the span of the rows; float64.
        tie: Weight of the present rows, relative to the means, where the means leave an axis undetermined.

    Returns:
        n x C. The sum of inner products of the first k with the means is at least what it was.

    Example:
        >>> rows = turn_rows(torch.eye(3).double()[:2], torch.tensor([[0.0, 2.0, 0.0]]).double())
        >>> rows[0].round(decimals=4).tolist()
        [0.0, 1.0, 0.0]
    """
    old = rows[: len(means)].double()
    scale = torch.linalg.matrix_norm(means) if means.any() else means.new_ones(())
    named = polar_factor(means + tie * scale * old)
    turned = torch.empty_like(rows)
    turned[: len(means)] = named
    make_room(rows[len(means) :], old=old, new=named, out=turned[len(means) :])
    return turned


def polar_factor(matrix: Tensor) -> Tensor:
    """Find the matrix with orthonormal rows closest to a k x C matrix, k <= C: (M M^T)^(-1/2) M.

    Example:
        >>> polar_factor(torch.tensor([[3.0, 4.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """
    # The decomposition of k x k after a QR factorisation; of k x C at once it takes twice as long.
    frame, triangle = torch.linalg.qr(matrix.mT)
    left, _, right = torch.linalg.svd(triangle.mT)
    return left @ right @ frame.mT


def make_room(free: Tensor, *, old: Tensor, new: Tensor, out: Tensor | None = None) -> Tensor:
    """Move free rows by the direct rotation of the span of ``old`` rows (k x C) onto that of ``new`` rows.

    With a_i, b_i the principal vectors of the two spans and c_i the cosines between them, a row q orthogonal to the old
    span becomes q - sum_i (b_i · q) (a_i + b_i) / (1 + c_i).

    Args:
        free: n x C, orthonormal, orthogonal to the old rows.
        old: k x C, orthonormal.
        new: k x C, orthonormal.
        out: Where to write the result.

    Returns:
        n x C, orthonormal, orthogonal to the new rows.

    Example:
        >>> axes = torch.eye(2)
        >>> make_room(axes[1:], old=axes[:1], new=axes[1:]).tolist()
        [[-1.0, 0.0]]
    """
    left, cosines, right = torch.linalg.svd(old @ new.mT)
    a, b = left.mT @ old, right @ new
    # The product with the few rows on the left: the other way round it can take thirty times as long.
    shares = (b / (1 + cosines)[:, None]).to(free.dtype) @ free.mT
    return torch.addmm(free, shares.mT, (a + b).to(free.dtype), alpha=-1, out=out)


def restore_orthogonality(rotation: Tensor) -> Tensor:
    """Take one Newton step towards the nearest orthogonal matrix, 1.5 R - 0.5 R R^T R, where rounding has added up.

    Whether it has is seen on every so-many-th row: updates treat rows alike, so rounding adds up in all of them alike.

    Example:
        >>> drifted = torch.eye(3) * 1.001
        >>> bool((restore_orthogonality(drifted) - torch.eye(3)).abs().max() < 1e-5)
        True
    """
    rows = rotation[:: max(1, len(rotation) // PROBED)]
    # Rows of Q Q^T - I added up: its Frobenius norm where errors are random.
    error = rows @ rows.sum(dim=0) - 1
    if error.norm() <= DRIFT * len(rows):
        return rotation
    wide = rotation.double()
    return (1.5 * wide - 0.5 * wide @ (wide.mT @ wide)).to(rotation.dtype)


def cayley_step(
    rotation: Tensor,
    objective: Callable[[Tensor], Tensor],
    *,
    num_concepts: int,
    step: float = 1.0,
    evaluations: int = 12,
) -> CayleyStep:
    """Raise an objective of the named axes by one step along a Cayley curve on the orthogonal matrices.

    R(t) = R (I - t/2 B)^(-1) (I + t/2 B) with B = R^T G - G^T R stays orthogonal for every t. Only k rows of G are not
    zero, so B is made of the k named rows and has rank 2k: the inverse is of a 2k x 2k matrix (Sherman, Morrison,
    Woodbury), the search sees the named rows only, and the other rows are read and written once, when it is over. The
    step is halved until the gain is sufficient, at most ``evaluations`` times.

    Args:
        rotation: C x C orthogonal.
        objective: From the named rows (k x C) to a differentiable scalar, to be raised.
        num_concepts: k.
        step: First step length tried.
        evaluations: Bound on the objective's evaluations in the search.

    Returns:
        The step; where none was good enough, the rotation as it came and ``succeeded`` False.

    Example:
        >>> mean = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
        >>> step = cayley_step(torch.eye(2), lambda named: (named * mean).sum(), num_concepts=1)
        >>> step.succeeded, step.before, step.after > 0.5
        (True, 0.0, True)

    Source: Wen & Yin 2013, "A feasible method for optimization with orthogonality constraints", algorithm 1, lemma 4.
    """
    named = rotation[:num_concepts].detach().double().requires_grad_()
    with torch.enable_grad():
        value = objective(named)
        (gradient,) = torch.autograd.grad(value, named)
    curve = _CayleyCurve(named.detach(), gradient.double())
    before = float(value.detach())
    for _ in range(evaluations):
        moves = curve.moves(step)
        turned = curve.turn(curve.named, moves)
        with torch.no_grad():
            after = float(objective(turned))
        if after >= before + SUFFICIENT_INCREASE * step * curve.slope and after > before:
            full = curve.turn(rotation, moves)
            full[:num_concepts] = turned
            return CayleyStep(restore_orthogonality(full), before, after, step, succeeded=True)
        step /= 2
    return CayleyStep(rotation, before, before, 0.0, succeeded=False)


class _CayleyCurve:
    """R(t) = R + t R U (I - t/2 V U)^(-1) V, with B = U V, U = [R_k^T, G_k^T] (C x 2k), V = [G_k, -R_k] (2k x C).

    R_k and G_k are the named rows of R and of the gradient, k x C in float64.
    """

    def __init__(self, named: Tensor, gradient: Tensor) -> None:
        self.named = named
        self.left = torch.cat([named, gradient]).mT
        self.right = torch.cat([gradient, -named])
        self.inner = self.right @ self.left
        count = len(named)
        inside, squares = self.inner[:count, :count], self.inner[:count, count:]  # G_k R_k^T, G_k G_k^T
        self.slope = float(squares.trace() - (inside * inside.mT).sum())

    def moves(self, step: float) -> Tensor:
        """Compute what the shares of U are multiplied with at a step length t: t (I - t/2 V U)^(-1) V, 2k x C."""
        small = self.inner * (-step / 2)
        small.diagonal().add_(1)
        return torch.linalg.inv(small) @ self.right * step

    def turn(self, rows: Tensor, moves: Tensor) -> Tensor:
        """Move rows of R (n x C) along, in their own dtype."""
        # The product with the few rows on the left, as in `make_room`.
        shares = self.left.mT.to(rows.dtype) @ rows.mT
        return rows.clone().addmm_(shares.mT, moves.to(rows.dtype))
