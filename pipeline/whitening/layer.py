"""The concept-whitening layer."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from pipeline.whitening.activation import axis_activations
from pipeline.whitening.batch import whiten_batch
from pipeline.whitening.channels import Channels
from pipeline.whitening.choices import Activation
from pipeline.whitening.errors import WhiteningError
from pipeline.whitening.subspaces import AxisLayout, Subspace, axis_layout
from pipeline.whitening.whiten import covariance, whitening_matrix

MOST_STATE = 1 << 20
"""Bytes of the layer's names and activation in a file."""
ENOUGH_SAMPLES = 4
"""Positions per channel from which a batch's own statistics are used alone."""


class ConceptWhitening(nn.Module):
    """z = R W (x - mu): decorrelates the channels, and turns the first k axes onto named concepts.

    Use it in place of a batch normalisation (`pipeline.whitening.surgery.replace_norm`) or after any module
    (`insert_after`); one well-chosen layer works best. Do not put it after another one with nothing non-linear between,
    nor on more channels than a quarter of the positions of a batch if you can help it.

    In training, mu and Sigma are those of the batch (over all processes) and the gradient goes through them, as in
    batch normalisation; W = (Sigma + r I)^(-1/2) is computed in float64 whatever the autocast. A batch with fewer than
    four positions per channel does not determine Sigma: its statistics are then mixed with the running ones, in
    proportion. In evaluation the running averages of mu and Sigma are used; W is derived from them, cached, and
    derived again when they change. R is a buffer: it is turned by alignment, never by the optimiser.

    Args:
        num_features: Channels C.
        concepts: Names of the first k axes, unique, k <= C. The other C - k axes are free.
        subspaces: Concepts that own more than one axis: a parent, its children, and free axes beside them
            (`pipeline.whitening.subspaces`). Parents and children stand in ``concepts`` too; the free axes of the
            subspaces follow after the named ones.
        activation: How the map of an axis becomes one number per image.
        momentum: Weight of a new batch in the running averages; the first batches weigh more, so that the averages
            never remember how they were initialised.
        eps: Ridge, relative to the mean variance.

    Shapes:
        Input and output: N x C x H x W or N x C.

    Raises:
        WhiteningError: If there are more concepts than channels, two of the same name, or a subspace of unknown ones.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> layer = ConceptWhitening(3, ["streaks"])
        >>> z = layer(torch.randn(200, 3) * torch.tensor([1.0, 5.0, 0.1]) + 7)
        >>> torch.allclose(torch.cov(z.mT, correction=0), torch.eye(3), atol=1e-2)
        True
        >>> layer.eval().activations(torch.full((2, 3), 7.0)).shape
        torch.Size([2, 1])

    Source: Chen, Bei, Rudin 2020, arXiv 2002.01650, section "Concept whitening module". The published code iterates
    towards W in float32 and averages whitening matrices; here W is exact and derived from averaged covariances.
    """

    fx_leaf = True
    mean: Tensor
    covariance: Tensor
    rotation: Tensor
    concept_directions: Tensor
    num_batches_tracked: Tensor
    trained: Tensor

    def __init__(
        self,
        num_features: int,
        concepts: Sequence[str] = (),
        *,
        subspaces: Sequence[Subspace] = (),
        activation: Activation | str = Activation.POOL_MAX,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.activation = Activation(activation)
        self.momentum = momentum
        self.eps = eps
        self._layout = axis_layout(concepts, subspaces, num_features=num_features)
        self._cache: tuple[tuple[Any, ...], Tensor, Tensor] | None = None
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("covariance", torch.eye(num_features))
        self.register_buffer("rotation", torch.eye(num_features))
        self.register_buffer("concept_directions", torch.zeros(self.num_concepts, num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        self.register_buffer("trained", torch.tensor(False))

    @property
    def concepts(self) -> tuple[str, ...]:
        """The names of the first k axes."""
        return self._layout.concepts

    @property
    def num_concepts(self) -> int:
        """The number of named axes, k."""
        return len(self._layout.concepts)

    @property
    def layout(self) -> AxisLayout:
        """The axes by owner, where concepts own subspaces."""
        return self._layout

    def forward(self, x: Tensor) -> Tensor:
        """Whiten and rotate maps; the output has the shape and the dtype of the input.

        Raises:
            WhiteningError: If the input is not N x C x H x W or N x C.
        """
        self._check(x)
        with torch.autocast(x.device.type, enabled=False):
            wide = x.to(torch.promote_types(x.dtype, self.rotation.dtype))
            z = self._whiten_batch(wide) if self.training and len(x) else Channels(wide).apply(*self.affine_map())
            return z.to(x.dtype)

    def pool(self, z: Tensor) -> Tensor:
        """Reduce the layer's output to the N x k activations of the named axes."""
        return axis_activations(z[:, : self.num_concepts], self.activation)

    def activations(self, x: Tensor) -> Tensor:
        """Compute the N x k activations of the named axes from the layer's input, with the running statistics."""
        self._check(x)
        matrix, offset = self.affine_map()
        count = self.num_concepts
        return axis_activations(Channels(x).apply(matrix[:count], offset[:count]), self.activation)

    @torch.no_grad()
    def residual(self, x: Tensor) -> float:
        """Measure how far the running statistics are from whitening x: |cov(z) - I|_F / |I|_F; 0 is perfectly white.

        Example:
            >>> layer = ConceptWhitening(1, eps=0.0)  # its statistics: mean 0, variance 1
            >>> round(layer.residual(torch.tensor([[2.0], [-2.0]])), 3)
            3.0
        """
        _, covariance_z = covariance(Channels(x.double()).apply(*self.affine_map()))
        identity = torch.eye(self.num_features, dtype=covariance_z.dtype, device=x.device)
        return float(torch.linalg.matrix_norm(covariance_z - identity) / self.num_features**0.5)

    def whitening(self) -> Tensor:
        """Compute W (C x C) of the running covariance, in float64."""
        return whitening_matrix(self.covariance.double(), eps=self.eps)

    def affine_map(self) -> tuple[Tensor, Tensor]:
        """Return M = R W (C x C) and o = -M mu (C) of the running statistics: in evaluation z = M x + o.

        Example:
            >>> layer = ConceptWhitening(1)
            >>> layer.set_statistics(torch.tensor([3.0]), torch.tensor([[4.0]]))
            >>> [round(part.item(), 3) for part in layer.affine_map()]
            [0.5, -1.5]
        """
        key = self._state_key()
        if self._cache is None or key is None or not _same(self._cache[0], key):
            matrix = self.rotation.double() @ self.whitening()
            offset = -matrix @ self.mean.double()
            self._cache = (key or (), matrix.to(self.rotation.dtype), offset.to(self.rotation.dtype))
        return self._cache[1], self._cache[2]

    def inverse_map(self) -> tuple[Tensor, Tensor]:
        """Invert `affine_map` in float64, C x C and C: in evaluation x = M^(-1) z - M^(-1) o."""
        matrix, offset = (part.double() for part in self.affine_map())
        inverse = torch.linalg.inv(matrix)
        return inverse, -inverse @ offset

    @torch.no_grad()
    def set_rotation(self, rotation: Tensor) -> None:
        """Take a C x C orthogonal matrix as R; row j < k is the axis of concept j."""
        self.rotation.copy_(rotation)

    @torch.no_grad()
    def set_statistics(self, mean: Tensor, covariance: Tensor) -> None:
        """Take exact mu (C) and Sigma (C x C) as the running statistics."""
        self.mean.copy_(mean)
        self.covariance.copy_(covariance)
        self.num_batches_tracked.fill_(round(1 / self.momentum))
        self.trained.fill_(False)

    @torch.no_grad()
    def set_concept_directions(self, directions: Tensor) -> None:
        """Take what the axes should point along before whitening (k x C); where a row is not finite the last stays."""
        is_finite = directions.isfinite().all(dim=1, keepdim=True)
        present = self.concept_directions.to(directions.dtype)
        self.concept_directions.copy_(torch.where(is_finite, directions, present))

    def get_extra_state(self) -> Tensor:
        """Return names and activation, as JSON in a uint8 tensor, so that no pickle is needed to store them."""
        state: dict[str, Any] = {"concepts": self.concepts, "activation": self.activation}
        if self.layout.subspaces:
            state["subspaces"] = [subspace.to_json() for subspace in self.layout.subspaces]
        return torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Take up what `get_extra_state` gave."""
        if state.dtype != torch.uint8 or state.numel() > MOST_STATE:
            raise ValueError(f"the layer's state is {state.numel():,} values of {state.dtype}; expected JSON in bytes")
        content = json.loads(bytes(state.tolist()))
        subspaces = [Subspace.from_json(subspace) for subspace in content.get("subspaces", ())]
        self._layout = axis_layout(content["concepts"], subspaces, num_features=self.num_features)
        self.activation = Activation(content["activation"])

    def extra_repr(self) -> str:
        """Return what `print` shows of the layer."""
        owned = f", subspaces={self.layout.subspaces}" if self.layout.subspaces else ""
        axes = f"{self.num_features}, concepts={self.concepts}{owned}"
        return f"{axes}, activation={self.activation.value}, eps={self.eps}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Casting the network to half precision must not touch the statistics.
        before = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        super()._apply(fn, recurse)
        for name, old in before.items():
            new = self._buffers[name]
            if new is not None and new.dtype in (torch.float16, torch.bfloat16):
                self._buffers[name] = old.to(device=new.device, dtype=torch.promote_types(old.dtype, torch.float32))
        return self

    def _whiten_batch(self, x: Tensor) -> Tensor:
        running = (self.mean.clone(), self.covariance.clone())
        z, mean, cov = whiten_batch(
            x, self.rotation, running=running, eps=self.eps, enough=ENOUGH_SAMPLES * self.num_features
        )
        if torch.isfinite(cov).all():
            self._track(mean, cov)
        return z

    @torch.no_grad()
    def _track(self, mean: Tensor, cov: Tensor) -> None:
        self.num_batches_tracked += 1
        weight = (1 / self.num_batches_tracked).clamp(min=self.momentum)
        self.mean.lerp_(mean.to(self.mean.dtype), weight.to(self.mean.dtype))
        self.covariance.lerp_(cov.to(self.covariance.dtype), weight.to(self.covariance.dtype))
        self.trained.fill_(True)

    def _check(self, x: Tensor) -> None:
        if x.ndim not in (2, 4) or x.shape[1] != self.num_features:
            raise WhiteningError(
                f"concept whitening of {self.num_features} channels got an input of shape {tuple(x.shape)}; expected "
                f"N x {self.num_features} or N x {self.num_features} x H x W"
            )

    def _state_key(self) -> tuple[Any, ...] | None:
        buffers = (self.mean, self.covariance, self.rotation)
        if any(buffer.is_inference() for buffer in buffers):
            return None
        return (*buffers, *(buffer._version for buffer in buffers))


def _same(key: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two keys name the same tensors in the same state; tensors are compared by identity."""
    return len(key) == len(other) and all(
        a is b or (isinstance(a, int) and a == b) for a, b in zip(key, other, strict=True)
    )
