"""A backup is whole while others write, and a restore takes nothing over from what was there before."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR
from concepts.errors import StoreError
from concepts.judgement import Judgement, Verdict
from concepts.store import settling
from concepts.store.backup import back_up, restore
from concepts.store.check import check
from concepts.store.store import Store, open_store, revision, upgrade
from concepts.store.store import _connect as connect
from concepts.store.witness import noted_digests

HOLD = """
import sys
from concepts.store.store import closed_at_the_end, open_store
from concepts.curation.door import judge
from concepts.judgement import Judgement, Verdict
with closed_at_the_end(open_store(sys.argv[1])) as store:
    for number in range(3):
        judgement = Judgement(reader="ann", image_id=f"image{number}", concept="streaks", verdict=Verdict.PRESENT)
        judge(store, "ann", "derm", judgement, key=f"held {number}")
    print("judged", flush=True)
    sys.stdin.read()
"""


def address(store: Store) -> str:
    url = store.engine.url
    return str(url.database) if store.engine.dialect.name == "sqlite" else url.render_as_string(hide_password=False)


def verdict(number: int, word: Verdict = Verdict.PRESENT) -> Judgement:
    return Judgement(reader="ann", image_id=f"image{number}", concept="streaks", verdict=word)


def judgements(url: str) -> list[str]:
    with closing(open_store(url, must_exist=True)) as store:
        assert check(store).broken is None
        current = curation.read_judgements(store, OPERATOR, "derm")
    return [judgement.image_id for judgement in current]


@pytest.fixture
def sqlite_store(tmp_path, filled) -> Store:
    if filled.engine.dialect.name != "sqlite":
        pytest.skip("a matter of SQLite's files")
    return filled


@pytest.fixture
def holder(sqlite_store):
    """Another process that judged and still has the store open."""
    url = address(sqlite_store)
    sqlite_store.close()
    command = [sys.executable, "-c", HOLD, url]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "judged\n"
    yield process, url
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


@pytest.mark.slow
def test_a_backup_beside_an_open_store_holds_what_is_only_in_its_log(holder, tmp_path):
    _, url = holder
    copied = tmp_path / "copied.sqlite"
    shutil.copyfile(url, copied)  # what the documentation said before
    assert judgements(str(copied)) == []
    findings = back_up(url, tmp_path / "backup.sqlite")
    assert findings.newest is not None
    assert judgements(str(tmp_path / "backup.sqlite")) == ["image0", "image1", "image2"]


@pytest.mark.slow
def test_after_sigterm_the_file_alone_holds_everything(holder, tmp_path):
    process, url = holder
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    shutil.copyfile(url, tmp_path / "alone.sqlite")
    assert judgements(str(tmp_path / "alone.sqlite")) == ["image0", "image1", "image2"]


@pytest.mark.slow
def test_restore_refuses_a_store_that_is_in_use_and_changes_nothing(holder, tmp_path):
    process, url = holder
    backup = tmp_path / "backup.sqlite"
    back_up(url, backup)
    with pytest.raises(StoreError, match="in use"):
        restore(url, backup)
    process.kill()
    process.wait()
    assert judgements(url) == ["image0", "image1", "image2"]


@pytest.mark.slow
def test_restore_over_the_leftover_log_of_a_killed_writer_gives_the_backup(holder, tmp_path):
    process, url = holder
    backup = tmp_path / "backup.sqlite"
    back_up(url, backup)
    process.kill()
    process.wait()
    assert Path(f"{url}-wal").stat().st_size > 0
    _, aside = restore(url, backup)
    assert judgements(url) == ["image0", "image1", "image2"]
    assert judgements(aside) == ["image0", "image1", "image2"], "what was there before is whole"


def test_a_restored_store_is_the_backup_and_what_was_there_is_kept(filled, tmp_path):
    url, backup = address(filled), tmp_path / "backup"
    curation.judge(filled, "ann", "derm", verdict(0), key="one")
    back_up(url, backup)
    curation.judge(filled, "ann", "derm", verdict(1), key="two")
    filled.close()
    findings, aside = restore(url, backup)
    assert judgements(url) == ["image0"]
    old = aside if filled.engine.dialect.name == "sqlite" else url.replace(str(filled.engine.url.database), aside)
    assert judgements(old) == ["image0", "image1"]
    with closing(open_store(url)) as store:
        assert check(store).newest == findings.newest


def test_a_backup_is_never_overwritten(filled, tmp_path):
    back_up(address(filled), tmp_path / "backup")
    before = (tmp_path / "backup").read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        back_up(address(filled), tmp_path / "backup")
    assert (tmp_path / "backup").read_bytes() == before


def test_only_its_owner_reads_a_backup(filled, tmp_path):
    back_up(address(filled), tmp_path / "backup")
    assert (tmp_path / "backup").stat().st_mode & 0o077 == 0


def test_an_empty_file_does_not_take_a_stores_place(sqlite_store, tmp_path):
    url = address(sqlite_store)
    curation.judge(sqlite_store, "ann", "derm", verdict(0), key="before")
    sqlite_store.close()
    (tmp_path / "empty").touch()
    with pytest.raises(StoreError, match="no concept store"):
        restore(url, tmp_path / "empty")
    assert judgements(url) == ["image0"]


def test_a_store_that_was_changed_behind_its_back_is_not_backed_up(filled, tmp_path):
    with filled.writing() as session:
        session.execute(text("UPDATE images SET path = 'other.png'"))
    with pytest.raises(StoreError, match="not what event"):
        back_up(address(filled), tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("damage", ["row", "text", "cut", "absent"])
def test_a_backup_that_does_not_pass_is_not_put_in_place(filled, tmp_path, damage):
    url, backup = address(filled), tmp_path / "backup"
    curation.judge(filled, "ann", "derm", verdict(0), key="one")
    back_up(url, backup)
    filled.close()
    if damage == "row" and filled.engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(backup)) as connection, connection:
            connection.execute("UPDATE images SET diagnosis = 'melanoma'")
    elif damage == "absent":
        backup.unlink()
    else:
        content = backup.read_bytes()
        backup.write_bytes(b"no backup at all" if damage == "text" else content[: len(content) // 2])
    with pytest.raises(StoreError):
        restore(url, backup)
    assert judgements(url) == ["image0"]
    folder = Path(url).parent if filled.engine.dialect.name == "sqlite" else tmp_path
    assert [file.name for file in (*folder.iterdir(), *tmp_path.iterdir()) if file.name.startswith(".")] == []


def test_a_store_of_an_older_dermaxis_is_backed_up_as_it_is_and_migrated_when_restored(databases, tmp_path):
    url, backup = databases.new(), tmp_path / "backup"
    with closing(connect(url, must_exist=False)) as old:
        upgrade(old, "0003")
    findings = back_up(url, backup)
    assert findings is None or findings.broken is None
    with closing(connect(url, must_exist=True)) as old:
        assert revision(old) == "0003"
    restore(url, backup)
    with closing(open_store(url, must_exist=True)) as store:
        assert check(store).broken is None
    assert [file.name for file in tmp_path.iterdir()] == ["backup"]


def test_a_damaged_store_is_restored(sqlite_store, tmp_path):
    url, backup = address(sqlite_store), tmp_path / "backup"
    curation.judge(sqlite_store, "ann", "derm", verdict(0), key="one")
    back_up(url, backup)
    sqlite_store.close()
    Path(url).write_bytes(b"\0" * 50_000)
    restore(url, backup)
    assert judgements(url) == ["image0"]
    Path(url).unlink()
    _, aside = restore(url, backup)
    assert aside == "" or Path(f"{aside}-wal").exists() or Path(f"{aside}-shm").exists()
    assert judgements(url) == ["image0"]


def test_what_was_written_reaches_the_file_and_the_witness_soon(sqlite_store, tmp_path, monkeypatch):
    monkeypatch.setattr(settling, "SECONDS", 0.05)
    monkeypatch.setenv("DERMAXIS_WITNESS", str(tmp_path / "witness"))
    curation.judge(sqlite_store, "ann", "derm", verdict(0), key="one")
    until = time.monotonic() + 5
    while not (tmp_path / "witness").exists() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.05)
    shutil.copyfile(address(sqlite_store), tmp_path / "alone.sqlite")
    assert judgements(str(tmp_path / "alone.sqlite")) == ["image0"]
    assert noted_digests(tmp_path / "witness") == [check(sqlite_store).newest.hash]
