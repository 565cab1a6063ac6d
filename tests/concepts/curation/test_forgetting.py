"""A forgotten person is nowhere in the store; all they judged is, and the store still passes its check."""

from pathlib import Path

import pytest
from fake_stores import live
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR, find_account, sign_in
from concepts.errors import PermissionDeniedError, StoreError
from concepts.judgement import Judgement, Verdict
from concepts.store.check import check
from concepts.store.roles import Role
from concepts.store.schema import Table
from concepts.store.store import Store

NAME, PASSWORD = "mia.unmistakable@example.org", "a password of enough length"


@pytest.fixture
def known(filled) -> Store:
    """A store in which a person with a name that nothing else holds judged, froze and signed in."""
    live(filled)
    roles = [Role.ANNOTATOR, Role.CURATOR]
    curation.add_account(filled, OPERATOR, NAME, roles, password=PASSWORD, key="person")
    judgement = Judgement(reader=NAME, image_id="image5", concept="pigment_network", verdict=Verdict.PRESENT)
    curation.freeze(filled, NAME, "derm", key="freeze")
    curation.judge(filled, NAME, "derm", judgement, key="one")
    curation.save_for_later(filled, NAME, "derm", "image1", "streaks", key="later")
    return filled


def everything(store: Store) -> str:
    with store.reading() as session:
        return " ".join(str(row) for table in Table.metadata.sorted_tables for row in session.execute(select(table)))


def test_nothing_in_the_store_holds_the_name_and_what_was_judged_stays(known):
    before = curation.read_judgements(known, OPERATOR, "derm")
    digests = [event.hash for event in curation.history(known, OPERATOR)]
    assert NAME in everything(known)
    number = curation.forget_person(known, OPERATOR, NAME, key="forget")
    assert NAME not in everything(known)
    findings = check(known, expect=digests)
    assert (findings.broken, findings.missing, findings.unchecked) == (None, (), {})
    after = curation.read_judgements(known, OPERATOR, "derm")
    assert [j.id for j in after] == [j.id for j in before]
    assert [j.reader for j in after] == [j.reader.replace(NAME, number) for j in before]
    newest = curation.history(known, OPERATOR, limit=1)[0]
    assert (newest.actor, newest.action, newest.subject) == (OPERATOR, "forget_person", number)


def test_the_files_of_the_store_hold_the_name_no_more(known):
    if known.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL's own files are its server's matter")
    file = Path(str(known.engine.url.database))
    curation.forget_person(known, OPERATOR, NAME, key="forget")
    files = [path.read_bytes() for path in file.parent.glob(f"{file.name}*")]
    assert files
    assert not any(NAME.encode() in content for content in files)


def test_who_is_forgotten_cannot_sign_in_or_act_and_may_come_again_as_another(known):
    number = curation.forget_person(known, OPERATOR, NAME, key="forget")
    for name in (NAME, number):
        assert sign_in(known, name, PASSWORD) is None
        assert find_account(known, name) is None
        with pytest.raises(PermissionDeniedError):
            curation.list_sets(known, name)
    curation.add_account(known, OPERATOR, NAME, [Role.ANNOTATOR], key="again")
    assert curation.own_latest(known, NAME, "derm") == []
    assert check(known).broken is None


def test_a_repeat_writes_nothing_and_some_cannot_be_forgotten(known):
    number = curation.forget_person(known, OPERATOR, NAME, key="forget")
    assert curation.forget_person(known, OPERATOR, NAME, key="forget") == number
    for name in (OPERATOR, NAME, number, "nobody"):
        with pytest.raises(StoreError, match="cannot be forgotten"):
            curation.forget_person(known, OPERATOR, name, key=f"forget {name}")


def test_nobody_takes_a_name_that_the_chain_gives(filled):
    with pytest.raises(StoreError, match="not allowed"):
        curation.add_account(filled, OPERATOR, "person:1", [Role.ANNOTATOR], key="person")


def test_the_kept_tables_are_guarded_again(known):
    curation.forget_person(known, OPERATOR, NAME, key="forget")
    with pytest.raises((DatabaseError, StoreError), match="kept as they were written"), known.writing() as session:
        session.execute(text("UPDATE judgements SET note = 'changed'"))
