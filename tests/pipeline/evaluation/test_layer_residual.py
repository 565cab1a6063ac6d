"""Whiteness of a layer in a network: of single images, however evaluation averages over turns."""

import torch

from pipeline.choices import Activation
from pipeline.evaluation.evaluate import layer_residual
from pipeline.evaluation.outputs import layer_outputs
from pipeline.evaluation.whiteness import BlockMoments, block_numbers, residual_estimate
from pipeline.models.mobilenet import MobileNetV1
from pipeline.run.progress import Silent
from pipeline.training.alignment import align
from pipeline.whitening.surgery import insert_after

LAYER = "blocks.2.pointwise.norm"


def test_an_aligned_layer_is_white_though_its_averages_over_turns_are_not():
    torch.manual_seed(0)
    network = MobileNetV1(3, width=0.25)
    insert_after(network, LAYER, concepts=("streaks",), activation=Activation.MEAN, eps=1e-9)
    batches = [{"image": torch.randn(8, 3, 64, 64), "concepts": torch.arange(8.0)[:, None] % 2} for _ in range(3)]
    align(network, batches)
    groups, name = [str(number) for number in range(24)], f"{LAYER}.whitening"
    found = layer_residual(network, name, batches, groups, tracker=Silent(), part="test")
    assert found.n == 24
    assert found.value < 0.01
    averaged = layer_outputs(network, name, batches, turns=4, tracker=Silent(), title="")
    moments = BlockMoments(averaged.maps.shape[1])
    moments.add(averaged.maps, block_numbers(groups))
    assert residual_estimate(moments).value > 0.2
