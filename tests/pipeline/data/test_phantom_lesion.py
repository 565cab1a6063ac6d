import time
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from pipeline.data.phantom.lesion import ARTEFACTS, LESION, Photograph, child, draw, throw_lesion
from pipeline.data.phantom.rule import CONCEPTS
from pipeline.data.phantom.skin import Skin, lab_to_rgb, skin_colour, throw_device, throw_skin

PAINTED = tuple(concept for concept in CONCEPTS if concept != "asymmetry")
INSIDE = ("pigment_network", "globules", "blue_whitish_veil", "milia_like_cysts", "regression")
SEEDS = range(6)
FEW_SEEDS = range(3)

LEAST_AREA = 40 / 128**2
"""Of the mask of anything present, as a share of the image."""

LEAST_CHANGE = 12
"""Mean change of the pixels under a mask when its structure is left out, in grey levels."""


def make_lesion(seed, concepts=(), artefacts=(), size=128):
    rng = np.random.default_rng(seed)
    photograph = Photograph(
        size=size,
        skin=throw_skin(rng),
        device=throw_device(rng),
        image_seed=1000 + seed,
        artefacts=frozenset(artefacts),
    )
    return throw_lesion(seed, frozenset(concepts), photograph)


@cache
def full(seed):
    """A lesion with everything on it, and its drawing."""
    lesion = make_lesion(seed, CONCEPTS, ARTEFACTS)
    return lesion, draw(lesion)


def without(lesion, name):
    return replace(lesion, concepts=lesion.concepts - {name}, artefacts=lesion.artefacts - {name})


def mirror_difference(mask):
    """1 - common / joint area of a mask and its mirror image, about the worse of its principal axes."""
    points = np.argwhere(mask).astype(float)
    centre = points.mean(axis=0)
    offsets = np.stack(np.indices(mask.shape), axis=-1) - centre
    differences = []
    for axis in np.linalg.svd(points - centre, full_matrices=False)[2]:
        mirrored = offsets - 2 * (offsets @ axis)[..., None] * axis + centre
        rows, columns = np.rint(np.clip(mirrored, 0, len(mask) - 1)).astype(int).transpose(2, 0, 1)
        other = mask[rows, columns]
        differences.append(1 - (mask & other).sum() / (mask | other).sum())
    return max(differences)


def test_the_same_lesion_gives_the_same_pixels():
    lesion, drawing = full(0)
    again = draw(lesion)
    assert np.array_equal(again.image, drawing.image)
    assert all(np.array_equal(again.masks[name], mask) for name, mask in drawing.masks.items())


def test_another_seed_gives_another_image():
    assert not np.array_equal(full(0)[1].image, full(1)[1].image)


@pytest.mark.parametrize("size", [64, 128, 200])
def test_image_and_masks_have_the_size_that_was_asked_for(size):
    drawing = draw(make_lesion(0, CONCEPTS, ARTEFACTS, size=size))
    assert drawing.image.shape == (size, size, 3)
    assert drawing.image.dtype == np.uint8
    assert {mask.shape for mask in drawing.masks.values()} == {(size, size)}
    assert {mask.dtype for mask in drawing.masks.values()} == {np.dtype(bool)}


def test_a_lesion_keeps_its_shares_at_another_size():
    small, large = (draw(make_lesion(3, CONCEPTS, size=size)).masks for size in (128, 256))
    for name, mask in small.items():
        assert large[name].mean() == pytest.approx(mask.mean(), rel=0.15)


@pytest.mark.parametrize("present", [(), ("globules",), ("asymmetry", "streaks")])
def test_masks_are_of_what_is_present_and_nothing_else(present):
    drawing = draw(make_lesion(0, present, ("hair",)))
    assert set(drawing.masks) == {*present, "hair", LESION}


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_present_can_be_seen(seed):
    lesion, drawing = full(seed)
    for name, mask in drawing.masks.items():
        assert mask.mean() >= LEAST_AREA, name
    bare = replace(lesion, artefacts=frozenset())
    image = draw(bare).image.astype(int)
    for name in PAINTED:
        change = np.abs(draw(without(bare, name)).image.astype(int) - image).max(axis=-1)
        assert change[drawing.masks[name]].mean() >= (0.3 if name == "pigment_network" else 1) * LEAST_CHANGE, name


@pytest.mark.parametrize("name", [*PAINTED, *ARTEFACTS])
def test_leaving_one_thing_out_changes_pixels_only_under_its_mask(name):
    for seed in FEW_SEEDS:
        lesion, drawing = full(seed)
        changed = (draw(without(lesion, name)).image != drawing.image).any(axis=-1)
        assert changed.any()
        assert not (changed & ~ndimage.binary_dilation(drawing.masks[name], iterations=4)).any()


@pytest.mark.parametrize("name", [*PAINTED, *ARTEFACTS])
def test_a_mask_does_not_depend_on_what_else_is_there(name):
    for seed in FEW_SEEDS:
        lesion, drawing = full(seed)
        concepts = frozenset({name, "asymmetry"} & set(CONCEPTS))
        alone = draw(replace(lesion, concepts=concepts, artefacts=lesion.artefacts & {name}))
        assert np.array_equal(alone.masks[name], drawing.masks[name])


def test_asymmetry_changes_nothing_beyond_both_outlines():
    for seed in SEEDS:
        lesion = make_lesion(seed, ("asymmetry",))
        with_it, without_it = draw(lesion), draw(without(lesion, "asymmetry"))
        changed = (with_it.image != without_it.image).any(axis=-1)
        either = with_it.masks[LESION] | without_it.masks[LESION]
        assert changed.any()
        assert not (
            changed & ~ndimage.binary_dilation(either, iterations=int(2 * lesion.border.softness * 128) + 2)
        ).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_masks_lie_where_they_should(seed):
    masks = full(seed)[1].masks
    lesion = ndimage.binary_dilation(masks[LESION], iterations=2)
    for name in INSIDE:
        assert not (masks[name] & ~lesion).any(), name
    assert (masks["streaks"] & ~masks[LESION]).any()
    assert (masks["streaks"] & masks[LESION]).any()
    assert np.array_equal(masks["asymmetry"], masks[LESION])
    for name in (*CONCEPTS, LESION):
        assert not masks[name][[0, -1]].any(), name
        assert not masks[name][:, [0, -1]].any(), name
    assert not (masks["blue_whitish_veil"] & masks["regression"]).any()
    assert not (masks["globules"] & masks["milia_like_cysts"]).mean() > 0.003


def test_measured_asymmetry_parts_the_asymmetric_from_the_symmetric():
    asymmetric = [mirror_difference(draw(make_lesion(seed, ("asymmetry",))).masks[LESION]) for seed in range(25)]
    symmetric = [mirror_difference(draw(make_lesion(seed)).masks[LESION]) for seed in range(25)]
    assert max(symmetric) < 0.12
    assert min(asymmetric) > 0.18


def test_asymmetric_lesions_are_not_told_by_their_size():
    areas = np.array(
        [[draw(make_lesion(seed, shape)).masks[LESION].mean() for seed in range(25)] for shape in ((), ("asymmetry",))]
    )
    assert areas[1].mean() == pytest.approx(areas[0].mean(), rel=0.15)


def test_a_second_image_of_a_lesion_has_the_same_structures_in_another_pose():
    lesion = make_lesion(5, CONCEPTS)
    other = throw_lesion(
        lesion.seed,
        lesion.concepts,
        Photograph(size=lesion.size, skin=lesion.skin, device=lesion.device, image_seed=77),
    )
    assert other.pose != lesion.pose
    assert (other.border, other.pigment) == (lesion.border, lesion.pigment)
    first, second = draw(lesion), draw(other)
    assert ndimage.label(first.masks["globules"])[1] == pytest.approx(ndimage.label(second.masks["globules"])[1], abs=2)


def test_the_lesion_is_darker_than_the_skin_around_it_whatever_the_skin():
    for ita in (-32.0, 0.0, 30.0, 58.0):
        lesion = replace(make_lesion(2), skin=Skin(ita=ita, red=11, yellow=15))
        drawing = draw(lesion)
        inside = ndimage.binary_erosion(drawing.masks[LESION], iterations=5)
        outside = ~ndimage.binary_dilation(drawing.masks[LESION], iterations=5)
        assert drawing.image[inside].mean() < drawing.image[outside].mean() - 15


def test_skin_grows_darker_with_a_smaller_typology_angle():
    brightness = [skin_colour(Skin(ita=ita, red=11, yellow=15)).mean() for ita in (-30, 0, 30, 55)]
    assert brightness == sorted(brightness)


def test_colours_agree_with_published_ones():
    assert lab_to_rgb(100, 0, 0) == pytest.approx([1, 1, 1], abs=0.005)
    assert lab_to_rgb(53.24, 80.09, 67.20) == pytest.approx([1, 0, 0], abs=0.01)
    assert lab_to_rgb(32.30, 79.19, -107.86) == pytest.approx([0, 0, 1], abs=0.01)


def test_children_of_a_seed_are_their_own():
    assert child(1, "hair").random() == child(1, "hair").random()
    assert len({child(seed, purpose).random() for seed in (-1, 0, 1) for purpose in ("hair", "ink")}) == 6


@pytest.mark.slow
def test_a_hundred_lesions_take_less_than_a_second():
    lesions = [make_lesion(seed, CONCEPTS[seed % 7 :: 3], ARTEFACTS[seed % 6 :: 8]) for seed in range(100)]
    start = time.process_time()
    for lesion in lesions:
        draw(lesion)
    assert time.process_time() - start < 1
