import pytest
from PIL import Image

from concepts.errors import DataError, LeakError, ReleaseError, SettingsError
from concepts.release import write_release
from pipeline.config import parse_overrides
from pipeline.data.cohort import data_root, load_samples, prepare_cohort, source_release
from pipeline.data.splits import Part
from pipeline.run.progress import Silent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cohort")


def settings(folder, *more):
    phantom = ["data.phantom.images=90", "data.phantom.size=64", "transforms.size=48", "transforms.margin=4"]
    return parse_overrides([*phantom, f"data.cache={folder}", *more])


def prepare(folder, *more):
    return prepare_cohort(settings(folder, *more), tracker=Silent())


def test_parts_hold_every_image_once_and_no_patient_twice(folder):
    cohort = prepare(folder)
    parts = {part: cohort.part(part) for part in Part}
    assert sum(len(samples) for samples in parts.values()) == len(cohort.samples) == 90
    patients = [{sample.patient_id for sample in samples} for samples in parts.values()]
    assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]
    labels = cohort.concept_labels(parts[Part.TEST])
    assert labels.shape == (len(parts[Part.TEST]), len(cohort.concepts))
    assert set(labels.ravel()) == {0.0, 1.0}


def test_nothing_is_learnt_from_test_images(folder):
    cohort = prepare(folder)
    cohort.refuse_test_images(cohort.part(Part.TRAIN))
    with pytest.raises(LeakError, match="held-out images"):
        cohort.refuse_test_images([*cohort.part(Part.TRAIN), cohort.part(Part.TEST)[0]])


def test_the_digest_is_of_images_and_labels_not_of_places(folder, tmp_path):
    here, elsewhere = prepare(folder), prepare(tmp_path)
    assert here.root != elsewhere.root
    assert here.digest == elsewhere.digest
    assert prepare(folder, "data.diagnoses=[nevus, melanoma]").digest != here.digest


def test_few_positives_are_a_finding_not_an_error(folder):
    cohort = prepare(folder)
    assert {finding.concept for finding in cohort.findings} == set(cohort.concepts)
    assert all("fewer than the 40" in finding.reason for finding in cohort.findings)


def test_every_unreadable_image_is_listed_at_once(tmp_path):
    run = settings(tmp_path)
    images = sorted((data_root(run.data) / "images").glob("*.png"))
    images[3].write_bytes(images[3].read_bytes()[:200])
    images[5].write_text("not an image")
    with pytest.raises(DataError, match="2 of 90 images cannot be read") as caught:
        prepare_cohort(run, tracker=Silent())
    assert len(caught.value.rows) == 2
    assert images[3].name in caught.value.rows[0]
    assert images[5].name in caught.value.rows[1]


def test_unknown_or_single_diagnoses_are_refused(folder):
    with pytest.raises(SettingsError, match=r"angioma.*it has melanoma, nevus"):
        prepare(folder, "data.diagnoses=[nevus, angioma]")
    with pytest.raises(DataError, match="at least two diagnoses; this cohort has nevus"):
        prepare(folder, "data.diagnoses=[nevus]")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        prepare(tmp_path, "data.source=isic2018", f"data.root={tmp_path / 'none'}")
    with pytest.raises(SettingsError, match=r"data\.source=isic needs.*data\.root=FOLDER"):
        prepare(tmp_path, "data.source=isic")


def test_a_source_without_masks_asks_for_a_release(tmp_path):
    Image.new("RGB", (80, 60), "brown").save(tmp_path / "ISIC_1.jpg")
    Image.new("RGB", (80, 60), "tan").save(tmp_path / "ISIC_2.jpg")
    (tmp_path / "metadata.csv").write_text("isic_id,diagnosis\nISIC_1,nevus\nISIC_2,melanoma\n")
    run = settings(tmp_path, "data.source=isic", f"data.root={tmp_path}")
    with pytest.raises(ReleaseError, match=r"concepts\.release=FILE"):
        source_release(run, load_samples(run))


def test_a_release_of_other_images_is_refused(folder, tmp_path):
    other = settings(folder, "data.phantom.seed=7")
    write_release(source_release(other, load_samples(other)), tmp_path / "other.json")
    with pytest.raises(ReleaseError):
        prepare(folder, f"concepts.release={tmp_path / 'other.json'}")


def test_a_concept_that_the_release_lacks_is_refused(folder):
    with pytest.raises(ReleaseError, match="has no concept 'networks'"):
        prepare(folder, "concepts.names=[globules, networks]")


def test_limit_keeps_every_diagnosis(folder):
    samples = load_samples(settings(folder, "data.limit=30"))
    assert len(samples) == 30
    assert len({sample.diagnosis for sample in samples}) == 3
