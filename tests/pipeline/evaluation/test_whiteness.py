import numpy as np
import pytest
import torch

from pipeline.evaluation.whiteness import BlockMoments, block_numbers, residual_estimate


def moments_of(maps, groups):
    moments = BlockMoments(maps.shape[1])
    moments.add(maps, block_numbers(groups))
    return moments


def test_white_maps_have_no_residual_beyond_sampling():
    maps = torch.randn(200, 6, 8, 8, generator=torch.Generator().manual_seed(0))
    estimate = residual_estimate(moments_of(maps, [str(i) for i in range(200)]))
    assert estimate.value < 0.05
    assert estimate.low <= estimate.value <= estimate.high
    assert estimate.n == 200


def test_a_known_covariance_gives_a_known_residual():
    maps = torch.randn(400, 4, 10, 10, generator=torch.Generator().manual_seed(1)) * 2
    estimate = residual_estimate(moments_of(maps, [str(i) for i in range(400)]))
    assert estimate.low < 3 < estimate.high or estimate.value == pytest.approx(3, rel=0.02)


def test_same_as_numpy_covariance():
    maps = torch.randn(30, 5, 3, 3, generator=torch.Generator().manual_seed(2))
    positions = maps.permute(1, 0, 2, 3).reshape(5, -1).double().numpy()
    expected = np.linalg.norm(np.cov(positions, bias=True) - np.eye(5)) / np.sqrt(5)
    assert residual_estimate(moments_of(maps, list(map(str, range(30))))).value == pytest.approx(expected, rel=1e-5)


def test_groups_are_not_divided():
    groups = ["a", "b", "a", "c", "b"]
    numbers = block_numbers(groups, blocks=2)
    assert {g: set(numbers[[i for i, x in enumerate(groups) if x == g]]) for g in groups} == {
        "a": {0},
        "b": {1},
        "c": {0},
    }


def test_one_group_has_no_interval():
    estimate = residual_estimate(moments_of(torch.randn(4, 3, 5, 5), ["a"] * 4))
    assert np.isnan(estimate.low)
