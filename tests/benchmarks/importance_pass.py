"""Importance of all concepts by 20 permutations each, against running the whole network again for each."""

import numpy as np
import torch
from networks import CLASSES, CONCEPTS, LAYER, pictures, plain_resnet, whitened_resnet
from timing import Comparison, seconds, summarise

from pipeline.explanation.permutation import Layer, SingleAxis, permuted_losses
from pipeline.models.tail import split_at

PERMUTATIONS = 20
BATCH = 128


def importance_pass(device: torch.device, *, cases: int = 128, rounds: int = 3) -> Comparison:
    """The head once and the tail for each of 7 x 20 permutations, against head and tail each time.

    The reference runs the whole network for two of the 140 permutations and is multiplied; each costs the same.
    """
    network = whitened_resnet(plain_resnet(device)).eval()
    images, labels = pictures(cases, device), torch.arange(cases) % CLASSES
    head, tail = split_at(network, LAYER)
    orders = [torch.from_numpy(np.random.default_rng(seed).permutation(cases)) for seed in range(PERMUTATIONS)]

    def candidate() -> None:
        with torch.inference_mode():
            maps, rest = head(images)
        alone = SingleAxis(Layer(tail, maps, rest), labels, batch_size=BATCH)
        for axis in range(len(CONCEPTS)):
            alone.losses(axis, orders, advance=None)

    def two_of_the_reference() -> None:
        for order in orders[:2]:
            with torch.inference_mode():
                maps, rest = head(images)
            permuted_losses(Layer(tail, maps, rest), labels, axes=0, order=order, batch_size=BATCH)

    share = len(CONCEPTS) * PERMUTATIONS / 2
    candidate()
    two_of_the_reference()
    return summarise([(seconds(candidate), share * seconds(two_of_the_reference)) for _ in range(rounds)])
