"""Evidence maps, the pointing game and flips of the call."""

import numpy as np
import pytest
import torch

from concepts.statistics.bootstrap import group_weights
from pipeline.data.phantom.rule import CONCEPTS
from pipeline.explanation.cases.counterfactual import LARGEST, smallest_flip
from pipeline.explanation.cases.evidence import (
    FEWEST_MASKS,
    averaged,
    choose_width,
    gradient_maps,
    hits,
    mask_cells,
    pointing_figures,
)
from pipeline.explanation.cases.planted import cause_hits, causes, planted_cause


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

    found = gradient_maps(tail, maps, (), batch_size=1)
    assert found.flatten(1).argmax(dim=1).tolist() == [2 * 4 + 3, 0]


def test_pointing_figures_know_a_good_axis_a_blind_one_and_a_thin_concept():
    rng = np.random.default_rng(0)
    count = 60
    regions, axes = [], torch.zeros(count, 3, 4, 4)
    for row in range(count):
        plane = torch.full((3, 16, 16), torch.nan)
        place = rng.integers(4, size=2)
        for concept in (0, 1):
            plane[concept] = 0
            plane[concept, place[0] * 4 + 1, place[1] * 4 + 1] = 1
        if row < FEWEST_MASKS - 1:
            plane[2] = plane[0]
        regions.append(plane)
        axes[row, 0, place[0], place[1]] = 1
        axes[row, 1] = torch.from_numpy(rng.normal(size=(4, 4)))
    weights = group_weights([str(row) for row in range(count)], resamples=200, generator=rng)
    blind = torch.from_numpy(rng.normal(size=(count, 4, 4)))
    pointing = pointing_figures(
        axes, blind, regions, concepts=("seen", "blind", "thin"), widths=(1, 1, 1), weights=weights
    )
    found = pointing["concepts"]
    assert found["seen"]["hit_rate"].value == 1
    assert found["seen"]["chance"].value == pytest.approx(1 / 16)
    assert found["seen"]["above_grad_cam"].low > 0
    assert found["blind"]["hit_rate"].value < 0.25
    assert found["blind"]["hit_rate"].n == count
    assert found["thin"]["hit_rate"] is None
    assert "9 test images" in found["thin"]["reason"]
    overall = pointing["overall"]
    assert overall["hit_rate"].n == 2 * count
    assert overall["hit_rate"].value == pytest.approx((1 + found["blind"]["hit_rate"].value) / 2)


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


def test_a_planted_cause_is_the_one_concept_without_which_the_rule_says_otherwise():
    nothing = dict.fromkeys(CONCEPTS, False)
    assert planted_cause(nothing) is None
    assert planted_cause(nothing | {"blue_whitish_veil": True}) == ("blue_whitish_veil", "melanoma")
    both = nothing | {"blue_whitish_veil": True, "asymmetry": True}
    assert planted_cause(both) is None
    assert planted_cause(nothing | {"blue_whitish_veil": True, "globules": True}) == ("blue_whitish_veil", "melanoma")
    assert planted_cause(nothing | {"regression": True}) is None


def test_a_cause_counts_where_it_speaks_for_the_diagnosis_and_decides_alone():
    nothing = dict.fromkeys(CONCEPTS, False)
    # Either alone would still make a melanoma of it: neither decides.
    assert planted_cause(nothing | {"blue_whitish_veil": True, "streaks": True, "asymmetry": True}) is None
    # Globules speak against melanoma; taking them away changes nothing that they were the cause of.
    found = planted_cause(nothing | {"globules": True, "milia_like_cysts": True})
    assert found == ("milia_like_cysts", "seborrheic_keratosis")


def test_cause_hits_count_lesions_that_one_concept_decided_whatever_the_network_called():
    labels = np.zeros((3, len(CONCEPTS)))
    labels[:2, CONCEPTS.index("blue_whitish_veil")] = 1
    good = {"melanoma": {name: float(name == "blue_whitish_veil") for name in CONCEPTS}}
    bad = {"melanoma": {name: float(name == "globules") for name in CONCEPTS}}
    found = cause_hits(labels, [good, bad, good], concepts=CONCEPTS)
    assert found[:2].tolist() == [1.0, 0.0]
    assert np.isnan(found[2])
    assert causes(labels, CONCEPTS) == [("blue_whitish_veil", "melanoma")] * 2 + [None]
    assert np.isnan(cause_hits(labels, [good, bad, good], concepts=("x",))).all()
