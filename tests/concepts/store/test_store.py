import errno
import fcntl
import os
import re
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, func, insert, select, text
from sqlalchemy.orm import Session

from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR
from concepts.curation.door import list_sets, read_judgements
from concepts.errors import StoreError
from concepts.judgement import Judgement, Region, RegionKind, Verdict
from concepts.release import canonical_json
from concepts.store import audit, database
from concepts.store.check import check
from concepts.store.judgement_rows import COLUMNS
from concepts.store.schema import EventRow, JudgementRow, SetRow, Table
from concepts.store.store import Store, head_revision, migrate, open_store, revision, upgrade
from concepts.store.store import _connect as connect

RELEASED = ["0001", "0002", "0003"]
"""Revisions that stores out there may have; a released one is never taken from this list."""
NEW = ("created", "at", "name", "names", "masks", "vectors")
"""What events did not tell before revision 0005."""


def address(store: Store) -> str:
    return store.engine.url.render_as_string(hide_password=False)


def assert_as_the_schema_says(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Table.metadata) == []


def test_a_new_store_is_at_the_head_and_as_the_schema_says(store_url):
    with closing(open_store(store_url)) as store:
        assert revision(store) == head_revision()
        assert_as_the_schema_says(store)


@pytest.mark.parametrize("released", RELEASED)
def test_an_empty_store_of_every_released_revision_migrates(store_url, released):
    with closing(connect(store_url, must_exist=False)) as old:
        upgrade(old, released)
    assert migrate(store_url) == (released, head_revision())
    with closing(open_store(store_url)) as store:
        assert_as_the_schema_says(store)


def old_chain(session: Session) -> list[dict[str, object]]:
    """The events of a store as they were before persons had numbers and acts, times and digests were told."""
    rows, previous = [], audit.START
    for event in audit.history(session):
        payload = {name: value for name, value in event.payload.items() if name not in NEW}
        if "password" in payload:
            payload["password"] = payload["password"] is not None
        content = canonical_json(payload).decode()
        values = (event.seq, previous, event.actor, event.action, event.subject, content, event.at)
        row = dict(zip(audit.FIELDS, values, strict=True))
        previous = audit.event_hash(row)
        rows.append(row | {"hash": previous})
    return rows


def copy_rows(source: Store, target: Store) -> None:
    """What the other does not have yet, into tables and columns that are in both."""
    tables = MetaData()
    with source.reading() as rows, target.writing() as session:
        tables.reflect(session.connection())
        for table in tables.sorted_tables:
            if table.name in Table.metadata.tables:
                present = set(session.execute(select(*table.primary_key)).all())
                if table.name == "audit_events":
                    session.execute(insert(table), old_chain(rows))
                    continue
                copied = rows.execute(select(Table.metadata.tables[table.name])).mappings()
                shared = [{column.name: row[column.name] for column in table.columns} for row in copied]
                new = [row for row in shared if tuple(row[key.name] for key in table.primary_key) not in present]
                if new:
                    session.execute(insert(table), new)


def told(event: audit.Event) -> tuple[object, ...]:
    """What readers of the history see of an event."""
    return event.seq, event.actor, event.action, event.subject, event.at


def test_a_broken_chain_is_not_written_again(filled, databases):
    url = databases.new()
    with closing(connect(url, must_exist=False)) as old:
        upgrade(old, "0003")
        copy_rows(filled, old)
        statement = {
            "sqlite": "DROP TRIGGER audit_events_no_update",
            "postgresql": "DROP TRIGGER audit_events_kept ON audit_events",
        }
        with old.writing() as session:
            session.execute(text(statement[old.engine.dialect.name]))
            session.execute(text("UPDATE audit_events SET subject = 'other' WHERE seq = 3"))
    with pytest.raises(StoreError, match="breaks at event 3"):
        migrate(url)
    with closing(connect(url, must_exist=True)) as old:
        assert revision(old) == "0003"


@pytest.mark.parametrize("released", RELEASED)
def test_a_filled_store_of_every_released_revision_migrates_and_loses_nothing(filled, databases, released):
    box = Region(RegionKind.BOX, ((0.25, 0.5), (0.75, 1.0)))
    judgement = Judgement(reader="ann", image_id="image0", concept="streaks", verdict=Verdict.PRESENT, regions=(box,))
    curation.judge(filled, "ann", "derm", judgement, key="one")
    url = databases.new()
    with closing(connect(url, must_exist=False)) as old:
        upgrade(old, released)
        copy_rows(filled, old)
    assert migrate(url) == (released, head_revision())
    with closing(open_store(url)) as store:
        assert read_judgements(store, OPERATOR, "derm") == read_judgements(filled, OPERATOR, "derm")
        rechain, *events = curation.history(store, OPERATOR)
        assert rechain.action == audit.RECHAINED
        assert list(map(told, events)) == list(map(told, curation.history(filled, OPERATOR)))
        findings = check(store, expect=[rechain.payload["before"], "0" * 64])
        assert findings.broken is None
        assert findings.missing == ("0" * 64,)
        assert findings.unchecked == {"accounts.created": 3, "acts": len(events), "sets.created": 1}
        with store.reading() as session:
            chain = " ".join(map(str, session.execute(select(EventRow.actor, EventRow.subject, EventRow.payload))))
        assert not re.search(r"\b(ann|ben|eve)\b", chain)
        curation.judge(store, "ann", "derm", judgement, key="two")


def test_a_filled_store_migrates_and_loses_nothing(filled):
    before = read_judgements(filled, OPERATOR, "derm")
    assert migrate(address(filled)) == (head_revision(), head_revision())
    assert read_judgements(filled, OPERATOR, "derm") == before
    assert check(filled).broken is None


def test_another_revision_is_refused_by_name(store):
    with store.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(StoreError, match="dermaxis store migrate"):
        open_store(address(store))
    with pytest.raises(StoreError, match="update Dermaxis"):
        migrate(address(store))


def test_a_database_of_something_else_is_left_alone(store_url):
    with closing(connect(store_url, must_exist=False)) as other, other.engine.begin() as connection:
        connection.execute(text("CREATE TABLE patients (id INTEGER)"))
    with pytest.raises(StoreError, match=r"other tables \(patients"):
        open_store(store_url)


def test_a_store_that_must_exist_is_not_made(tmp_path, store_url):
    with pytest.raises(StoreError, match="no concept store"):
        open_store(store_url, must_exist=True)
    with pytest.raises(StoreError, match="no concept store"):
        migrate(str(tmp_path / "absent.sqlite"))
    assert not (tmp_path / "absent.sqlite").exists()


@pytest.mark.parametrize("url", ["mysql://here/there", "sqlite://", "sqlite:///:memory:", "://", "nonsense://x"])
def test_addresses_that_cannot_hold_a_store_are_refused(url):
    with pytest.raises(StoreError):
        open_store(url)


def test_a_file_that_is_no_database_is_refused_in_one_line(tmp_path):
    file = tmp_path / "text.sqlite"
    file.write_text("not a database, just some words that are long enough to be read as a header" * 20)
    with pytest.raises(StoreError, match="not a database"):
        open_store(str(file))


def test_an_unreachable_server_is_refused_without_its_password():
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError) as caught:
        open_store("postgresql://someone:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)


def test_an_error_inside_a_transaction_leaves_no_trace(filled):
    def half_an_act() -> None:
        with filled.writing() as session:
            session.execute(text("UPDATE sets SET description = 'x'"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_an_act()
    assert list_sets(filled, OPERATOR)[0].description == ""


def test_a_reader_sees_one_state_while_another_writes(filled):
    with filled.reading() as reader:
        assert reader.scalar(select(SetRow.description)) == ""
        with filled.writing() as session:
            session.execute(text("UPDATE sets SET description = 'x'"))
        assert reader.scalar(select(func.max(SetRow.description))) == ""
    assert list_sets(filled, OPERATOR)[0].description == "x"


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_sqlite_is_set_up_to_keep_what_it_took(filled):
    expected = {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 1, "recursive_triggers": 1}
    with filled.reading() as session:
        assert {name: session.scalar(text(f"PRAGMA {name}")) for name in expected} == expected


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_whoever_wrote_waits_for_the_disk_after_the_commit_and_lets_others_write_meanwhile(filled, monkeypatch):
    seen, path = [], address(filled).removeprefix("sqlite:///")

    def reach(descriptor: int) -> None:
        assert os.path.sameopenfile(descriptor, log.fileno())
        with Path(f"{path}-queue").open("a", encoding="utf-8") as ticket:
            fcntl.flock(ticket, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen.append(list_sets(filled, OPERATOR)[0].description)

    with Path(f"{path}-wal").open("rb") as log:
        monkeypatch.setattr(database.os, "fsync", reach)
        curation.update_set(filled, OPERATOR, "derm", description="x", key="x")
    assert seen == ["x"]


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_what_the_disk_did_not_take_is_not_acknowledged(filled, monkeypatch):
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(database.os, "fsync", fail)
    with pytest.raises(StoreError, match="the disk did not take"):
        curation.update_set(filled, OPERATOR, "derm", description="x", key="x")


def test_the_audit_log_tells_of_every_column_of_a_judgement():
    """But for the mark of who superseded it, which the event of that one tells."""
    assert {*COLUMNS, "superseded_by"} == {column.name for column in JudgementRow.__table__.columns}
