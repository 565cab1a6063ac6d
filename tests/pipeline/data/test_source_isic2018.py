"""Samples from the official folders of ISIC 2018, tasks 1 and 2."""

from collections import Counter

import pytest
from PIL import Image

from concepts.errors import DataError
from pipeline.data.sources.isic2018 import IMAGES, LESIONS, load_isic2018

HEADER = "isic_id,attribution,copyright_license,age_approx,sex,benign_malignant,diagnosis,image_type\n"


def download(root, table, names=("ISIC_1", "ISIC_2")):
    for name in names:
        for folder, file in ((IMAGES, f"{name}.jpg"), (LESIONS, f"{name}_segmentation.png")):
            (root / folder).mkdir(exist_ok=True)
            Image.new("L", (4, 3), len(name)).save(root / folder / file)
    (root / "metadata.csv").write_text(table)
    return root


def test_a_row_becomes_a_sample_with_its_mask(tmp_path):
    table = HEADER + 'ISIC_1,"ISIC 2018, tasks 1 and 2",CC-0,,male,benign,seborrheic keratosis,dermoscopic\n'
    (sample,) = load_isic2018(download(tmp_path, table))
    assert (sample.image_id, sample.diagnosis, sample.source) == ("ISIC_1", "seborrheic_keratosis", "isic2018")
    assert (sample.age, sample.sex, sample.licence) == (None, "male", "CC-0")
    assert sample.path == tmp_path / IMAGES / "ISIC_1.jpg"
    assert sample.lesion_mask == tmp_path / LESIONS / "ISIC_1_segmentation.png"
    assert len(sample.digest) == 64


def test_every_bad_row_is_listed(tmp_path):
    download(tmp_path, "isic_id,diagnosis\nISIC_1,foo\nISIC_2,nevus\nISIC_3,nevus\nISIC_4,nevus\nISIC_4,nevus\n")
    Image.new("L", (4, 3)).save(tmp_path / IMAGES / "ISIC_4.jpg")
    with pytest.raises(DataError, match="4 of 5 rows cannot be used") as caught:
        load_isic2018(tmp_path)
    assert caught.value.rows == (
        "metadata.csv row 2: unknown diagnosis 'foo'",
        "metadata.csv row 4: ISIC2018_Task1-2_Training_Input/ISIC_3.jpg is missing",
        "metadata.csv row 5: ISIC2018_Task1_Training_GroundTruth/ISIC_4_segmentation.png is missing",
        "metadata.csv row 6: ISIC2018_Task1_Training_GroundTruth/ISIC_4_segmentation.png is missing",
    )


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(DataError, match=f"no folder {IMAGES} and no {LESIONS}; point data.root"):
        load_isic2018(tmp_path)


def test_a_missing_column_is_named_with_those_there_are(tmp_path):
    with pytest.raises(DataError, match=r"metadata.csv: no column 'diagnosis'.*it has isic_id, age"):
        load_isic2018(download(tmp_path, "isic_id,age\nISIC_1,40\n"))


@pytest.mark.data
def test_the_real_download_is_read_whole(data_folder):
    samples = load_isic2018(data_folder / "isic2018")
    assert Counter(sample.diagnosis for sample in samples) == {
        "nevus": 1867,
        "melanoma": 519,
        "seborrheic_keratosis": 208,
    }
    assert Counter(sample.sex for sample in samples) == {"male": 879, "female": 822, None: 893}
    assert all(sample.lesion_mask is not None for sample in samples)
