import io
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image, ImageCms

from concepts.errors import ImageError
from pipeline.images.reader import DermoscopyReader, image_size, open_rgb, read_image, read_mask

ORIENTATION = 0x0112

loads_with_monai = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")


def quadrants(height=24, width=32):
    """Red, green above; blue, white below: every orientation looks different."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[: height // 2, : width // 2] = (255, 0, 0)
    image[: height // 2, width // 2 :] = (0, 255, 0)
    image[height // 2 :, : width // 2] = (0, 0, 255)
    image[height // 2 :, width // 2 :] = 255
    return image


def smooth(height=300, width=400):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 255 / height, columns * 255 / width, (rows + columns) % 200], axis=-1).astype(np.uint8)


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def undo(array, orientation):
    """The stored pixels that, read with this EXIF orientation, give ``array``."""
    return {
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.transpose(1, 0, 2),
        6: np.rot90(array, 1),
        7: np.rot90(array, 2).transpose(1, 0, 2),
        8: np.rot90(array, -1),
    }[orientation]


@pytest.mark.parametrize("suffix", ["png", "tiff", "bmp"])
def test_lossless_formats_give_back_what_was_written(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(quadrants()).save(path)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, quadrants())
    assert image_size(path) == (32, 24)


def test_jpeg_is_close_to_what_was_written(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(smooth()).save(path, quality=95, subsampling=0)
    assert np.abs(read_image(path).astype(int)[..., :2] - smooth()[..., :2]).mean() < 3


def test_format_is_told_by_content_not_by_suffix(tmp_path):
    path = tmp_path / "image.dcm"
    Image.fromarray(quadrants()).save(path, format="PNG")
    np.testing.assert_array_equal(read_image(path), quadrants())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff"])
def test_orientation_is_applied(tmp_path, suffix, orientation):
    path = tmp_path / f"image.{suffix}"
    upright = quadrants(64, 96)
    stored = Image.fromarray(np.ascontiguousarray(undo(upright, orientation)))
    options = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    stored.save(path, exif=exif(orientation), **options)
    assert np.abs(read_image(path).astype(int) - upright).max() <= (4 if suffix == "jpg" else 0)
    assert image_size(path) == (96, 64)


@pytest.mark.parametrize("orientation", [1, 6])
def test_draft_never_goes_below_what_is_needed(tmp_path, orientation):
    path = tmp_path / "image.jpg"
    Image.fromarray(np.ascontiguousarray(undo(smooth(600, 800), orientation))).save(path, exif=exif(orientation))
    for needed, expected in [
        ((800, 600), (800, 600)),
        ((101, 301), (800, 600)),
        ((201, 100), (400, 300)),
        ((100, 76), (200, 150)),
    ]:
        assert open_rgb(path, at_least=needed).size == expected


def test_reduced_scale_looks_like_the_full_one(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(smooth(1200, 1600)).save(path, quality=95)
    reduced = read_image(path, longest_side=200)
    full = np.asarray(Image.fromarray(read_image(path)).resize((200, 150), Image.Resampling.BICUBIC))
    assert reduced.shape == (150, 200, 3)
    assert np.abs(reduced.astype(int) - full).mean() < 1


def test_small_images_are_not_enlarged(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(quadrants()).save(path)
    np.testing.assert_array_equal(read_image(path, longest_side=500), quadrants())


def test_palette_becomes_its_colours(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(quadrants()).quantize(4).save(path)
    np.testing.assert_array_equal(read_image(path), quadrants())


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_becomes_equal_channels(tmp_path, mode):
    path = tmp_path / "image.png"
    grey = Image.fromarray(quadrants()).convert("L").point(lambda value: 255 * (value > 100)).convert(mode)
    grey.save(path)
    image = read_image(path)
    np.testing.assert_array_equal(image[..., 0], np.asarray(grey.convert("L")))
    assert (image == image[..., :1]).all()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_scaled_by_their_full_range(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    values = np.array([[0, 257, 128 * 257], [40000, 65278, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(path)
    np.testing.assert_array_equal(read_image(path)[..., 1], np.rint(values / 257).astype(np.uint8))


def test_white_is_zero_in_sixteen_bits(tmp_path):
    path = tmp_path / "image.tiff"
    Image.fromarray(np.array([[0, 65535]], dtype=np.uint16)).save(path, tiffinfo={262: 0})
    with Image.open(path) as image:
        assert image.tag_v2[262] == 0
    assert read_image(path)[..., 0].tolist() == [[255, 0]]


def test_floating_point_is_refused(tmp_path):
    path = tmp_path / "image.tiff"
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(path)
    with pytest.raises(ImageError, match=r"image\.tiff.*8 or 16 bits"):
        read_image(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(tmp_path, mode):
    path = tmp_path / "image.png"
    image = Image.new(mode, (2, 1), (0,) * len(mode))
    image.putpixel((1, 0), (0,) * (len(mode) - 1) + (255,))
    image.save(path)
    assert read_image(path).tolist() == [[[255] * 3, [0] * 3]]


def test_transparent_palette_entry_is_white(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P").save(path, transparency=0)
    assert read_image(path)[0, 0].tolist() == [255] * 3


@pytest.mark.parametrize("suffix", ["jpg", "tiff"])
def test_inks_become_colours(tmp_path, suffix):
    """Pillow writes CMYK JPEGs the way Adobe does: inverted."""
    path = tmp_path / f"image.{suffix}"
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(path)
    assert np.abs(read_image(path)[8, 8].astype(int) - (255, 0, 0)).max() < 8


def swapped_profile():
    """A profile whose red and blue primaries are those of sRGB, exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    entries = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    profile[red + 4 : red + 12], profile[blue + 4 : blue + 12] = (
        profile[blue + 4 : blue + 12],
        profile[red + 4 : red + 12],
    )
    where, length = struct.unpack(">II", profile[entries[b"desc"] + 4 : entries[b"desc"] + 12])
    text = bytes(profile[where : where + length])
    profile[where : where + length] = text.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    return bytes(profile)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_profile_is_converted_to_srgb(tmp_path, mode):
    path = tmp_path / "image.png"
    Image.new("RGB", (4, 4), (255, 0, 0)).convert(mode).save(path, icc_profile=swapped_profile())
    assert np.abs(read_image(path)[0, 0].astype(int) - (0, 0, 255)).max() <= 3


@pytest.mark.parametrize("profile", [b"nonsense", swapped_profile()[:300], bytes(600)])
def test_unusable_profile_is_left_out_of_account(tmp_path, profile):
    path = tmp_path / "image.png"
    Image.fromarray(quadrants()).save(path, icc_profile=profile)
    np.testing.assert_array_equal(read_image(path), quadrants())


def test_profile_of_another_colour_space_is_left_out_of_account(tmp_path):
    path = tmp_path / "image.png"
    Image.new("L", (4, 4), 100).save(path, icc_profile=swapped_profile())
    assert read_image(path)[0, 0].tolist() == [100] * 3


def test_profile_that_is_srgb_changes_nothing(tmp_path):
    path = tmp_path / "image.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(smooth(40, 50)).save(path, icc_profile=profile)
    np.testing.assert_array_equal(read_image(path), smooth(40, 50))


def test_corrupt_exif_counts_as_upright(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(quadrants()).save(path, exif=b"Exif\x00\x00not a TIFF header at all")
    np.testing.assert_array_equal(read_image(path), quadrants())


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "bmp"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_files_are_refused(tmp_path, suffix, share):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(smooth()).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ImageError, match=rf"image\.{suffix}: (truncated|cannot be decoded)"):
        read_image(path)
    with pytest.raises(ImageError):
        read_image(path, longest_side=40)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"GIF89a....", b"BM", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\x00"]
)
def test_what_is_no_image_is_refused(tmp_path, content):
    path = tmp_path / "lesion.jpg"
    path.write_bytes(content)
    for read in (read_image, read_mask, image_size):
        with pytest.raises(ImageError, match=r"lesion\.jpg") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match="directory"):
        read_image(tmp_path)


def test_several_pages_are_refused(tmp_path):
    page = Image.fromarray(quadrants())
    for path, rest in [(tmp_path / "pages.tiff", [page]), (tmp_path / "film.png", [Image.new("RGB", page.size)])]:
        page.save(path, save_all=True, append_images=rest)
        with pytest.raises(ImageError, match="2 pages"):
            read_image(path)


def test_preview_in_a_jpeg_does_not_count(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(quadrants()).save(path, format="MPO", save_all=True, append_images=[Image.new("RGB", (8, 6))])
    assert read_image(path).shape == (24, 32, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "bmp"])
def test_limit_is_checked_before_decoding(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(smooth()).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 50] if suffix != "tiff" else data)  # decoding it would say "truncated"
    with pytest.raises(ImageError, match=r"400 x 300 = 120,000 pixels, more than the limit of 119,999"):
        read_image(path, max_pixels=119_999)
    with pytest.raises(ImageError, match="limit"):
        read_mask(path, max_pixels=119_999)


def test_pillows_own_limit_plays_no_part(tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    Image.fromarray(quadrants()).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    np.testing.assert_array_equal(read_image(path), quadrants())


@pytest.mark.parametrize("inside", [1, 255])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P", "RGBA", "I;16"])
def test_mask_is_what_is_not_zero(tmp_path, mode, inside):
    path = tmp_path / "mask.png"
    expected = np.zeros((6, 8), dtype=bool)
    expected[1:3, 2:5] = True
    grey = expected.astype(np.uint16 if mode == "I;16" else np.uint8) * np.uint8(inside)
    image = Image.fromarray(255 * grey if mode == "1" and inside == 1 else grey)
    image.convert(mode).save(path)
    mask = read_mask(path)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, expected)


def test_painted_and_transparent_masks(tmp_path):
    path = tmp_path / "mask.png"
    image = Image.new("RGBA", (3, 1))
    image.putpixel((0, 0), (0, 0, 1, 255))
    image.putpixel((1, 0), (255, 255, 255, 0))
    image.save(path)
    assert read_mask(path).tolist() == [[True, False, False]]


def test_jpeg_mask_is_cut_at_half(tmp_path):
    path = tmp_path / "mask.jpg"
    expected = np.zeros((64, 64), dtype=bool)
    expected[16:48, 16:48] = True
    Image.fromarray(expected.astype(np.uint8) * np.uint8(255)).save(path, quality=60)
    np.testing.assert_array_equal(read_mask(path), expected)


def test_mask_orientation_is_applied(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[255, 0, 0]], dtype=np.uint8)).save(path, exif=exif(6))
    assert read_mask(path).tolist() == [[True], [False], [False]]


@loads_with_monai
def test_monai_gets_rows_as_rows(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(quadrants()).save(path)
    load = Compose([LoadImaged("image", reader=DermoscopyReader()), EnsureChannelFirstd("image")])
    image = load({"image": str(path)})["image"]
    np.testing.assert_array_equal(np.asarray(image), quadrants().transpose(2, 0, 1))


@loads_with_monai
def test_monai_gets_several_files_as_channels(tmp_path):
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    Image.fromarray(quadrants()).save(paths[0])
    Image.fromarray(255 - quadrants()).save(paths[1])
    load = Compose([LoadImaged("image", reader=DermoscopyReader()), EnsureChannelFirstd("image")])
    image = np.asarray(load({"image": paths})["image"])
    np.testing.assert_array_equal(image[:3] + image[3:], np.full((3, 24, 32), 255))
    Image.new("RGB", (5, 5)).save(paths[1])
    with pytest.raises(ImageError, match=r"two\.png.*5 x 5.*32 x 24"):
        LoadImaged("image", reader=DermoscopyReader())({"image": paths})


@loads_with_monai
def test_monai_does_not_try_another_reader_on_a_refused_file(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(quadrants()).save(path)
    with pytest.raises(ImageError, match="limit of 100"):
        LoadImaged("image", reader=DermoscopyReader(max_pixels=100))({"image": str(path)})


def encoded(suffix):
    stream = io.BytesIO()
    Image.fromarray(smooth(24, 32)).save(stream, format=suffix)
    return bytearray(stream.getvalue())


def outcome(path):
    try:
        return read_image(path, max_pixels=10_000)
    except ImageError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from(["JPEG", "PNG", "TIFF", "BMP"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
)
def test_damaged_bytes_give_an_image_or_an_image_error(tmp_path, suffix, changes):
    data = encoded(suffix)
    for position, value in changes:
        data[int(position**3 * (len(data) - 1))] = value  # mostly in the header
    path = tmp_path / "image"
    path.write_bytes(data)
    result = outcome(path)
    if isinstance(result, str):
        assert str(path) in result
        assert "\n" not in result
    else:
        assert result.ndim == 3
        assert result.dtype == np.uint8
