"""An exact alignment of the whole network against one plain forward pass over the same images."""

from typing import Any

import torch
from networks import CONCEPTS, pictures, plain_resnet, whitened_resnet
from timing import Comparison, compare

from pipeline.training.alignment import align


def alignment_pass(device: torch.device, *, batches: int = 2, rounds: int = 6) -> Comparison:
    """All seven concepts at once, statistics and rotation included, 64 images of 224 px in a batch."""
    plain = plain_resnet(device).eval()
    whitened = whitened_resnet(plain)
    stored = [_batch(number, device) for number in range(batches)]

    def forward() -> None:
        with torch.inference_mode():
            for batch in stored:
                plain(batch["image"])

    return compare(lambda: align(whitened, stored), forward, rounds=rounds)


def _batch(number: int, device: torch.device) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(number)
    labels = (torch.rand(64, len(CONCEPTS), generator=generator) < 0.3).float()
    return {"image": pictures(64, device, seed=number), "concepts": labels.to(device)}
