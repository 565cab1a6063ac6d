"""The row of cases that a reader is led through, and the grid of all of them.

A case is an image with a concept to be judged. The row is a function of what is stored: whoever comes back finds
the same case at its head. Cases that the reader put aside come last.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from concepts.curation.sets import count_images, find_set
from concepts.errors import PermissionDeniedError, StoreError
from concepts.judgement import Judgement, Kind, Verdict
from concepts.store.acts import looking, roles_of
from concepts.store.judgement_rows import to_judgements
from concepts.store.roles import Action, Role
from concepts.store.schema import (
    ConceptRow,
    ImageRow,
    JudgementRow,
    LaterRow,
    MaskRow,
    SetImageRow,
    SuspicionRow,
    portions,
)
from concepts.store.store import Store

METADATA = ("diagnosis", "site", "sex", "age", "source", "lesion", "patient")
IMAGES_LIMIT = 30_000
"""Values that one statement can hold on both databases."""
OF_IMAGE = ("source", "diagnosis", "site", "age")
"""What a filter asks of images themselves."""
NEEDS_RUN = "sorting or filtering by suspicion needs the run whose network suspects; give run=NAME"
BANDS = (0.99, 0.9, 0.5)
"""Suspicion at which one band of cases ends and the next begins."""
DISTANCES = (0.005, 0.02, 0.1)
"""The same of the distance from one half."""
Query = Select[ImageRow, bool]
ImageAndMark = Row[ImageRow, bool]
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
        judged: True: judged by the reader; False: not yet.
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
    judged: bool | None = None
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
class ConceptProgress:
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
    """List the next cases of a reader on a concept.

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

    Example:
        >>> [case.image_id for case in queue(store, "ann", "derm", "streaks", limit=2)]
        ['image2', 'image3']
        >>> [case.image_id for case in queue(store, "ann", "derm", "streaks", reading=2)]
        ['image0', 'image1']
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
    """Return the case at the head of the row, without a concept of the first unfinished one; None where all is judged.

    Raises:
        PermissionDeniedError: If the actor does not judge.
        StoreError: If set or concept are not known, or the order needs a run.

    Example:
        >>> case = next_case(store, "ann", "derm")
        >>> case.image_id, case.concept
        ('image2', 'streaks')
    """
    with looking(store, actor, Action.NEXT_CASE) as session:
        find_set(session, set_name)
        in_order = select(ConceptRow.id).filter_by(set_name=set_name).order_by(ConceptRow.position)
        for name in [concept] if concept else session.scalars(in_order).all():
            head = _queue(session, _Reader(actor, set_name, name, reading, run), order=order, limit=1)
            if head:
                return head[0]
        return None


def browse(
    store: Store,
    actor: str,
    set_name: str,
    concept: str,
    *,
    filter_by: Filter | None = None,
    order: Order = Order.SET,
    run: str | None = None,
    limit: int = 60,
    offset: int = 0,
) -> Page:
    """Return a page of the grid: cases of one concept, judged or not.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it, or the filter asks for what is hidden from them.
        StoreError: If set or concept are not known, or order or filter need a run.

    Example:
        >>> page = browse(store, "ann", "derm", "streaks", filter_by=Filter(verdict=Verdict.PRESENT), limit=1)
        >>> [case.image_id for case in page.cases], page.total
        (['image0'], 2)
    """
    with looking(store, actor, Action.BROWSE) as session:
        reader = _Reader(actor, set_name, concept, 1, run)
        _check(session, reader)
        criteria = filter_by or Filter()
        if is_blinded(session, reader.name, reader.set_name) and (criteria.diagnosis or criteria.site or criteria.age):
            raise PermissionDeniedError(f"{set_name} is judged blinded: {actor!r:.80} cannot filter by metadata")
        conditions = list(_conditions(reader, criteria))
        parts = _parts(reader, _cases(reader).where(*conditions), order)
        total = _number(session, reader, criteria, conditions)
        return Page(tuple(_to_cases(session, reader, _slice(session, parts, limit=limit, offset=offset))), total)


def read_cases(store: Store, actor: str, set_name: str, concept: str, image_ids: Sequence[str]) -> list[Case]:
    """Read cases by the names of their images, in that order; images that are not in the set are left out.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If set or concept are not known.

    Example:
        >>> [case.image_id for case in read_cases(store, "ann", "derm", "streaks", ["image4", "nowhere", "image0"])]
        ['image4', 'image0']
    """
    with looking(store, actor, Action.READ_CASES) as session:
        reader = _Reader(actor, set_name, concept, 1, None)
        _check(session, reader)
        cases: dict[str, Case] = {}
        for portion in portions(image_ids):
            rows = session.execute(_cases(reader).where(ImageRow.id.in_(portion))).all()
            cases |= {case.image_id: case for case in _to_cases(session, reader, rows)}
        return [cases[image] for image in image_ids if image in cases]


def own_latest(
    store: Store, actor: str, set_name: str, *, reading: int | None = None, limit: int = 12
) -> list[Judgement]:
    """List the reader's own current verdicts on a set, the newest first, without regions.

    Args:
        store: An open store.
        actor: The reader.
        set_name: The concept set.
        reading: 1 or 2: only of this reading; default: of both.
        limit: At most so many.

    Raises:
        PermissionDeniedError: If the actor does not judge.
        StoreError: If there is no such set.

    Example:
        >>> [(judgement.image_id, str(judgement.verdict)) for judgement in own_latest(store, "ben", "derm")]
        [('image1', 'absent'), ('image0', 'present')]
    """
    with looking(store, actor, Action.OWN_LATEST) as session:
        find_set(session, set_name)
        mine = {"set_name": set_name, "reader": actor, "kind": Kind.READING, "superseded_by": None}
        query = select(JudgementRow).filter_by(**mine).where(JudgementRow.verdict.is_not(None))
        if reading is not None:
            query = query.filter_by(reading=reading)
        rows = session.scalars(query.order_by(JudgementRow.id.desc()).limit(limit)).all()
        return to_judgements(session, rows, with_regions=False)


def progress(store: Store, actor: str, set_name: str, *, reading: int = 1) -> list[ConceptProgress]:
    """Count how far the reader is, by concept in the set's order; in a second reading, of what the first covers.

    Raises:
        PermissionDeniedError: If the actor does not judge.
        StoreError: If there is no such set.

    Example:
        >>> for row in progress(store, "ann", "derm"):
        ...     print(row.concept, row.judged, "of", row.total)
        streaks 2 of 6
        pigment_network 0 of 6
    """
    with looking(store, actor, Action.PROGRESS) as session:
        find_set(session, set_name)
        total = count_images(session, set_name)
        mine = {"set_name": set_name, "reader": actor}
        judged = _judged(session, mine, reading)
        before = _judged(session, mine, reading - 1) if reading > 1 else None
        later = _count(session, LaterRow, mine)
        names = session.scalars(select(ConceptRow.id).filter_by(set_name=set_name).order_by(ConceptRow.position))
        totals = [(name, total if before is None else before.get(name, 0)) for name in names]
        return [ConceptProgress(name, judged.get(name, 0), later.get(name, 0), number) for name, number in totals]


def own_judgement(
    store: Store, actor: str, set_name: str, image_id: str, concept: str, *, reading: int = 1
) -> Judgement | None:
    """Return the reader's own current judgement on a case, with its regions; None where there is none.

    Raises:
        PermissionDeniedError: If the actor does not judge.

    Example:
        >>> str(own_judgement(store, "ben", "derm", "image1", "streaks").verdict)
        'absent'
        >>> own_judgement(store, "ben", "derm", "image2", "streaks") is None
        True
    """
    with looking(store, actor, Action.OWN_JUDGEMENT) as session:
        cell = {"set_name": set_name, "image_id": image_id, "concept": concept, "reader": actor, "reading": reading}
        query = select(JudgementRow).filter_by(**cell, kind=Kind.READING, superseded_by=None)
        return next(iter(to_judgements(session, session.scalars(query).all())), None)


def read_mask(store: Store, actor: str, digest: str) -> bytes:
    """Read a brush mask or a release's mask, as a PNG file.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such mask.

    Example:
        >>> from concepts.mask import encode
        >>> import numpy as np
        >>> from concepts.judgement import Region, RegionKind
        >>> brush = Region(RegionKind.BRUSH, mask=encode(np.eye(10, 20, dtype=bool)))
        >>> drawn = Judgement(
        ...     reader="ann", image_id="image2", concept="streaks", verdict=Verdict.PRESENT, regions=(brush,)
        ... )
        >>> _ = judge(store, "ann", "derm", drawn, key="1")
        >>> read_mask(store, "ann", brush.digest) == brush.mask
        True
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

    def current(self) -> tuple[ColumnElement[bool], ...]:
        """Select current verdicts of anyone on the concept."""
        return (
            JudgementRow.set_name == self.set_name,
            JudgementRow.concept == self.concept,
            JudgementRow.kind == Kind.READING,
            JudgementRow.superseded_by.is_(None),
            JudgementRow.verdict.is_not(None),
        )

    def is_judged(self, reading: int) -> ColumnElement[bool]:
        """Select whether the reader judged the case."""
        of_reader = (JudgementRow.reader == self.name, JudgementRow.reading == reading)
        return exists().where(*self.current(), JudgementRow.image_id == SetImageRow.image_id, *of_reader)

    def is_later(self) -> ColumnElement[bool]:
        """Select whether the reader put the case aside."""
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
    parts = [part for aside in (~later, later) for part in _parts(reader, query.where(aside), order)]
    return list(_to_cases(session, reader, _slice(session, parts, limit=limit, offset=0)))


def _check(session: Session, reader: _Reader) -> None:
    find_set(session, reader.set_name)
    if session.get(ConceptRow, (reader.set_name, reader.concept)) is None:
        raise StoreError(f"concept {reader.concept!r:.80} is not in set {reader.set_name!r:.80}")


def _cases(reader: _Reader) -> Query:
    return (
        select(ImageRow, reader.is_later())
        .join(SetImageRow, SetImageRow.image_id == ImageRow.id)
        .where(SetImageRow.set_name == reader.set_name)
    )


def _parts(reader: _Reader, query: Query, order: Order) -> list[Query]:
    """Order cases, as queries to be read one after the other.

    Several where one would sort the whole set: the head of the row is nearly always in the first, which is short.
    """
    position = SetImageRow.position
    if order is Order.SET:
        return [query.order_by(position)]
    if order in (Order.CONTESTED, Order.UNCERTAIN):
        others = select(JudgementRow.image_id).where(*reader.current(), JudgementRow.reader != reader.name)
        rank = _rank(order)
        ranked = others.group_by(JudgementRow.image_id).having(rank > 0)
        of_image = select(rank).where(*reader.current(), JudgementRow.reader != reader.name)
        of_image = of_image.where(JudgementRow.image_id == SetImageRow.image_id)
        head = query.where(SetImageRow.image_id.in_(ranked)).order_by(of_image.scalar_subquery().desc(), position)
        return [head, query.where(SetImageRow.image_id.not_in(ranked)).order_by(position)]
    return _suspected(reader, query, order)


def _rank(order: Order) -> ColumnElement[int]:
    """Count how much the others' verdicts on one image speak for it."""
    if order is Order.CONTESTED:
        return func.count(JudgementRow.verdict.distinct())
    return func.coalesce(func.sum(case((JudgementRow.verdict == Verdict.UNCERTAIN, 1), else_=0)), 0)


def _suspected(reader: _Reader, query: Query, order: Order) -> list[Query]:
    """Order cases by a run's figures: band after band, so that the first is read off the index and sorted alone."""
    if reader.run is None:
        raise StoreError(NEEDS_RUN)
    of_run = (SuspicionRow.run == reader.run, SuspicionRow.concept == reader.concept)
    joined = query.join(SuspicionRow, and_(*of_run, SuspicionRow.image_id == SetImageRow.image_id))
    figures = select(SuspicionRow.image_id).where(*of_run)
    unranked = query.where(SetImageRow.image_id.not_in(figures)).order_by(SetImageRow.position)
    value, position = SuspicionRow.value, SetImageRow.position
    if order is Order.SUSPICION:
        edges = zip((2.0, *BANDS), (*BANDS, -1.0), strict=True)
        ranked = [joined.where(value < high, value >= low).order_by(value.desc(), position) for high, low in edges]
        return [*ranked, unranked]
    ranked = []
    for near, far in zip((0.0, *DISTANCES), (*DISTANCES, 1.0), strict=True):
        beside = or_(and_(value > 0.5 - far, value <= 0.5 - near), and_(value >= 0.5 + near, value < 0.5 + far))
        ranked.append(joined.where(beside).order_by(func.abs(value - 0.5), position))
    return [*ranked, unranked]


def _slice(session: Session, parts: Sequence[Query], *, limit: int, offset: int) -> list[ImageAndMark]:
    """Read rows from ``offset`` on of the parts one after the other, at most ``limit`` of them."""
    rows: list[ImageAndMark] = []
    for part in parts:
        more = session.execute(part.limit(limit - len(rows)).offset(offset)).all()
        rows += more
        if len(rows) >= limit:
            break
        if more:
            offset = 0
        elif offset:
            offset -= session.scalar(select(func.count()).select_from(part.order_by(None).subquery())) or 0
    return rows


def _number(session: Session, reader: _Reader, criteria: Filter, conditions: Sequence[ColumnElement[bool]]) -> int:
    """Count the cases that meet the conditions."""
    if not conditions:
        return count_images(session, reader.set_name)
    query = select(func.count()).select_from(SetImageRow)
    if any(getattr(criteria, name) is not None for name in OF_IMAGE):
        query = query.join(ImageRow, ImageRow.id == SetImageRow.image_id)
    return session.scalar(query.where(SetImageRow.set_name == reader.set_name, *conditions)) or 0


def _suspicion(reader: _Reader) -> ColumnElement[float]:
    if reader.run is None:
        raise StoreError(NEEDS_RUN)
    of_case = (SuspicionRow.run == reader.run, SuspicionRow.concept == reader.concept)
    query = select(SuspicionRow.value).where(*of_case, SuspicionRow.image_id == SetImageRow.image_id)
    return query.scalar_subquery()


def _conditions(reader: _Reader, criteria: Filter) -> Iterator[ColumnElement[bool]]:
    for name in ("source", "diagnosis", "site"):
        if getattr(criteria, name) is not None:
            yield getattr(ImageRow, name) == getattr(criteria, name)
    if criteria.images is not None:
        yield SetImageRow.image_id.in_(criteria.images[:IMAGES_LIMIT])
    if criteria.age is not None:
        yield ImageRow.age.between(*criteria.age)
    if criteria.suspicion is not None:
        yield _suspicion(reader).between(*criteria.suspicion)
    # Gathered once for the whole page: few images of a set are judged for any one concept.
    judged = select(JudgementRow.image_id).where(*reader.current())
    by_reader = judged.where(JudgementRow.reader == reader.name, JudgementRow.reading == 1)
    by_others = judged.where(JudgementRow.reader != reader.name)
    if criteria.verdict is not None:
        yield SetImageRow.image_id.in_(by_reader.where(JudgementRow.verdict == criteria.verdict))
    for required, holds in (
        (criteria.judged, SetImageRow.image_id.in_(by_reader)),
        (criteria.others, SetImageRow.image_id.in_(by_others)),
        (criteria.later, reader.is_later()),
    ):
        if required is not None:
            yield holds if required else ~holds


def _to_cases(session: Session, reader: _Reader, rows: Sequence[ImageAndMark]) -> Iterator[Case]:
    hidden = is_blinded(session, reader.name, reader.set_name)
    verdicts = _reader_verdicts(session, reader, [image.id for image, _ in rows])
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


def _reader_verdicts(session: Session, reader: _Reader, image_ids: list[str]) -> dict[str, Verdict]:
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
    """Tell whether diagnosis and metadata of a set's images are hidden from someone."""
    return find_set(session, set_name).blinded and not SEES_METADATA & roles_of(session, actor)


def _judged(session: Session, mine: Mapping[str, Any], reading: int) -> dict[str, int]:
    current = {"superseded_by": None, "kind": Kind.READING, "reading": reading}
    return _count(session, JudgementRow, {**mine, **current}, JudgementRow.verdict.is_not(None))


def _count(
    session: Session, table: type[JudgementRow] | type[LaterRow], fields: Mapping[str, Any], *more: ColumnElement[bool]
) -> dict[str, int]:
    query = select(table.concept, func.count()).filter_by(**fields).where(*more).group_by(table.concept)
    return {row[0]: row[1] for row in session.execute(query)}
