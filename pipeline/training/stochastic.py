"""The paper's stochastic alignment: gradients of a few batches, and a step along their Cayley curve."""

import torch
from torch import Tensor, nn

from pipeline.choices import Objective
from pipeline.whitening.activation import axis_activations
from pipeline.whitening.channels import Channels
from pipeline.whitening.distributed import sum_over_processes
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.rotate import cayley_step
from pipeline.whitening.surgery import turn


class ActivationGradient:
    """Gradient of the concepts' mean activations with respect to the named axes, over a few batches.

    Args:
        layer: In its present state; whitening is that of the running statistics.
        objective: ``positives`` (the paper), else positives against negatives.
    """

    def __init__(self, layer: ConceptWhitening, objective: Objective) -> None:
        self.layer, self.objective = layer, objective
        shape = (layer.num_concepts, layer.num_features)
        device, wide = layer.rotation.device, torch.float64
        self._sums = torch.zeros(2, *shape, device=device, dtype=wide)
        self._counts = torch.zeros(2, layer.num_concepts, device=device, dtype=wide)

    @property
    def complete(self) -> bool:
        """Whether every concept has had a positive image, in any process; all processes must ask at the same time."""
        return bool((sum_over_processes(self._counts)[0] > 0).all())

    def add(self, x: Tensor, labels: Tensor | None) -> None:
        """Add a batch: the layer's input, and N x k labels (1 present, 0 absent, NaN unknown)."""
        if labels is None:
            return
        layer = self.layer
        whitening = layer.whitening()
        whitened = Channels(x).apply(whitening, -whitening @ layer.mean.double())
        rows = layer.rotation[: layer.num_concepts].detach().requires_grad_()
        with torch.enable_grad():
            activations = axis_activations(Channels(whitened).apply(rows), layer.activation)
        for side, chosen in enumerate((labels == 1, labels == 0)):
            (gradient,) = torch.autograd.grad(activations, rows, chosen.to(x.dtype), retain_graph=True)
            self._sums[side] += gradient
            self._counts[side] += chosen.sum(dim=0)

    def averaged(self, past: Tensor | None, *, momentum: float) -> Tensor:
        """The gradient (k x C) averaged with a past one; rows of concepts without positives keep the past."""
        counts = sum_over_processes(self._counts)
        present, absent = sum_over_processes(self._sums) / counts.clamp(min=1)[:, :, None]
        fresh = present if self.objective is Objective.POSITIVES else present - absent
        if past is None:
            return fresh
        seen = (counts[0] > 0)[:, None]
        return torch.where(seen, torch.lerp(fresh, past.to(fresh), momentum), past.to(fresh))


def turn_along(network: nn.Module, layer: ConceptWhitening, gradient: Tensor) -> bool:
    """One bounded step of a layer's rotation that raises the inner product of the named axes with k x C gradients.

    Returns:
        Whether a step was found; if not, nothing is changed.
    """
    wide = gradient.double()
    found = cayley_step(layer.rotation, lambda named: (named * wide).sum(), num_concepts=layer.num_concepts)
    if found.succeeded:
        turn(network, layer, found.rotation)
    return found.succeeded
