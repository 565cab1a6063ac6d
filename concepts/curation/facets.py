"""What the grid can be filtered by: the values that a set's images have, the runs that brought figures, agreement."""

from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from concepts.consensus import Status, consensus
from concepts.curation.adjudication import current_judgements, rule_of
from concepts.curation.queue import is_blinded
from concepts.curation.sets import count_images, find_set
from concepts.store.acts import looking
from concepts.store.roles import Action
from concepts.store.schema import EmbeddingRow, ImageRow, SetImageRow, SuspicionRow
from concepts.store.store import Store


@dataclass(frozen=True, slots=True)
class Facets:
    """What images of a set can be told apart by; what is hidden from the reader is empty.

    Attributes:
        sources: Data sets and departments.
        diagnoses: Identifiers of diagnoses.
        sites: Where on the body.
        ages: Youngest and oldest, in years; None where no age is known.
        embedded_by: Runs that brought embeddings, to sort by similarity.
        suspected_by: Runs that brought suspicion of any concept.
    """

    sources: tuple[str, ...]
    diagnoses: tuple[str, ...]
    sites: tuple[str, ...]
    ages: tuple[float, float] | None
    embedded_by: tuple[str, ...]
    suspected_by: tuple[str, ...]


def facets(store: Store, actor: str, set_name: str) -> Facets:
    """List what the grid of a set can be filtered and sorted by.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such set.

    Example:
        >>> from concepts.image_record import ImageRecord
        >>> nevus = ImageRecord(id="n", digest="a" * 64, path="n.png", diagnosis="nevus", source="clinic", age=40)
        >>> _ = add_images(store, OPERATOR, [nevus], key="1"), add_to_set(store, OPERATOR, "derm", ["n"], key="2")
        >>> facets(store, OPERATOR, "derm").diagnoses, facets(store, "ann", "derm").diagnoses  # ann judges blinded
        (('nevus',), ())
    """
    with looking(store, actor, Action.FACETS) as session:
        find_set(session, set_name)
        # Images never change and never leave a set, so their number stands for them.
        stamp = count_images(session, set_name)
        values: Facets = store.keep(("facets", set_name), stamp, lambda: _of_images(session, set_name))
        if is_blinded(session, actor, set_name):
            values = replace(values, diagnoses=(), sites=(), ages=None)
        embedded_by, suspected_by = _runs(session, EmbeddingRow.run), _runs(session, SuspicionRow.run)
        return replace(values, embedded_by=embedded_by, suspected_by=suspected_by)


def standing(store: Store, actor: str, set_name: str, concept: str) -> dict[str, Status]:
    """Say where each judged image stands on a concept, by the set's rule; for those who do not judge.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such set.

    Example:
        >>> {image: str(status) for image, status in standing(store, OPERATOR, "derm", "streaks").items()}
        {'image0': 'agreed', 'image1': 'contested'}
    """
    with looking(store, actor, Action.STANDING) as session:
        judgements = current_judgements(session, set_name, concept=concept, with_regions=False)
        return {case.image_id: case.status for case in consensus(judgements, rule=rule_of(session, set_name))}


def _of_images(session: Session, set_name: str) -> Facets:
    in_set = ImageRow.id.in_(select(SetImageRow.image_id).filter_by(set_name=set_name))
    return Facets(
        sources=_values(session, ImageRow.source, in_set),
        diagnoses=_values(session, ImageRow.diagnosis, in_set),
        sites=_values(session, ImageRow.site, in_set),
        ages=_ages(session, in_set),
        embedded_by=(),
        suspected_by=(),
    )


def _runs(session: Session, column: InstrumentedAttribute[str]) -> tuple[str, ...]:
    """List the runs in a table with many rows of each: one look into the index for each run, not one for each row."""
    runs = select(func.min(column).label("run")).cte("runs", recursive=True)
    later = select(func.min(column)).where(column > runs.c.run).scalar_subquery()
    runs = runs.union_all(select(later).where(runs.c.run.is_not(None)))
    return tuple(session.scalars(select(runs.c.run).where(runs.c.run.is_not(None)).order_by(runs.c.run)))


def _values(
    session: Session, column: InstrumentedAttribute[str | None], in_set: ColumnElement[bool]
) -> tuple[str, ...]:
    values = session.scalars(select(column).where(in_set, column.is_not(None)).distinct().order_by(column))
    return tuple(str(value) for value in values)


def _ages(session: Session, in_set: ColumnElement[bool]) -> tuple[float, float] | None:
    youngest, oldest = session.execute(select(func.min(ImageRow.age), func.max(ImageRow.age)).where(in_set)).one()
    return None if youngest is None or oldest is None else (youngest, oldest)
