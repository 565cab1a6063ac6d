import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concepts.errors import SettingsError
from pipeline.config import TransformSettings
from pipeline.data.colour import Jitter, jitter_colour
from pipeline.data.geometry import Cropd, RandomSymmetryd, crop_image, crop_regions, turn
from pipeline.data.transforms import display_transforms, eval_transforms, train_transforms

MEAN, STD = (0.5, 0.4, 0.3), (0.5, 0.25, 0.2)
SETTINGS = TransformSettings(size=64, margin=16)
PLAIN_COLOURS = SETTINGS.model_copy(update={"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0})


def noise(side=80, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def planted(side=80):
    """An asymmetric white shape on black, and its mask at a quarter of the side."""
    mask = np.zeros((side, side), dtype=bool)
    mask[20:40, 24:52] = True
    mask[20:28, 24:30] = False
    coverage = mask.reshape(side // 4, 4, side // 4, 4).mean(axis=(1, 3))
    image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    return image, np.rint(255 * coverage[None]).astype(np.uint8)


def pooled(plane):
    n = plane.shape[-1] // 4
    return plane.reshape(n, 4, n, 4).mean(axis=(1, 3))


@pytest.mark.parametrize("make", [train_transforms, eval_transforms])
def test_tensors_are_what_the_network_takes(make):
    transform = make(SETTINGS, MEAN, STD)
    item = transform({"image": noise(), "regions": np.zeros((5, 20, 20), dtype=np.uint8), "label": 3})
    assert type(item["image"]) is torch.Tensor
    assert item["image"].dtype == torch.float32
    assert item["image"].shape == (3, 64, 64)
    assert item["image"].is_contiguous()
    assert type(item["regions"]) is torch.Tensor
    assert item["regions"].dtype == torch.float32
    assert item["regions"].shape == (5, 16, 16)
    assert item["label"] == 3
    assert transform({"image": noise()}).keys() == {"image"}


def test_evaluation_is_the_centre_in_the_networks_units():
    image = noise()
    tensor = eval_transforms(SETTINGS, MEAN, STD)({"image": image})["image"].numpy()
    expected = (image[8:72, 8:72] / 255 - MEAN) / STD
    np.testing.assert_allclose(tensor, expected.transpose(2, 0, 1), atol=1e-5)


def test_display_shows_what_evaluation_sees():
    image = noise()
    shown = display_transforms(SETTINGS)({"image": image})["image"]
    assert shown.dtype == np.uint8
    seen = eval_transforms(SETTINGS, (0, 0, 0), (1, 1, 1))({"image": image})["image"].numpy()
    np.testing.assert_allclose(255 * seen.transpose(1, 2, 0), shown, atol=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_mask_and_image_coincide_after_training_transforms(seed):
    image, regions = planted()
    transform = train_transforms(PLAIN_COLOURS, (0, 0, 0), (1, 1, 1))
    transform.set_random_state(seed=seed)
    item = transform({"image": image, "regions": regions})
    coverage = pooled(item["image"][0].numpy())
    # The mask knows a shape only to a quarter of the image's resolution; at whole cells it is exact.
    crop = transform.transforms[0]
    tolerance = 0.01 if all(corner % 4 == 0 for corner in crop.offset) else 0.4
    assert np.abs(coverage - item["regions"][0].numpy()).max() <= tolerance
    assert item["regions"].sum() == pytest.approx(coverage.sum(), rel=1e-3)


@given(top=st.integers(0, 16), left=st.integers(0, 16))
def test_regions_are_cut_as_if_repeated_cropped_and_averaged(top, left):
    regions = np.random.default_rng(top).integers(0, 256, (2, 20, 20), dtype=np.uint8)
    cut = crop_regions(regions, offset=(top, left), size=64, of=80, cells=16)
    large = regions.repeat(4, axis=1).repeat(4, axis=2)[:, top : top + 64, left : left + 64].astype(float)
    np.testing.assert_allclose(cut, np.stack([pooled(plane) for plane in large]), atol=1e-3)


@pytest.mark.parametrize(("of", "size", "n"), [(81, 64, 20), (70, 50, 17), (64, 64, 16), (33, 33, 8)])
def test_regions_of_any_size_keep_a_constant_mask(of, size, n):
    cut = crop_regions(np.full((1, n, n), 200), offset=(of - size, 0), size=size, of=of, cells=size // 4)
    np.testing.assert_allclose(cut, 200, rtol=1e-5)


def test_symmetries_are_eight_and_different():
    image, regions = planted()
    turned = [turn(image, symmetry, (0, 1)) for symmetry in range(8)]
    assert len({array.tobytes() for array in turned}) == 8
    for symmetry, array in enumerate(turned):
        plane = turn(regions, symmetry, (1, 2))[0] / 255
        np.testing.assert_allclose(pooled(array[..., 0] / 255), plane, atol=0.01)


@pytest.mark.parametrize(
    ("flips", "turns", "count"), [(False, False, 1), (False, True, 4), (True, False, 4), (True, True, 8)]
)
def test_flips_and_turns_give_their_symmetries_and_no_other(flips, turns, count):
    image = noise(8)
    transform = RandomSymmetryd(flips=flips, turns=turns)
    transform.set_random_state(seed=0)
    seen = {transform({"image": image})["image"].tobytes() for _ in range(200)}
    assert len(seen) == count
    assert image.tobytes() in seen
    assert (image[:, ::-1].tobytes() in seen) == flips
    assert (image[::-1].tobytes() in seen) == flips
    assert (np.rot90(image).tobytes() in seen) == turns


def test_crops_reach_every_corner_and_keep_scale():
    image = noise()
    transform = Cropd(size=64, cells=16, random=True)
    transform.set_random_state(seed=0)
    offsets = set()
    for _ in range(400):
        item = transform({"image": image})
        offsets.add(transform.offset)
        np.testing.assert_array_equal(item["image"], crop_image(image, offset=transform.offset, size=64))
    for axis in (0, 1):
        assert {offset[axis] for offset in offsets} == set(range(17))


def test_image_smaller_than_the_crop_is_refused():
    with pytest.raises(SettingsError, match=r"transforms\.size is 64.*40 pixels"):
        Cropd(size=64, cells=16, random=False)({"image": noise(40)})


def test_without_margin_nothing_is_cut():
    settings = SETTINGS.model_copy(update={"size": 80, "margin": 0})
    np.testing.assert_array_equal(display_transforms(settings)({"image": noise()})["image"], noise())


def test_transforms_leave_their_input_alone():
    image, regions = planted()
    before = image.copy(), regions.copy()
    train_transforms(SETTINGS, MEAN, STD)({"image": image, "regions": regions})
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(regions, before[1])


def test_same_seed_same_item():
    transform = train_transforms(SETTINGS, MEAN, STD)
    images = []
    for seed in (5, 5, 6):
        transform.set_random_state(seed=seed)
        images.append(transform({"image": noise()})["image"])
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_no_jitter_changes_nothing():
    np.testing.assert_allclose(jitter_colour(noise(), Jitter()), noise(), atol=1e-3)


def test_brightness_scales():
    grey = np.full((4, 4, 3), 100, dtype=np.uint8)
    np.testing.assert_allclose(jitter_colour(grey, Jitter(brightness=1.2)), 120, atol=1e-3)
    assert jitter_colour(grey, Jitter(brightness=3.0)).max() == 255


def test_contrast_keeps_the_mean_luma():
    image = np.random.default_rng(1).integers(80, 160, (16, 16, 3), dtype=np.uint8)
    jittered = jitter_colour(image, Jitter(contrast=0.5))
    luma = np.array([0.299, 0.587, 0.114])
    assert (jittered @ luma).mean() == pytest.approx((image @ luma).mean(), abs=0.01)
    assert (jittered @ luma).std() == pytest.approx((image @ luma).std() / 2, rel=1e-3)


def test_no_saturation_is_grey_of_the_same_luma():
    jittered = jitter_colour(noise(), Jitter(saturation=0.0))
    np.testing.assert_allclose(jittered, (noise() @ np.array([0.299, 0.587, 0.114]))[..., None].repeat(3, -1), atol=0.1)


def test_hue_keeps_grey_and_luma_and_comes_round():
    grey = np.full((2, 2, 3), 77, dtype=np.uint8)
    np.testing.assert_allclose(jitter_colour(grey, Jitter(hue=0.3)), 77, atol=0.01)
    image = np.random.default_rng(1).integers(100, 140, (8, 8, 3), dtype=np.uint8)
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(jitter_colour(image, Jitter(hue=0.2)) @ luma, image @ luma, atol=0.05)
    np.testing.assert_allclose(jitter_colour(image, Jitter(hue=1.0)), image, atol=0.01)


def test_hue_turns_skin_by_about_as_much_as_hsv_does():
    skin = np.array([[[200, 150, 130]]], dtype=np.uint8)
    turned = jitter_colour(skin, Jitter(hue=0.02))[0, 0] / 255
    back = jitter_colour(skin, Jitter(hue=-0.02))[0, 0] / 255
    difference = colorsys.rgb_to_hsv(*turned)[0] - colorsys.rgb_to_hsv(*back)[0]
    assert abs((difference + 0.5) % 1 - 0.5) == pytest.approx(0.04, abs=0.02)


def test_jitter_stays_inside_its_ranges():
    transform = train_transforms(SETTINGS, MEAN, STD)
    transform.set_random_state(seed=0)
    jitter = transform.transforms[2]
    draws = [jitter.randomize().jitter for _ in range(200)]
    for name in ("brightness", "contrast", "saturation"):
        values = [getattr(draw, name) for draw in draws]
        assert 0.9 <= min(values) < 0.92
        assert 1.08 < max(values) <= 1.1
    assert 0.015 < max(abs(draw.hue) for draw in draws) <= 0.02
