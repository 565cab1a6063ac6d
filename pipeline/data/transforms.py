"""From a decoded image to what the network sees, as MONAI dictionary transforms.

An item has ``image``, uint8 of (size + margin) x (size + margin) x 3, and may have ``regions``, uint8 masks of k x n x
n that cover the same square. Everything works on plain arrays: no metadata travels along, which would cost more than
the transforms themselves.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, MapTransform

from pipeline.config import TransformSettings
from pipeline.data.colour import RandomColourJitterd
from pipeline.data.decoded import REGION_STRIDE
from pipeline.data.geometry import IMAGE, REGIONS, Cropd, RandomSymmetryd


def train_transforms(settings: TransformSettings, mean: Sequence[float], std: Sequence[float]) -> Compose:
    """Compose random crop, flips, turns and colours, then the network's units.

    Args:
        settings: Which of them, and how far.
        mean: Of the network's input, per channel, for values of 0 to 1.
        std: Likewise.

    Returns:
        A transform whose items have ``image``, float32 3 x size x size, (x / 255 - mean) / std, and ``regions``, where
        they came, float32 k x size/4 x size/4, the share of each cell that is inside, 0 to 1.
    """
    jitter = RandomColourJitterd(
        (IMAGE,),
        brightness=settings.brightness,
        contrast=settings.contrast,
        saturation=settings.saturation,
        hue=settings.hue,
    )
    symmetry = RandomSymmetryd(flips=settings.flips, turns=settings.right_angle_turns)
    return Compose([_crop(settings, random=True), symmetry, jitter, NetworkUnitsd(mean, std)])


def eval_transforms(settings: TransformSettings, mean: Sequence[float], std: Sequence[float]) -> Compose:
    """Compose the central crop and the network's units. Arguments and items are those of `train_transforms`."""
    return Compose([_crop(settings, random=False), NetworkUnitsd(mean, std)])


def display_transforms(settings: TransformSettings) -> Compose:
    """Compose what shows people the network's view in evaluation: ``image`` stays uint8, size x size x 3, RGB.

    ``regions``, where they came, are float32 k x size/4 x size/4, 0 to 255.
    """
    return Compose([_crop(settings, random=False)])


class NetworkUnitsd(MapTransform):
    """Arrays to tensors: the image normalised, channels first; the masks from 0 to 1.

    Args:
        mean: Per channel, for values of 0 to 1.
        std: Likewise.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__((IMAGE, REGIONS), allow_missing_keys=True)
        self.scale = (1 / (255 * np.asarray(std, dtype=np.float64))).astype(np.float32)
        self.shift = (np.asarray(mean, dtype=np.float64) / np.asarray(std, dtype=np.float64)).astype(np.float32)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply."""
        item = dict(data)
        channels = np.ascontiguousarray(item[IMAGE].transpose(2, 0, 1), dtype=np.float32)
        channels = channels * self.scale[:, None, None]
        channels -= self.shift[:, None, None]
        item[IMAGE] = torch.from_numpy(channels)
        if REGIONS in item:
            item[REGIONS] = torch.from_numpy(np.ascontiguousarray(item[REGIONS], dtype=np.float32) / np.float32(255))
        return item


def _crop(settings: TransformSettings, *, random: bool) -> Cropd:
    return Cropd(size=settings.size, cells=max(1, settings.size // REGION_STRIDE), random=random)
