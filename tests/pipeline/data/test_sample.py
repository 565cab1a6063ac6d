"""A run's table of images, and what its files are known by."""

import csv
from dataclasses import fields
from hashlib import sha256
from pathlib import Path

import pytest

from concepts.errors import DataError
from pipeline.data.digests import file_digest, file_digests
from pipeline.data.sample import Sample, write_samples

BARE = Sample(image_id="b", path=Path("b.png"), digest="2" * 64, diagnosis="nevus", source="isic")
FULL = Sample(
    image_id="a,1",
    path=Path("images/a.jpg"),
    digest="1" * 64,
    diagnosis="melanoma",
    source="isic",
    patient_id="P1",
    lesion_id="L1",
    site="back",
    sex="female",
    age=45.0,
    skin_tone="Fitzpatrick II",
    image_type="dermoscopic",
    licence="CC-0",
    lesion_mask=Path("masks/a.png"),
)


def test_a_table_has_a_row_for_each_sample_and_leaves_the_unknown_empty(tmp_path):
    write_samples([FULL, BARE], tmp_path / "samples.csv")
    with (tmp_path / "samples.csv").open(newline="") as file:
        full, bare = csv.DictReader(file)
    names = [field.name for field in fields(Sample)]
    assert full == {name: str(getattr(FULL, name)) for name in names}
    assert bare == {name: str(getattr(BARE, name) or "") for name in names}
    assert (tmp_path / "samples.csv").read_bytes().count(b"\r") == 0


def test_a_digest_is_that_of_the_bytes_whatever_the_number_of_threads(tmp_path):
    paths = [tmp_path / str(number) for number in range(9)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 1000)
    expected = [sha256(bytes([number]) * 1000).hexdigest() for number in range(9)]
    assert file_digest(paths[3]) == expected[3]
    for threads in (0, 1, 3):
        assert file_digests(paths, threads=threads) == expected


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png: cannot be read \(No such file or directory\)"):
        file_digests([tmp_path / "gone.png"])
