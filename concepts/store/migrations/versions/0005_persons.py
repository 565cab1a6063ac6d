"""Persons stand in the chain under a number, their names outside it.

The chain of before is verified, then written again with numbers in the place of names. A last event says so, with the
newest digest of before, so that a digest that was noted elsewhere is still found.
"""

import json
import secrets

import sqlalchemy as sa
from alembic import op

from concepts.errors import StoreError
from concepts.release import canonical_json
from concepts.store.audit import FIELDS, START, event_hash, now
from concepts.store.persons import name_digest, pseudonym, swapped, unguarded

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None

OPERATOR = "operator"
EVENTS = sa.table("audit_events", *map(sa.column, (*FIELDS, "hash")))
ACCOUNTS = sa.table("accounts", *map(sa.column, ("name", "created", "number", "salt")))


def upgrade() -> None:
    """Bring a store of the revision before up to this one."""
    connection = op.get_bind()
    _verify(connection)
    op.add_column("accounts", sa.Column("number", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("accounts", sa.Column("salt", sa.String(length=32), nullable=True))
    others = sa.select(ACCOUNTS.c.name).where(ACCOUNTS.c.name != OPERATOR).order_by(ACCOUNTS.c.created, ACCOUNTS.c.name)
    numbers, digests = {OPERATOR: OPERATOR}, {}
    for number, name in enumerate(connection.scalars(others).all(), start=1):
        salt = secrets.token_hex(16)
        connection.execute(ACCOUNTS.update().where(ACCOUNTS.c.name == name).values(number=number, salt=salt))
        numbers[name] = pseudonym(number)
        digests[numbers[name]] = name_digest(salt, name)
    op.create_index("ix_accounts_number", "accounts", ["number"], unique=True)
    with unguarded(connection, ["audit_events"]):
        _rechain(connection, numbers, digests)


def _verify(connection: sa.Connection) -> None:
    previous = START
    for seq, row in enumerate(connection.execute(sa.select(EVENTS).order_by(EVENTS.c.seq)).mappings(), start=1):
        content = {field: row[field] for field in FIELDS}
        if row["seq"] != seq or row["previous"] != previous or row["hash"] != event_hash(content):
            raise StoreError(
                f"the chain of events breaks at event {seq}, and a broken chain is not written again; "
                "restore a backup that is whole, then migrate"
            )
        previous = row["hash"]


def _rechain(connection: sa.Connection, numbers: dict[str, str], digests: dict[str, str | None]) -> None:
    rows = connection.execute(sa.select(EVENTS).order_by(EVENTS.c.seq)).mappings().all()
    previous = START
    for row in rows:
        payload = json.loads(row["payload"])
        is_about = row["subject"] == payload.get("account")
        event = {
            **{field: row[field] for field in FIELDS},
            "previous": previous,
            "actor": numbers.get(row["actor"], row["actor"]),
            "subject": numbers.get(row["subject"], row["subject"]) if is_about else row["subject"],
            "payload": canonical_json(swapped(payload, numbers)).decode(),
        }
        previous = event_hash(event)
        connection.execute(EVENTS.update().where(EVENTS.c.seq == row["seq"]).values(**event, hash=previous))
    if rows:
        payload = {"events": len(rows), "before": rows[-1]["hash"], "names": digests}
        content = canonical_json(payload).decode()
        values = (len(rows) + 1, previous, OPERATOR, "rechain", "persons", content, now())
        event = dict(zip(FIELDS, values, strict=True))
        connection.execute(EVENTS.insert().values(**event, hash=event_hash(event)))
