import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from concepts.consensus import ConsensusRule, consensus
from concepts.errors import DataError
from concepts.example import ConceptEntry, Example, MaskFile, Origin, Polarity
from concepts.judgement import Judgement, Verdict
from concepts.mask import encode, rasterise
from concepts.measures.lesion_colours import PROTOTYPES
from concepts.sources.isic2018 import IMAGES, LESIONS
from concepts.sources.lesion_masks import LesionRules, example_judgements, lesion_judgements

ROWS, COLUMNS = np.mgrid[-100:100, -100:100] + 0.5
DISC = np.hypot(ROWS, COLUMNS) < 50
CLOVER = np.hypot(ROWS, COLUMNS) < 60 * (1 + 0.35 * np.cos(3 * np.arctan2(ROWS, COLUMNS)))


def verdicts(*arguments: object, **fields: object) -> dict[str, Verdict]:
    return {judgement.concept: judgement.verdict for judgement in lesion_judgements(*arguments, **fields)}


def painted() -> np.ndarray:
    image = np.full((*DISC.shape, 3), (225, 185, 165), np.uint8)
    for colour, columns in (("red", COLUMNS < -15), ("black", abs(COLUMNS) <= 15), ("dark_brown", COLUMNS > 15)):
        image[DISC & columns] = PROTOTYPES[colour][0]
    return image


def test_a_disc_and_a_clover_are_told_apart():
    assert verdicts(DISC, "a") == {"asymmetry": Verdict.ABSENT, "border_irregularity": Verdict.ABSENT}
    assert verdicts(CLOVER, "a") == {"asymmetry": Verdict.PRESENT, "border_irregularity": Verdict.PRESENT}


def test_colours_and_size_need_an_image_and_a_spacing():
    found = verdicts(DISC, "a", image=painted(), spacing=0.11)
    assert found["multiple_colours"] is found["large_diameter"] is Verdict.PRESENT
    assert verdicts(DISC, "a", spacing=0.05)["large_diameter"] is Verdict.ABSENT


def test_of_a_lesion_that_is_cut_off_only_a_large_size_is_known():
    half = CLOVER[100:]
    assert verdicts(half, "a") == verdicts(half, "a", spacing=0.01) == {}
    assert verdicts(half, "a", spacing=1) == {"large_diameter": Verdict.PRESENT}


def test_everything_is_marked_as_measured_and_open_to_correction():
    found = lesion_judgements(DISC, "a", image=painted(), spacing=0.11)
    assert {judgement.origin for judgement in found} == {Origin.MEASURED}
    assert {entry.origin for entry in LesionRules().entries} == {Origin.MEASURED}
    assert {judgement.concept for judgement in found} == {entry.id for entry in LesionRules().entries}
    size = next(judgement for judgement in found if judgement.concept == "large_diameter")
    assert size.note == "measured: 11.1 mm"
    reader = Judgement(reader="Ada", image_id="a", concept="large_diameter", verdict=Verdict.ABSENT)
    (settled,) = consensus([size, reader], rule=ConsensusRule())
    assert (settled.polarity, settled.origin) == (Polarity.ABSENT, Origin.JUDGED)


def test_an_empty_mask_is_refused():
    with pytest.raises(DataError, match="is empty"):
        lesion_judgements(np.zeros((9, 9), bool), "a")


def test_examples_of_a_source_become_judgements():
    entry = ConceptEntry.from_vocabulary("streaks", origin=Origin.MARKED)
    examples = [
        Example(image_id=str(polarity), image_digest="0" * 64, concept="streaks", polarity=polarity, provenance="mask")
        for polarity in Polarity
    ]
    found = example_judgements([entry], examples, reader="isic2018")
    assert [(j.image_id, j.verdict, j.origin, j.note) for j in found] == [
        ("present", Verdict.PRESENT, Origin.MARKED, "mask"),
        ("absent", Verdict.ABSENT, Origin.MARKED, "mask"),
    ]


def test_masks_of_examples_become_regions_where_their_folder_is_known(tmp_path: Path):
    mask = np.zeros((8, 12), bool)
    mask[2:5, 3:9] = True
    (tmp_path / "mask.png").write_bytes(encode(mask))
    digest = sha256((tmp_path / "mask.png").read_bytes()).hexdigest()
    entry = ConceptEntry.from_vocabulary("streaks", origin=Origin.MARKED)
    example = Example(
        image_id="a",
        image_digest="0" * 64,
        concept="streaks",
        polarity=Polarity.PRESENT,
        region=MaskFile(path="mask.png", digest=digest),
        provenance="mask",
    )
    (found,) = example_judgements([entry], [example], reader="isic2018", root=tmp_path)
    assert (rasterise(found.regions, 12, 8) == mask).all()
    (tmp_path / "mask.png").write_bytes(encode(~mask))
    with pytest.raises(DataError, match=r"mask\.png"):
        example_judgements([entry], [example], reader="isic2018", root=tmp_path)


@pytest.mark.data
@pytest.mark.skipif("DERMAXIS_DATA" not in os.environ, reason="DERMAXIS_DATA names no folder with real images")
def test_real_lesions_fall_on_both_sides_of_the_rules():
    root = Path(os.environ["DERMAXIS_DATA"]) / "isic2018"
    found: dict[str, set[Verdict]] = {}
    for path in sorted((root / LESIONS).glob("*.png"))[::130]:
        image_id = path.stem.removesuffix("_segmentation")
        mask = np.asarray(Image.open(path)) > 0
        image = np.asarray(Image.open(root / IMAGES / f"{image_id}.jpg"))
        for concept, verdict in verdicts(mask, image_id, image=image).items():
            found.setdefault(concept, set()).add(verdict)
    both = {Verdict.PRESENT, Verdict.ABSENT}
    assert found == {"asymmetry": both, "border_irregularity": both, "multiple_colours": both}
