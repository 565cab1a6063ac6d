"""TCAV on a tail whose use of two directions is known."""

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("captum", reason="the extra tcav is not installed")

from pipeline.explanation.tcav import ConceptImages, tcav_scores

USED, UNUSED = 0, 1


class Tail(nn.Module):
    """The logit of the first diagnosis rises with channel 0; channel 1 is never looked at."""

    def forward(self, maps, rest=()):
        seen = torch.tanh(maps.mean(dim=(2, 3)))
        return torch.stack([seen[:, USED], -seen[:, USED], seen[:, 2]], dim=1)


def planted(count, seed):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(count, 4, 3, 3, generator=generator)
    shown = torch.rand(count, 2, generator=generator) < 0.5
    maps[:, :2] += 2.0 * shown[:, :, None, None]
    return maps, shown


def test_a_used_concept_raises_one_diagnosis_lowers_the_other_and_an_unused_one_is_in_the_null_band():
    train, shown = planted(300, 0)
    test, _ = planted(60, 1)
    sides = {
        name: ConceptImages(shown[:, column].nonzero()[:, 0].tolist(), (~shown[:, column]).nonzero()[:, 0].tolist())
        for name, column in (("used", USED), ("unused", UNUSED))
    }
    scores = tcav_scores(
        Tail(),
        (test, ()),
        [0, 1] * 30,
        train,
        concepts=sides,
        classes=("first", "second", "third"),
        generator=np.random.default_rng(0),
    )
    assert scores["first"]["used"].share.value == 1.0
    assert scores["second"]["used"].share.value == 0.0
    assert scores["first"]["used"].share.n == 30
    low, high = scores["first"]["unused"].null
    assert low <= scores["first"]["unused"].share.value <= high
    assert "third" not in scores
