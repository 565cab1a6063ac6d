"""What the grid can be filtered by: the values that a set's images have, the runs that brought figures, agreement."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from concepts.acts import looking
from concepts.adjudication import current_judgements, rule_of
from concepts.consensus import Status, consensus
from concepts.queue import is_blinded
from concepts.roles import Action
from concepts.schema import EmbeddingRow, ImageRow, SetImageRow, SuspicionRow
from concepts.sets import find_set
from concepts.store import Store


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
    """What the grid of a set can be filtered and sorted by.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such set.
    """
    with looking(store, actor, Action.FACETS) as session:
        find_set(session, set_name)
        hidden = is_blinded(session, actor, set_name)
        in_set = ImageRow.id.in_(select(SetImageRow.image_id).filter_by(set_name=set_name))
        return Facets(
            sources=_values(session, ImageRow.source, in_set),
            diagnoses=() if hidden else _values(session, ImageRow.diagnosis, in_set),
            sites=() if hidden else _values(session, ImageRow.site, in_set),
            ages=None if hidden else _ages(session, in_set),
            embedded_by=tuple(session.scalars(select(EmbeddingRow.run).distinct().order_by(EmbeddingRow.run))),
            suspected_by=tuple(session.scalars(select(SuspicionRow.run).distinct().order_by(SuspicionRow.run))),
        )


def standing(store: Store, actor: str, set_name: str, concept: str) -> dict[str, Status]:
    """Where each image stands on a concept that anyone judged in it, by the set's rule; for those who do not judge.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such set.
    """
    with looking(store, actor, Action.STANDING) as session:
        judgements = current_judgements(session, set_name, concept=concept, with_regions=False)
        return {case.image_id: case.status for case in consensus(judgements, rule=rule_of(session, set_name))}


def _values(
    session: Session, column: InstrumentedAttribute[str | None], in_set: ColumnElement[bool]
) -> tuple[str, ...]:
    found = session.scalars(select(column).where(in_set, column.is_not(None)).distinct().order_by(column))
    return tuple(str(value) for value in found)


def _ages(session: Session, in_set: ColumnElement[bool]) -> tuple[float, float] | None:
    youngest, oldest = session.execute(select(func.min(ImageRow.age), func.max(ImageRow.age)).where(in_set)).one()
    return None if youngest is None or oldest is None else (youngest, oldest)
