"""Colour jitter: one affine map of RGB, drawn once and applied once.

Brightness, contrast, saturation and hue are all linear in RGB when hue turns the chroma plane of YIQ, so their product
is one 3 x 3 matrix and one offset. Unlike torchvision's ``ColorJitter`` nothing is clipped between the steps and their
order is fixed, which makes the jitter one matrix product per image.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from monai.transforms import MapTransform, RandomizableTransform

Matrix = npt.NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114])
_YIQ = np.array([_LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_RGB = np.linalg.inv(_YIQ)


@dataclass(frozen=True, slots=True)
class Jitter:
    """One draw of the colour jitter.

    Attributes:
        brightness: Factor on all values; 1 changes nothing.
        contrast: Factor on the distance from the image's mean luma; 1 changes nothing.
        saturation: Factor on the distance from each pixel's luma; 1 changes nothing, 0 gives grey.
        hue: Turn of the chroma plane in whole turns; 0 changes nothing.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0

    def matrix(self) -> npt.NDArray[np.float64]:
        """Return the 3 x 3 map of RGB columns, without the offset that contrast adds."""
        cosine, sine = np.cos(2 * np.pi * self.hue), np.sin(2 * np.pi * self.hue)
        turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
        chroma = np.diag([1, self.saturation, self.saturation])
        return self.brightness * self.contrast * (_RGB @ chroma @ turn @ _YIQ)


def jitter_colour(image: npt.NDArray[Any], jitter: Jitter) -> Matrix:
    """Apply a jitter to an image.

    Args:
        image: Height x width x 3, RGB, 0 to 255, any type.
        jitter: What to apply.

    Returns:
        float32, height x width x 3, clipped to 0 to 255, not rounded; in memory the channels come first, as the network
        wants them.
    """
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32).reshape(3, -1)
    grey = jitter.brightness * float(_LUMA @ planes.mean(axis=1, dtype=np.float64))
    planes = jitter.matrix().astype(np.float32) @ planes
    planes += np.float32((1 - jitter.contrast) * grey)
    np.clip(planes, 0, 255, out=planes)
    return planes.reshape(3, *image.shape[:2]).transpose(1, 2, 0)


class RandomColourJitterd(RandomizableTransform, MapTransform):
    """Jitter the colours of RGB images (height x width x 3, 0 to 255); all keys get the same draw.

    Args:
        keys: Which entries of the item.
        brightness: The factor is drawn from 1 - brightness to 1 + brightness.
        contrast: Likewise.
        saturation: Likewise.
        hue: The turn is drawn from -hue to +hue, in whole turns.
    """

    def __init__(
        self, keys: Sequence[str], *, brightness: float, contrast: float, saturation: float, hue: float
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self)
        self.ranges = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        self.hue = hue
        self.jitter = Jitter()

    def randomize(self, data: Any = None) -> Self:  # noqa: ANN401 - MONAI's signature
        """Draw the jitter."""
        factors = {name: self.R.uniform(1 - width, 1 + width) for name, width in self.ranges.items()}
        self.jitter = Jitter(**factors, hue=self.R.uniform(-self.hue, self.hue))
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw and apply; images become float32."""
        item = dict(data)
        self.randomize()
        for key in self.key_iterator(item):
            item[key] = jitter_colour(item[key], self.jitter)
        return item
