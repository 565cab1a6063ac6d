"""What an exact alignment needs to know of a layer's input, accumulated over batches in float64."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.whitening.choices import Objective
from pipeline.whitening.distributed import sum_over_processes
from pipeline.whitening.whiten import covariance, positions


@dataclass
class WeightedMeans:
    """Weighted sums of vectors, one row per concept.

    Attributes:
        sums: k x C, float64.
        weights: k, float64; number of images, or of positions.
    """

    sums: Tensor
    weights: Tensor

    def add(self, weights: Tensor, vectors: Tensor) -> None:
        """Add M vectors (M x C) with k weights each (M x k)."""
        wide = weights.to(self.sums.dtype)
        self.sums += wide.mT @ vectors.to(self.sums.dtype)
        self.weights += wide.sum(dim=0)

    @property
    def means(self) -> Tensor:
        """One row per concept, k x C; NaN where the weights add up to nothing."""
        return self.sums / torch.where(self.weights > 0, self.weights, torch.nan)[:, None]

    def over_processes(self) -> "WeightedMeans":
        """The same over all processes of a distributed run."""
        return WeightedMeans(sum_over_processes(self.sums), sum_over_processes(self.weights))


class LayerMoments:
    """Mean and covariance of a layer's input, and the means of every concept, over all batches that are added.

    One pass serves every objective: a concept's mean in whitened space is linear in its mean before whitening.

    Args:
        channels: C.
        num_concepts: k.
        spread_of: Indices of concepts whose `spread` is wanted.
        device: Where to accumulate.
    """

    def __init__(
        self,
        channels: int,
        num_concepts: int,
        *,
        spread_of: Sequence[int] = (),
        device: torch.device | str = "cpu",
    ) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        def nothing() -> WeightedMeans:
            return WeightedMeans(zeros(num_concepts, channels), zeros(num_concepts))

        self.count = zeros(1)
        self.total = zeros(channels)
        self.products = zeros(channels, channels)
        self.shown = {concept: zeros(channels, channels) for concept in spread_of}
        self.present, self.absent, self.inside, self.outside = nothing(), nothing(), nothing(), nothing()

    @torch.no_grad()
    def add(self, x: Tensor, labels: Tensor | None = None, regions: Tensor | None = None) -> None:
        """Add one batch.

        Args:
            x: N x C x H x W or N x C, the layer's input.
            labels: N x k; 1 present, 0 absent, NaN unknown.
            regions: N x k x h x w in [0, 1]; NaN planes where there is no mask. Ignored where x has no positions.
        """
        mean, cov = covariance(x)
        mean, count = mean.double(), len(positions(x))
        self.count += count
        self.total += count * mean
        self.products += count * (cov.double() + torch.outer(mean, mean))
        if labels is not None:
            pooled = x if x.ndim == 2 else x.flatten(2).mean(dim=2)
            self.present.add(labels == 1, pooled)
            self.absent.add(labels == 0, pooled)
            for concept, products in self.shown.items():
                vectors = pooled[labels[:, concept] == 1].double()
                products += vectors.mT @ vectors
        if regions is not None and x.ndim == 4:
            self._add_regions(x, regions)

    def over_processes(self) -> "LayerMoments":
        """The same over all processes of a distributed run."""
        whole = LayerMoments(len(self.total), len(self.present.weights), device=self.total.device)
        whole.shown = {concept: sum_over_processes(products) for concept, products in self.shown.items()}
        whole.count = sum_over_processes(self.count)
        whole.total = sum_over_processes(self.total)
        whole.products = sum_over_processes(self.products)
        for name in ("present", "absent", "inside", "outside"):
            setattr(whole, name, getattr(self, name).over_processes())
        return whole

    @property
    def mean(self) -> Tensor:
        """C, over all positions."""
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        """C x C, over all positions."""
        return self.products / self.count - torch.outer(self.mean, self.mean)

    def spread(self, concept: int) -> Tensor:
        """Covariance (C x C), among the images that show a concept, of the input's mean over positions.

        Zero where no image shows it. Only for the concepts named in ``spread_of``.
        """
        count = self.present.weights[concept]
        if not count > 0:
            return torch.zeros_like(self.products)
        mean = self.present.sums[concept] / count
        return self.shown[concept] / count - torch.outer(mean, mean)

    def concept_directions(self, objective: Objective) -> Tensor:
        """What each axis should point along, before whitening: k x C, NaN rows for concepts without positives.

        - ``positives``: mean over the images that show the concept, less the mean over all positions (the paper).
        - ``contrast``: less the mean over the images that do not show it; as ``positives`` where none is known.
        - ``regions``: mean inside the concept's masks, less that outside; as ``contrast`` where there is no mask.
        """
        directions = self.present.means - self.mean
        if objective is Objective.POSITIVES:
            return directions
        directions = _prefer(self.present.means - self.absent.means, directions)
        if objective is Objective.CONTRAST:
            return directions
        return _prefer(self.inside.means - self.outside.means, directions)

    def _add_regions(self, x: Tensor, regions: Tensor) -> None:
        masks = functional.adaptive_avg_pool2d(regions.to(x.dtype), (x.shape[2], x.shape[3]))
        known = ~masks.isnan()
        samples = positions(x)
        self.inside.add(positions(torch.where(known, masks, 0)), samples)
        self.outside.add(positions(torch.where(known, 1 - masks, 0)), samples)


def _prefer(rows: Tensor, otherwise: Tensor) -> Tensor:
    """Each row where it is finite, else the other one."""
    return torch.where(rows.isfinite().all(dim=1, keepdim=True), rows, otherwise)
