"""A folder of images becomes records, or none of it does."""

import pytest
from PIL import Image

from concepts.curation.image_folder import scan_images
from concepts.errors import DataError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "b" / "two.png")
    turned = Image.new("RGB", (30, 20)).getexif()
    turned[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=turned)
    (tmp_path / "metadata.csv").write_text("isic_id,age_approx,sex,diagnosis\na,45,female,nevus\n", encoding="utf-8")
    return tmp_path


def test_images_have_size_as_seen_digest_and_what_the_table_says(folder):
    first, second = scan_images(folder, source="clinic")
    assert (first.id, first.path, first.width, first.height) == ("a", "a.jpg", 20, 30)
    assert (first.age, first.sex, first.diagnosis, first.source) == (45, "female", "nevus", "clinic")
    assert (second.id, second.path, second.age, len(second.digest)) == ("two", "b/two.png", None, 64)


def test_a_part_of_the_folder(folder):
    assert [image.path for image in scan_images(folder, inside="b")] == ["b/two.png"]


@pytest.mark.parametrize("inside", ["..", "/etc", "nowhere"])
def test_nothing_outside_the_folder(folder, inside):
    with pytest.raises(DataError, match="inside the image folder"):
        scan_images(folder, inside=inside)


def test_what_cannot_be_read_is_named(folder):
    (folder / "broken.png").write_bytes(b"no")
    Image.new("L", (3, 3)).save(folder / "two.png")
    with pytest.raises(DataError) as error:
        scan_images(folder)
    assert len(error.value.rows) == 2
    assert "two.png" in " ".join(error.value.rows)


def test_an_empty_folder_says_so(tmp_path):
    with pytest.raises(DataError, match="holds no image"):
        scan_images(tmp_path)
