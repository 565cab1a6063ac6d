"""The audit chain: every act is an event that carries the hash of the event before it.

hash = SHA-256 of the event as canonical JSON, with ``previous`` among its fields; the first event's ``previous`` is
64 zeros. Whoever changes, removes or inserts an event breaks the chain from there on, and whoever changes a judgement
or a release behind the store's back contradicts the event that wrote it; `verify` names the first such place. An owner
of the whole database can write a new chain: compare its newest hash with one that was noted elsewhere.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from concepts.release import canonical_json
from concepts.store.judgement_rows import JudgementRecord
from concepts.store.schema import CaseReviewRow, EventRow, JudgementRow, MaskRow, RegionRow, ReleaseRow, table
from concepts.store.store import Store

START = "0" * 64
BATCH = 1000
EVENTS = table(EventRow)
LAST = select(EVENTS.c.seq, EVENTS.c.hash).order_by(EVENTS.c.seq.desc()).limit(1)
APPEND = insert(EVENTS)
FIELDS = ("seq", "previous", "actor", "action", "subject", "payload", "at")
"""What the hash is of."""


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
    """

    seq: int
    previous: str
    hash: str
    actor: str
    action: str
    subject: str
    payload: Mapping[str, Any]
    at: str


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
    last = session.execute(LAST).first()
    seq, previous = (last.seq + 1, last.hash) if last else (1, START)
    content = canonical_json(payload).decode()
    event = dict(zip(FIELDS, (seq, previous, actor, action, subject, content, now()), strict=True))
    session.execute(APPEND, event | {"hash": _hash(event)})
    return seq


def history(session: Session, *, after: int = 0) -> Iterator[Event]:
    """Iterate over the events in order, from the one after ``after``."""
    rows = session.scalars(select(EventRow).where(EventRow.seq > after).order_by(EventRow.seq)).yield_per(BATCH)
    return map(to_event, rows)


def to_event(row: EventRow) -> Event:
    """Build the event that a row holds."""
    return Event(
        seq=row.seq,
        previous=row.previous,
        hash=row.hash,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        payload=json.loads(row.payload),
        at=row.at,
    )


def verify(store: Store) -> BrokenLink | None:
    """Look for the first event that does not follow from the one before, or that the tables contradict."""
    with store.reading() as session:
        return _broken_chain(session) or _contradiction(session)


def last_link(store: Store) -> Event | None:
    """Return the newest event, whose hash stands for the whole chain; None where nothing was done yet."""
    with store.reading() as session:
        row = session.scalar(select(EventRow).order_by(EventRow.seq.desc()).limit(1))
        return to_event(row) if row else None


def _broken_chain(session: Session) -> BrokenLink | None:
    seq, previous = 0, START
    for row in session.scalars(select(EventRow).order_by(EventRow.seq)).yield_per(BATCH):
        if row.seq != seq + 1:
            return BrokenLink(seq + 1, f"event {seq + 1} is missing")
        if row.previous != previous:
            return BrokenLink(row.seq, f"event {row.seq} does not follow from event {seq}")
        if row.hash != _hash({field: getattr(row, field) for field in FIELDS}):
            return BrokenLink(row.seq, f"event {row.seq} was altered: its hash does not fit its content")
        seq, previous = row.seq, row.hash
    return None


def _contradiction(session: Session) -> BrokenLink | None:
    judgements, reviews, last = 0, 0, 0
    for event in history(session):
        last = event.seq
        written = event.payload.get("judgements", ())
        for record in written:
            judgements += 1
            if not _stands(session, record):
                return BrokenLink(event.seq, f"judgement {record['id']} is not what event {event.seq} wrote")
        if "review" in event.payload:
            reviews += 1
            if not _review_stands(session, event.payload["review"]):
                number = event.payload["review"]["id"]
                return BrokenLink(event.seq, f"case review {number} is not what event {event.seq} wrote")
        if "release" in event.payload and not _release_stands(session, event.payload["release"]):
            name = "{name}@{version}".format(**event.payload["release"])
            return BrokenLink(event.seq, f"release {name} is not what event {event.seq} wrote")
    if session.scalar(select(func.count()).select_from(JudgementRow)) != judgements:
        return BrokenLink(last, "there are judgements that no event wrote")
    if session.scalar(select(func.count()).select_from(CaseReviewRow)) != reviews:
        return BrokenLink(last, "there are case reviews that no event wrote")
    return None


def _stands(session: Session, record: Mapping[str, Any]) -> bool:
    row = session.get(JudgementRow, record["id"])
    if row is None:
        return False
    regions = session.scalars(
        select(RegionRow).where(RegionRow.judgement_id == row.id).order_by(RegionRow.position)
    ).all()
    return canonical_json(JudgementRecord.of_row(row, regions).to_json()) == canonical_json(record) and all(
        _mask_stands(session, region.mask) for region in regions if region.mask is not None
    )


def _review_stands(session: Session, record: Mapping[str, Any]) -> bool:
    row = session.get(CaseReviewRow, record["id"])
    return row is not None and canonical_json(_review_record(row)) == canonical_json(record)


def _review_record(row: CaseReviewRow) -> dict[str, Any]:
    columns = {column.name: getattr(row, column.name) for column in CaseReviewRow.__table__.columns}
    return columns | {"corrections": json.loads(row.corrections)}


def _mask_stands(session: Session, digest: str) -> bool:
    content = session.scalar(select(MaskRow.content).where(MaskRow.digest == digest))
    return content is not None and sha256(content).hexdigest() == digest


def _release_stands(session: Session, release: Mapping[str, Any]) -> bool:
    row = session.get(ReleaseRow, (release["name"], release["version"]))
    return row is not None and sha256(row.manifest.encode()).hexdigest() == release["manifest"]


def _hash(fields: Mapping[str, Any]) -> str:
    return sha256(canonical_json(fields)).hexdigest()
