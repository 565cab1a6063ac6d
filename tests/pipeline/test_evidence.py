"""Evidence maps, the pointing game, flips of the call, and what a picture's quality is."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.config import PhantomSettings
from pipeline.data.phantom.cohort import generate_cohort
from pipeline.data.phantom.rule import CONCEPTS
from pipeline.data.sources.phantom import load_phantom
from pipeline.evaluation.bootstrap import group_weights
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
from pipeline.explanation.cases.quality import is_found, measure_quality


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


def test_quality_tells_blur_darkness_hair_and_corners():
    rng = np.random.default_rng(0)
    skin = np.clip(rng.normal(180, 4, size=(64, 64, 1)) + np.zeros(3), 0, 255).astype(np.uint8)
    plain = measure_quality(skin)
    hairy = skin.copy()
    hairy[20, 5:60] = hairy[10:60, 30] = 60
    assert measure_quality(hairy).hair > plain.hair + 0.01
    framed = skin.copy()
    framed[:10, :10] = framed[-10:, -10:] = 0
    assert measure_quality(framed).dark_corners == 0.5
    assert plain.dark_corners == 0
    assert measure_quality(skin // 2).brightness < plain.brightness
    flat = np.full_like(skin, 180)
    assert measure_quality(flat).sharpness == 0
    assert measure_quality(np.full_like(skin, 255)).clipped == 1


def test_threads_of_a_network_inside_the_lesion_are_no_hair():
    skin = np.full((100, 100, 3), 180, dtype=np.uint8)
    inside, across = skin.copy(), skin.copy()
    inside[30:70:8, 30:70] = inside[30:70, 30:70:8] = 60
    across[::20] = 60
    assert measure_quality(inside).hair == 0
    assert measure_quality(across).hair > 0.02


def test_ink_is_a_strong_colour_that_is_not_red_and_glare_is_white():
    skin = np.full((50, 50, 3), (200, 160, 130), dtype=np.uint8)
    assert measure_quality(skin).ink == 0
    assert measure_quality(skin).glare == 0
    marked = skin.copy()
    marked[:10, :10] = (60, 40, 160)
    marked[20:30, 20:30] = (250, 245, 240)
    assert measure_quality(marked).ink == pytest.approx(0.04)
    assert measure_quality(marked).glare == pytest.approx(0.04)
    lesion = np.full_like(skin, (110, 60, 40))
    assert measure_quality(lesion).ink == 0, "brown is saturated, but red leads"


def test_an_artefact_is_what_stands_out_from_the_bulk():
    among = np.concatenate([np.zeros(80), np.linspace(0.1, 0.3, 20)])
    assert is_found("glare", 0.01, among)
    assert not is_found("glare", 0.0, np.zeros(9))
    assert not is_found("glare", 1.0, [])
    assert not is_found("dark_corners", 0.01, np.zeros(9))


@pytest.mark.slow
def test_planted_artefacts_are_found_on_the_picture(tmp_path):
    """Sensitivity and specificity over 400 phantoms, each measure for the artefacts that it is meant to find."""
    generate_cohort(PhantomSettings(images=400, size=128), tmp_path / "phantom")
    with (tmp_path / "phantom" / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    samples = {one.image_id: one.path for one in load_phantom(tmp_path / "phantom")}
    measures = [measure_quality(np.asarray(Image.open(samples[row["image_id"]]))) for row in rows]
    wanted = {"hair": ("hair",), "dark_corners": ("dark_corner",), "ink": ("ink",), "glare": ("gel_bubble",)}
    for measure, artefacts in wanted.items():
        values = [getattr(one, measure) for one in measures]
        found = np.array([is_found(measure, value, values) for value in values])
        shown = np.array([any(row[name] == "1" for name in artefacts) for row in rows])
        assert found[shown].mean() > 0.6, measure
        assert found[~shown].mean() < 0.1, measure


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
