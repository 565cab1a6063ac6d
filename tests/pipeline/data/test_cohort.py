from hashlib import sha256
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from PIL import Image

from concepts.errors import DataError, LeakError, ReleaseError, SettingsError
from concepts.example import ConceptEntry, Example, MaskFile, Origin, Polarity
from concepts.release import freeze, write_release
from pipeline.choices import Fit
from pipeline.config import parse_overrides
from pipeline.data.cohort import (
    Cohort,
    data_root,
    decoded_cache,
    duplicate_labels,
    load_samples,
    prepare_cohort,
    source_release,
)
from pipeline.data.decoded import DecodedCache
from pipeline.data.sample import Sample
from pipeline.data.splits import Part, Split
from pipeline.run.progress import Silent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cohort")


def settings(folder, *more):
    phantom = ["data.phantom.images=90", "data.phantom.size=64", "transforms.size=48", "transforms.margin=4"]
    return parse_overrides([*phantom, f"data.cache={folder}", *more])


def prepare(folder, *more):
    return prepare_cohort(settings(folder, *more), tracker=Silent())


def hand_made(folder=Path("data"), **changes):
    """Three patients: ann trains with two images, bob validates with one, carl tests with one."""
    people = {"a1": "ann", "a2": "ann", "b1": "bob", "c1": "carl"}
    diagnoses = {"a1": "nevus", "a2": "melanoma", "b1": "nevus", "c1": "nevus"}
    parts = {"a1": Part.TRAIN, "a2": Part.TRAIN, "b1": Part.VALIDATION, "c1": Part.TEST}
    digests = {name: f"{number:064x}" for number, name in enumerate(people)}
    samples = [
        Sample(
            image_id=name,
            path=folder / name,
            digest=digests[name],
            diagnosis=diagnoses[name],
            source="isic",
            patient_id=person,
        )
        for name, person in people.items()
    ]

    def example(name, concept, polarity):
        region = MaskFile(path=f"{concept}_{name}.png", digest="f" * 64) if polarity is Polarity.PRESENT else None
        return Example(
            image_id=name,
            image_digest=digests[name],
            concept=concept,
            polarity=polarity,
            region=region,
            provenance="reader",
        )

    examples = [
        example("a1", "streaks", Polarity.PRESENT),
        example("a2", "streaks", Polarity.UNMARKED),
        example("a1", "globules", Polarity.ABSENT),
        example("c1", "globules", Polarity.PRESENT),
    ]
    entries = [ConceptEntry.from_vocabulary(name, origin=Origin.JUDGED) for name in ("globules", "streaks")]
    fields = {
        "samples": tuple(samples),
        "classes": ("melanoma", "nevus"),
        "split": Split(parts, people),
        "release": freeze("hand", 1, concepts=entries, examples=examples),
        "concepts": ("streaks", "globules"),
        "root": folder,
        "cache": DecodedCache(folder, size=8, fit=Fit.SQUASH),
        "unmarked_is_absent": False,
    }
    return Cohort(**(fields | changes))


def names(samples):
    return [sample.image_id for sample in samples]


def test_a_part_keeps_the_order_of_the_samples():
    cohort = hand_made()
    assert names(cohort.part(Part.TRAIN)) == ["a1", "a2"]
    assert names(hand_made(samples=cohort.samples[::-1]).part(Part.TRAIN)) == ["a2", "a1"]
    assert (names(cohort.part(Part.VALIDATION)), names(cohort.part(Part.TEST))) == (["b1"], ["c1"])


def test_groups_labels_and_regions_are_those_of_the_samples_asked_for():
    cohort = hand_made()
    samples = [cohort.samples[3], cohort.samples[0], cohort.samples[1]]
    assert cohort.groups(samples) == ["carl", "ann", "ann"]
    np.testing.assert_array_equal(cohort.concept_labels(samples), [[np.nan, 1], [1, 0], [np.nan, np.nan]])
    absent = hand_made(unmarked_is_absent=True).concept_labels(samples)
    np.testing.assert_array_equal(absent, [[np.nan, 1], [1, 0], [0, np.nan]])
    streaks, globules = Path("data/streaks_a1.png"), Path("data/globules_c1.png")
    assert cohort.concept_regions(samples) == [[None, globules], [streaks, None], [None, None]]


def test_a_digest_changes_with_a_label_or_a_file_and_not_with_order_or_folder():
    cohort = hand_made()
    lines = [f"{sample.image_id} {sample.digest} {sample.diagnosis}" for sample in cohort.samples]
    assert cohort.digest == sha256("\n".join(sorted(lines)).encode()).hexdigest()
    assert hand_made(samples=cohort.samples[::-1]).digest == hand_made(Path("elsewhere")).digest == cohort.digest


def test_a_copy_of_a_test_image_is_refused_by_its_content():
    cohort = hand_made()
    cohort.refuse_test_images(cohort.part(Part.TRAIN))
    with pytest.raises(LeakError, match="c1"):
        cohort.refuse_test_images(cohort.part(Part.TEST))
    # The same bytes under the name of a training image: a1's examples are of c1's content.
    copies = tuple(
        Sample(image_id="c1", path=Path("c1"), digest=cohort.samples[0].digest, diagnosis="nevus", source="isic")
        if sample.image_id == "c1"
        else sample
        for sample in cohort.samples
    )
    with pytest.raises(LeakError):
        hand_made(samples=copies).refuse_test_images([cohort.samples[0]])


def test_near_duplicates_are_looked_for_only_where_a_patient_is_unknown(tmp_path):
    cohort = hand_made(tmp_path)
    assert duplicate_labels(cohort.samples, cohort.cache, bits=0) is None
    Image.new("RGB", (8, 8), "brown").save(tmp_path / "x", format="PNG")
    rows, columns = np.mgrid[:64, :64]
    Image.fromarray(((rows * columns) % 251).astype(np.uint8)).save(tmp_path / "y", format="PNG")
    unknown = [
        Sample(image_id=str(row), path=tmp_path / name, digest=f"{name}{row:063}", diagnosis="nevus", source="isic")
        for row, name in enumerate("yyx")
    ]
    labels = duplicate_labels(unknown, DecodedCache(tmp_path, size=32, fit=Fit.SQUASH), bits=4)
    assert labels[0] == labels[1] != labels[2]


def test_images_are_decoded_with_the_margin_that_crops_need(tmp_path):
    cache = decoded_cache(settings(tmp_path, "transforms.fit=pad", "data.max_pixels=5000"))
    assert (cache.size, cache.fit, cache.max_pixels) == (52, Fit.PAD, 5000)
    assert cache.folder.parent == tmp_path / "decoded"


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
    here = prepare(folder)
    copytree(folder, tmp_path, dirs_exist_ok=True)
    elsewhere = prepare(tmp_path)
    assert here.root != elsewhere.root
    assert here.digest == elsewhere.digest
    assert prepare(folder, "data.diagnoses=[nevus, melanoma]").digest != here.digest


def test_every_unreadable_image_is_listed_at_once(folder, tmp_path):
    run = settings(tmp_path)
    drawn = data_root(settings(folder).data)
    images = sorted((copytree(drawn, tmp_path / drawn.relative_to(folder)) / "images").glob("*.png"))
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
    other = settings(folder, "data.phantom.seed=7", "data.phantom.images=20")
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
