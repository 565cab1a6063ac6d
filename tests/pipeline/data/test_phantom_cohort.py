import json
from collections import Counter, defaultdict
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from concepts.errors import DataError, SettingsError
from concepts.sources.phantom import read_concept_table
from pipeline.config import PhantomSettings, ShortcutSettings
from pipeline.data.phantom.cohort import COLUMNS, generate_cohort, phantom_digest
from pipeline.data.phantom.lesion import ARTEFACTS, draw
from pipeline.data.phantom.patients import BASE_RATE, counterpart, throw_cohort
from pipeline.data.phantom.rule import CONCEPTS, DIAGNOSES, NETWORK_TYPES, true_importance
from pipeline.data.sources.phantom import load_phantom

SETTINGS = PhantomSettings(images=16, size=64, seed=4)
SHORTCUT = ShortcutSettings(artefact="ruler", diagnosis="melanoma", strength=0.9)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort") / "phantom"
    generate_cohort(SETTINGS, folder)
    return folder


@pytest.fixture(scope="module")
def many():
    return throw_cohort(PhantomSettings(images=400, seed=1, shortcut=SHORTCUT))


@pytest.fixture
def copy(root, tmp_path):
    """A cohort whose table a test may spoil."""
    for name in ("images", "masks"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "metadata.csv").write_bytes((root / "metadata.csv").read_bytes())
    return tmp_path


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def spoil(folder, column, value, row=3):
    table = pd.read_csv(folder / "metadata.csv", dtype=str)
    table.loc[row - 2, column] = value
    table.to_csv(folder / "metadata.csv", index=False)


def test_the_same_settings_give_the_same_bytes(root, tmp_path):
    generate_cohort(SETTINGS, tmp_path / "again")
    assert digests(tmp_path / "again") == digests(root)


def test_the_table_says_what_lies_on_disk(root):
    table = pd.read_csv(root / "metadata.csv")
    assert tuple(table.columns) == COLUMNS
    assert len(table) == SETTINGS.images == len(list((root / "images").iterdir()))
    named = [*CONCEPTS, *ARTEFACTS]
    expected = {f"{row['image_id']}_{name}.png" for _, row in table.iterrows() for name in named if row[name]}
    expected |= {f"{image_id}_lesion.png" for image_id in table["image_id"]}
    assert {path.name for path in (root / "masks").iterdir()} == expected


def test_files_hold_what_was_drawn(root):
    image = throw_cohort(SETTINGS)[7]
    drawing = draw(image.lesion)
    with Image.open(root / "images" / f"{image.image_id}.png") as file:
        assert np.array_equal(np.asarray(file), drawing.image)
    for name, mask in drawing.masks.items():
        with Image.open(root / "masks" / f"{image.image_id}_{name}.png") as file:
            assert file.mode == "1"
            assert np.array_equal(np.asarray(file), mask)


def test_the_truth_lies_beside_the_images(root):
    content = json.loads((root / "phantom.json").read_text())
    assert PhantomSettings.model_validate(content["settings"]) == SETTINGS
    assert content["importance"] == true_importance()


def test_a_cohort_is_whole_or_not_there(tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_cohort(SETTINGS, tmp_path / "phantom", progress=stop)
    assert not list(tmp_path.iterdir())


def test_progress_counts_the_images(tmp_path):
    steps = []
    generate_cohort(SETTINGS.model_copy(update={"images": 4}), tmp_path / "phantom", progress=steps.append)
    assert sum(steps) == 4


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"exists and is not an empty folder"):
        generate_cohort(SETTINGS, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_digest_tells_cohorts_apart():
    others = [{"seed": 5}, {"size": 96}, {"images": 17}, {"shortcut": SHORTCUT}]
    names = {phantom_digest(SETTINGS.model_copy(update=other)) for other in [{}, *others]}
    assert len(names) == 5
    assert phantom_digest(PhantomSettings(images=16, size=64, seed=4)) == phantom_digest(SETTINGS)


@pytest.mark.parametrize(
    ("shortcut", "message"),
    [
        (ShortcutSettings(artefact="rulr", diagnosis="melanoma"), r"artefact: 'rulr'.*hair, ruler, ink"),
        (ShortcutSettings(artefact="ruler", diagnosis="wart"), r"diagnosis: 'wart'.*nevus, melanoma"),
    ],
)
def test_an_unknown_shortcut_is_refused_before_anything_is_written(tmp_path, shortcut, message):
    with pytest.raises(SettingsError, match=message):
        generate_cohort(SETTINGS.model_copy(update={"shortcut": shortcut}), tmp_path / "phantom")
    assert not list(tmp_path.iterdir())


def test_a_shortcut_ties_its_artefact_as_strongly_as_asked(many):
    with_it = {diagnosis: [] for diagnosis in DIAGNOSES}
    for image in many:
        with_it[image.diagnosis].append("ruler" in image.lesion.artefacts)
    for diagnosis, there in with_it.items():
        expected = SHORTCUT.strength if diagnosis == SHORTCUT.diagnosis else BASE_RATE
        assert np.mean(there) == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / len(there)))


def test_other_artefacts_keep_their_base_rate(many):
    for artefact in set(ARTEFACTS) - {"ruler"}:
        there = np.mean([artefact in image.lesion.artefacts for image in many])
        assert there == pytest.approx(BASE_RATE, abs=0.05)


def test_the_counterpart_is_the_cohort_without_the_shortcut(many):
    plain = throw_cohort(PhantomSettings(images=400, seed=1))
    assert [replace(image, lesion=counterpart(image.lesion)) for image in many] == plain
    assert plain != many


def test_a_larger_cohort_begins_with_the_smaller_one(many):
    assert throw_cohort(PhantomSettings(images=50, seed=1, shortcut=SHORTCUT)) == many[:50]


def test_patients_have_lesions_that_share_skin_and_device(many):
    by_patient = defaultdict(list)
    for image in many:
        by_patient[image.patient_id].append(image)
    for images in by_patient.values():
        assert len({(image.lesion.skin, image.lesion.device, image.age, image.sex) for image in images}) == 1
        assert 1 <= len({image.lesion_id for image in images}) <= 6
    assert len({len(images) for images in by_patient.values()}) >= 5
    assert len({image.lesion.skin for image in many}) == len(by_patient)


def test_some_lesions_are_photographed_twice_in_another_pose(many):
    counts = Counter(image.lesion_id for image in many)
    assert set(counts.values()) == {1, 2}
    assert 0.07 < np.mean([count == 2 for count in counts.values()]) < 0.17
    for first, second in pairwise(many):
        if first.lesion_id == second.lesion_id:
            assert (first.lesion.seed, first.diagnosis, first.site) == (
                second.lesion.seed,
                second.diagnosis,
                second.site,
            )
            assert first.lesion.pose != second.lesion.pose


def test_skin_runs_from_dark_to_light(many):
    tones = np.array([image.lesion.skin.ita for image in many])
    assert np.mean(tones < 10) > 0.25
    assert np.mean(tones > 41) > 0.1


def test_samples_say_what_the_table_says(root):
    samples = load_phantom(root)
    table = pd.read_csv(root / "metadata.csv")
    assert [sample.image_id for sample in samples] == table["image_id"].tolist()
    assert [sample.diagnosis for sample in samples] == table["diagnosis"].tolist()
    for sample in samples:
        assert sample.digest == sha256(sample.path.read_bytes()).hexdigest()
        assert sample.lesion_mask is not None
        assert sample.lesion_mask.is_file()
        assert (sample.source, sample.image_type, sample.licence) == ("phantom", "dermoscopic", "CC0-1.0")


def test_the_concept_table_has_a_mask_for_each_planted_concept(root):
    table = read_concept_table(root)
    assert tuple(table.columns) == CONCEPTS
    for image_id, row in table.iterrows():
        present = [concept for concept in CONCEPTS if (root / "masks" / f"{image_id}_{concept}.png").is_file()]
        assert present == [concept for concept in CONCEPTS if row[concept]]


def test_a_folder_without_a_cohort_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"not a phantom cohort: there is no metadata.csv"):
        load_phantom(tmp_path)


def test_a_missing_column_is_named(copy):
    pd.read_csv(copy / "metadata.csv").drop(columns=["streaks"]).to_csv(copy / "metadata.csv", index=False)
    with pytest.raises(DataError, match=r"no column streaks; generate the cohort again"):
        load_phantom(copy)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("diagnosis", "wart", r"metadata.csv row 3: diagnosis is 'wart'; allowed: nevus, melanoma"),
        ("globules", "2", r"row 3: globules is '2'; allowed: 0 and 1"),
        ("globules", "yes", r"row 3: globules is 'yes'; allowed: 0 and 1"),
        ("age", "old", r"row 3: age is 'old'; allowed: a number of years"),
        ("image_id", "phantom_000000", r"row 3: image_id is 'phantom_000000'; allowed: each image once"),
        ("image_id", "phantom_999999", r"metadata.csv names this file, but it is missing"),
    ],
)
def test_a_wrong_cell_is_named_with_its_row(copy, column, value, message):
    spoil(copy, column, value)
    with pytest.raises(DataError, match=message):
        load_phantom(copy)


def test_an_empty_table_is_refused(copy):
    (copy / "metadata.csv").write_text("")
    with pytest.raises(DataError, match=r"not a table"):
        load_phantom(copy)


def test_types_of_network_change_nothing_but_the_atypical_ones(root, tmp_path):
    generate_cohort(SETTINGS.model_copy(update={"network_types": True}), tmp_path / "typed")
    plain, table = (pd.read_csv(folder / "metadata.csv") for folder in (root, tmp_path / "typed"))
    pd.testing.assert_frame_equal(table[list(COLUMNS)], plain)
    assert (table[list(NETWORK_TYPES)].sum(axis=1) == table["pigment_network"]).all()
    assert table[list(NETWORK_TYPES)].any().all()
    for image_id, atypical in zip(table["image_id"], table["atypical_network"], strict=True):
        same = [(folder / "images" / f"{image_id}.png").read_bytes() for folder in (root, tmp_path / "typed")]
        assert (same[0] == same[1]) != bool(atypical)


def test_a_type_of_network_lies_where_the_network_lies(tmp_path):
    generate_cohort(SETTINGS.model_copy(update={"network_types": True}), tmp_path / "typed")
    planted = read_concept_table(tmp_path / "typed")
    assert tuple(planted.columns) == (*CONCEPTS, *NETWORK_TYPES)
    for kind in NETWORK_TYPES:
        for image_id in planted.index[planted[kind] == 1]:
            masks = tmp_path / "typed" / "masks"
            mask, network = (masks / f"{image_id}_{name}.png" for name in (kind, "pigment_network"))
            assert mask.read_bytes() == network.read_bytes()
