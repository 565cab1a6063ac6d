"""Samples from ISIC archive downloads of every age, and HAM10000: what is read, and what is refused with its row."""

import hashlib
import json

import pytest
from PIL import Image

from concepts.errors import DataError
from pipeline.data.digests import file_digest, file_digests
from pipeline.data.sources.isic import load_isic

OLD = "isic_id,diagnosis,age_approx,sex,anatom_site_general,image_type,copyright_license,patient_id,lesion_id\n"


def add_images(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (4, 3), (number, 0, 0)).save(folder / name)


def download(root, table, *names):
    """A folder with a table and images of these names."""
    add_images(root, *names)
    (root / "metadata.csv").write_text(table, encoding="utf-8")
    return root


def refusal(root, **options):
    with pytest.raises(DataError) as caught:
        load_isic(root, **options)
    assert "\n" not in str(caught.value)
    assert str(root) in str(caught.value)
    return caught.value


def test_older_columns_are_read(tmp_path):
    table = OLD + "ISIC_1,melanoma,55,male,lower extremity,dermoscopic,CC-0,IP_7,IL_9\n"
    (sample,) = load_isic(download(tmp_path, table, "ISIC_1.png"))
    assert (sample.image_id, sample.diagnosis, sample.source) == ("ISIC_1", "melanoma", "isic")
    assert (sample.age, sample.sex, sample.site) == (55, "male", "lower extremity")
    assert (sample.image_type, sample.licence) == ("dermoscopic", "CC-0")
    assert (sample.patient_id, sample.lesion_id) == ("IP_7", "IL_9")
    assert sample.path == tmp_path / "ISIC_1.png"
    assert sample.digest == hashlib.sha256(sample.path.read_bytes()).hexdigest()
    assert sample.lesion_mask is None


def test_newer_columns_give_the_narrowest_known_diagnosis_and_site(tmp_path):
    table = (
        "isic_id,diagnosis_1,diagnosis_2,diagnosis_3,diagnosis_4,diagnosis_5,anatom_site_1,anatom_site_2,sex\n"
        "a,Benign,Benign melanocytic proliferations,Nevus,,,Trunk,Anterior trunk,female\n"
        'b,Malignant,Malignant melanocytic proliferations (Melanoma),Melanoma in situ,"Melanoma, new subtype",,,,\n'
        "c,Benign,Benign epidermal proliferations,Seborrheic keratosis,,,,,\n"
    )
    nevus, melanoma, keratosis = load_isic(download(tmp_path, table, "a.jpg", "b.jpg", "c.jpg"))
    assert [nevus.diagnosis, melanoma.diagnosis, keratosis.diagnosis] == ["nevus", "melanoma", "seborrheic_keratosis"]
    assert (nevus.site, melanoma.site) == ("Anterior trunk", None)
    assert (nevus.sex, melanoma.sex) == ("female", None)


def test_ham10000_is_read_as_it_comes(tmp_path):
    add_images(tmp_path / "HAM10000_images_part_1", "ISIC_1.jpg")
    add_images(tmp_path / "HAM10000_images_part_2", "ISIC_2.jpg")
    (tmp_path / "HAM10000_metadata.csv").write_text(
        "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
        "HAM_1,ISIC_1,bkl,histo,80.0,male,scalp\n"
        "HAM_1,ISIC_2,bkl,histo,,unknown,unknown\n"
    )
    first, second = load_isic(tmp_path)
    assert first.diagnosis == second.diagnosis == "benign_keratosis"
    assert first.lesion_id == second.lesion_id == "HAM_1"
    assert (first.age, first.sex, first.site) == (80, "male", "scalp")
    assert (second.age, second.sex, second.site) == (None, None, None)


def test_json_side_files_serve_where_there_is_no_table(tmp_path):
    add_images(tmp_path, "ISIC_1.jpg")
    clinical = {"diagnosis": "nevus", "age_approx": 40, "sex": "female", "diagnosis_confirm_type": None}
    content = {
        "_id": "5436",
        "name": "ISIC_1",
        "dataset": {"name": "UDA-1"},
        "meta": {"clinical": clinical, "acquisition": {"image_type": "dermoscopic", "pixelsX": 4}},
    }
    (tmp_path / "ISIC_1.json").write_text(json.dumps(content))
    (sample,) = load_isic(tmp_path)
    assert (sample.image_id, sample.diagnosis, sample.age, sample.sex) == ("ISIC_1", "nevus", 40, "female")
    assert sample.image_type == "dermoscopic"


@pytest.mark.parametrize("name", ["a.JPG", "a.jpeg", "a.png", "a.tif", "a.bmp"])
def test_images_are_found_in_subfolders_by_any_suffix(tmp_path, name):
    download(tmp_path, "image,diagnosis\na.jpg,nevus\n")
    add_images(tmp_path / "part" / "one", name)
    (sample,) = load_isic(tmp_path)
    assert (sample.image_id, sample.path.name) == ("a", name)


def test_hidden_files_and_images_without_a_row_are_no_samples(tmp_path):
    download(tmp_path, "\ufeffisic_id , Diagnosis\na,nevus\n\n", "a.png", "b.png", "._a.png")
    assert [sample.image_id for sample in load_isic(tmp_path)] == ["a"]


def test_all_bad_rows_are_reported_at_once(tmp_path):
    table = (
        "isic_id,diagnosis,age_approx,sex\n"
        "a,nevus,50,female\n"
        "a,nevus,50,female\n"
        '"b",foo,50,female\n'
        'b,"nevus\n",130,female\n'
        "b,nevus,old,female\n"
        "b,nevus,50,girl\n"
        "c,nevus,50,female\n"
        "d,,50,female\n"
        ",nevus,50,female\n"
        "../e,nevus,50,female\n"
    )
    error = refusal(download(tmp_path, table, "a.png", "b.png", "d.png", "e.png"))
    assert (
        "9 of 10 rows cannot be used: metadata.csv row 3: image 'a' is listed again (first in metadata.csv row 2)"
        in str(error)
    )
    assert "and 6 more; correct or remove" in str(error)
    assert error.rows == (
        "metadata.csv row 3: image 'a' is listed again (first in metadata.csv row 2)",
        "metadata.csv row 4: unknown diagnosis 'foo'",
        "metadata.csv row 5: age '130'; expected 0 to 120 years or nothing",
        "metadata.csv row 7: age 'old'; expected 0 to 120 years or nothing",
        "metadata.csv row 8: sex 'girl'; expected female, male or nothing",
        "metadata.csv row 9: no image file called 'c'",
        "metadata.csv row 10: no diagnosis",
        "metadata.csv row 11: names no image; expected a value in one of isic_id, image_id, image, image_name, name",
        "metadata.csv row 12: image '../e' is a path; expected the name of a file without its folder",
    )


def test_two_files_of_one_name_are_refused(tmp_path):
    add_images(tmp_path / "part", "a.jpg")
    error = refusal(download(tmp_path, "isic_id,diagnosis\na,nevus\n", "a.png"))
    assert "2 files called 'a': a.png, part/a.jpg" in str(error)


def test_unknown_levels_are_shown_as_a_path(tmp_path):
    table = "isic_id,diagnosis_1,diagnosis_2,diagnosis_3\na,Benign,Foo,Bar\nb,Benign,,\n"
    error = refusal(download(tmp_path, table, "a.png", "b.png"))
    assert error.rows == (
        "metadata.csv row 2: unknown diagnosis 'Foo > Bar'",
        "metadata.csv row 3: no diagnosis beyond 'Benign'",
    )


def test_a_misspelt_diagnosis_is_never_left_out(tmp_path):
    download(tmp_path, "isic_id,diagnosis\na,nevuss\n", "a.png")
    assert "unknown diagnosis 'nevuss'" in str(refusal(tmp_path))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "isic_id,dignosis\na,nevus\n",
            "no column 'diagnosis' (or dx, diagnosis_2, diagnosis_3, diagnosis_4, diagnosis_5)",
        ),
        ("isic_id,dignosis\na,nevus\n", "; it has isic_id, dignosis; "),
        ("file,diagnosis\na,nevus\n", "no column 'isic_id' (or image_id, image, image_name, name)"),
        ("", "it has no columns"),
        ("isic_id,diagnosis\n", "no rows below the header"),
        ("isic_id,diagnosis\na,nevus,b\n", "metadata.csv row 2: 3 values for 2 columns"),
        ('isic_id,diagnosis\na,"nevus\n', "not CSV"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, table, message):
    error = refusal(download(tmp_path, table, "a.png"))
    assert message in str(error)
    assert "metadata.csv" in str(error)


def test_a_table_in_another_encoding_is_refused(tmp_path):
    download(tmp_path, "")
    (tmp_path / "metadata.csv").write_bytes("isic_id,diagnosis\na,nævus\n".encode("latin-1"))
    assert "not text in UTF-8" in str(refusal(tmp_path))


@pytest.mark.parametrize(("text", "message"), [("{", "not JSON"), ("[1]", "found list"), ("{}", "names no image")])
def test_a_bad_side_file_is_refused(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    error = refusal(tmp_path)
    assert message in str(error)
    assert "a.json" in str(error)


def test_a_missing_folder_and_a_folder_without_metadata_are_refused(tmp_path):
    assert "no such folder" in str(refusal(tmp_path / "nowhere"))
    assert "no metadata.csv" in str(refusal(tmp_path))


def test_digests_are_those_of_the_bytes_in_order(tmp_path):
    paths = [tmp_path / str(number) for number in range(20)]
    for path in paths:
        path.write_bytes(path.name.encode())
    assert file_digests(paths, threads=3) == [hashlib.sha256(path.name.encode()).hexdigest() for path in paths]
    with pytest.raises(DataError, match="missing: cannot be read"):
        file_digest(tmp_path / "missing")


@pytest.mark.data
def test_native_files_with_side_files_are_read(data_folder):
    samples = load_isic(data_folder / "isic_uda1_native")
    assert len(samples) == 28
    assert {sample.diagnosis for sample in samples} == {"nevus", "melanoma"}
    assert len({sample.digest for sample in samples}) == 28
