"""A file's format is told by its bytes; the suffix decides only for DICOM without a preamble."""

import pytest
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from pipeline.images.formats import DICOM_SUFFIXES, SUFFIXES, is_dicom, pillow_format


@pytest.mark.parametrize(
    ("format", "options", "kind"),
    [
        ("JPEG", {}, JpegImageFile),
        ("PNG", {}, PngImageFile),
        ("TIFF", {}, TiffImageFile),
        ("TIFF", {"big_tiff": True}, TiffImageFile),
        ("BMP", {}, BmpImageFile),
        ("GIF", {}, None),
        ("WEBP", {}, None),
    ],
)
def test_what_pillow_writes_is_told_by_its_first_bytes(tmp_path, format, options, kind):
    Image.new("RGB", (4, 4)).save(tmp_path / "image", format=format, **options)
    assert pillow_format((tmp_path / "image").read_bytes()[:8]) is kind


@pytest.mark.parametrize("head", [b"", b"M", b"\xff\xd8", b"XBM", b"\x89PNG\r\n\x1a"])
def test_anything_else_is_of_no_format(head):
    assert pillow_format(head) is None


@pytest.mark.parametrize("head", [b"MM\x00*", b"II*\x00", b"MM\x00+", b"II+\x00"])
def test_both_byte_orders_of_tiff_are_known(head):
    assert pillow_format(head) is TiffImageFile


def file(folder, name, content):
    (folder / name).write_bytes(content)
    return folder / name


def test_the_mark_after_the_preamble_makes_a_dicom_whatever_its_name(tmp_path):
    marked = bytes(128) + b"DICM" + b"\x02\x00"
    assert is_dicom(file(tmp_path, "a.jpg", marked))
    assert is_dicom(file(tmp_path, "a", marked[:132]))
    assert not is_dicom(file(tmp_path, "b", bytes(127) + b"DICM" + bytes(9)))
    assert not is_dicom(file(tmp_path, "c", bytes(129) + b"DICM"))


@pytest.mark.parametrize("suffix", [*sorted(DICOM_SUFFIXES), ".DCM"])
def test_without_the_mark_the_suffix_makes_a_dicom_unless_a_picture_begins(tmp_path, suffix):
    assert is_dicom(file(tmp_path, f"a{suffix}", b"\x08\x00\x05\x00 raw"))
    assert not is_dicom(file(tmp_path, f"b{suffix}", b"\xff\xd8\xff\xe0 a JPEG"))
    assert not is_dicom(file(tmp_path, "c.png", b"\x08\x00\x05\x00 raw"))


def test_folders_are_searched_for_every_format():
    assert {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"} | DICOM_SUFFIXES == SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)
