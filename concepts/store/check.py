"""Check a store: its chain of events, and every row against the state that the events lead to.

What the chain cannot tell is whether it is all of it: whoever owns the database can cut the newest events off, put an
older copy in its place or write a new chain. Releases and runs name the newest digest of their time, and a witness
file elsewhere may list them all: `check` says whether the chain holds such a digest.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from unicodedata import normalize

from sqlalchemy import RowMapping, Table, select
from sqlalchemy.orm import Session

from concepts.store import audit
from concepts.store.audit import BrokenLink, Event
from concepts.store.persons import name_digest, names_of, swapped
from concepts.store.replay import Row, State, replayed
from concepts.store.schema import (
    AccountRoleRow,
    AccountRow,
    ActRow,
    CaseReviewRow,
    ConceptRow,
    EmbeddingRow,
    EventRow,
    ImageRow,
    JudgementRow,
    LaterRow,
    MaskRow,
    RegionRow,
    ReleaseRow,
    SetImageRow,
    SetRow,
    SuspicionRow,
    table,
)
from concepts.store.store import Store

CHECKED = {
    table(row).name: (table(row), noun)
    for row, noun in (
        (AccountRow, "account"),
        (AccountRoleRow, "role"),
        (ImageRow, "image"),
        (SetRow, "set"),
        (ConceptRow, "concept"),
        (SetImageRow, "image of a set"),
        (MaskRow, "mask"),
        (JudgementRow, "judgement"),
        (RegionRow, "region"),
        (LaterRow, "saved case"),
        (CaseReviewRow, "case review"),
        (ReleaseRow, "release"),
        (EmbeddingRow, "embedding"),
        (SuspicionRow, "suspicion"),
        (ActRow, "act"),
    )
}
"""Every table but the chain's own, and what one of its rows is called."""
ONCE_UNTOLD = frozenset({"masks", "embeddings", "acts"})
"""Tables whose rows the events of an older Dermaxis do not all tell."""


def _digest(value: str | bytes | None) -> str | None:
    return None if value is None else sha256(value if isinstance(value, bytes) else value.encode()).hexdigest()


AS_TOLD: Mapping[tuple[str, str], Callable[[Any], Any]] = {
    ("accounts", "password"): _digest,
    ("masks", "content"): _digest,
    ("releases", "manifest"): _digest,
    ("embeddings", "vector"): _digest,
    ("regions", "vertices"): json.loads,
    ("case_reviews", "corrections"): json.loads,
    ("acts", "result"): json.loads,
}
"""How an event tells a column that it does not tell as it is."""
PERSONS = frozenset(
    {("accounts", "name"), ("account_roles", "account"), ("judgements", "reader"), ("later_marks", "reader")}
    | {("case_reviews", "reviewer"), ("releases", "by"), ("acts", "actor")}
)
"""Columns that hold a name, for which an event has a number."""
UNTOLD = frozenset({("acts", "request")})
"""Columns that no event tells: a digest of what was asked may be one of a name, and so could be guessed."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check found.

    Attributes:
        broken: The first place where the store is not what its events made it; None where there is none.
        newest: The newest event; None where nothing was done yet.
        missing: Those of the expected digests that the chain does not hold.
        unchecked: How many values (of a table's column, or rows of a table) the events do not tell, because an older
            Dermaxis wrote them.
    """

    broken: BrokenLink | None
    newest: Event | None
    missing: tuple[str, ...]
    unchecked: Mapping[str, int]


def check(store: Store, *, expect: Iterable[str] = ()) -> Findings:
    """Recompute a store's state from its events, and compare it with the tables row by row.

    Args:
        store: An open store; others may be writing to it.
        expect: Digests of events, as a release, a run or a witness file names them.
    """
    with store.reading() as session:
        newest = audit.newest(session)
        missing = audit.absent(session, expect)
        broken, unchecked = audit.broken_chain(session), Counter[str]()
        if broken is None:
            broken = _contradiction(session, unchecked, last=newest.seq if newest else 0)
    return Findings(broken, newest, missing, dict(sorted(unchecked.items())))


def _contradiction(session: Session, unchecked: Counter[str], *, last: int) -> BrokenLink | None:
    try:
        state = replayed(audit.history(session, with_names=False))
    except (LookupError, TypeError, ValueError) as error:
        return BrokenLink(last, f"the events cannot be followed: {type(error).__name__} {error!s:.80}")
    faults = [
        fault
        for name, (rows, noun) in CHECKED.items()
        for fault in _faults(session, rows, noun, state=state, unchecked=unchecked, last=last)
    ]
    return min(faults, key=lambda fault: fault.seq, default=None)


def _faults(
    session: Session, rows: Table, noun: str, *, state: State, unchecked: Counter[str], last: int
) -> Iterator[BrokenLink]:
    """Compare a table with what it must hold; what is left of that afterwards is missing."""
    expected = state.rows[rows.name]
    names = names_of(session)
    numbers = {name: number for number, name in names.items()}
    for stored in session.execute(select(rows)).mappings().yield_per(audit.BATCH):
        row = _row_as_told(rows.name, stored, numbers)
        key = tuple(row[column.name] for column in rows.primary_key)
        named = _named(noun, key, names)
        told = expected.pop(key, None)
        if told is None:
            if rows.name in ONCE_UNTOLD and _may_be_untold(session, rows.name, row):
                unchecked[rows.name] += 1
            else:
                seq = state.seqs.get((rows.name, key), last)
                yield BrokenLink(seq, f"there is {named}, which no event wrote")
            continue
        if state.seqs[rows.name, key]:  # 0: no event made it, the store began with it
            unchecked.update(f"{rows.name}.{name}" for name in row.keys() - told.keys())
        wrong = sorted(name for name, value in told.items() if name in row and row[name] != value)
        if wrong:
            seq = state.seqs[rows.name, key]
            yield BrokenLink(seq, f"{named} is not what event {seq} wrote: {', '.join(wrong)}")
    for key in expected:
        seq = state.seqs[rows.name, key]
        yield BrokenLink(seq, f"{_named(noun, key, names)} is missing; event {seq} wrote it")


def _may_be_untold(session: Session, name: str, row: Row) -> bool:
    """Tell whether an event of an older Dermaxis may have written a row that no event tells."""
    if name == "masks":
        return bool(row["digest"] == row["content"])
    if name == "acts":
        event = session.get(EventRow, row["seq"])
        return (
            event is not None
            and (event.actor, event.action) == (row["actor"], row["action"])
            and audit.to_event(event, {}).act is None
        )
    return True


def _row_as_told(name: str, stored: RowMapping, numbers: Mapping[str, str]) -> Row:
    """Spell a row as the events do: numbers for names, digests for what is large or secret, text in form NFC."""
    row = {}
    for column, value in stored.items():
        if (name, column) in PERSONS:
            row[column] = numbers.get(value, value)
        elif (name, column) not in UNTOLD:
            told = AS_TOLD[name, column](value) if (name, column) in AS_TOLD else value
            row[column] = normalize("NFC", told) if isinstance(told, str) else told
    if name == "accounts":
        row["salt"] = name_digest(stored["salt"], stored["name"])
    if name == "acts":
        row["result"] = swapped(row["result"], numbers)
    return row


def _named(noun: str, key: tuple[Any, ...], names: Mapping[str, str]) -> str:
    return f"{noun} {' '.join(str(names.get(part, part)) for part in key):.120}"
