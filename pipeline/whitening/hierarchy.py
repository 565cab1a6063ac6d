"""Rotations of a layer whose concepts own subspaces: between the subspaces first, then inside each. Pure functions.

Parent and child show in the same images, so their means nearly coincide, and one Procrustes problem for all of them
would turn the parent away from its own direction. Hence three steps, each of which finds the best axes that the steps
before it leave room for; none ever lowers its objective (m_j are concept means in whitened space, r_j axes):

1. `turn_upper`, between: axes of parents and of concepts without a subspace, max sum r_j · m_j. What a flat layer with
   these concepts alone would have: children cost them nothing.
2. `turn_children`, inside: orthogonal to those, max sum r_c · m_c, with m_c the mean of a child against its siblings
   inside the parent (`AxisLayout.inside`). Closed form again: the polar factor of the means without their part in the
   span of step 1.
3. `turn_free`, inside: orthogonal to all named axes, max sum_p tr(Q_p A_p Q_p^T), with Q_p (f_p x C) the free axes of a
   subspace and A_p the covariance among the images that show its parent: what else varies inside the concept.

Whitening is that of the whole layer (ZCA), so any two axes, and with them any two subspaces, are uncorrelated over
positions. A parent's activation is that of its own axis, as for any concept: a signed number that folds, exports and is
permuted like the others; that its children are present does not enter it.

Two children that exclude each other and together make up the parent have one direction between them, d and -d, but two
axes: each then has d at 45 degrees, in equal parts with a direction that tells them nothing; the latter stays where it
was.

The paper's stochastic schedule has no steps: it treats children as any other concept, told apart inside their parent.

Source: the idea is that of hierarchical semantic tree concept whitening (HaST-CW), which adds a loss that keeps
siblings at a distance and parents near their children. Here every step is exact, and the axes are orthogonal.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.whitening.rotate import make_room, polar_factor, procrustes_rotation, restore_orthogonality, turn_rows
from pipeline.whitening.subspaces import AxisLayout

SIBLING_TIE = 1e-4
"""As `pipeline.whitening.rotate.TIE`, for children: means stored in float32 are opposite only up to rounding."""

SHIFT = 1e-6
"""Variance added to all directions in step 3, relative to the largest; it keeps axes where nothing varies."""

ROUNDS = 200
"""Bound on the rounds of step 3; one subspace needs none."""

SETTLED = 1e-10
"""Relative gain of a round below which step 3 ends."""


def subspace_rotation(
    means: Tensor, layout: AxisLayout, *, rotation: Tensor | None = None, spreads: Sequence[Tensor] = ()
) -> Tensor:
    """Find the rotation for a layout of axes, by the three steps.

    For a layout without subspaces it is `pipeline.whitening.rotate.procrustes_rotation`.

    Args:
        means: k x C, the concepts' means in whitened space; a child's against its siblings inside the parent.
        layout: Which axis is whose.
        rotation: C x C orthogonal, the present rotation; default: the identity.
        spreads: For each subspace, C x C, covariance in whitened space among the images that show its parent; default:
            the free axes of the subspaces only make room.

    Returns:
        C x C orthogonal, in the dtype of the means; computed in float64.

    Example:
        >>> from pipeline.whitening.subspaces import Subspace
        >>> layout = AxisLayout(("network", "typical"), (Subspace("network", ("typical",)),))
        >>> means = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.0, 0.5]])
        >>> subspace_rotation(means, layout)[:2].round(decimals=3).abs().tolist()  # the child makes room
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if not layout.subspaces:
        return procrustes_rotation(means, rotation=rotation)
    wide = means.double()
    start = torch.eye(means.shape[1], dtype=wide.dtype, device=wide.device) if rotation is None else rotation.double()
    turned = turn_children(wide, layout, turn_upper(wide, layout, start))
    if spreads:
        turned = turn_free(spreads, layout, turned)
    return restore_orthogonality(turned).to(means.dtype)


def turn_upper(means: Tensor, layout: AxisLayout, rotation: Tensor) -> Tensor:
    """Give parents and concepts without a subspace the frame with the largest sum of r_j · m_j: step 1, closed form.

    Example:
        >>> layout, axes = AxisLayout(("streaks",)), torch.eye(2).double()
        >>> turn_upper(torch.tensor([[0.0, 2.0]]).double(), layout, axes)[0].round(decimals=4).tolist()
        [0.0, 1.0]
    """
    order, back = _brought_forward(layout.upper, len(rotation))
    return turn_rows(rotation[order], means[layout.upper])[back] if layout.upper else rotation


def turn_children(means: Tensor, layout: AxisLayout, rotation: Tensor) -> Tensor:
    """Give children the frame orthogonal to the upper axes with the largest sum of r_c · m_c: step 2, closed form.

    Example:
        >>> from pipeline.whitening.subspaces import Subspace
        >>> layout = AxisLayout(("network", "typical"), (Subspace("network", ("typical",)),))
        >>> means = torch.tensor([[1.0, 0.0, 0.0], [5.0, 0.0, 1.0]]).double()
        >>> turn_children(means, layout, torch.eye(3).double())[:2].round(decimals=3).abs().tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    children, upper = layout.children, layout.upper
    if not children:
        return rotation
    order, back = _brought_forward([*upper, *children], len(rotation))
    rows, fixed = rotation[order][len(upper) :], rotation[upper]
    clear = means[children] - means[children] @ fixed.mT @ fixed
    return torch.cat([fixed, turn_rows(rows, clear, tie=SIBLING_TIE)])[back]


def turn_free(spreads: Sequence[Tensor], layout: AxisLayout, rotation: Tensor) -> Tensor:
    """Give the free axes of the subspaces the directions in which the parents' images vary most: step 3.

    For one subspace these are the leading eigenvectors of its covariance inside the room that the named axes leave. For
    several, the sum of traces is convex in Q, so Q <- polar factor of the stacked Q_p A_p never lowers it (Bolla,
    Michaletzky, Tusnády, Ziermann 1998); it starts from the eigenvectors or from the present axes, whichever is better.
    Inside its span, each subspace's axes stay as near as they can to where they were.

    Args:
        spreads: One C x C matrix per subspace, symmetric and positive semidefinite.
        layout: Which axis is whose.
        rotation: C x C orthogonal.

    Example:
        >>> from pipeline.whitening.subspaces import Subspace
        >>> layout = AxisLayout(("network",), (Subspace("network", free=1),))
        >>> spread = torch.diag(torch.tensor([9.0, 1.0, 4.0])).double()
        >>> turn_free([spread], layout, torch.eye(3).double())[1].round(decimals=3).abs().tolist()
        [0.0, 0.0, 1.0]
    """
    sizes = [subspace.free for subspace in layout.subspaces]
    named, owned = len(layout.concepts), layout.owned
    if owned == named:
        return rotation
    rows = rotation[named:]
    inside = [rows @ spread.double() @ rows.mT for spread in spreads]
    present = torch.eye(sum(sizes), len(rows), dtype=rows.dtype, device=rows.device)
    turned = _leading_frames(inside, sizes, present) @ rows
    free = make_room(rows[sum(sizes) :], old=rows[: sum(sizes)], new=turned)
    return torch.cat([rotation[:named], turned, free])


def within_spread(frames: Tensor, spreads: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """Compute the sum over subspaces of tr(Q_p A_p Q_p^T), a scalar; ``frames`` are all Q_p, one above the other.

    Example:
        >>> frames, spread = torch.eye(2), torch.diag(torch.tensor([3.0, 5.0]))
        >>> within_spread(frames, [spread, 2 * spread], [1, 1]).item()
        13.0
    """
    parts = zip(frames.split(list(sizes)), spreads, strict=True)
    return torch.stack([((frame @ spread) * frame).sum() for frame, spread in parts]).sum()


def _leading_frames(spreads: Sequence[Tensor], sizes: Sequence[int], present: Tensor) -> Tensor:
    shift = SHIFT * max(float(spread.diagonal().max()) for spread in spreads) or 1.0
    shifted = [spread + shift * torch.eye(len(spread), dtype=spread.dtype, device=spread.device) for spread in spreads]
    frames = max((present, _eigenframes(shifted, sizes)), key=lambda rows: float(within_spread(rows, shifted, sizes)))
    value = float(within_spread(frames, shifted, sizes))
    for _ in range(ROUNDS):
        parts = zip(frames.split(list(sizes)), shifted, strict=True)
        following = polar_factor(torch.cat([frame @ spread for frame, spread in parts]))
        gained = float(within_spread(following, shifted, sizes))
        if gained <= value * (1 + SETTLED):
            break
        frames, value = following, gained
    pairs = zip(frames.split(list(sizes)), present.split(list(sizes)), strict=True)
    return torch.cat([polar_factor(old @ new.mT) @ new for new, old in pairs])


def _eigenframes(spreads: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    leading = [torch.linalg.eigh(spread)[1][:, -size:].mT for spread, size in zip(spreads, sizes, strict=True) if size]
    return polar_factor(torch.cat(leading))


def _brought_forward(first: Sequence[int], count: int) -> tuple[list[int], list[int]]:
    """Order ``count`` rows so that those of ``first`` come first; return that order and the one that undoes it."""
    leading = set(first)
    order = [*first, *(row for row in range(count) if row not in leading)]
    return order, sorted(range(count), key=order.__getitem__)
