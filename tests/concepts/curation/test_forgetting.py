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
def lived(filled) -> Store:
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


def test_nothing_in_the_store_holds_the_name_and_what_was_judged_stays(lived):
    before = curation.read_judgements(lived, OPERATOR, "derm")
    digests = [event.hash for event in curation.history(lived, OPERATOR)]
    assert NAME in everything(lived)
    number = curation.forget_person(lived, OPERATOR, NAME, key="forget")
    assert NAME not in everything(lived)
    findings = check(lived, expect=digests)
    assert (findings.broken, findings.missing, findings.unchecked) == (None, (), {})
    after = curation.read_judgements(lived, OPERATOR, "derm")
    assert [j.id for j in after] == [j.id for j in before]
    assert [j.reader for j in after] == [j.reader.replace(NAME, number) for j in before]
    newest = curation.history(lived, OPERATOR, limit=1)[0]
    assert (newest.actor, newest.action, newest.subject) == (OPERATOR, "forget_person", number)


def test_the_files_of_the_store_hold_the_name_no_more(lived):
    if lived.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL's own files are its server's matter")
    file = Path(str(lived.engine.url.database))
    curation.forget_person(lived, OPERATOR, NAME, key="forget")
    files = [path.read_bytes() for path in file.parent.glob(f"{file.name}*")]
    assert files
    assert not any(NAME.encode() in content for content in files)


def test_who_is_forgotten_cannot_sign_in_or_act_and_may_come_again_as_another(lived):
    number = curation.forget_person(lived, OPERATOR, NAME, key="forget")
    for name in (NAME, number):
        assert sign_in(lived, name, PASSWORD) is None
        assert find_account(lived, name) is None
        with pytest.raises(PermissionDeniedError):
            curation.list_sets(lived, name)
    curation.add_account(lived, OPERATOR, NAME, [Role.ANNOTATOR], key="again")
    assert curation.own_latest(lived, NAME, "derm") == []
    assert check(lived).broken is None


def test_a_repeat_writes_nothing_and_some_cannot_be_forgotten(lived):
    number = curation.forget_person(lived, OPERATOR, NAME, key="forget")
    assert curation.forget_person(lived, OPERATOR, NAME, key="forget") == number
    for name in (OPERATOR, NAME, number, "nobody"):
        with pytest.raises(StoreError, match="cannot be forgotten"):
            curation.forget_person(lived, OPERATOR, name, key=f"forget {name}")


def test_nobody_takes_a_name_that_the_chain_gives(filled):
    with pytest.raises(StoreError, match="not allowed"):
        curation.add_account(filled, OPERATOR, "person:1", [Role.ANNOTATOR], key="person")


def test_the_kept_tables_are_guarded_again(lived):
    curation.forget_person(lived, OPERATOR, NAME, key="forget")
    with pytest.raises((DatabaseError, StoreError), match="kept as they were written"), lived.writing() as session:
        session.execute(text("UPDATE judgements SET note = 'changed'"))
