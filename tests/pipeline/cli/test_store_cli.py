import sqlite3
from contextlib import closing

import pytest
from fake_stores import fill, judge_two_images
from typer.testing import CliRunner

from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR
from concepts.errors import SettingsError, StoreError
from concepts.release import read_release
from concepts.store.store import open_store
from concepts.store.witness import noted_digests
from pipeline.cli.main import app


@pytest.fixture
def invoke(monkeypatch):
    for name in ("DERMAXIS_STORE", "DERMAXIS_WITNESS"):
        monkeypatch.delenv(name, raising=False)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "store.sqlite"
    with closing(open_store(str(path))) as opened:
        fill(opened)
        judge_two_images(opened)
    return path


def test_a_store_is_backed_up_checked_and_restored(invoke, store, tmp_path):
    intact = invoke("store", "check", store).output
    assert intact.startswith("intact: 12 events, the newest ")
    assert invoke("concepts", "verify", "--store", store).output == intact, "the alias"
    backup = tmp_path / "one.backup"
    assert intact.strip() in invoke("store", "backup", store, backup).output
    invoke("accounts", "disable", "ann", "--store", store)
    restored = invoke("store", "restore", store, backup).output
    assert intact.strip() in restored
    assert f"the store of before: {store}.before-" in restored
    assert invoke("store", "check", store).output == intact
    assert "already" in invoke("store", "migrate", store).output


def test_an_older_copy_is_found_by_a_release_and_by_the_witness(invoke, store, tmp_path):
    witness, backup = tmp_path / "witness", tmp_path / "old.backup"
    invoke("store", "backup", store, backup, "--witness", witness)
    assert len(noted_digests(witness)) == 1
    with closing(open_store(str(store))) as opened:
        curation.freeze(opened, OPERATOR, "derm", key="one")
        curation.retire_release(opened, OPERATOR, "derm@1", reason="r", key="two")
        curation.freeze(opened, OPERATOR, "derm", key="three")
        exported = curation.export_release(opened, OPERATOR, "derm@2", tmp_path / "out")
    digest = read_release(exported).chain
    assert "intact" in invoke("store", "check", store, "--expect", digest, "--witness", witness).output
    assert len(noted_digests(witness)) == 2
    invoke("store", "restore", store, backup)
    for words in (("--expect", digest), ("--witness", witness)):
        refused = invoke("store", "check", store, *words)
        assert isinstance(refused.exception, StoreError)
        assert "older copy" in str(refused.exception)
    assert len(noted_digests(witness)) == 2, "a store that lacks events is no witness"


def test_a_change_behind_the_stores_back_is_told_in_one_line(invoke, store):
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE images SET diagnosis = 'melanoma' WHERE id = 'image0'")
    refused = invoke("store", "check", store)
    assert isinstance(refused.exception, StoreError)
    assert "image image0 is not what event 5 wrote: diagnosis" in str(refused.exception)


def test_a_person_is_forgotten(invoke, store):
    assert "person:1" in invoke("store", "forget", store, "ann").output
    listed = invoke("accounts", "list", "--store", store).output
    assert "person:1: no role (disabled)" in listed
    assert not listed.startswith("ann:")
    assert "intact" in invoke("store", "check", store).output


def test_an_address_with_a_password_is_refused_where_everyone_can_read_it(invoke, tmp_path, monkeypatch):
    for words in (["check"], ["backup", "f"], ["restore", "f"], ["migrate"], ["forget", "ann"]):
        refused = invoke("store", words[0], "postgresql://me:secret@127.0.0.1:1/none", *words[1:])
        assert isinstance(refused.exception, SettingsError)
        assert "secret" not in str(refused.exception) + refused.output
    file = tmp_path / "address"
    file.write_text(f"{tmp_path}/absent.sqlite\n")
    assert "no concept store" in str(invoke("store", "check", f"@{file}").exception)
    monkeypatch.setenv("DERMAXIS_STORE", f"{tmp_path}/absent2.sqlite")
    assert "absent2" in str(invoke("store", "check", "").exception)
