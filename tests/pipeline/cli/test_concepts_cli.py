import sqlite3
import sys
from contextlib import closing
from shutil import copyfile

import numpy as np
import pytest
from argon2 import PasswordHasher
from PIL import Image
from typer.testing import CliRunner

from concepts.curation import accounts
from concepts.curation.accounts import OPERATOR, add_account, sign_in
from concepts.curation.door import add_concept, add_images, add_to_set, create_set, judge, read_judgements, read_set
from concepts.errors import DataError, SettingsError, StoreError
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Region, RegionKind, Verdict
from concepts.release import read_release
from concepts.store.roles import Role
from concepts.store.store import open_store
from pipeline.cli import main as cli
from pipeline.cli.main import app
from pipeline.config import parse_overrides
from pipeline.data.cohort import read_or_freeze, region_root

BOX = Region(RegionKind.BOX, ((0.1, 0.1), (0.9, 0.9)))


@pytest.fixture
def invoke(monkeypatch):
    monkeypatch.delenv("DERMAXIS_STORE", raising=False)
    return lambda *words, **more: CliRunner().invoke(app, [str(word) for word in words], **more)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A store's file in which one reader judged two images; the set is content with one reader."""
    path = tmp_path_factory.mktemp("template") / "store.sqlite"
    with closing(open_store(str(path))) as opened:
        create_set(opened, OPERATOR, "derm", consensus={"minimum_readers": 1}, key="set")
        add_concept(opened, OPERATOR, "derm", "streaks", key="concept")
        images = [ImageRecord(id=f"i{n}", digest=f"{n:064x}", path="i.png", width=8, height=8) for n in range(2)]
        add_images(opened, OPERATOR, images, key="images")
        add_to_set(opened, OPERATOR, "derm", ["i0", "i1"], key="row")
        add_account(opened, OPERATOR, "ann", [Role.ANNOTATOR], key="ann")
        for image, verdict, regions in (("i0", Verdict.PRESENT, (BOX,)), ("i1", Verdict.ABSENT, ())):
            judgement = Judgement(reader="ann", image_id=image, concept="streaks", verdict=verdict, regions=regions)
            judge(opened, "ann", "derm", judgement, key=image)
    return path


@pytest.fixture
def store(template, tmp_path):
    """A copy of the template."""
    return copyfile(template, tmp_path / "store.sqlite")


def test_a_set_is_frozen_listed_compared_exported_and_brought_in(invoke, store, tmp_path):
    here = ("--store", store)
    assert "1 absent, 1 present (judged)" in invoke("concepts", "freeze", "derm", *here).output
    assert "flagged" in invoke("concepts", "show", "derm@1", *here).output
    assert "derm@1  frozen" in invoke("concepts", "list", *here).output
    invoke("concepts", "freeze", "derm", *here)
    assert "the same concepts" in invoke("concepts", "diff", "derm@1", "derm@2", *here).output
    exported = invoke("concepts", "export", "derm@1", "--output", tmp_path / "out", *here).output.strip()
    assert "intact" in invoke("concepts", "verify", exported).output
    other = ("--store", tmp_path / "other.sqlite")
    assert "derm@1" in invoke("concepts", "import", exported, "--masks", tmp_path / "out", *other).output
    assert read_release(tmp_path / "out" / "derm-1.json").digest in invoke("concepts", "list", *other).output


def test_verify_names_the_first_broken_link(invoke, store):
    assert "intact" in invoke("concepts", "verify", "--store", store).output
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("DROP TRIGGER audit_events_no_update")
        connection.execute("UPDATE audit_events SET actor = 'someone' WHERE seq = 2")
    refused = invoke("concepts", "verify", "--store", store)
    assert isinstance(refused.exception, StoreError)
    assert "breaks at event 2" in str(refused.exception)


def test_an_old_store_is_brought_up_to_date(invoke, store):
    assert "already" in invoke("concepts", "migrate", "--store", store).output
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "dermaxis store migrate" in str(invoke("concepts", "list", "--store", store).exception)


def test_a_store_that_is_not_there_is_not_made_by_looking(invoke, tmp_path):
    refused = invoke("concepts", "list", "--store", tmp_path / "absent.sqlite")
    assert "no concept store" in str(refused.exception)
    assert not (tmp_path / "absent.sqlite").exists()


def test_an_account_gets_its_password_from_the_environment_or_a_prompt(invoke, store, monkeypatch):
    monkeypatch.setattr(accounts, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    here = ("--store", store)
    word = {"DERMAXIS_PASSWORD": "a password of length"}
    added = invoke("accounts", "add", "carl", "--role", "curator", "--role", "reviewer", *here, env=word)
    assert "carl: curator, reviewer" in added.output
    typed = "another long password\n"
    assert invoke("accounts", "add", "dora", "--role", "admin", *here, input=typed * 2).exit_code == 0
    invoke("accounts", "disable", "carl", *here)
    assert "carl: curator, reviewer (disabled)" in invoke("accounts", "list", *here).output
    with closing(open_store(str(store))) as opened:
        assert sign_in(opened, "dora", typed.strip()) is not None
        assert sign_in(opened, "carl", word["DERMAXIS_PASSWORD"]) is None


def test_a_run_takes_its_release_by_name(invoke, store, tmp_path, monkeypatch):
    monkeypatch.setenv("DERMAXIS_STORE", str(store))
    invoke("concepts", "freeze", "derm", "--store", store)
    settings = parse_overrides(["concepts=derm@1", f"data.cache={tmp_path / 'cache'}"])
    release = read_or_freeze(settings, [])
    region = next(example.region for example in release.examples if example.region)
    assert (region_root(settings, release) / region.path).is_file()
    # What was cached and cleaned away comes back where a run goes on.
    (region_root(settings, release) / region.path).unlink()
    assert (region_root(settings, release) / region.path).is_file()
    missing = parse_overrides(["concepts=derm@7", f"data.cache={tmp_path / 'cache'}"])
    with pytest.raises(StoreError, match="there are: derm@1"):
        read_or_freeze(missing, [])


def test_a_password_does_not_get_into_settings():
    with pytest.raises(SettingsError, match="DERMAXIS_STORE") as refusal:
        parse_overrides(["concepts.store=postgresql://me:secret@host/db"])
    assert "secret" not in str(refusal.value)


def test_judgements_go_out_to_a_file_and_into_another_set(invoke, store, tmp_path):
    here, table = ("--store", store), tmp_path / "judgements.csv"
    assert "2 of 2 judgements" in invoke("concepts", "export-judgements", "derm", "-o", table, *here).output
    with closing(open_store(str(store))) as opened:
        create_set(opened, OPERATOR, "copy", key="copy")
        add_concept(opened, OPERATOR, "copy", "streaks", key="copied concept")
        add_to_set(opened, OPERATOR, "copy", ["i0", "i1"], key="copied row")
    brought = invoke("concepts", "import-judgements", table, "--set", "copy", *here)
    assert "2 judgements imported, 0 existed already" in brought.output
    again = invoke("concepts", "import-judgements", table, "--set", "copy", "--format", "csv", *here)
    assert "0 judgements imported, 2 existed already" in again.output
    with closing(open_store(str(store))) as opened:
        copied = read_judgements(opened, OPERATOR, "copy")
    assert [(judgement.image_id, judgement.regions) for judgement in copied] == [("i0", (BOX,)), ("i1", ())]


def test_bad_rows_of_judgements_are_listed(store, tmp_path, monkeypatch, capsys):
    table = tmp_path / "judgements.csv"
    table.write_text("image_id,concept,verdict,reader\ni0,streaks,maybe,Ada\ni9,streaks,absent,Ada\n", encoding="utf-8")
    command = ["dermaxis", "concepts", "import-judgements", str(table), "--set", "derm", "--store", str(store)]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: None)
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert done.value.code == 2
    complaint = capsys.readouterr().err
    assert f"  {table}: row 2: verdict" in complaint
    assert complaint.splitlines()[-1].endswith("(1 of 2 rows are bad; nothing was imported)")


DERM7PT = """case_num,diagnosis,pigment_network,streaks,pigmentation,regression_structures,dots_and_globules,\
blue_whitish_veil,vascular_structures,derm,clinic
1,blue nevus,absent,regular,absent,absent,irregular,present,absent,A/i0.jpg,A/c0.jpg
2,melanoma,atypical,absent,diffuse irregular,combinations,absent,absent,dotted,B/i1.JPG,B/c1.jpg
3,melanoma,atypical,absent,diffuse irregular,combinations,absent,absent,dotted,B/elsewhere.jpg,B/c2.jpg
"""


def stored(store) -> dict[tuple[str, str, str], Verdict]:
    with closing(open_store(str(store))) as opened:
        judgements = read_judgements(opened, OPERATOR, "derm")
        return {
            (judgement.reader, judgement.concept, judgement.image_id): judgement.verdict for judgement in judgements
        }


def test_of_the_table_of_a_data_set_what_is_about_the_set_comes_in(invoke, store, tmp_path):
    (tmp_path / "meta.csv").write_text(DERM7PT)
    command = ("concepts", "import-judgements", tmp_path / "meta.csv", "--set", "derm", "--store", store)
    done = invoke(*command, "--format", "derm7pt")
    assert "2 judgements imported, 0 existed already" in done.output
    assert "skipped: their image or concept is not in the set" in done.output
    verdicts = stored(store)
    assert verdicts["derm7pt", "streaks", "i0"] is Verdict.PRESENT
    assert verdicts["derm7pt", "streaks", "i1"] is Verdict.ABSENT
    (tmp_path / "meta.csv").write_text(
        DERM7PT.replace("regular,absent,absent,irregular", "odd,absent,absent,irregular")
    )
    refused = invoke(*command, "--format", "derm7pt")
    assert isinstance(refused.exception, DataError)
    assert "row 2" in refused.exception.rows[0]
    assert len(stored(store)) == 4


def test_rules_on_metadata_become_concepts_of_a_set_with_what_they_say(invoke, store, tmp_path):
    table = tmp_path / "metadata.csv"
    table.write_text("isic_id,age_approx,clin_size_long_diam_mm\ni0,15,12.5\ni1,70,\nother,3,3\n")
    rules = ("young=age_approx < 20", "wide = clin_size_long_diam_mm >= 10")
    done = invoke("concepts", "import-rules", table, *rules, "--set", "derm", "--store", store)
    assert "3 judgements imported, 0 existed already, 2 skipped: their image is not in the set" in done.output
    verdicts = {cell[1:]: verdict for cell, verdict in stored(store).items() if cell[0] == "metadata rule"}
    present, absent = Verdict.PRESENT, Verdict.ABSENT
    assert verdicts == {("young", "i0"): present, ("young", "i1"): absent, ("wide", "i0"): present}
    with closing(open_store(str(store))) as opened:
        rules = {concept.id: concept.rule for concept in read_set(opened, OPERATOR, "derm").concepts}
    assert (rules["young"], rules["wide"]) == ("age_approx < 20", "clin_size_long_diam_mm >= 10")
    assert isinstance(invoke("concepts", "import-rules", table, "age", "--set", "derm").exception, SettingsError)


def test_lesion_masks_are_measured_and_marked_so(invoke, store, tmp_path):
    with closing(open_store(str(store))) as opened:
        add_images(opened, OPERATOR, [ImageRecord(id="disc", digest="d" * 64, path="disc.png")], key="disc")
        add_to_set(opened, OPERATOR, "derm", ["disc"], key="disc in")
    rows, columns = np.mgrid[-100:100, -100:100] + 0.5
    disc = np.hypot(rows, columns) < 50
    Image.fromarray(disc.astype(np.uint8) * 255).save(tmp_path / "disc_segmentation.png")
    Image.new("RGB", disc.shape, (225, 185, 165)).save(tmp_path / "disc.png")
    options = ("--images", tmp_path, "--set", "derm", "--store", store)
    done = invoke("concepts", "measure", tmp_path, "--spacing", "0.05", *options)
    assert "4 judgements imported" in done.output
    absent = dict.fromkeys(("asymmetry", "border_irregularity", "multiple_colours", "large_diameter"), Verdict.ABSENT)
    assert {cell[1]: verdict for cell, verdict in stored(store).items() if cell[0] == "lesion mask"} == absent
    # 101 pixels across, which is large where 100 are said to be.
    assert "1 judgements imported" in invoke("concepts", "measure", tmp_path, "--large", "100px", *options).output
    assert stored(store)["lesion mask", "large_diameter", "disc"] is Verdict.PRESENT
    Image.new("L", (8, 8)).save(tmp_path / "disc_segmentation.png")
    refused = invoke("concepts", "measure", tmp_path, *options)
    assert isinstance(refused.exception, DataError)
    assert "disc_segmentation.png" in refused.exception.rows[0]
    assert isinstance(invoke("concepts", "measure", tmp_path, "--large", "9in", *options).exception, SettingsError)
