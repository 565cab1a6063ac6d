"""Law: a change of any row behind the store's back, on either database, is found and named."""

import re

import numpy as np
import pytest
from fake_stores import live
from sqlalchemy import insert, text

from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Verdict
from concepts.store import audit
from concepts.store.check import CHECKED, check
from concepts.store.judgement_rows import JudgementRecord
from concepts.store.roles import Role
from concepts.store.schema import EventRow, JudgementRow, Table
from concepts.store.store import Store
from concepts.store.witness import note, noted_digests

LONG = "a password of enough length"


@pytest.fixture
def lived(filled) -> Store:
    """A store in which a bit of everything was done, figures of networks and passwords too."""
    live(filled)
    curation.add_account(filled, OPERATOR, "rose", [Role.RESEARCHER], password=LONG, key="rose")
    curation.record_embeddings(filled, "rose", "run-1", ["image0", "image1"], np.eye(2), key="vectors")
    curation.record_suspicion(filled, "rose", "run-1", "streaks", {"image3": 0.25}, key="suspicions")
    values = {f"{3:064x}": 0.9, f"{9:064x}": 0.8}
    curation.propose_concept(filled, OPERATOR, "derm", "globules", values, run="run-1", axis="free_1", key="propose")
    return filled


def behind_its_back(store: Store, *statements: str) -> None:
    """Execute statements as an owner of the database can: without triggers and foreign keys."""
    if store.engine.dialect.name == "postgresql":
        with store.engine.begin() as connection:
            connection.execute(text("SET session_replication_role = replica"))
            for statement in statements:
                connection.execute(text(statement))
            connection.execute(text("SET session_replication_role = origin"))
        return
    raw = store.engine.raw_connection()
    raw.execute("PRAGMA foreign_keys = OFF")
    triggers = raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in triggers:
        raw.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        raw.execute(statement)
    raw.execute("PRAGMA foreign_keys = ON")
    raw.close()


def test_text_in_another_unicode_form_than_the_chain_keeps_is_no_difference(filled):
    """macOS names files and types accents in decomposed form; an event holds the composed one."""
    image = ImageRecord(id="Ma\u0308rz", digest="ab" * 32, path="Ma\u0308rz.png", diagnosis="nae\u0301vus")
    curation.add_images(filled, OPERATOR, [image], key="image")
    curation.add_to_set(filled, OPERATOR, "derm", [image.id], key="another row")
    statement = {"reader": "ann", "concept": "streaks", "verdict": Verdict.PRESENT, "note": "Cafe\u0301"}
    curation.judge(filled, "ann", "derm", Judgement(image_id=image.id, **statement), key="Cafe\u0301")
    assert check(filled).broken is None
    behind_its_back(filled, "UPDATE judgements SET note = 'Cafe'")
    assert check(filled).broken.reason == "judgement 1 is not what event 11 wrote: note"


def test_what_was_done_by_the_tool_passes_and_all_of_it_is_checked(lived):
    findings = check(lived)
    assert findings.broken is None
    assert findings.unchecked == {}


def test_every_table_is_checked_but_the_chain_itself():
    assert CHECKED.keys() | {"audit_events"} == Table.metadata.tables.keys()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE judgements SET superseded_by = 2 WHERE id = 1 AND superseded_by IS NULL", "judgement"),
        ("UPDATE judgements SET superseded_by = 1 WHERE superseded_by IS NULL", "superseded_by"),
        ("UPDATE judgements SET blinded = NOT blinded WHERE id = 1", "judgement 1 .*blinded"),
        ("UPDATE judgements SET reader = 'eve' WHERE id = 1", "judgement 1 .*reader"),
        ("DELETE FROM judgements WHERE id = 3", "judgement 3 is missing"),
        ("UPDATE images SET diagnosis = 'melanoma' WHERE id = 'image0'", "image image0 .*diagnosis"),
        ("UPDATE images SET path = 'other.png' WHERE id = 'image0'", "image image0 .*path"),
        ("UPDATE accounts SET password = 'x' WHERE name = 'rose'", "account rose .*password"),
        ("UPDATE accounts SET password = 'x' WHERE name = 'operator'", "account operator .*password"),
        ("UPDATE accounts SET disabled = FALSE WHERE name = 'zoe'", "account zoe .*disabled"),
        ("UPDATE accounts SET created = '2001' WHERE name = 'zoe'", "account zoe .*created"),
        ("INSERT INTO account_roles (account, role) VALUES ('ann', 'admin')", "role ann admin, which no event wrote"),
        ("DELETE FROM account_roles WHERE account = 'ben'", "role ben annotator is missing"),
        ("UPDATE sets SET blinded = NOT blinded WHERE name = 'derm'", "set derm .*blinded"),
        ("UPDATE sets SET consensus = '{}' WHERE name = 'derm'", "set derm .*consensus"),
        ("UPDATE set_concepts SET definition = 'other' WHERE id = 'streaks'", "concept derm streaks .*definition"),
        ("UPDATE set_images SET position = 99 WHERE image_id = 'image0'", "image of a set derm image0 .*position"),
        ("DELETE FROM later_marks", "saved case derm ann .*is missing"),
        ("UPDATE releases SET status = 'frozen' WHERE version = 2", "release derm 2 .*status"),
        ("UPDATE releases SET manifest = '{}' WHERE version = 1", "release derm 1 .*manifest"),
        ("UPDATE regions SET vertices = '[]' WHERE kind = 'box'", "region .*vertices"),
        ("UPDATE masks SET content = 'x'", "mask"),
        ("UPDATE embeddings SET vector = 'x'", "embedding run-1 image0 .*vector"),
        ("UPDATE suspicions SET value = 0.1 WHERE image_id = 'image3' AND concept = 'streaks'", "suspicion .*value"),
        ("UPDATE acts SET result = '[9]' WHERE key = 'one' AND actor = 'ann'", "act ann one .*result"),
        ("DELETE FROM acts WHERE key = 'many'", "act ann many is missing"),
        ("UPDATE audit_events SET actor = 'ben' WHERE seq = 3", "event 3 was altered"),
        ("DELETE FROM audit_events WHERE seq = 4", "event 4 is missing"),
    ],
)
def test_a_change_behind_the_stores_back_is_found_and_named(lived, statement, named):
    behind_its_back(lived, statement)
    broken = check(lived).broken
    assert broken is not None
    assert re.search(named, broken.reason), broken.reason


def test_an_account_that_got_another_name_everywhere_is_found(lived):
    behind_its_back(
        lived,
        "UPDATE accounts SET name = 'other' WHERE name = 'zoe'",
        "UPDATE account_roles SET account = 'other' WHERE account = 'zoe'",
    )
    assert re.search("account other .*: salt", check(lived).broken.reason)


def test_a_plain_update_that_supersedes_a_verdict_passes_the_triggers_and_is_found(lived):
    with lived.writing() as session:
        number = session.execute(text("SELECT id FROM judgements WHERE superseded_by IS NULL ORDER BY id")).scalar()
        newest = session.execute(text("SELECT max(id) FROM judgements")).scalar()
        session.execute(text(f"UPDATE judgements SET superseded_by = {newest} WHERE id = {number}"))
    assert f"judgement {number} is not what event" in check(lived).broken.reason


def test_a_cut_chain_lacks_the_digest_that_was_noted(lived, tmp_path):
    with lived.reading() as session:
        noted, before = audit.newest(session), session.get(EventRow, 1).hash
    witness = tmp_path / "witness.txt"
    note(witness, noted)
    note(witness, noted)
    assert noted_digests(witness) == [noted.hash]
    # A whole state of before: the chain is right and the tables fit it, but its end is gone.
    curation.update_set(lived, OPERATOR, "derm", description="changed", key="late")
    with lived.reading() as session:
        late = audit.newest(session)
    behind_its_back(
        lived,
        f"DELETE FROM acts WHERE seq = {late.seq}",
        f"DELETE FROM audit_events WHERE seq = {late.seq}",
        "UPDATE sets SET description = '' WHERE name = 'derm'",
    )
    findings = check(lived, expect=[before, noted.hash, late.hash])
    assert findings.broken is None
    assert findings.missing == (late.hash,)
    assert findings.newest == noted


def test_an_event_of_an_older_dermaxis_leaves_counted_gaps_and_hides_nothing_else(filled):
    with filled.reading() as session:
        events = list(audit.history(session))
    behind_its_back(filled, "DELETE FROM acts", "DELETE FROM audit_events")
    with filled.writing() as session:
        for event in events:
            payload = {name: value for name, value in event.payload.items() if name not in ("created", "at", "masks")}
            if "password" in payload:
                payload["password"] = payload["password"] is not None
            seq = audit.append(session, event.actor, event.action, subject=event.subject, payload=payload)
            row = {"actor": event.actor, "key": event.act["key"], "action": event.action, "request": "", "seq": seq}
            session.execute(insert(Table.metadata.tables["acts"]).values(**row, result="null"))
    findings = check(filled)
    assert findings.broken is None
    assert findings.unchecked == {"accounts.created": 3, "acts": len(events), "sets.created": 1}
    behind_its_back(filled, "UPDATE acts SET actor = 'ben' WHERE seq = 1")
    assert "act ben" in check(filled).broken.reason


def test_a_forged_judgement_is_named(lived):
    with lived.writing() as session:
        copy = JudgementRecord.of_row(session.get(JudgementRow, 1), ()).columns()
        changed = {"id": 999, "image_id": "image3", "supersedes": None, "act": None, "undoes": None}
        session.add(JudgementRow(**copy | changed))
    assert "judgement 999, which no event wrote" in check(lived).broken.reason
