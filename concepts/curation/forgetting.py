"""Forgetting a person: their name and password go, what they judged stays under a number."""

import json

from sqlalchemy import or_, select, update

from concepts.curation.accounts import OPERATOR
from concepts.errors import StoreError
from concepts.release import canonical_json
from concepts.store.acts import Act, performing
from concepts.store.persons import pseudonym, swapped, unguarded
from concepts.store.roles import Action
from concepts.store.schema import (
    AccountRoleRow,
    AccountRow,
    ActRow,
    CaseReviewRow,
    EventRow,
    JudgementRow,
    LaterRow,
    ReleaseRow,
    table,
)
from concepts.store.store import Store

NAMING = (
    (table(JudgementRow), "reader"),
    (table(LaterRow), "reader"),
    (table(CaseReviewRow), "reviewer"),
    (table(ReleaseRow), "by"),
    (table(ActRow), "actor"),
)
"""Every column that holds an account's name, but the account's own and those of its roles, which go."""
ACTS = table(ActRow)
RELEASING = (Action.FREEZE, Action.IMPORT_RELEASE)
"""Acts whose answers name who did them."""
BLANK = "0" * 64


def forget_person(store: Store, actor: str, name: str, *, key: str) -> str:
    """Blank an account's name, password and roles for good; what it judged stays, under the number that the chain has.

    Free text (notes, comments) and releases that were frozen before are not searched for the name.

    Args:
        store: An open store.
        actor: An admin.
        name: Of the account.
        key: One for each submit.

    Returns:
        What the account is called now.

    Raises:
        PermissionDeniedError: If the actor is no admin.
        StoreError: If there is no such account, or it is the operator's or the actor's own.

    Example:
        >>> forget_person(store, OPERATOR, "ben", key="1")
        'person:2'
        >>> [judgement.reader for judgement in read_judgements(store, OPERATOR, "derm")]
        ['ann', 'person:2', 'ann', 'person:2']
    """
    # The request must not hold the name: its digest stays.
    with performing(store, actor, Action.FORGET_PERSON, key=key, request=None) as act:
        if not act.is_repeat:
            row = act.session.get(AccountRow, name)
            if row is None or name in (OPERATOR, actor) or name == pseudonym(row.number):
                raise StoreError(
                    f"{name!r:.80} cannot be forgotten: give the name of an account, not the operator's nor your own; "
                    "see 'dermaxis accounts list'"
                )
            number = pseudonym(row.number)
            _rename(act, row, number)
            act.record(number, {"account": number}, result=number)
    _scrub(store)
    return str(act.result)


def _rename(act: Act, row: AccountRow, number: str) -> None:
    session, name, account = act.session, row.name, table(AccountRow)
    blank = {"name": number, "password": None, "salt": None, "disabled": True, "created": row.created}
    roles = table(AccountRoleRow)
    session.execute(roles.delete().where(roles.c.account == name))
    # The row with the new name first, then what refers to it: no reference is ever open.
    held, own_number = account.c.name == name, row.number
    session.execute(update(account).where(held).values(number=-own_number))
    session.execute(account.insert().values(**blank, number=own_number))
    with unguarded(session.connection(), [named.name for named, _ in NAMING]):
        about = select(EventRow.seq).where(or_(EventRow.actor == number, EventRow.subject == number))
        session.execute(update(ACTS).where(ACTS.c.seq.in_(about)).values(request=BLANK))
        for seq, result in session.execute(select(ACTS.c.seq, ACTS.c.result).where(ACTS.c.action.in_(RELEASING))):
            changed = canonical_json(swapped(json.loads(result), {name: number})).decode()
            session.execute(update(ACTS).where(ACTS.c.seq == seq).values(result=changed))
        for named, column in NAMING:
            session.execute(update(named).where(named.c[column] == name).values({column: number}))
    session.execute(account.delete().where(held))
    session.expunge(row)


def _scrub(store: Store) -> None:
    """Let no free page of the file keep what was blanked."""
    if store.engine.dialect.name == "sqlite":
        connection = store.engine.raw_connection()
        try:
            for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                connection.cursor().execute(statement).close()
        finally:
            connection.close()
