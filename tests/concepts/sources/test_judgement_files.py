"""Files of judgements into a store and out of it again, in every format, on both databases: all or nothing."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from concepts.curation.accounts import OPERATOR
from concepts.curation.door import export_release, freeze, import_judgements, read_images, read_judgements, read_release
from concepts.errors import DataError, ReleaseError
from concepts.judgement import Judgement, Region, RegionKind, Verdict
from concepts.mask import encode, rasterise
from concepts.sources.formats import Format, format_of
from concepts.sources.judgement_files import read_judgements as read_file
from concepts.sources.judgement_files import refuse_other_images, write_judgements
from concepts.store.store import Store, open_store

SIZE = (20, 10)
BRUSH = np.zeros(SIZE[::-1], bool)
BRUSH[3:7, 4:15] = True
DRAWN = (
    Region(RegionKind.BOX, ((0.25, 0.5), (0.75, 1.0))),
    Region(RegionKind.POLYGON, ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5))),
    Region(RegionKind.BRUSH, mask=encode(BRUSH)),
)
JUDGEMENTS = (
    Judgement(reader="Ada", image_id="image0", concept="streaks", verdict=Verdict.PRESENT, regions=DRAWN),
    Judgement(reader="Bo", image_id="image0", concept="streaks", verdict=Verdict.PRESENT, regions=DRAWN[:1]),
    Judgement(reader="Ada", image_id="image1", concept="streaks", verdict=Verdict.ABSENT, note="=1+1", confidence=0.5),
    Judgement(reader="Ada", image_id="image1", concept="streaks", verdict=Verdict.UNCERTAIN, reading=2),
)


def bare(judgements) -> list[Judgement]:
    """What judgements say, without what only the store knows."""
    return [replace(judgement, id=None, at=None, supersedes=None) for judgement in judgements]


def stored(store: Store) -> list[Judgement]:
    return bare(read_judgements(store, OPERATOR, "derm"))


def bring(store: Store, path: Path, format: Format | None = None, *, key: str = "file") -> int:
    file = read_file(path, format)
    return import_judgements(store, OPERATOR, "derm", file.judgements, locations=file.locations, key=key)


@pytest.mark.parametrize("name", ["judgements.csv", "judgements.jsonl", "judgements.ndjson"])
def test_what_is_written_is_read_into_another_store_and_written_the_same(
    filled, databases, filled_template, tmp_path, name
):
    import_judgements(filled, OPERATOR, "derm", JUDGEMENTS, key="said")
    first, second = tmp_path / name, tmp_path / f"again-{name}"
    assert write_judgements(read_judgements(filled, OPERATOR, "derm"), first, sizes={}) == len(JUDGEMENTS)
    with closing(open_store(databases.new(filled_template))) as other:
        assert bring(other, first) == len(JUDGEMENTS)
        assert stored(other) == stored(filled) == list(JUDGEMENTS)
        assert bring(other, first, key="again") == 0
        write_judgements(read_judgements(other, OPERATOR, "derm"), second, sizes={})
    assert second.read_bytes() == first.read_bytes()


def test_coco_takes_what_was_drawn(filled, databases, filled_template, tmp_path):
    import_judgements(filled, OPERATOR, "derm", JUDGEMENTS, key="said")
    sizes = {image.id: (image.width, image.height) for image in read_images(filled, OPERATOR, "derm")}
    assert set(sizes.values()) == {SIZE}
    path = tmp_path / "regions.json"
    assert write_judgements(read_judgements(filled, OPERATOR, "derm"), path, sizes=sizes) == 2
    with closing(open_store(databases.new(filled_template))) as other:
        assert bring(other, path) == 2
        for before, after in zip(JUDGEMENTS[:2], stored(other), strict=True):
            assert (after.reader, after.image_id, after.verdict) == (before.reader, before.image_id, before.verdict)
            assert (rasterise(after.regions, *SIZE) == rasterise(before.regions, *SIZE)).all()


def test_a_release_comes_in_with_its_regions_and_is_frozen_with_the_same_masks(
    filled, databases, filled_template, tmp_path
):
    import_judgements(filled, OPERATOR, "derm", JUDGEMENTS, key="said")
    freeze(filled, OPERATOR, "derm", key="freeze")
    path = export_release(filled, OPERATOR, "derm@1", tmp_path)
    with closing(open_store(databases.new(filled_template))) as other:
        assert bring(other, path, Format.RELEASE) == 1
        (kept,) = stored(other)
        assert (kept.reader, kept.verdict, len(kept.regions)) == ("derm@1", Verdict.PRESENT, 1)
    mask = tmp_path / read_release(filled, OPERATOR, "derm@1").examples[0].region.path
    assert kept.regions[0].mask == mask.read_bytes()
    mask.write_bytes(encode(~BRUSH))
    with pytest.raises(ReleaseError, match="mask"):
        read_file(path, Format.RELEASE)


def test_rows_that_do_not_fit_the_set_are_listed_by_file_and_row_and_nothing_comes_in(filled, tmp_path):
    path = tmp_path / "judgements.csv"
    rows = ["image0,streaks,absent,Ada", "image9,streaks,absent,Ada", "image1,globules,absent,Ada"]
    path.write_text("\n".join(["image_id,concept,verdict,reader", *rows]), encoding="utf-8")
    with pytest.raises(DataError, match=r"row 3.*'image9' is not in the set.*nothing was imported") as refused:
        bring(filled, path)
    assert [row.split(": ")[1] for row in refused.value.rows] == ["row 3", "row 4"]
    assert all(row.startswith(str(path)) for row in refused.value.rows)
    assert stored(filled) == []


def test_a_reader_is_given_where_the_file_names_none(tmp_path):
    table, lines = tmp_path / "one.csv", tmp_path / "one.jsonl"
    table.write_text("image_id,concept,verdict\nimage0,streaks,absent\n", encoding="utf-8")
    lines.write_text('{"image_id": "image0", "concept": "streaks", "verdict": "absent"}\n', encoding="utf-8")
    for path in (table, lines):
        assert [judgement.reader for judgement in read_file(path, reader="Ada").judgements] == ["Ada"]
        with pytest.raises(DataError, match="reader"):
            read_file(path)


def test_a_release_of_other_files_is_refused(filled, tmp_path):
    import_judgements(filled, OPERATOR, "derm", JUDGEMENTS, key="said")
    freeze(filled, OPERATOR, "derm", key="freeze")
    file = read_file(export_release(filled, OPERATOR, "derm@1", tmp_path), Format.RELEASE)
    refuse_other_images(file, {image.id: image.digest for image in read_images(filled, OPERATOR, "derm")})
    with pytest.raises(DataError, match="image0, streaks: was decided on another file"):
        refuse_other_images(file, {"image0": "ff" * 32})


def test_formats_are_told_by_the_ending_and_nothing_is_overwritten(tmp_path):
    assert format_of(Path("X.CSV")) is Format.CSV
    with pytest.raises(DataError, match="--format"):
        format_of(Path("judgements.xlsx"))
    path = tmp_path / "judgements.csv"
    write_judgements(JUDGEMENTS, path, sizes={})
    with pytest.raises(DataError, match="exists and is not overwritten"):
        write_judgements(JUDGEMENTS, path, sizes={})
    with pytest.raises(DataError, match="freezing"):
        write_judgements(JUDGEMENTS, tmp_path / "x.json", Format.RELEASE, sizes={})
    with pytest.raises(DataError, match="cannot be written"):
        write_judgements(JUDGEMENTS, tmp_path / "absent" / "x.csv", sizes={})
