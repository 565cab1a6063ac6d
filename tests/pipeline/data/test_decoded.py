import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from concepts.errors import ImageError
from pipeline.choices import Fit
from pipeline.data import decoded
from pipeline.data.decoded import DecodedCache, decode_square, fit_square, mask_square
from pipeline.data.sample import Sample
from pipeline.images.reader import read_mask

SIZE = 64


def sample_of(path, image_id="case"):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Sample(image_id=image_id, path=path, digest=digest, diagnosis="nevus", source="test")


def planted(height, width, *, box):
    """A dark image with a white rectangle at (top, bottom, left, right), and the mask of the rectangle."""
    mask = np.zeros((height, width), dtype=bool)
    mask[box[0] : box[1], box[2] : box[3]] = True
    return np.repeat(mask[..., None] * np.uint8(255), 3, axis=2), mask


def centre(plane):
    """Centre of mass, in pixels."""
    rows, columns = np.mgrid[: plane.shape[0], : plane.shape[1]]
    return np.array([(rows * plane).sum(), (columns * plane).sum()]) / plane.sum()


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "lesion.png"
    rows, columns = np.mgrid[:90, :120]
    Image.fromarray(np.stack([rows * 2, columns * 2, rows + columns], axis=-1).astype(np.uint8)).save(path)
    return sample_of(path)


@pytest.fixture
def cache(tmp_path):
    return DecodedCache(tmp_path / "cache", size=SIZE, fit=Fit.SQUASH)


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize("shape", [(90, 120), (120, 90), (64, 64), (31, 7)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_every_shape_becomes_the_square(tmp_path, fit, shape, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.new("RGB", shape, (200, 100, 50)).save(path)
    image = decode_square(path, size=SIZE, fit=fit)
    assert image.shape == (SIZE, SIZE, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - (200, 100, 50)).max() <= 3


@pytest.mark.parametrize("fit", Fit)
def test_mask_coincides_with_its_image(tmp_path, fit):
    path = tmp_path / "image.png"
    pixels, mask = planted(120, 200, box=(40, 80, 70, 150))
    Image.fromarray(pixels).save(path)
    image = decode_square(path, size=4 * SIZE, fit=fit)[..., 0].reshape(SIZE, 4, SIZE, 4).mean(axis=(1, 3))
    plane = mask_square(mask, size=SIZE, fit=fit)
    assert plane.max() == 255
    np.testing.assert_allclose(centre(image), centre(plane), atol=0.1)
    assert image.sum() == pytest.approx(plane.sum(dtype=float), rel=0.02)


def test_crop_and_pad_keep_the_aspect():
    _, mask = planted(100, 200, box=(40, 60, 90, 110))
    for fit, side in [(Fit.CROP, 0.2), (Fit.PAD, 0.1), (Fit.SQUASH, None)]:
        inside = mask_square(mask, size=200, fit=fit) > 127
        height, width = inside.any(axis=1).sum(), inside.any(axis=0).sum()
        assert (height, width) == ((40, 20) if side is None else (200 * side, 200 * side))


def test_pad_repeats_the_border_of_images_and_zeros_masks():
    image = np.full((2, 4, 3), 7, dtype=np.uint8)
    assert (fit_square(image, Fit.PAD) == 7).all()
    mask = np.ones((2, 5), dtype=np.uint8)
    assert fit_square(mask, Fit.PAD).sum(axis=1).tolist() == [0, 5, 5, 0, 0]


def test_reduced_decoding_changes_little(tmp_path):
    path = tmp_path / "image.jpg"
    rows, columns = np.mgrid[:1200, :1600]
    wave = 127 + 100 * np.sin(rows / 40) * np.cos(columns / 60)
    Image.fromarray(np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)).save(path, quality=95)
    for fit in Fit:
        fast = decode_square(path, size=SIZE, fit=fit)
        with Image.open(path) as full:
            square = Image.fromarray(fit_square(np.asarray(full), fit))
        slow = np.asarray(square.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
        assert np.abs(fast.astype(int) - slow).mean() < 1


def test_second_look_does_not_decode(cache, sample):
    first = cache.get(sample)
    sample.path.unlink()
    np.testing.assert_array_equal(cache.get(sample), first)


def test_entries_depend_on_size_and_fit(tmp_path, sample):
    folders = {DecodedCache(tmp_path, size=size, fit=fit).folder for size in (32, 64) for fit in Fit}
    assert len(folders) == 6
    assert DecodedCache(tmp_path, size=32, fit=Fit.PAD).get(sample).shape == (32, 32, 3)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:100], lambda data: b"", lambda data: b"\x80\x04junk", lambda data: data[:-1]]
)
def test_damaged_entries_are_rebuilt(cache, sample, damage):
    first = cache.get(sample)
    entry = next(cache.folder.rglob("*.npy"))
    entry.write_bytes(damage(entry.read_bytes()))
    np.testing.assert_array_equal(cache.get(sample), first)
    np.testing.assert_array_equal(np.load(entry, allow_pickle=False), first)


def test_entry_of_another_shape_is_rebuilt(cache, sample):
    first = cache.get(sample)
    np.save(next(cache.folder.rglob("*.npy")), np.zeros((3, 3), dtype=np.uint8))
    np.testing.assert_array_equal(cache.get(sample), first)


def test_nothing_is_left_when_a_write_fails(cache, sample, monkeypatch):
    def full_disk(*_args, **_options):
        raise OSError("no space left on device")

    monkeypatch.setattr(decoded.np, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        cache.get(sample)
    assert [path for path in cache.folder.rglob("*") if path.is_file()] == []


def test_many_threads_fill_one_folder(cache, sample):
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda _: cache.get(sample), range(32)))
    assert all((image == images[0]).all() for image in images)
    assert [path.suffix for path in cache.folder.rglob("*") if path.is_file()] == [".npy"]


def test_fill_finds_every_bad_row(cache, tmp_path, sample):
    good = sample.path.read_bytes()
    samples = [sample]
    for name, content in [("cut", good[: len(good) // 2]), ("text", b"hello"), ("fine", good + b"\0")]:
        path = tmp_path / f"{name}.png"
        path.write_bytes(content)
        samples.append(sample_of(path, name))
    calls = []
    bad = cache.fill(samples, workers=2, progress=calls.append)
    assert [(row.row, row.sample.image_id) for row in bad] == [(1, "cut"), (2, "text")]
    assert "cut.png: truncated" in bad[0].reason
    assert "text.png: not an image" in bad[1].reason
    assert calls == [1, 1, 1, 1]
    assert len(list(cache.folder.rglob("*.npy"))) == 2


def test_interrupted_fill_stops_soon(cache, tmp_path):
    samples = []
    for row in range(200):
        path = tmp_path / f"{row}.bmp"
        Image.new("RGB", (40, 40), (row, 0, 0)).save(path)
        samples.append(sample_of(path))

    def interrupt(_count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.fill(samples, workers=1, progress=interrupt)
    assert len(list(cache.folder.rglob("*.npy"))) < 150


def test_masks_are_coverage_at_a_quarter_of_the_side(cache, tmp_path, sample):
    path = tmp_path / "mask.png"
    _, mask = planted(90, 120, box=(0, 45, 0, 120))
    Image.fromarray(mask).save(path)
    planes = cache.get_masks(sample, [path, None])
    assert planes.shape == (2, SIZE // 4, SIZE // 4)
    assert (planes[0, :8] == 255).all()
    assert (planes[0, 8:] == 0).all()
    assert not planes[1].any()
    assert planes[0].mean() / 255 == pytest.approx(read_mask(path).mean(), abs=0.01)


def test_masks_are_cached_until_a_file_changes(cache, tmp_path, sample):
    path = tmp_path / "mask.png"
    Image.new("1", (120, 90), 1).save(path)
    assert cache.get_masks(sample, [path]).min() == 255
    Image.new("1", (120, 90), 0).save(path)
    os.utime(path, ns=(0, 0))
    assert cache.get_masks(sample, [path]).max() == 0


def test_mask_of_other_proportions_is_refused(cache, tmp_path, sample):
    path = tmp_path / "mask.png"
    Image.new("1", (60, 45)).save(path)
    cache.get_masks(sample, [path])
    Image.new("1", (90, 120)).save(path)
    with pytest.raises(ImageError, match=r"mask\.png: mask of 90 x 120 for an image of 120 x 90"):
        cache.get_masks(sample, [path])


def test_limit_is_kept(tmp_path, sample):
    cache = DecodedCache(tmp_path / "cache", size=SIZE, fit=Fit.CROP, max_pixels=1000)
    with pytest.raises(ImageError, match="limit of 1,000"):
        cache.get(sample)


@pytest.mark.data
def test_real_images_at_native_resolution(tmp_path, data_folder):
    folder = data_folder / "isic_uda1_native"
    samples = [sample_of(path, path.stem) for path in sorted(folder.glob("*.jpg"))]
    cache = DecodedCache(tmp_path, size=240, fit=Fit.SQUASH)
    assert len(samples) == 28
    assert cache.fill(samples) == []
    for sample in samples[::7]:
        with Image.open(sample.path) as full:
            slow = np.asarray(full.convert("RGB").resize((240, 240), Image.Resampling.BICUBIC))
        assert np.abs(cache.get(sample).astype(int) - slow).mean() < 1
