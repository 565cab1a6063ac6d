"""Judging: give verdicts, take them back, put cases aside, bring judgements in from elsewhere. Nothing is erased."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Column, Select, bindparam, delete, insert, select
from sqlalchemy.orm import Session

from concepts.errors import DataError, StoreError
from concepts.example import Origin
from concepts.judgement import Judgement, Kind
from concepts.store.acts import Act, performing
from concepts.store.audit import now
from concepts.store.judgement_rows import to_json, to_judgements
from concepts.store.judgement_writing import cell_of, take_back_one_act, write
from concepts.store.persons import add_person
from concepts.store.roles import Action
from concepts.store.schema import (
    AccountRow,
    ConceptRow,
    JudgementRow,
    LaterRow,
    SetImageRow,
    SetRow,
    portions,
    table,
)
from concepts.store.store import Store

MARKS = table(LaterRow)
UNMARK = delete(MARKS).where(*(MARKS.c[name] == bindparam(f"of_{name}") for name in ("set_name", "reader", "concept")))
UNMARK_PORTION = UNMARK.where(MARKS.c.image_id.in_(bindparam("portion", expanding=True)))


def _names_in(column: Column[str]) -> Select[str]:
    return select(column).where(
        column.table.c.set_name == bindparam("of_set"), column.in_(bindparam("portion", expanding=True))
    )


IMAGES_IN, CONCEPTS_IN = _names_in(table(SetImageRow).c.image_id), _names_in(table(ConceptRow).c.id)


def judge(store: Store, actor: str, set_name: str, judgement: Judgement, *, key: str) -> int:
    """Give one verdict; it supersedes the reader's earlier one on the case and takes it off the saved ones.

    Args:
        store: An open store.
        actor: The reader; must be the judgement's.
        set_name: The concept set.
        judgement: A reading of origin ``judged``.
        key: One for each submit.

    Returns:
        The judgement's number.

    Raises:
        PermissionDeniedError: If the actor may not judge.
        StoreError: If the judgement is another reader's, image or concept are not in the set, or it is a second reading
            of what the reader has no first reading of.

    Example:
        >>> verdict = Judgement(reader="ann", image_id="image2", concept="streaks", verdict=Verdict.ABSENT)
        >>> judge(store, "ann", "derm", verdict, key="1")
        5
        >>> judge(store, "ann", "derm", verdict, key="1")  # a double click: the same key writes nothing
        5
    """
    with performing(store, actor, Action.JUDGE, key=key, request=[set_name, to_json(judgement)]) as act:
        if not act.is_repeat:
            _refuse_other_than_own(actor, [judgement])
            _give(act, set_name, [judgement])
        return int(act.result[0])


def judge_many(store: Store, actor: str, set_name: str, judgements: Sequence[Judgement], *, key: str) -> list[int]:
    """Give many verdicts in one act, as from the grid; `undo` takes them back in one step.

    Returns:
        The judgements' numbers.

    Raises:
        PermissionDeniedError: If the actor may not judge.
        StoreError: If a judgement is another reader's, image or concept are not in the set, or a case comes twice;
            then none is written.

    Example:
        >>> images = ("image2", "image3")
        >>> verdicts = [Judgement(reader="ann", image_id=i, concept="streaks", verdict=Verdict.ABSENT) for i in images]
        >>> judge_many(store, "ann", "derm", verdicts, key="1")
        [5, 6]
    """
    request = [set_name, [to_json(judgement) for judgement in judgements]]
    with performing(store, actor, Action.JUDGE_MANY, key=key, request=request) as act:
        if not act.is_repeat:
            _refuse_other_than_own(actor, judgements)
            _give(act, set_name, judgements)
        return [int(number) for number in act.result]


def undo(store: Store, actor: str, set_name: str, *, steps: int = 1, key: str) -> list[int]:
    """Take back the actor's own latest acts of judging, newest first.

    Each case returns to what it was before: a new judgement repeats the earlier verdict, or withdraws where there was
    none. What was taken back stays in the store and is not taken back again.

    Args:
        store: An open store.
        actor: The reader.
        set_name: The concept set.
        steps: How many acts; fewer where there are not so many.
        key: One for each submit.

    Returns:
        Numbers of the judgements that were taken back, newest first; empty where there is nothing to take back.

    Example:
        >>> undo(store, "ann", "derm", key="1")  # the verdict on image1
        [3]
        >>> [judgement.image_id for judgement in own_latest(store, "ann", "derm")]
        ['image0']
    """
    with performing(store, actor, Action.UNDO, key=key, request=[set_name, steps]) as act:
        if not act.is_repeat:
            undone = [record for _ in range(steps) for record in take_back_one_act(act, set_name)]
            payload = {"set": set_name, "steps": steps, "judgements": [record.to_json() for record in undone]}
            act.record(set_name, payload, result=[record.undoes for record in undone])
        return [int(number) for number in act.result]


def save_for_later(
    store: Store, actor: str, set_name: str, image_id: str, concept: str, *, later: bool = True, key: str
) -> None:
    """Put a case aside, or (``later=False``) take it back into the row; it is no judgement.

    Raises:
        StoreError: If image or concept are not in the set.

    Example:
        >>> save_for_later(store, "ann", "derm", "image2", "streaks", key="1")
        >>> [case.image_id for case in queue(store, "ann", "derm", "streaks")]
        ['image3', 'image4', 'image5', 'image2']
    """
    case = {"set_name": set_name, "reader": actor, "concept": concept, "image_id": image_id}
    with performing(store, actor, Action.SAVE_FOR_LATER, key=key, request=[case, later]) as act:
        if act.is_repeat:
            return
        refuse_unknown_cases(act.session, set_name, [(image_id, concept)])
        act.session.execute(delete(LaterRow).filter_by(**case))
        at = now()
        if later:
            act.session.execute(insert(LaterRow).values(**case, at=at))
        act.record(f"{set_name}/{concept}/{image_id}", {**case, "later": later, "at": at})


def import_judgements(
    store: Store,
    actor: str,
    set_name: str,
    judgements: Sequence[Judgement],
    *,
    locations: Sequence[str] | None = None,
    key: str,
) -> int:
    """Import judgements that were made elsewhere: all or none. `undo` does not reach them.

    Readers without an account get one that cannot sign in. A judgement that says what the current one says is
    skipped, so that importing a file twice, or a longer version of it, adds only what is new.

    Args:
        store: An open store.
        actor: A curator.
        set_name: The concept set.
        judgements: Of any readers and origins.
        locations: Where each comes from, for errors, e.g. file and row; default: its number.
        key: One for each submit.

    Returns:
        How many were written.

    Raises:
        PermissionDeniedError: If the actor is no curator.
        DataError: If image or concept of a judgement are not in the set, or a case comes twice; ``rows`` lists all.

    Example:
        >>> absent = Judgement(reader="table of 2019", image_id="image2", concept="streaks", verdict=Verdict.ABSENT)
        >>> import_judgements(store, OPERATOR, "derm", [absent], key="1")
        1
        >>> import_judgements(store, OPERATOR, "derm", [absent], key="2")  # nothing new
        0
    """
    request = [set_name, [to_json(judgement) for judgement in judgements]]
    with performing(store, actor, Action.IMPORT_JUDGEMENTS, key=key, request=request) as act:
        if not act.is_repeat:
            _refuse_bad_rows(act.session, set_name, judgements, locations=locations)
            created = now()
            added = _add_readers(act.session, {judgement.reader for judgement in judgements}, created=created)
            fresh = [j for j in judgements if not _is_said_already(act.session, set_name, j)]
            records = [record.to_json() for record in write(act, set_name, fresh, undoable=False)]
            names = [person["name"] for person in added.values()]
            readers = {"readers": list(added), "names": names, "created": created}
            payload = {"set": set_name, **readers, "judgements": records}
            act.record(set_name, payload, result=len(fresh))
        return int(act.result)


def refuse_unknown_cases(session: Session, set_name: str, cases: Iterable[tuple[str, str]]) -> None:
    """Refuse images and concepts that are not in the set.

    Raises:
        StoreError: Names the first.
    """
    cases = list(cases)
    images = _in_set(session, IMAGES_IN, set_name, [image_id for image_id, _ in cases])
    concepts = _in_set(session, CONCEPTS_IN, set_name, [concept for _, concept in cases])
    for image_id, concept in cases:
        if image_id not in images:
            raise StoreError(f"image {image_id!r:.80} is not in set {set_name!r:.80}; a curator can add it")
        if concept not in concepts:
            raise StoreError(f"concept {concept!r:.80} is not in set {set_name!r:.80}; a curator can add it")


def _give(act: Act, set_name: str, judgements: Sequence[Judgement]) -> None:
    refuse_unknown_cases(act.session, set_name, [(j.image_id, j.concept) for j in judgements])
    if len({(j.image_id, j.concept, j.reading) for j in judgements}) < len(judgements):
        raise StoreError("the judgements name one case twice; give one verdict for each image and concept")
    _refuse_unread(act.session, set_name, [judgement for judgement in judgements if judgement.reading > 1])
    records = write(act, set_name, judgements, undoable=True)
    for concept in {judgement.concept for judgement in judgements}:
        mine = {"of_set_name": set_name, "of_reader": act.actor, "of_concept": concept}
        judged = [judgement.image_id for judgement in judgements if judgement.concept == concept]
        for portion in portions(judged):
            act.session.execute(UNMARK_PORTION, mine | {"portion": portion})
    subject = f"{set_name}/{judgements[0].concept}/{judgements[0].image_id}" if len(judgements) == 1 else set_name
    payload = {"set": set_name, "judgements": [record.to_json() for record in records]}
    act.record(subject, payload, result=[record.id for record in records])


def _refuse_other_than_own(actor: str, judgements: Iterable[Judgement]) -> None:
    for judgement in judgements:
        if judgement.reader != actor:
            raise StoreError(f"{actor!r} cannot judge for {judgement.reader!r}; readers judge for themselves")
        if judgement.kind is not Kind.READING or judgement.origin is not Origin.JUDGED:
            raise StoreError(
                f"a reader gives a {Kind.READING} of origin {Origin.JUDGED} (got {judgement.kind}, {judgement.origin})"
            )


def _refuse_bad_rows(
    session: Session, set_name: str, judgements: Sequence[Judgement], *, locations: Sequence[str] | None
) -> None:
    if session.get(SetRow, set_name) is None:
        raise StoreError(f"there is no concept set {set_name!r:.80}")
    images = set(session.scalars(select(SetImageRow.image_id).filter_by(set_name=set_name)))
    concepts = set(session.scalars(select(ConceptRow.id).filter_by(set_name=set_name)))
    cells: set[tuple[object, ...]] = set()
    faults = []
    named = locations or [f"judgement {row}" for row, _ in enumerate(judgements, start=1)]
    for location, judgement in zip(named, judgements, strict=True):
        cell = tuple(cell_of(judgement, set_name).values())
        checks = (
            (judgement.image_id in images, f"image {judgement.image_id!r:.80} is not in the set"),
            (judgement.concept in concepts, f"concept {judgement.concept!r:.80} is not in the set"),
            (cell not in cells, f"{judgement.reader!r:.80} judges {judgement.image_id!r:.80} twice"),
        )
        faults += [f"{location}: {fault}" for holds, fault in checks if not holds]
        cells.add(cell)
    if faults:
        raise DataError(
            f"{faults[0]} ({len(faults)} faults in {len(judgements)} judgements for {set_name}; nothing was imported)",
            rows=faults,
        )


def _refuse_unread(session: Session, set_name: str, seconds: Iterable[Judgement]) -> None:
    for judgement in seconds:
        cell = cell_of(judgement, set_name)
        first = select(JudgementRow.verdict).filter_by(**{**cell, "reading": judgement.reading - 1}, superseded_by=None)
        if session.scalar(first) is None:
            where = f"{judgement.image_id!r:.80}, concept {judgement.concept!r:.80}"
            raise StoreError(f"{where}: {judgement.reader!r:.80} has no first reading to read again")


def _add_readers(session: Session, names: set[str], *, created: str) -> dict[str, dict[str, Any]]:
    with_account = set(session.scalars(select(AccountRow.name).where(AccountRow.name.in_(names))))
    new = sorted(names - with_account)
    persons = {}
    for name in new:
        persons[name] = add_person(session, name, password=None, created=created)
    return persons


def _is_said_already(session: Session, set_name: str, judgement: Judgement) -> bool:
    cell = cell_of(judgement, set_name)
    row = session.scalar(select(JudgementRow).filter_by(**cell, superseded_by=None))
    if row is None or row.verdict is None:
        return False
    current = to_judgements(session, [row])[0]
    unstored: Mapping[str, Any] = {"at": None, "id": None, "supersedes": None}
    return replace(current, **unstored) == replace(judgement, **unstored)


def _in_set(session: Session, query: Select[str], set_name: str, names: Iterable[str]) -> set[str]:
    """Return those of the names that the set has."""
    present: set[str] = set()
    for portion in portions(sorted(set(names))):
        present.update(session.scalars(query, {"of_set": set_name, "portion": portion}))
    return present
