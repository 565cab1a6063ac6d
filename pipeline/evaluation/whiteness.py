"""How white a layer's output is: the distance of its covariance from the identity."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student
from torch import Tensor, nn
from torch.utils.data import DataLoader

from concepts.statistics.estimate import Estimate
from pipeline.evaluation.outputs import pooled_features
from pipeline.run.progress import Tracker
from pipeline.whitening.surgery import whitening_layers

BLOCKS = 20


class BlockMoments:
    """Moments of maps, accumulated in blocks of groups so that an interval can be given without keeping the maps.

    Args:
        channels: Number of axes C.
        blocks: Number of blocks; each group of images falls wholly into one.
    """

    def __init__(self, channels: int, *, blocks: int = BLOCKS) -> None:
        self.counts = np.zeros(blocks)
        self.sums = np.zeros((blocks, channels))
        self.products = np.zeros((blocks, channels, channels))
        self.images = 0

    def add(self, maps: Tensor, blocks: Iterable[int]) -> None:
        """Add the maps (N x C or N x C x H x W) of images whose blocks are given."""
        for image, block in zip(maps, blocks, strict=True):
            positions = image.reshape(image.shape[0], -1).to(torch.float32)
            self.counts[block] += positions.shape[1]
            self.sums[block] += positions.sum(dim=1).cpu().numpy()
            self.products[block] += (positions @ positions.T).cpu().numpy()
            self.images += 1


def block_numbers(groups: Iterable[str], *, blocks: int = BLOCKS) -> NDArray[np.int64]:
    """Give each image its block: groups in order of first appearance, dealt out in turn, so that none is divided."""
    order: dict[str, int] = {}
    return np.array([order.setdefault(group, len(order)) % blocks for group in groups])


def residual_estimate(moments: BlockMoments) -> Estimate:
    """Measure the distance of the covariance from the identity, |cov(z) - I|_F / |I|_F, with a jackknife interval.

    0 is perfectly white. Leaving out one block of groups at a time gives the standard error (Efron & Stein 1981); a
    bootstrap would not do, since repeated images alone make a covariance less white.
    """
    used = np.flatnonzero(moments.counts)
    value = _residual(moments.counts.sum(), moments.sums.sum(axis=0), moments.products.sum(axis=0))
    if len(used) < 2:
        return Estimate(value, float("nan"), float("nan"), moments.images)
    without = np.array([_leave_out(moments, int(block)) for block in used])
    error = np.sqrt((len(used) - 1) / len(used) * ((without - without.mean()) ** 2).sum())
    reach = float(student.ppf(0.975, len(used) - 1) * error)
    return Estimate(value, max(0.0, value - reach), value + reach, moments.images)


def layer_residual(
    network: nn.Module, layer: str, loader: DataLoader[Any], *, groups: Sequence[str], tracker: Tracker, title: str
) -> Estimate:
    """Measure how far a whitened layer's maps are from white, image by image: averages over turns vary less.

    Args:
        network: Put into evaluation mode.
        layer: Name of the layer.
        loader: In order.
        groups: Of each image, for the interval.
        tracker: Where progress is shown.
        title: What the progress bar says.
    """
    moments, blocks = BlockMoments(whitening_layers(network)[layer].num_features), block_numbers(groups)
    pooled_features(
        network,
        layer,
        loader,
        activations=(),
        tracker=tracker,
        title=title,
        visit=lambda maps, before: moments.add(maps, blocks[before : before + len(maps)]),
    )
    return residual_estimate(moments)


def _leave_out(moments: BlockMoments, block: int) -> float:
    return _residual(
        moments.counts.sum() - moments.counts[block],
        moments.sums.sum(axis=0) - moments.sums[block],
        moments.products.sum(axis=0) - moments.products[block],
    )


def _residual(count: float, total: NDArray[np.float64], product: NDArray[np.float64]) -> float:
    mean = total / count
    covariance = product / count - np.outer(mean, mean)
    identity = np.eye(len(mean))
    return float(np.linalg.norm(covariance - identity) / np.linalg.norm(identity))
