"""A training step of ResNet-18 with concept whitening at `layer4.1.bn1` against one with batch normalisation."""

import torch
from networks import CLASSES, pictures, plain_resnet, whitened_resnet
from timing import Comparison, Work, compare
from torch import Tensor, nn


def training_step(device: torch.device, *, rounds: int = 12) -> Comparison:
    """Forward, backward and AdamW step on 32 images of 224 px."""
    plain = plain_resnet(device)
    images, labels = pictures(32, device), torch.arange(32, device=device) % CLASSES
    return compare(step(whitened_resnet(plain), images, labels), step(plain, images, labels), rounds=rounds)


def step(network: nn.Module, images: Tensor, labels: Tensor) -> Work:
    """One step of training, ready to run any number of times."""
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def work() -> None:
        optimiser.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(network(images), labels).backward()
        optimiser.step()

    return work
