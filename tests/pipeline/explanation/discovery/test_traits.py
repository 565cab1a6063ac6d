"""What is known of images: each trait from its own source, NaN where the source is silent."""

from dataclasses import replace

import numpy as np
from fakes import made_data, made_samples

from pipeline.data.phantom.lesion import ARTEFACTS
from pipeline.explanation.discovery.traits import axis_traits, image_traits, metadata, planted_artefacts
from pipeline.images.measures.quality import MEASURES, measure_quality
from pipeline.results.discovery import TraitKind


def phantom_file(folder, rows):
    lines = [",".join(["image_id", *ARTEFACTS])]
    for image, artefacts in rows.items():
        lines.append(",".join([image, *(str(int(name in artefacts)) for name in ARTEFACTS)]))
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")


def samples(source="phantom"):
    return tuple(replace(sample, source=source) for sample in made_samples(["melanoma", "nevus", "nevus"]))


def by_name(traits):
    return {trait.name: trait for trait in traits}


def test_planted_artefacts_are_read_by_image_whatever_the_order_of_the_file(tmp_path):
    rows = {"image_002": {"ink"}, "image_000": {"ruler", "ink"}, "image_001": set(), "other": {"hair"}}
    phantom_file(tmp_path, rows)
    traits = by_name(planted_artefacts(tmp_path, samples()))
    assert tuple(traits) == ARTEFACTS
    assert traits["ink"].values.tolist() == [1, 0, 1]
    assert traits["ruler"].values.tolist() == [1, 0, 0]
    assert {trait.kind for trait in traits.values()} == {TraitKind.ARTEFACT}


def test_other_sources_have_no_planted_artefacts(tmp_path):
    assert planted_artefacts(tmp_path, samples()) == [], "there is no file"
    phantom_file(tmp_path, {"image_000": {"ink"}})
    assert planted_artefacts(tmp_path, samples(source="isic2018")) == []


def test_metadata_are_years_and_a_yes_or_no_for_each_value():
    entries = ({"age": 41.0, "sex": "female"}, {"sex": "male", "site": "back"}, {"site": "arm"})
    rows = [replace(sample, **entry) for sample, entry in zip(samples(), entries, strict=True)]
    traits = by_name(metadata(rows))
    assert list(traits) == ["age", "sex: female", "sex: male", "site: arm", "site: back"]
    np.testing.assert_array_equal(traits["age"].values, [41, np.nan, np.nan])
    np.testing.assert_array_equal(traits["sex: male"].values, [0, 1, np.nan])
    np.testing.assert_array_equal(traits["site: arm"].values, [np.nan, 0, 1])


def test_the_traits_of_images_are_labels_artefacts_metadata_and_measures(tmp_path):
    phantom_file(tmp_path, {f"image_00{number}": set() for number in range(3)})
    labels = np.array([[1, 0], [0, np.nan], [0, 1]], dtype=float)
    data = made_data(["melanoma", "nevus", "nevus"], labels, concepts=("streaks", "globules"), samples=samples())
    pictures = [np.full((16, 16, 3), grey, dtype=np.uint8) for grey in (10, 100, 200)]
    traits = image_traits(data, tmp_path, pictures)
    assert [trait.name for trait in traits] == ["streaks", "globules", *ARTEFACTS, "age", *MEASURES]
    np.testing.assert_array_equal(by_name(traits)["globules"].values, labels[:, 1])
    brightness = [measure_quality(picture).brightness for picture in pictures]
    assert by_name(traits)["brightness"].values.tolist() == brightness
    assert by_name(traits)["brightness"].kind is TraitKind.PICTURE
    assert by_name(traits)["streaks"].kind is TraitKind.CONCEPT


def test_named_axes_are_traits_and_free_ones_are_not():
    activations = np.arange(12.0).reshape(3, 4)
    first, second = axis_traits(("streaks", "globules"), activations)
    assert (first.name, second.name) == ("streaks", "globules")
    assert second.values.tolist() == [1, 5, 9]
    assert first.kind is TraitKind.CONCEPT_AXIS
