"""Near-duplicates: found in every position and disguise, and unrelated images left apart."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from pipeline.data.duplicates import (
    correlations,
    grey_thumbnails,
    hash_thumbnails,
    near_duplicate_groups,
    near_duplicates,
)

BITS = 12


def lesion(seed, side=96):
    """A dark irregular patch on skin, as unlike another seed's as two lesions are."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    shape = gaussian_filter(generator.normal(size=(side, side)), side / 10)
    pigment = gaussian_filter(generator.normal(size=(side, side)), side / 24)
    depth = 1.4 - 2 * np.hypot(rows, columns) + shape / shape.std()
    darkness = (0.7 + 0.2 * pigment / pigment.std()) / (1 + np.exp(-8 * depth))
    image = np.array([225, 180, 160]) - darkness[..., None] * np.array([120, 110, 90])
    return image.clip(0, 255).astype(np.uint8)


def positions(image):
    """The image in its eight positions."""
    return [turned for turns in range(4) for turned in (np.rot90(image, turns), np.rot90(image, turns)[:, ::-1])]


def assert_together(groups, rows):
    assert len({int(groups[row]) for row in rows}) == 1


def hashes_of(images):
    return hash_thumbnails(grey_thumbnails(images))


def assert_apart(groups):
    assert len(set(groups.tolist())) == len(groups)


@pytest.fixture(scope="module")
def lesions():
    return np.stack([lesion(seed) for seed in range(60)])


def test_unrelated_lesions_stay_apart(lesions):
    assert_apart(near_duplicates(lesions, bits=BITS))


def test_the_eight_positions_share_their_hashes(lesions):
    for image in lesions[:5]:
        hashes = hashes_of(positions(image))
        assert all(set(row) == set(hashes[0]) for row in hashes.tolist())
        assert len(set(hashes[0].tolist())) == 8
        assert [row[0] for row in hashes.tolist()] != [hashes[0, 0]] * 8


def test_the_columns_of_a_hash_are_the_hashes_of_the_positions(lesions):
    image = lesions[0]
    for position in range(8):
        placed = image.transpose(1, 0, 2) if position & 1 else image
        placed = placed[::-1] if position & 2 else placed
        placed = placed[:, ::-1] if position & 4 else placed
        assert hashes_of([placed])[0, 0] == hashes_of([image])[0, position]


def test_an_image_in_any_position_is_found(lesions):
    for image in lesions[:5]:
        for turned in positions(image):
            groups = near_duplicates([image, turned, *lesions[5:12]], bits=0)
            assert_together(groups, [0, 1])
            assert_apart(groups[1:])


def compressed(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="jpeg", quality=40)
    return np.asarray(Image.open(buffer))


DISGUISES = {
    "reduced": lambda image: np.asarray(Image.fromarray(image).resize((64, 64))),
    "compressed": compressed,
    "darker": lambda image: (image * 0.7).astype(np.uint8),
    "flatter": lambda image: (image * 0.5 + 80).astype(np.uint8),
    "recoloured": lambda image: image // np.array([1, 2, 1], dtype=np.uint8),
    "cropped": lambda image: image[1:-1, 1:-1],
    "shifted": lambda image: np.roll(image, 2, axis=0),
    "turned and darker": lambda image: (np.rot90(image) * 0.8).astype(np.uint8),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_disguised_image_is_found(lesions, disguise):
    images = [*lesions[:10], *(DISGUISES[disguise](image) for image in lesions[:10])]
    groups = near_duplicates(images, bits=BITS)
    assert sum(groups[:10] == groups[10:]) >= 9


def test_chains_of_pairs_form_one_group():
    hashes = np.zeros((4, 8), dtype=np.uint64)
    hashes[:, 0] = [0b0, 0b111, 0b111111, 0b1111111111 << 40]
    hashes[:, 1:] = np.uint64(0xAAAAAAAAAAAAAAAA)
    groups = near_duplicate_groups(hashes, bits=3)
    assert groups.tolist() == [0, 0, 0, 1]
    assert near_duplicate_groups(hashes, bits=2).tolist() == [0, 1, 2, 3]


def test_blocks_make_no_difference(lesions, monkeypatch):
    images = [*lesions[:20], *lesions[:20, ::-1], *(lesions[:20] // 2)]
    whole = near_duplicates(images, bits=BITS)
    monkeypatch.setattr("pipeline.data.duplicates.HASH_BLOCK", 130)
    monkeypatch.setattr("pipeline.data.duplicates.PAIR_BLOCK", 3)
    assert near_duplicates(images, bits=BITS).tolist() == whole.tolist()
    assert whole.tolist() == [*range(20)] * 3


def test_thumbnails_veto_what_hashes_suggest(lesions):
    thumbnails = grey_thumbnails(lesions)
    hashes = hash_thumbnails(thumbnails)
    assert len(set(near_duplicate_groups(hashes, bits=24).tolist())) < len(lesions)
    assert_apart(near_duplicate_groups(hashes, bits=24, thumbnails=thumbnails))


def test_correlation_is_that_of_numpy(lesions):
    thumbnails = grey_thumbnails(lesions[:2])
    first, second, position = np.array([0, 0]), np.array([1, 0]), np.array([0, 0])
    other, same = correlations(thumbnails, (first, second), position)
    expected = np.corrcoef(thumbnails.reshape(2, -1))[0, 1]
    assert same == pytest.approx(1, abs=1e-5)
    assert other == pytest.approx(expected, abs=1e-5)


def test_flat_images_resemble_nothing():
    flat = np.full((2, 40, 40, 3), 128, dtype=np.uint8)
    assert near_duplicates(flat, bits=BITS).tolist() == [0, 1]


def test_no_images_have_no_groups():
    assert near_duplicates([], bits=BITS).shape == (0,)
    assert hashes_of([]).shape == (0, 8)


def test_oblong_images_are_taken():
    assert hashes_of([lesion(0)[:60], lesion(1)[:, :50]]).shape == (2, 8)


@pytest.mark.data
def test_isic2018_has_known_pairs_and_no_giant_group(data_folder):
    folder = data_folder / "isic2018" / "ISIC2018_Task1-2_Training_Input"
    paths = sorted(folder.glob("*.jpg"))
    groups = near_duplicates((np.asarray(Image.open(path)) for path in paths), bits=BITS)
    row = {path.stem: number for number, path in enumerate(paths)}
    for first, second in [
        ("ISIC_0012290", "ISIC_0013594"),
        ("ISIC_0000519", "ISIC_0011295"),
        ("ISIC_0000201", "ISIC_0015023"),
    ]:
        assert_together(groups, [row[first], row[second]])
    sizes = np.bincount(groups)
    assert sizes.max() <= 3
    assert 25 <= (sizes > 1).sum() <= 50
