"""Pictures of a run are written whole and taken into pages, and nothing outside the run is."""

import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from concepts.errors import RunError
from pipeline.run.folder import RunFolder
from pipeline.run.pictures import JPEG_QUALITY, data_uri, save_picture


@pytest.fixture
def picture():
    rows, columns = np.mgrid[:40, :60]
    return np.stack([rows * 4, columns * 3, 255 - rows - columns], axis=2).astype(np.uint8)


def opened(uri):
    kind, content = uri.split(";base64,")
    return kind, Image.open(io.BytesIO(b64decode(content)))


def test_a_picture_is_written_and_read_back(tmp_path, picture):
    name = save_picture(RunFolder(tmp_path), "cases/a.jpg", picture)
    assert name == "cases/a.jpg"
    kind, image = opened(data_uri(tmp_path, name))
    assert kind == "data:image/jpeg"
    assert np.abs(np.asarray(image).astype(int) - picture).mean() < 2
    assert [file.name for file in (tmp_path / "cases").iterdir()] == ["a.jpg"]


def test_a_picture_is_replaced_and_has_the_quality_of_the_house(tmp_path, picture):
    save_picture(RunFolder(tmp_path), "a.jpg", 255 - picture)
    save_picture(RunFolder(tmp_path), "a.jpg", picture)
    expected = io.BytesIO()
    Image.fromarray(picture).save(expected, format="JPEG", quality=JPEG_QUALITY)
    assert (tmp_path / "a.jpg").read_bytes() == expected.getvalue()


def test_a_png_says_so(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.jpg", format="PNG")
    kind, image = opened(data_uri(tmp_path, "a.jpg"))
    assert kind == "data:image/png"
    assert np.array_equal(np.asarray(image), picture)


def test_a_picture_outside_the_run_is_refused(tmp_path, picture):
    save_picture(RunFolder(tmp_path), "secret.jpg", picture)
    (tmp_path / "run").mkdir()
    with pytest.raises(RunError, match="lies outside the run folder"):
        data_uri(tmp_path / "run", "../secret.jpg")
    (tmp_path / "run" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(RunError, match="lies outside the run folder"):
        data_uri(tmp_path / "run", "link.jpg")


def test_a_missing_or_other_file_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"picture 'a\.jpg' is missing"):
        data_uri(tmp_path, "a.jpg")
    (tmp_path / "a.jpg").write_text("<script>")
    with pytest.raises(RunError, match="neither JPEG nor PNG"):
        data_uri(tmp_path, "a.jpg")
