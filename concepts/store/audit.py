"""The audit chain: every act is an event that carries the hash of the event before it.

hash = SHA-256 of the event as canonical JSON, with ``previous`` among its fields; the first event's ``previous`` is
64 zeros. Whoever changes, removes or inserts an event breaks the chain from there on, and whoever changes another table
behind the store's back contradicts the events: they tell enough to write every table again, large content and
passwords by their digests. `concepts.store.check` names the first such place.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from concepts.release import canonical_json
from concepts.store.persons import names_of, numbered, swapped
from concepts.store.schema import EventRow, portions, table

START = "0" * 64
BATCH = 1000
EVENTS = table(EventRow)
LAST = select(EVENTS.c.seq, EVENTS.c.hash).order_by(EVENTS.c.seq.desc()).limit(1)
APPEND = insert(EVENTS)
FIELDS = ("seq", "previous", "actor", "action", "subject", "payload", "at")
"""What the hash is of."""
RECHAINED = "rechain"
"""The act of the migration that put numbers in the place of names."""
ACT = "act"
"""Under which a payload tells the row of the act."""


@dataclass(frozen=True, slots=True)
class Event:
    """One act.

    Attributes:
        seq: 1 for the first, then counting up without gaps.
        previous: Hash of the event before.
        hash: This event's.
        actor: Who.
        action: What; a word of `concepts.store.roles.Action`.
        subject: On what.
        payload: All that was written, enough to write it again.
        at: When, ISO 8601, UTC.
        act: The row of the act: key, request, result; None where an older Dermaxis wrote the event.
    """

    seq: int
    previous: str
    hash: str
    actor: str
    action: str
    subject: str
    payload: Mapping[str, Any]
    at: str
    act: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """The first place at which the store is not what its acts made it.

    Attributes:
        seq: The event.
        reason: What is wrong.
    """

    seq: int
    reason: str


def now() -> str:
    """Return this moment as the store writes it: ISO 8601, UTC, with microseconds."""
    return instant(datetime.now(UTC))


def instant(moment: datetime) -> str:
    """Write a moment as the store does.

    Example:
        >>> instant(datetime(2026, 5, 1, 12, tzinfo=UTC))
        '2026-05-01T12:00:00.000000+00:00'
    """
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def append(session: Session, actor: str, action: str, *, subject: str, payload: Mapping[str, Any]) -> int:
    """Add an event at the end of the chain, in the transaction that does the act.

    Args:
        session: From `Store.writing`.
        actor: Who.
        action: What.
        subject: On what.
        payload: JSON; all that was written.

    Returns:
        The event's number.
    """
    actor, subject, payload = numbered(session, actor, subject, payload)
    last = session.execute(LAST).first()
    seq, previous = (last.seq + 1, last.hash) if last else (1, START)
    content = canonical_json(payload).decode()
    event = dict(zip(FIELDS, (seq, previous, actor, action, subject, content, now()), strict=True))
    session.execute(APPEND, event | {"hash": event_hash(event)})
    return seq


def history(session: Session, *, after: int = 0, with_names: bool = True) -> Iterator[Event]:
    """Iterate over the events in order, from the one after ``after``; with names, or as the chain has them."""
    names = names_of(session) if with_names else {}
    rows = session.scalars(select(EventRow).where(EventRow.seq > after).order_by(EventRow.seq)).yield_per(BATCH)
    return (to_event(row, names) for row in rows)


def to_event(row: EventRow, names: Mapping[str, str]) -> Event:
    """Build the event that a row holds; ``names`` by what the chain calls the accounts."""
    payload = swapped(json.loads(row.payload), names)
    act = payload.pop(ACT, None)
    return Event(
        seq=row.seq,
        previous=row.previous,
        hash=row.hash,
        actor=names.get(row.actor, row.actor),
        action=row.action,
        subject=names.get(row.subject, row.subject),
        payload=payload,
        at=row.at,
        act=act,
    )


def newest(session: Session) -> Event | None:
    """Return the newest event, whose hash stands for the whole chain; None where nothing was done yet."""
    row = session.scalar(select(EventRow).order_by(EventRow.seq.desc()).limit(1))
    return to_event(row, {}) if row else None


def absent(session: Session, digests: Iterable[str]) -> tuple[str, ...]:
    """Return those of some digests that are no event's, in their order."""
    distinct = list(dict.fromkeys(digests))
    present: set[str] = set()
    for portion in portions(distinct):
        present.update(session.scalars(select(EventRow.hash).where(EventRow.hash.in_(portion))))
    # The chain was written again once, and an event says what its newest digest was before.
    rechained = select(EventRow.payload).where(EventRow.action == RECHAINED)
    present.update(json.loads(payload)["before"] for payload in session.scalars(rechained))
    return tuple(digest for digest in distinct if digest not in present)


def broken_chain(session: Session) -> BrokenLink | None:
    """Look for the first event that does not follow from the one before."""
    seq, previous = 0, START
    for row in session.scalars(select(EventRow).order_by(EventRow.seq)).yield_per(BATCH):
        if row.seq != seq + 1:
            return BrokenLink(seq + 1, f"event {seq + 1} is missing")
        if row.previous != previous:
            return BrokenLink(row.seq, f"event {row.seq} does not follow from event {seq}")
        if row.hash != event_hash({field: getattr(row, field) for field in FIELDS}):
            return BrokenLink(row.seq, f"event {row.seq} was altered: its hash does not fit its content")
        seq, previous = row.seq, row.hash
    return None


def event_hash(fields: Mapping[str, Any]) -> str:
    """Return the hash of an event's `FIELDS`."""
    return sha256(canonical_json(fields)).hexdigest()
