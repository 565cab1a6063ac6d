import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from concepts.errors import DataError
from concepts.judgement import Judgement, Region, RegionKind, Verdict
from concepts.mask import encode, rasterise
from concepts.sources.coco import coco_document, read_coco, write_coco
from concepts.sources.run_length import from_run_lengths, run_lengths, uncompressed

SIZES = {"a": (40, 20), "b": (13, 7)}
BOX = Region(RegionKind.BOX, ((0.25, 0.1), (0.75, 1.0)))
POLYGON = Region(RegionKind.POLYGON, ((0.1, 0.2), (0.3, 2 / 7), (0.5, 1.0)))
MASK = np.add.outer(np.arange(20) % 3, np.arange(40) % 5) < 3
BRUSH = Region(RegionKind.BRUSH, mask=encode(MASK))
MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def judged(image_id: str, *regions: Region, reader: str = "Ada", **fields: object) -> Judgement:
    return Judgement(
        reader=reader, image_id=image_id, concept="streaks", verdict=Verdict.PRESENT, regions=regions, **fields
    )


def compressed(counts: list[int]) -> str:
    """The string for run lengths, built bit by bit."""
    letters = []
    for position, count in enumerate(counts):
        number = count - (counts[position - 2] if position > 2 else 0)
        while True:
            group, number = number & 0b11111, number >> 5
            done = (number == 0 and not group & 0b10000) or (number == -1 and group & 0b10000)
            letters.append(chr(48 + (group if done else group | 0b100000)))
            if done:
                break
    return "".join(letters)


@given(MASKS)
@settings(max_examples=50, deadline=None)
def test_run_lengths_there_and_back(mask: np.ndarray):
    counts = run_lengths(mask)
    assert sum(counts[1::2]) == mask.sum()
    np.testing.assert_array_equal(from_run_lengths(counts, *mask.shape), mask)


@given(st.lists(st.integers(0, 70_000), max_size=9))
@settings(max_examples=50, deadline=None)
def test_compressed_run_lengths(counts: list[int]):
    assert uncompressed(compressed(counts)) == counts


def test_run_lengths_go_down_the_columns():
    assert run_lengths(np.array([[0, 1, 1], [0, 0, 1]], bool)) == [2, 1, 1, 2]
    assert run_lengths(np.array([[1, 0]], bool)) == [0, 1, 1]


def test_regions_come_back(tmp_path: Path):
    judgements = (
        judged("a", BOX, POLYGON, BRUSH),
        judged("b", POLYGON, reader="Bo", reading=2),
        replace(judged("a", BOX, reader="Cy"), verdict=Verdict.UNCERTAIN, concept="hair"),
    )
    write_coco(judgements, tmp_path / "c.json", sizes=SIZES)
    back = read_coco(tmp_path / "c.json", reader="nobody")
    assert [replace(j, regions=()) for j in back] == [replace(j, regions=()) for j in judgements]
    for read, written in zip(back, judgements, strict=True):
        for mine, theirs in zip(read.regions, written.regions, strict=True):
            assert mine.kind is theirs.kind
            np.testing.assert_allclose(mine.vertices, theirs.vertices, atol=1e-12)
    np.testing.assert_array_equal(rasterise([back[0].regions[2]], 40, 20), MASK)


def test_boxes_and_areas_are_in_pixels():
    box, polygon, brush = coco_document([judged("a", BOX, POLYGON, BRUSH)], SIZES)["annotations"]
    assert box["bbox"] == [10, 2, 20, 18]
    assert (box["area"], box["segmentation"]) == (360, [])
    triangle = np.array([[0.1, 0.2], [0.3, 2 / 7], [0.5, 1.0]]) * [40, 20]
    assert polygon["area"] == pytest.approx(abs(np.linalg.det(np.column_stack([triangle, np.ones(3)]))) / 2)
    assert brush["area"] == MASK.sum()
    assert json.loads(json.dumps(brush)) == brush


def test_judgements_without_regions_are_left_out():
    assert coco_document([judged("a")], {}) == {"images": [], "categories": [], "annotations": []}
    with pytest.raises(DataError, match="size of image 'z' is missing"):
        coco_document([judged("z", BOX)], SIZES)


def foreign(folder: Path, *annotations: dict[str, object], **changes: object) -> Path:
    """A file as another program writes it."""
    document = {
        "info": {"year": 2026},
        "images": [{"id": 7, "file_name": "train/ISIC_1.png", "width": 40, "height": 20, "license": 1}],
        "categories": [{"id": 3, "name": "streaks", "supercategory": "x"}],
        "annotations": [{"image_id": 7, "category_id": 3, **annotation} for annotation in annotations],
        **changes,
    }
    path = folder / "c.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_a_file_of_another_program(tmp_path: Path):
    squeezed = {"size": [20, 40], "counts": compressed(run_lengths(MASK))}
    polygons = [[0, 0, 40, 0, 40, 20], [1, 1, 2, 1, 2, 40.5 - 20]]
    path = foreign(
        tmp_path, {"segmentation": polygons, "bbox": [0, 0, 40, 20]}, {"segmentation": squeezed}, {"bbox": [0, 0, 4, 4]}
    )
    (judgement,) = read_coco(path, reader="Ada")
    assert (judgement.reader, judgement.image_id, judgement.concept, judgement.verdict) == (
        "Ada",
        "ISIC_1",
        "streaks",
        Verdict.PRESENT,
    )
    assert [region.kind for region in judgement.regions] == ["polygon", "polygon", "brush", "box"]
    assert judgement.regions[0].vertices == ((0, 0), (1, 0), (1, 1))
    assert judgement.regions[1].vertices[2] == (0.05, 1)
    np.testing.assert_array_equal(rasterise([judgement.regions[2]], 40, 20), MASK)


def test_all_faults_are_listed_and_nothing_comes_through(tmp_path: Path):
    path = foreign(
        tmp_path,
        {"bbox": [0, 0, 4, 4]},
        {"bbox": [0, 0, 0, 4]},
        {},
        {"segmentation": [[1, 2, 3]]},
        {"segmentation": [[1, 2, 3, 4]]},
        {"segmentation": [[1, 2, 3, 4, 50, 6]]},
        {"segmentation": {"size": [20, 40], "counts": [5]}},
        {"segmentation": {"size": [4, 4], "counts": [16]}},
        {"segmentation": {"size": [20, 40], "counts": "\x01"}},
        {"bbox": [0, 0, 4, 4], "image_id": 8},
        {"bbox": [0, 0, 4, 4], "category_id": 8},
        {"bbox": [0, 0, float("nan"), 4]},
        {"bbox": "here"},
    )
    with pytest.raises(DataError, match=r"c\.json: annotation 2: a box has two.*12 such faults; nothing was") as caught:
        read_coco(path, reader="Ada")
    expected = [f"annotation {number}" for number in range(2, 14)]
    assert [row.split(": ")[1] for row in caught.value.rows] == expected
    assert all("\n" not in row for row in caught.value.rows)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"images": None}, "needs an object with the lists images, categories, annotations"),
        ({"images": [{"id": 1, "file_name": "a.png", "width": 0, "height": 3}]}, "images 1: width: "),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "categories 2: id 1 comes twice"),
    ],
)
def test_a_file_that_is_no_coco_is_refused(changes: dict[str, object], complaint: str, tmp_path: Path):
    with pytest.raises(DataError, match=complaint):
        read_coco(foreign(tmp_path, **changes), reader="Ada")


def test_two_verdicts_of_one_reader_are_refused(tmp_path: Path):
    path = foreign(tmp_path, {"bbox": [0, 0, 4, 4]}, {"bbox": [0, 0, 4, 4], "attributes": {"verdict": "uncertain"}})
    with pytest.raises(DataError, match="image 'ISIC_1', 'streaks': two verdicts of 'Ada'"):
        read_coco(path, reader="Ada")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_coco(tmp_path / "absent", reader="Ada")
    (tmp_path / "text").write_text("COCO")
    with pytest.raises(DataError, match="not a COCO file: not JSON"):
        read_coco(tmp_path / "text", reader="Ada")
