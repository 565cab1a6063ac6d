"""Persons stand in the chained events under a number; their names stand outside it, and can be blanked there.

The chain says ``person:7`` where a table or a screen says the name. The events hold a digest of the name with a random
salt, so that a changed name is noticed; once the salt is blanked with the name, the digest tells nobody anything. The
operator is no person and has no number.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, text
from sqlalchemy.orm import Session

from concepts.errors import StoreError
from concepts.store.schema import AccountRow, portions, table

PREFIX = "person:"
OPERATOR = "operator"
NAMED = frozenset({"account", "by", "reader", "reviewer"})
"""Under which a payload names one account."""
LISTED = frozenset({"readers"})
"""Under which it lists several."""
ACCOUNTS = table(AccountRow)
NUMBERS = select(ACCOUNTS.c.name, ACCOUNTS.c.number).where(ACCOUNTS.c.name.in_(bindparam("portion", expanding=True)))


def pseudonym(number: int) -> str:
    """Return what the chain calls the account of a number.

    Example:
        >>> pseudonym(7), pseudonym(0)
        ('person:7', 'operator')
    """
    return f"{PREFIX}{number}" if number else OPERATOR


def name_digest(salt: str | None, name: str) -> str | None:
    """Return what the chain tells of a name; None once the salt is blanked."""
    return sha256(f"{salt}:{name}".encode()).hexdigest() if salt else None


def add_person(session: Session, name: str, *, password: str | None, created: str) -> dict[str, Any]:
    """Write the row of a new account.

    Returns:
        What the audit log is to say of it, but for its name.

    Raises:
        StoreError: If the name is one of those that the chain gives.
    """
    if name.startswith(PREFIX):
        raise StoreError(f"a name that begins with {PREFIX!r} is not allowed; choose another")
    number = (session.scalar(select(func.max(ACCOUNTS.c.number))) or 0) + 1
    salt = secrets.token_hex(16)
    row = {"name": name, "password": password, "disabled": False, "created": created}
    session.execute(insert(ACCOUNTS).values(**row, number=number, salt=salt))
    return {"name": name_digest(salt, name), "created": created}


def numbered(session: Session, actor: str, subject: str, payload: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Return actor, subject and payload of an event with numbers in the place of names."""
    mentioned = sorted({actor, *_mentioned(payload)})
    rows = (row for portion in portions(mentioned) for row in session.execute(NUMBERS, {"portion": portion}))
    numbers = {name: pseudonym(number) for name, number in rows}
    if subject == payload.get("account"):
        subject = numbers.get(subject, subject)
    return numbers.get(actor, actor), subject, swapped(payload, numbers)


def names_of(session: Session) -> dict[str, str]:
    """Return the names of all accounts by what the chain calls them."""
    return {pseudonym(number): name for name, number in session.execute(select(ACCOUNTS.c.name, ACCOUNTS.c.number))}


def swapped(content: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401  # any JSON
    """Replace accounts' names in JSON, wherever a key says that it names one.

    Example:
        >>> swapped({"judgements": [{"reader": "ann", "note": "ann"}], "readers": ["ben"]}, {"ann": "person:1"})
        {'judgements': [{'reader': 'person:1', 'note': 'ann'}], 'readers': ['ben']}
    """
    if isinstance(content, Mapping):
        return {key: _swapped_at(key, value, names) for key, value in content.items()}
    return [swapped(item, names) for item in content] if isinstance(content, list | tuple) else content


@contextmanager
def unguarded(connection: Connection, tables: Iterable[str]) -> Iterator[None]:
    """Let rows of kept tables be changed until the block ends; nobody outside the transaction sees them unguarded."""
    if connection.dialect.name == "sqlite":
        query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :of")
        triggers = [row for name in tables for row in connection.execute(query, {"of": name}).all()]
        for name, _ in triggers:
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
        yield
        for _, statement in triggers:
            connection.exec_driver_sql(statement)
        return
    for name in tables:
        connection.exec_driver_sql(f"ALTER TABLE {name} DISABLE TRIGGER USER")
    yield
    for name in tables:
        connection.exec_driver_sql(f"ALTER TABLE {name} ENABLE TRIGGER USER")


def _swapped_at(key: str, value: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401  # any JSON
    if key in NAMED and isinstance(value, str):
        return names.get(value, value)
    if key in LISTED and isinstance(value, list | tuple):
        return [names.get(item, item) if isinstance(item, str) else item for item in value]
    return swapped(value, names)


def _mentioned(content: Any) -> Iterator[str]:  # noqa: ANN401  # any JSON
    if isinstance(content, Mapping):
        for key, value in content.items():
            if key in NAMED and isinstance(value, str):
                yield value
            elif key in LISTED and isinstance(value, list | tuple):
                yield from (item for item in value if isinstance(item, str))
            else:
                yield from _mentioned(value)
    elif isinstance(content, list | tuple):
        for item in content:
            yield from _mentioned(item)
