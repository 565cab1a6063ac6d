"""Evidence maps, and whether they point where the concept is."""

import numpy as np
import pytest
import torch

from concepts.statistics.bootstrap import group_weights, known_mean
from pipeline.explanation.cases.evidence import (
    FEWEST_MASKS,
    INSIDE,
    averaged,
    choose_width,
    gradient_maps,
    hits,
    mask_cells,
    pointing_game,
)


def test_a_hit_is_a_maximum_inside_and_ties_count_by_their_share():
    maps = torch.zeros(3, 2, 2)
    maps[0, 0, 1] = 1
    maps[1, 1, 1] = 1
    cells = torch.zeros(3, 2, 2, dtype=torch.bool)
    cells[:, 0, 1] = True
    assert hits(maps, cells).tolist() == [1.0, 0.0, 0.25]


@pytest.mark.parametrize("grid", [(4, 4), (7, 7), (3, 5)])
def test_cells_cover_every_part_of_a_mask(grid):
    regions = torch.zeros(1, 28, 28)
    regions[0, 3:9, 20] = 1
    cells = mask_cells(regions, *grid)[0]
    rows, columns = np.nonzero(regions[0].numpy())
    for row, column in zip(rows, columns, strict=True):
        assert cells[row * grid[0] // 28, column * grid[1] // 28]
    assert cells.sum() <= 2 * grid[0]


def test_grad_cam_points_to_the_channel_that_decides():
    maps = torch.zeros(2, 3, 4, 4)
    maps[0, 1, 2, 3] = 5.0
    maps[1, 2, 0, 0] = 5.0

    def tail(x: torch.Tensor, _: tuple[torch.Tensor, ...]) -> torch.Tensor:
        pooled = x.mean(dim=(2, 3))
        return torch.stack([pooled[:, 1], pooled[:, 2]], dim=1)

    cam = gradient_maps(tail, maps, (), batch_size=1)
    assert cam.flatten(1).argmax(dim=1).tolist() == [2 * 4 + 3, 0]
    torch.testing.assert_close(cam, gradient_maps(tail, maps, ()))
    assert cam[0, 2, 3] == 5 / 16
    assert cam[0].count_nonzero() == 1


def test_grad_cam_is_of_the_leading_diagnosis_and_shows_only_what_speaks_for_it():
    maps = torch.ones(2, 2, 2, 2)
    maps[:, 0, 0, 0] = 3.0
    maps[1, 1] = 5.0

    def tail(x, rest):
        pooled = x.mean(dim=(2, 3))
        return torch.stack([pooled[:, 0], 2 * pooled[:, 1] - 4 * pooled[:, 0]], dim=1) + rest[0]

    rest = (torch.tensor([[0.0, 0.0], [0.0, 9.0]]),)
    first, second = gradient_maps(tail, maps, rest, batch_size=1)
    torch.testing.assert_close(first, maps[0, 0] / 4)
    torch.testing.assert_close(second, (2 * maps[1, 1] - 4 * maps[1, 0]).clamp(min=0) / 4)
    assert second[0, 0] == 0
    assert not first.requires_grad


COUNT = 60
WEIGHTS = group_weights([str(row) for row in range(COUNT)], resamples=200, generator=np.random.default_rng(1))
SPOTS = np.random.default_rng(0).integers(4, size=(COUNT, 2))


def spot_maps(spots=SPOTS, side=4):
    """Maps that are active at one cell each."""
    maps = torch.zeros(len(spots), side, side)
    maps[torch.arange(len(spots)), spots[:, 0], spots[:, 1]] = 1
    return maps


def spot_planes(spots=SPOTS):
    """Masks of 16 x 16 pixels, one of them inside."""
    return spot_maps(4 * spots + 1, side=16)


def blind_maps(seed=2):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(COUNT, 4, 4))).float()


def play(axes, plain, planes, *, widths=None, weights=WEIGHTS):
    """The game of several axes, called by letters."""
    stacked = torch.stack(planes, dim=1)
    names = "abc"[: len(axes)]
    return pointing_game(
        torch.stack(axes, dim=1),
        plain,
        list(stacked),
        concepts=names,
        widths=widths or [1] * len(axes),
        weights=weights,
    )


def test_the_pointing_game_tells_a_good_axis_from_a_blind_one():
    result = play([spot_maps(), blind_maps()], blind_maps(3), [spot_planes()] * 2)
    good, blind = result.concepts.values()
    assert (good.hit_rate.value, good.hit_rate.n, good.reason) == (1, COUNT, None)
    assert good.chance.value == pytest.approx(1 / 16)
    assert good.above_grad_cam.value == pytest.approx(1 - good.grad_cam.value)
    assert good.above_grad_cam.low > 0.5
    assert blind.hit_rate.value < 0.25
    assert blind.grad_cam == good.grad_cam, "the plain network has one map for all concepts"
    overall = result.overall
    assert overall.hit_rate.n == 2 * COUNT
    assert overall.hit_rate.value == pytest.approx((1 + blind.hit_rate.value) / 2)
    assert overall.width is None


def test_grad_cam_is_played_on_the_plain_network_s_map():
    (rates,) = play([blind_maps()], spot_maps(), [spot_planes()]).concepts.values()
    assert rates.grad_cam.value == 1
    assert rates.hit_rate.value < 0.25
    assert rates.above_grad_cam.high < 0


def test_grad_cam_gets_the_better_of_both_widths():
    ring, plane = torch.zeros(COUNT, 6, 6), torch.zeros(COUNT, 24, 24)
    ring[:, 2:5, 2:5] = 1.0
    ring[:, 0, 0] = 1.2
    plane[:, 12, 12] = 1
    (rates,) = play([ring], ring, [plane]).concepts.values()
    assert rates.hit_rate.value == 0
    assert rates.grad_cam.value == 1
    (wide,) = play([ring], ring, [plane], widths=[3]).concepts.values()
    assert (wide.hit_rate.value, wide.width) == (1, 3)


def test_each_axis_is_played_on_the_masks_of_its_own_concept():
    other = (SPOTS + 2) % 4
    matched = play([spot_maps(), spot_maps(other)], blind_maps(), [spot_planes(), spot_planes(other)])
    assert [rates.hit_rate.value for rates in matched.concepts.values()] == [1, 1]
    swapped = play([spot_maps(other), spot_maps()], blind_maps(), [spot_planes(), spot_planes(other)])
    assert [rates.hit_rate.value for rates in swapped.concepts.values()] == [0, 0]


@pytest.mark.parametrize(("masks", "is_played"), [(FEWEST_MASKS - 1, False), (FEWEST_MASKS, True)])
def test_few_masks_give_a_reason_instead_of_a_rate(masks, is_played):
    planes = spot_planes()
    planes[masks:] = torch.nan
    result = play([spot_maps()], blind_maps(), [planes], widths=[3])
    (rates,) = result.concepts.values()
    assert FEWEST_MASKS == 10
    assert (rates.hit_rate is not None) == is_played
    assert (result.overall is not None) == is_played
    assert rates.width == 3
    if is_played:
        assert rates.hit_rate.n == masks
    else:
        assert rates.reason == "9 test images with a mask of it; 10 are needed"
        assert (rates.chance, rates.grad_cam, rates.above_grad_cam) == (None, None, None)


def test_rates_have_the_weights_of_the_images_with_masks():
    planes = spot_planes()
    planes[::2] = torch.nan
    half_right = spot_maps()
    half_right[: COUNT // 2] = blind_maps()[: COUNT // 2] - 9
    (rates,) = play([half_right], blind_maps(), [planes]).concepts.values()
    values = hits(half_right, mask_cells(spot_planes(), 4, 4))
    values[::2] = np.nan
    assert rates.hit_rate == known_mean(values, WEIGHTS).estimate()
    assert rates.hit_rate.low < rates.hit_rate.value < rates.hit_rate.high


def test_a_mask_without_a_pixel_inside_is_no_mask():
    planes = spot_planes()
    planes[0] = INSIDE - 0.01
    (rates,) = play([spot_maps()], blind_maps(), [planes]).concepts.values()
    assert rates.hit_rate.n == COUNT - 1
    planes[0, 0, 0] = INSIDE
    (rates,) = play([spot_maps()], blind_maps(), [planes]).concepts.values()
    assert rates.hit_rate.n == COUNT


def test_a_pixel_counts_as_inside_from_a_quarter():
    planes = torch.full((1, 2, 2), 0.2)
    planes[0, 0, 1] = 0.25
    assert mask_cells(planes, 2, 2).tolist() == [[[False, True], [False, False]]]


def test_averages_are_those_of_the_neighbours_that_exist():
    maps = torch.arange(9.0).reshape(1, 3, 3)
    assert averaged(maps, 1) is maps
    smooth = averaged(maps, 3)[0]
    assert smooth[1, 1] == 4
    assert smooth[0, 0] == (0 + 1 + 3 + 4) / 4


def test_the_width_is_the_one_that_points_into_the_mask_and_one_where_masks_are_few():
    planes = torch.zeros(FEWEST_MASKS, 24, 24)
    planes[:, 4:16, 4:16] = 1
    ring = torch.zeros(FEWEST_MASKS, 6, 6)
    ring[:, 1:4, 1:4] = 1.0
    ring[:, 2, 5] = 1.5
    assert choose_width(ring, planes) == 3
    dot = torch.zeros(FEWEST_MASKS, 6, 6)
    dot[:, 3, 3] = 2.0
    assert choose_width(dot, planes) == 1
    assert choose_width(ring[1:], planes[1:]) == 1
    planes[:] = torch.nan
    assert choose_width(ring, planes) == 1
