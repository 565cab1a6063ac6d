"""From a table into the store, to consensus and a release, and back to a table."""

from dataclasses import replace
from pathlib import Path

import pytest

from concepts.curation.accounts import OPERATOR
from concepts.curation.door import add_concept, freeze, import_judgements, list_releases, read_judgements, read_release
from concepts.errors import DataError
from concepts.example import Origin, Polarity
from concepts.judgement import Judgement, Region, RegionKind, Verdict
from concepts.sources.coco import read_coco, write_coco
from concepts.sources.csv_table import read_csv, write_csv
from concepts.sources.jsonlines import read_jsonlines, write_jsonlines
from concepts.sources.metadata_rules import parse_rule, rule_judgements
from concepts.store.store import Store

TABLE = """image_id,concept,verdict,reader,note
image0,streaks,present,Ada,
image0,streaks,present,Bo,
image1,streaks,absent,Ada,'=1+1
image1,streaks,absent,Bo,
image2,streaks,present,Ada,
image2,streaks,absent,Bo,
image3,streaks,present,Ada,
image0,pigment_network,absent,Ada,
image0,pigment_network,uncertain,Bo,
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "judgements.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def statements(judgements: object) -> list[Judgement]:
    """What judgements say, without what only the store knows."""
    bare = [replace(judgement, id=None, at=None, supersedes=None) for judgement in judgements]
    return sorted(bare, key=lambda judgement: (judgement.concept, judgement.image_id, judgement.reader))


def test_a_table_becomes_a_release_and_a_table_again(filled: Store, table: Path, tmp_path: Path):
    judgements = read_csv(table)
    assert import_judgements(filled, OPERATOR, "derm", judgements, key="table") == len(judgements) == 9
    freeze(filled, OPERATOR, "derm", key="freeze")
    release = read_release(filled, OPERATOR, "derm@1")
    assert {(e.image_id, e.concept): e.polarity for e in release.examples} == {
        ("image0", "streaks"): Polarity.PRESENT,
        ("image1", "streaks"): Polarity.ABSENT,
    }
    stored = read_judgements(filled, OPERATOR, "derm")
    for write, read in ((write_csv, read_csv), (write_jsonlines, read_jsonlines)):
        write(stored, tmp_path / "export")
        assert statements(read(tmp_path / "export")) == statements(judgements)
        assert "\n=1+1" not in (tmp_path / "export").read_text()


def test_importing_an_export_adds_nothing(filled: Store, table: Path, tmp_path: Path):
    import_judgements(filled, OPERATOR, "derm", read_csv(table), key="table")
    write_csv(read_judgements(filled, OPERATOR, "derm"), tmp_path / "export.csv")
    assert import_judgements(filled, OPERATOR, "derm", read_csv(tmp_path / "export.csv"), key="again") == 0


def test_a_table_with_a_bad_row_changes_nothing(filled: Store, table: Path):
    table.write_text(TABLE + "image4,streaks,maybe,Ada,\n", encoding="utf-8")
    with pytest.raises(DataError, match="row 11"):
        import_judgements(filled, OPERATOR, "derm", read_csv(table), key="table")
    assert read_judgements(filled, OPERATOR, "derm") == []


def test_what_a_rule_says_is_frozen_until_a_reader_corrects_it(filled: Store, tmp_path: Path):
    metadata = tmp_path / "metadata.csv"
    metadata.write_text("isic_id,size\nimage0,12\nimage1,3\nimage2,unknown\n", encoding="utf-8")
    add_concept(filled, OPERATOR, "derm", "large_diameter", rule="size >= 10", key="concept")
    ruled = rule_judgements(metadata, {"large_diameter": parse_rule("size >= 10")})
    import_judgements(filled, OPERATOR, "derm", ruled, key="rule")
    correction = Judgement(reader="Ada", image_id="image1", concept="large_diameter", verdict=Verdict.PRESENT)
    freeze(filled, OPERATOR, "derm", key="first")
    import_judgements(filled, OPERATOR, "derm", [correction], key="correction")
    freeze(filled, OPERATOR, "derm", key="second")
    before, after = (read_release(filled, OPERATOR, f"derm@{version}") for version in (1, 2))
    assert [e.polarity for e in before.examples] == [Polarity.PRESENT, Polarity.ABSENT]
    assert [e.polarity for e in after.examples] == [Polarity.PRESENT, Polarity.PRESENT]
    assert before.concepts[0].origin is Origin.RULE
    assert len(list_releases(filled, OPERATOR, "derm")) == 2


def test_regions_go_through_the_store(filled: Store, tmp_path: Path):
    box = Region(RegionKind.BOX, ((0.25, 0.5), (0.75, 1.0)))
    drawn = [
        Judgement(reader=reader, image_id="image0", concept="streaks", verdict=Verdict.PRESENT, regions=(box,))
        for reader in ("Ada", "Bo")
    ]
    write_coco(drawn, tmp_path / "regions.json", sizes={"image0": (20, 10)})
    import_judgements(filled, OPERATOR, "derm", read_coco(tmp_path / "regions.json", reader="?"), key="regions")
    assert statements(read_judgements(filled, OPERATOR, "derm")) == statements(drawn)
    freeze(filled, OPERATOR, "derm", key="freeze")
    assert read_release(filled, OPERATOR, "derm@1").examples[0].region is not None
