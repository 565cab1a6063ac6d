import os
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from concepts.errors import DataError
from concepts.example import ConceptEntry, Example, Origin, Polarity
from concepts.release import freeze, verify_regions
from concepts.sources.isic2018 import ATTRIBUTE_MASKS, ATTRIBUTES, IMAGES, LESIONS, isic2018_examples, isic2018_release
from concepts.sources.phantom import phantom_examples, phantom_release

WIDTH, HEIGHT = 60, 40


def save(path: Path, pixels: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return sha256(path.read_bytes()).hexdigest()


def blank() -> np.ndarray:
    return np.zeros((HEIGHT, WIDTH), np.uint8)


def disc() -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.uint8(((rows - 20) ** 2 + (columns - 30) ** 2 < 144) * 255)


def hook() -> np.ndarray:
    mask = blank()
    mask[5:35, 10:18] = mask[27:35, 10:50] = 255
    return mask


@pytest.fixture
def isic(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Two images: a hook with streaks, and a disc with nothing marked."""
    digests = {}
    for image_id, lesion in {"ISIC_1": hook(), "ISIC_2": disc()}.items():
        digests[image_id] = save(tmp_path / IMAGES / f"{image_id}.jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        save(tmp_path / LESIONS / f"{image_id}_segmentation.png", lesion)
        for attribute in ATTRIBUTES:
            is_marked = (image_id, attribute) == ("ISIC_1", "streaks")
            save(attribute_file(tmp_path, image_id, attribute), disc() if is_marked else blank())
    return tmp_path, digests


def attribute_file(root: Path, image_id: str, attribute: str) -> Path:
    return root / ATTRIBUTE_MASKS / f"{image_id}_attribute_{attribute}.png"


def by_cell(content: tuple[tuple[ConceptEntry, ...], tuple[Example, ...]]) -> dict[tuple[str, str], Example]:
    return {(example.image_id, example.concept): example for example in content[1]}


def assert_freezes(content: tuple[tuple[ConceptEntry, ...], tuple[Example, ...]], root: Path) -> None:
    release = freeze("set", 1, concepts=content[0], examples=content[1])
    verify_regions(release, root)


def test_isic2018_masks_become_present_or_unmarked(isic: tuple[Path, dict[str, str]]):
    root, digests = isic
    content = isic2018_examples(root, digests)
    cells = by_cell(content)
    assert [entry.id for entry in content[0]] == [
        "pigment_network",
        "negative_network",
        "streaks",
        "milia_like_cysts",
        "globules",
        "asymmetry",
    ]
    assert Counter(example.polarity for example in cells.values()) == {"unmarked": 9, "present": 2, "absent": 1}
    assert cells["ISIC_1", "streaks"].region.path == f"{ATTRIBUTE_MASKS}/ISIC_1_attribute_streaks.png"
    assert cells["ISIC_1", "streaks"].image_digest == digests["ISIC_1"]
    assert cells["ISIC_2", "milia_like_cysts"].polarity is Polarity.UNMARKED
    assert_freezes(content, root)


def test_isic2018_asymmetry_is_measured(isic: tuple[Path, dict[str, str]]):
    content = isic2018_examples(*isic)
    cells = by_cell(content)
    assert cells["ISIC_1", "asymmetry"].polarity is Polarity.PRESENT
    assert cells["ISIC_1", "asymmetry"].region.path == f"{LESIONS}/ISIC_1_segmentation.png"
    assert cells["ISIC_2", "asymmetry"].polarity is Polarity.ABSENT
    assert content[0][-1].origin is Origin.MEASURED
    assert "0.17" in content[0][-1].rule


def test_isic2018_is_released_with_its_licence(isic: tuple[Path, dict[str, str]]):
    release = isic2018_release(*isic)
    assert (release.name, release.version, release.licence) == ("isic2018", 1, "CC0-1.0")
    assert release.examples == freeze("x", 1, concepts=release.concepts, examples=isic2018_examples(*isic)[1]).examples


def test_isic2018_reads_only_the_images_asked_for(isic: tuple[Path, dict[str, str]]):
    root, digests = isic
    _, examples = isic2018_examples(root, {"ISIC_2": digests["ISIC_2"]})
    assert {example.image_id for example in examples} == {"ISIC_2"}


def test_isic2018_without_a_folder(tmp_path: Path):
    (tmp_path / IMAGES).mkdir()
    with pytest.raises(DataError, match=f"no folder {LESIONS} and no {ATTRIBUTE_MASKS}; point data.root"):
        isic2018_examples(tmp_path, {})


def test_isic2018_with_missing_files(isic: tuple[Path, dict[str, str]]):
    root, digests = isic
    attribute_file(root, "ISIC_2", "streaks").unlink()
    with pytest.raises(DataError, match=r"1 of 14 files are missing: .*ISIC_2_attribute_streaks\.png;") as caught:
        isic2018_examples(root, digests)
    assert caught.value.rows == (f"{ATTRIBUTE_MASKS}/ISIC_2_attribute_streaks.png",)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (np.zeros((HEIGHT, WIDTH - 1), np.uint8), "the mask is 59 x 40 pixels, its image 60 x 40"),
        (b"no image", "the mask cannot be read"),
        (b"", "the mask cannot be read"),
    ],
)
def test_isic2018_with_masks_that_do_not_fit(isic: tuple[Path, dict[str, str]], content: object, complaint: str):
    root, digests = isic
    for image_id in digests:
        path = attribute_file(root, image_id, "globules")
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            save(path, content)
    with pytest.raises(
        DataError, match=rf"2 of 2 images cannot be used: .*ISIC_1_.*globules\.png: {complaint}"
    ) as caught:
        isic2018_examples(root, digests)
    assert "\n" not in str(caught.value)


def test_isic2018_with_a_truncated_mask(isic: tuple[Path, dict[str, str]]):
    root, digests = isic
    path = attribute_file(root, "ISIC_1", "streaks")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"ISIC_1_attribute_streaks\.png: the mask cannot be read"):
        isic2018_examples(root, digests)


def test_isic2018_with_an_empty_lesion(isic: tuple[Path, dict[str, str]]):
    root, digests = isic
    save(root / LESIONS / "ISIC_2_segmentation.png", blank())
    with pytest.raises(DataError, match=r"ISIC_2_segmentation\.png: the lesion mask is empty"):
        isic2018_examples(root, digests)


def test_isic2018_with_a_broken_image(isic: tuple[Path, dict[str, str]]):
    root, digests = isic
    (root / IMAGES / "ISIC_1.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"ISIC_1\.jpg: the image cannot be read"):
        isic2018_examples(root, digests)


@pytest.fixture
def phantom(tmp_path: Path) -> tuple[Path, dict[str, str], pd.DataFrame]:
    table = pd.DataFrame({"globules": [1, 0], "hair": [0, 1]}, index=["p1", "p2"])
    save(tmp_path / "masks" / "p1_globules.png", disc())
    save(tmp_path / "masks" / "p2_hair.png", disc())
    return tmp_path, {"p1": "1" * 64, "p2": "2" * 64}, table


def test_planted_concepts_are_present_or_truly_absent(phantom: tuple[Path, dict[str, str], pd.DataFrame]):
    root, digests, table = phantom
    content = phantom_examples(root, digests, table=table)
    assert {cell: str(e.polarity) for cell, e in by_cell(content).items()} == {
        ("p1", "globules"): "present",
        ("p1", "hair"): "absent",
        ("p2", "globules"): "absent",
        ("p2", "hair"): "present",
    }
    assert by_cell(content)["p2", "hair"].region.path == "masks/p2_hair.png"
    assert {entry.origin for entry in content[0]} == {Origin.PLANTED}
    assert_freezes(content, root)


def test_the_release_of_a_phantom_is_of_its_planted_concepts_without_artefacts(
    phantom: tuple[Path, dict[str, str], pd.DataFrame],
):
    root, digests, table = phantom
    table.assign(age=[30, 40], diagnosis="nevus").to_csv(root / "metadata.csv", index_label="image_id")
    release = phantom_release(root, digests)
    assert release.concept_ids == ("globules",)
    assert [str(example.polarity) for example in release.examples] == ["present", "absent"]
    verify_regions(release, root)


@pytest.mark.parametrize("text", [None, "", "image_id,age\np1,3\n", "name,globules\np1,1\n"])
def test_a_phantom_without_a_usable_table_is_refused(
    phantom: tuple[Path, dict[str, str], pd.DataFrame], text: str | None
):
    root, digests, _ = phantom
    if text is not None:
        (root / "metadata.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"metadata\.csv: .*; generate the phantom again"):
        phantom_release(root, digests)


def test_planted_concepts_of_some_images(phantom: tuple[Path, dict[str, str], pd.DataFrame]):
    root, digests, table = phantom
    (root / "masks" / "p1_globules.png").unlink()
    _, examples = phantom_examples(root, {"p2": digests["p2"]}, table=table)
    assert {example.image_id for example in examples} == {"p2"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t.drop(index="p2"), "no row for 1 of the images: p2"),
        (lambda t: pd.concat([t, t.loc[["p1"]]]), "more than one row for p1"),
        (lambda t: t.astype(float).replace(0.0, 0.5), "row p1, column hair: 0.5"),
        (lambda t: t.astype(object).where(t == 1), "row p1, column hair: nan"),
        (lambda t: t.astype(str), "row p1, column globules: 1"),
        (lambda t: t.rename(columns={"hair": "wool"}), "unknown concept 'wool'"),
        (lambda t: t.assign(globules=[1, 1]), r"1 of 3 files are missing: masks/p2_globules\.png"),
    ],
)
def test_a_broken_table_is_refused(phantom: tuple[Path, dict[str, str], pd.DataFrame], change: object, complaint: str):
    root, digests, table = phantom
    with pytest.raises(DataError, match=complaint) as caught:
        phantom_examples(root, digests, table=change(table))
    assert "\n" not in str(caught.value)


def test_an_empty_mask_of_a_planted_concept_is_refused(phantom: tuple[Path, dict[str, str], pd.DataFrame]):
    root, digests, table = phantom
    save(root / "masks" / "p2_hair.png", blank())
    with pytest.raises(DataError, match=r"masks/p2_hair\.png: the mask of a planted concept is empty"):
        phantom_examples(root, digests, table=table)


@pytest.mark.data
@pytest.mark.skipif("DERMAXIS_DATA" not in os.environ, reason="DERMAXIS_DATA does not name the real images")
def test_the_real_isic2018_gives_the_counts_of_its_description():
    root = Path(os.environ["DERMAXIS_DATA"]) / "isic2018"
    digests = {path.stem: "0" * 64 for path in (root / IMAGES).glob("*.jpg")}
    entries, examples = isic2018_examples(root, digests)
    counts = Counter(example.concept for example in examples if example.polarity is Polarity.PRESENT)
    assert {entry.id: counts[entry.id] for entry in entries if entry.origin is Origin.MARKED} == {
        "pigment_network": 1523,
        "negative_network": 190,
        "streaks": 100,
        "milia_like_cysts": 682,
        "globules": 603,
    }
    symmetric = sum(e.concept == "asymmetry" and e.polarity is Polarity.ABSENT for e in examples)
    assert counts["asymmetry"] > 400
    assert symmetric > 400


def test_a_mask_with_an_unusable_path_is_refused(tmp_path: Path):
    save(tmp_path / "masks" / "a:b_hair.png", disc())
    with pytest.raises(DataError, match=r"masks/a:b_hair\.png: not a path inside the data root"):
        phantom_examples(tmp_path, {"a:b": "1" * 64}, table=pd.DataFrame({"hair": [1]}, index=["a:b"]))
