"""Products over positions in whatever memory layout the maps have, without copying large ones."""

import torch
from torch import Tensor
from torch.nn import functional


class Channels:
    """Maps as positions of C channels.

    Channels-last maps and vectors are a matrix of positions x C; others stay N matrices of C x positions.

    Args:
        x: N x C x H x W or N x C.

    Example:
        >>> maps = Channels(torch.ones(2, 3, 4, 4))
        >>> maps.count, maps.sum().tolist()
        (32, [32.0, 32.0, 32.0])
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.count = x.numel() // max(1, x.shape[1])
        self.last = x.ndim == 2 or (not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last))

    def sum(self) -> Tensor:
        """Sum over positions: C.

        Example:
            >>> Channels(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().tolist()
            [4.0, 6.0]
        """
        return self.x.sum(dim=(0, 2, 3) if self.x.ndim == 4 else 0)

    def outer(self, other: "Channels") -> Tensor:
        """Sum over positions the outer products with maps of the same shape: C x C.

        Example:
            >>> rows = Channels(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
            >>> rows.outer(rows).tolist()
            [[1.0, 2.0], [2.0, 5.0]]
        """
        if self.last or other.last or self.x[0, 0].numel() < self.x.shape[1]:
            return self._matrix().mT @ other._matrix()
        return torch.bmm(self.x.flatten(2), other.x.flatten(2).mT).sum(dim=0)

    def apply(self, matrix: Tensor, offset: Tensor | None = None, *, plus: Tensor | None = None) -> Tensor:
        """Apply M x + o at every position.

        Args:
            matrix: D x C.
            offset: D, or None for zeros.
            plus: Maps of D channels into which the result is added, in place.

        Returns:
            N x D x H x W or N x D.

        Example:
            >>> rows = Channels(torch.tensor([[1.0, 2.0]]))
            >>> rows.apply(torch.tensor([[10.0, 1.0]]), torch.tensor([0.5])).tolist()
            [[12.5]]
        """
        matrix = matrix.to(self.x.dtype)
        offset = None if offset is None else offset.to(self.x.dtype)
        if self.last:
            return self._apply_last(matrix, offset, plus)
        return self._apply_first(matrix, offset, plus)

    def _apply_last(self, matrix: Tensor, offset: Tensor | None, plus: Tensor | None) -> Tensor:
        result = functional.linear(self.x if self.x.ndim == 2 else self.x.permute(0, 2, 3, 1), matrix, offset)
        result = result if self.x.ndim == 2 else result.permute(0, 3, 1, 2)
        return result if plus is None else plus.add_(result)

    def _apply_first(self, matrix: Tensor, offset: Tensor | None, plus: Tensor | None) -> Tensor:
        images = self.x.flatten(2)
        stack = matrix.expand(len(images), *matrix.shape)
        if plus is not None:
            into = plus.flatten(2) if offset is None else plus.flatten(2).add_(offset[:, None])
            result = into.baddbmm_(stack, images)
        elif offset is not None:
            result = torch.baddbmm(offset[:, None], stack, images)
        else:
            result = torch.bmm(stack, images)
        return result.unflatten(2, self.x.shape[2:])

    def _matrix(self) -> Tensor:
        """Positions x C; a view of channels-last maps, a copy of others."""
        return self.x if self.x.ndim == 2 else self.x.permute(0, 2, 3, 1).reshape(-1, self.x.shape[1])
