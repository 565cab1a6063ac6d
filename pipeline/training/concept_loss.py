"""A loss by which the named axes train the backbone: alignment alone only rotates what is there."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.whitening.distributed import sum_over_processes


class ConceptCalibration(nn.Module):
    """A scale and an offset per concept, which make an activation the logit of its concept being present.

    Whitened axes have unit variance, and pooling shifts them, so that activations are no logits by themselves. The
    scale stays positive: a high activation always means present.

    Args:
        num_concepts: k.

    Example:
        >>> ConceptCalibration(2)(torch.tensor([[0.5, -1.0]])).tolist()  # scale 1 and offset 0 at first
        [[0.5, -1.0]]
    """

    def __init__(self, num_concepts: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(num_concepts))
        self.offset = nn.Parameter(torch.zeros(num_concepts))

    def forward(self, activations: Tensor) -> Tensor:
        """Turn N x k activations or N x k x H x W maps into logits of the same shape: exp(log_scale) a + offset."""
        shape = (-1, *[1] * (activations.ndim - 2))
        return activations * self.log_scale.exp().view(shape) + self.offset.view(shape)


def concept_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the binary cross-entropy of each concept, its labelled positives and negatives weighing the same.

    In a distributed run the counts and the loss are those of the whole batch, on every process.

    Args:
        logits: N x k.
        labels: N x k; 1 present, 0 absent, NaN unknown (left out: not marked is not absent).

    Returns:
        A scalar, the mean over the concepts of which the batch has a label; 0 where it has none.

    Example:
        >>> labels = torch.tensor([[1.0], [0.0], [0.0], [torch.nan]])
        >>> round(concept_loss(torch.zeros(4, 1), labels).item(), 4)  # log 2: undecided
        0.6931
    """
    return _balanced(logits, labels)


def region_loss(logits: Tensor, regions: Tensor) -> Tensor:
    """Compute the same at every position, against the concept's mask.

    A position counts as present by the share of it that is inside, and as absent by the rest.

    Args:
        logits: N x k x H x W.
        regions: N x k x h x w in [0, 1], any size; it is averaged to H x W. NaN planes where there is no mask.

    Returns:
        A scalar, as for `concept_loss`.
    """
    shares = functional.adaptive_avg_pool2d(regions.to(logits.dtype), (logits.shape[2], logits.shape[3]))
    return _balanced(logits.movedim(1, -1).flatten(0, 2), shares.movedim(1, -1).flatten(0, 2))


def _balanced(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over concepts (columns) of half the mean loss of what is present and half of what is absent."""
    is_labelled = ~targets.isnan()
    present = torch.where(is_labelled, targets, 0).to(logits.dtype)
    absent = torch.where(is_labelled, 1 - targets, 0).to(logits.dtype)
    losses = (present * functional.softplus(-logits), absent * functional.softplus(logits))
    sums = torch.stack([values.sum(dim=0) for values in (present, absent, *losses)])
    weights, totals = sum_over_processes(sums).chunk(2)
    total = (totals / weights.clamp(min=1.0)).sum(dim=0)
    used = (weights > 0).sum(dim=0)
    return (total / used.clamp(min=1)).sum() / (used > 0).sum().clamp(min=1)
