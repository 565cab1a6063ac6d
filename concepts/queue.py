"""The row of cases that a reader is led through, and the grid of all of them.

A case is an image with a concept to be judged. The row is a function of what is stored: whoever comes back finds
the same case at its head. Cases that the reader put aside come last.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, select
from sqlalchemy.orm import Session

from concepts.acts import looking, roles_of
from concepts.errors import PermissionDeniedError, StoreError
from concepts.judgement import Judgement, Kind, Verdict
from concepts.judgement_rows import to_judgements
from concepts.roles import Action, Role
from concepts.schema import ConceptRow, ImageRow, JudgementRow, LaterRow, MaskRow, SetImageRow, SuspicionRow
from concepts.sets import PARAMETERS, find_set
from concepts.store import Store

METADATA = ("diagnosis", "site", "sex", "age", "source", "lesion", "patient")
IMAGES_LIMIT = 30_000
"""Values that one statement can hold on both databases."""
SEES_METADATA = frozenset({Role.CURATOR, Role.REVIEWER})


class Order(StrEnum):
    """What comes first in the row."""

    SET = "set"
    """As the images were added."""
    CONTESTED = "contested"
    """Where other readers gave the most different verdicts."""
    UNCERTAIN = "uncertain"
    """Where the most other readers were uncertain."""
    SUSPICION = "suspicion"
    """Where a run's network suspects the concept most."""
    INFORMATIVE = "informative"
    """Where a run's network is nearest to one half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An image and a concept to be judged in it.

    Attributes:
        image_id: The image.
        path: Of its file, relative to the image folder.
        digest: SHA-256 of the file.
        concept: Identifier of the concept.
        is_later: Whether the reader put it aside.
        verdict: The reader's own current verdict.
        metadata: Diagnosis, site and so on; None where they are hidden from the reader.
    """

    image_id: str
    path: str
    digest: str
    concept: str
    is_later: bool = False
    verdict: Verdict | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which cases the grid shows; what is None does not restrict.

    Attributes:
        source: Data set or department.
        diagnosis: Identifier of a diagnosis.
        site: Where on the body.
        age: Youngest and oldest, in years.
        own: True: judged by the reader; False: not yet.
        others: True: judged by someone else; False: by no one else.
        verdict: The reader's own current verdict.
        suspicion: Least and most that the run's network suspects, in 0..1.
        later: True: put aside by the reader.
        images: Only these; at most `IMAGES_LIMIT` of them count.
    """

    source: str | None = None
    diagnosis: str | None = None
    site: str | None = None
    age: tuple[float, float] | None = None
    own: bool | None = None
    others: bool | None = None
    verdict: Verdict | None = None
    suspicion: tuple[float, float] | None = None
    later: bool | None = None
    images: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Part of the grid.

    Attributes:
        cases: In order.
        total: How many cases there are on all pages.
    """

    cases: tuple[Case, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a reader is with a concept.

    Attributes:
        concept: Identifier of the concept.
        judged: Images judged.
        later: Images put aside.
        total: Images of the set.
    """

    concept: str
    judged: int
    later: int
    total: int


def queue(
    store: Store,
    actor: str,
    set_name: str,
    concept: str,
    *,
    order: Order = Order.SET,
    run: str | None = None,
    reading: int = 1,
    limit: int = 20,
) -> list[Case]:
    """The next cases of a reader on a concept.

    Args:
        store: An open store.
        actor: The reader.
        set_name: The concept set.
        concept: Identifier of the concept.
        order: What comes first.
        run: Whose network's suspicion counts, where the order needs one.
        reading: 2 for a second reading of what the reader judged before.
        limit: At most so many.

    Raises:
        PermissionDeniedError: If the actor does not judge.
        StoreError: If set or concept are not known, or the order needs a run.
    """
    with looking(store, actor, Action.QUEUE) as session:
        return _queue(session, _Reader(actor, set_name, concept, reading, run), order=order, limit=limit)


def next_case(
    store: Store,
    actor: str,
    set_name: str,
    concept: str | None = None,
    *,
    order: Order = Order.SET,
    run: str | None = None,
    reading: int = 1,
) -> Case | None:
    """The case at the head of the row; None where all is judged. Without a concept: of the first unfinished one.

    Raises:
        PermissionDeniedError: If the actor does not judge.
        StoreError: If set or concept are not known, or the order needs a run.
    """
    with looking(store, actor, Action.NEXT_CASE) as session:
        find_set(session, set_name)
        own = select(ConceptRow.id).filter_by(set_name=set_name).order_by(ConceptRow.position)
        for name in [concept] if concept else session.scalars(own).all():
            found = _queue(session, _Reader(actor, set_name, name, reading, run), order=order, limit=1)
            if found:
                return found[0]
        return None


def browse(
    store: Store,
    actor: str,
    set_name: str,
    concept: str,
    *,
    chosen: Filter | None = None,
    order: Order = Order.SET,
    run: str | None = None,
    limit: int = 60,
    offset: int = 0,
) -> Page:
    """A page of the grid: cases of one concept, whether or not they are judged.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it, or the filter asks for what is hidden from them.
        StoreError: If set or concept are not known, or order or filter need a run.
    """
    with looking(store, actor, Action.BROWSE) as session:
        reader = _Reader(actor, set_name, concept, 1, run)
        _check(session, reader)
        wanted = chosen or Filter()
        if is_blinded(session, reader.name, reader.set_name) and (wanted.diagnosis or wanted.site or wanted.age):
            raise PermissionDeniedError(f"{set_name} is judged blinded; {actor!r:.80} cannot filter by its metadata")
        conditions = list(_conditions(reader, wanted))
        query = _cases(reader).where(*conditions)
        total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
        ordered = query.order_by(*_ranking(reader, order), SetImageRow.position).limit(limit).offset(offset)
        return Page(tuple(_to_cases(session, reader, ordered)), total)


def read_cases(store: Store, actor: str, set_name: str, concept: str, image_ids: Sequence[str]) -> list[Case]:
    """Cases by the names of their images, in that order; images that are not in the set are left out.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If set or concept are not known.
    """
    with looking(store, actor, Action.READ_CASES) as session:
        reader = _Reader(actor, set_name, concept, 1, None)
        _check(session, reader)
        found: dict[str, Case] = {}
        for start in range(0, len(image_ids), PARAMETERS):
            wanted = ImageRow.id.in_(image_ids[start : start + PARAMETERS])
            found |= {case.image_id: case for case in _to_cases(session, reader, _cases(reader).where(wanted))}
        return [found[image] for image in image_ids if image in found]


def own_latest(store: Store, actor: str, set_name: str, *, limit: int = 12) -> list[Judgement]:
    """The reader's own current verdicts on a set, the newest first, without regions.

    Raises:
        PermissionDeniedError: If the actor does not judge.
        StoreError: If there is no such set.
    """
    with looking(store, actor, Action.OWN_LATEST) as session:
        find_set(session, set_name)
        mine = {"set_name": set_name, "reader": actor, "kind": Kind.READING, "superseded_by": None}
        query = select(JudgementRow).filter_by(**mine).where(JudgementRow.verdict.is_not(None))
        rows = session.scalars(query.order_by(JudgementRow.id.desc()).limit(limit)).all()
        return to_judgements(session, rows, with_regions=False)


def progress(store: Store, actor: str, set_name: str) -> list[Progress]:
    """How far the reader is, by concept in the set's order.

    Raises:
        PermissionDeniedError: If the actor does not judge.
        StoreError: If there is no such set.
    """
    with looking(store, actor, Action.PROGRESS) as session:
        find_set(session, set_name)
        total = session.scalar(select(func.count()).select_from(SetImageRow).filter_by(set_name=set_name)) or 0
        mine = {"set_name": set_name, "reader": actor}
        current = {"superseded_by": None, "kind": Kind.READING, "reading": 1}
        judged = _count(session, JudgementRow, {**mine, **current}, JudgementRow.verdict.is_not(None))
        later = _count(session, LaterRow, mine)
        names = session.scalars(select(ConceptRow.id).filter_by(set_name=set_name).order_by(ConceptRow.position))
        return [Progress(name, judged.get(name, 0), later.get(name, 0), total) for name in names]


def own_judgement(
    store: Store, actor: str, set_name: str, image_id: str, concept: str, *, reading: int = 1
) -> Judgement | None:
    """The reader's own current judgement on a case, with its regions; None where there is none.

    Raises:
        PermissionDeniedError: If the actor does not judge.
    """
    with looking(store, actor, Action.OWN_JUDGEMENT) as session:
        cell = {"set_name": set_name, "image_id": image_id, "concept": concept, "reader": actor, "reading": reading}
        query = select(JudgementRow).filter_by(**cell, kind=Kind.READING, superseded_by=None)
        return next(iter(to_judgements(session, session.scalars(query).all())), None)


def read_mask(store: Store, actor: str, digest: str) -> bytes:
    """A brush mask or a release's mask, as a PNG file.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such mask.
    """
    with looking(store, actor, Action.READ_MASK) as session:
        content = session.scalar(select(MaskRow.content).filter_by(digest=digest))
        if content is None:
            raise StoreError(f"there is no mask {digest!r:.80}")
        return content


@dataclass(frozen=True, slots=True)
class _Reader:
    name: str
    set_name: str
    concept: str
    reading: int
    run: str | None

    def is_current(self) -> ColumnElement[bool]:
        """A current verdict of anyone on the case's concept and image."""
        return and_(
            JudgementRow.set_name == self.set_name,
            JudgementRow.concept == self.concept,
            JudgementRow.image_id == SetImageRow.image_id,
            JudgementRow.kind == Kind.READING,
            JudgementRow.superseded_by.is_(None),
            JudgementRow.verdict.is_not(None),
        )

    def is_judged(self, reading: int) -> ColumnElement[bool]:
        """Whether the reader judged the case."""
        own = (JudgementRow.reader == self.name, JudgementRow.reading == reading)
        return exists().where(self.is_current(), *own)

    def is_later(self) -> ColumnElement[bool]:
        """Whether the reader put the case aside."""
        return exists().where(
            LaterRow.set_name == self.set_name,
            LaterRow.reader == self.name,
            LaterRow.concept == self.concept,
            LaterRow.image_id == SetImageRow.image_id,
        )


def _queue(session: Session, reader: _Reader, *, order: Order, limit: int) -> list[Case]:
    _check(session, reader)
    later = reader.is_later()
    query = _cases(reader).where(~reader.is_judged(reader.reading))
    if reader.reading > 1:
        query = query.where(reader.is_judged(reader.reading - 1))
    # Two queries where one would sort the whole set: the head of the row is nearly always among those not put aside.
    ranking = (*_ranking(reader, order), SetImageRow.position)
    found = list(_to_cases(session, reader, query.where(~later).order_by(*ranking).limit(limit)))
    if len(found) < limit:
        found += _to_cases(session, reader, query.where(later).order_by(*ranking).limit(limit - len(found)))
    return found


def _check(session: Session, reader: _Reader) -> None:
    find_set(session, reader.set_name)
    if session.get(ConceptRow, (reader.set_name, reader.concept)) is None:
        raise StoreError(f"concept {reader.concept!r:.80} is not in set {reader.set_name!r:.80}")


def _cases(reader: _Reader) -> Select[ImageRow, bool]:
    return (
        select(ImageRow, reader.is_later())
        .join(SetImageRow, SetImageRow.image_id == ImageRow.id)
        .where(SetImageRow.set_name == reader.set_name)
    )


def _ranking(reader: _Reader, order: Order) -> tuple[ColumnElement[Any], ...]:
    if order is Order.SET:
        return ()
    if order in (Order.CONTESTED, Order.UNCERTAIN):
        others = select(_rank(order)).where(reader.is_current(), JudgementRow.reader != reader.name)
        return (func.coalesce(others.scalar_subquery(), 0).desc(),)
    value = _suspicion(reader)
    # A case without a figure comes after those with one, in both databases.
    known = case((value.is_(None), 1), else_=0)
    return (known, value.desc()) if order is Order.SUSPICION else (known, func.abs(value - 0.5))


def _rank(order: Order) -> ColumnElement[int]:
    if order is Order.CONTESTED:
        return func.count(JudgementRow.verdict.distinct())
    return func.coalesce(func.sum(case((JudgementRow.verdict == Verdict.UNCERTAIN, 1), else_=0)), 0)


def _suspicion(reader: _Reader) -> ColumnElement[float]:
    if reader.run is None:
        raise StoreError("sorting or filtering by suspicion needs the run whose network suspects; give run=NAME")
    of_case = (SuspicionRow.run == reader.run, SuspicionRow.concept == reader.concept)
    query = select(SuspicionRow.value).where(*of_case, SuspicionRow.image_id == SetImageRow.image_id)
    return query.scalar_subquery()


def _conditions(reader: _Reader, chosen: Filter) -> Iterator[ColumnElement[bool]]:
    for name in ("source", "diagnosis", "site"):
        if getattr(chosen, name) is not None:
            yield getattr(ImageRow, name) == getattr(chosen, name)
    if chosen.images is not None:
        yield ImageRow.id.in_(chosen.images[:IMAGES_LIMIT])
    if chosen.age is not None:
        yield ImageRow.age.between(*chosen.age)
    if chosen.suspicion is not None:
        yield _suspicion(reader).between(*chosen.suspicion)
    own = and_(reader.is_current(), JudgementRow.reader == reader.name, JudgementRow.reading == 1)
    others = and_(reader.is_current(), JudgementRow.reader != reader.name)
    if chosen.verdict is not None:
        yield exists().where(own, JudgementRow.verdict == chosen.verdict)
    for wanted, holds in (
        (chosen.own, exists().where(own)),
        (chosen.others, exists().where(others)),
        (chosen.later, reader.is_later()),
    ):
        if wanted is not None:
            yield holds if wanted else ~holds


def _to_cases(session: Session, reader: _Reader, query: Select[ImageRow, bool]) -> Iterator[Case]:
    rows = session.execute(query).all()
    hidden = is_blinded(session, reader.name, reader.set_name)
    verdicts = _own_verdicts(session, reader, [image.id for image, _ in rows])
    for image, later in rows:
        yield Case(
            image_id=image.id,
            path=image.path,
            digest=image.digest,
            concept=reader.concept,
            is_later=bool(later),
            verdict=verdicts.get(image.id),
            metadata=None if hidden else {name: getattr(image, name) for name in METADATA},
        )


def _own_verdicts(session: Session, reader: _Reader, image_ids: list[str]) -> dict[str, Verdict]:
    query = select(JudgementRow.image_id, JudgementRow.verdict).where(
        JudgementRow.set_name == reader.set_name,
        JudgementRow.concept == reader.concept,
        JudgementRow.image_id.in_(image_ids),
        JudgementRow.reader == reader.name,
        JudgementRow.kind == Kind.READING,
        JudgementRow.reading == reader.reading,
        JudgementRow.superseded_by.is_(None),
        JudgementRow.verdict.is_not(None),
    )
    return {image: Verdict(str(verdict)) for image, verdict in session.execute(query)}


def is_blinded(session: Session, actor: str, set_name: str) -> bool:
    """Whether diagnosis and metadata of a set's images are hidden from someone."""
    return find_set(session, set_name).blinded and not SEES_METADATA & roles_of(session, actor)


def _count(
    session: Session, table: type[JudgementRow] | type[LaterRow], fields: Mapping[str, Any], *more: ColumnElement[bool]
) -> dict[str, int]:
    query = select(table.concept, func.count()).filter_by(**fields).where(*more).group_by(table.concept)
    return {row[0]: row[1] for row in session.execute(query)}
