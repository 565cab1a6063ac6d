"""The smallest change of the named axes that changes the call."""

import numpy as np
import torch

from pipeline.explanation.cases.counterfactual import LARGEST, smallest_flip


def linear_tail(x: torch.Tensor, _: tuple[torch.Tensor, ...]) -> torch.Tensor:
    pooled = x.mean(dim=(2, 3))
    return torch.stack([pooled[:, 0], pooled[:, 1], pooled[:, 2] * 0 - 9], dim=1)


def test_the_smallest_flip_of_a_linear_tail_is_the_foot_of_the_perpendicular():
    maps = torch.zeros(3, 2, 2)
    maps[0] = 2.0
    flip = smallest_flip(linear_tail, maps, (), named=2)
    np.testing.assert_allclose(flip.shifts, [-1.0, 1.0], atol=0.01)
    assert flip.diagnosis == 1
    moved = maps.clone()
    moved[:2] += torch.from_numpy(flip.shifts).float()[:, None, None]
    assert linear_tail(moved[None], ()).argmax() == 1


def test_no_flip_where_named_axes_do_not_matter_or_it_is_too_far():
    maps = torch.zeros(3, 2, 2)
    maps[0] = 2.0
    assert smallest_flip(lambda x, rest: linear_tail(x, rest).detach() + 0 * x.sum(), maps, (), named=2) is None
    maps[0] = 2 * LARGEST
    assert smallest_flip(linear_tail, maps, (), named=2) is None
    assert smallest_flip(linear_tail, maps, (), named=0) is None
