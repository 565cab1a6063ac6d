"""The arithmetic of a training step: float32, or bfloat16 where that is as good and faster."""

from typing import Any

import torch
from monai.inferers.inferer import SimpleInferer
from torch import Tensor, nn

from pipeline.choices import Precision


class PrecisionInferer(SimpleInferer):
    """Runs the network under autocast of the input's device, CPU or GPU, and gives float32.

    MONAI's trainers have a switch of their own for mixed precision, which is for CUDA only. In bfloat16 convolutions
    and matrix products take half the memory and, on processors made for it, a half to a third of the time; parameters,
    gradients of parameters, batch statistics and whitening stay in float32 or float64. Its range is that of float32, so
    no loss needs scaling.

    Args:
        precision: ``bfloat16`` casts, ``float32`` leaves everything as it is.
    """

    def __init__(self, precision: Precision) -> None:
        super().__init__()
        self.casts = precision is Precision.BFLOAT16

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401
        """N x D outputs of the network in float32; float64 stays."""
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=self.casts):
            outputs: Tensor = super().__call__(inputs, network, *args, **kwargs)
        return at_least_float32(outputs)


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision as float32, so that losses and figures are taken in that; other types as they came."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
