"""Settled examples of a concept to look at while judging it, without giving away what is still to be judged."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from concepts.acts import looking
from concepts.example import Polarity
from concepts.judgement import Kind
from concepts.release import Release, parse_release
from concepts.roles import Action
from concepts.schema import ImageRow, JudgementRow, ReleaseRow, SetImageRow
from concepts.sets import find_set
from concepts.store import Store


@dataclass(frozen=True, slots=True)
class Exemplar:
    """An image on which readers settled.

    Attributes:
        image_id: The image.
        path: Of its file, relative to the image folder.
        shows: Whether it shows the concept.
    """

    image_id: str
    path: str
    shows: bool


def exemplars(store: Store, actor: str, set_name: str, concept: str, *, limit: int = 4) -> list[Exemplar]:
    """Examples and counter-examples of a concept, from the newest release of the set that is in force.

    An image that the reader has still to judge for the concept is left out: its verdict would be given away.

    Args:
        store: An open store.
        actor: Who looks.
        set_name: The concept set.
        concept: Identifier of the concept.
        limit: At most so many that show it, and so many that do not.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such set.
    """
    with looking(store, actor, Action.EXEMPLARS) as session:
        find_set(session, set_name)
        release = _newest(session, set_name)
        if release is None:
            return []
        paths = _known_paths(session, release, concept)
        for image in _still_to_judge(session, actor, set_name, concept):
            paths.pop(image, None)
        return [e for shows in (True, False) for e in list(_chosen(release, concept, paths, shows=shows))[:limit]]


def _newest(session: Session, set_name: str) -> Release | None:
    query = select(ReleaseRow).filter_by(name=set_name, status="frozen").order_by(ReleaseRow.version.desc()).limit(1)
    row = session.scalar(query)
    return None if row is None else parse_release(row.manifest.encode(), origin=f"{row.name}@{row.version}")


def _known_paths(session: Session, release: Release, concept: str) -> dict[str, str]:
    digests = {e.image_id: e.image_digest for e in release.examples if e.concept == concept}
    rows = session.execute(select(ImageRow.id, ImageRow.digest, ImageRow.path))
    return {row.id: row.path for row in rows if digests.get(row.id) == row.digest}


def _still_to_judge(session: Session, actor: str, set_name: str, concept: str) -> set[str]:
    mine = {"set_name": set_name, "concept": concept, "reader": actor, "kind": Kind.READING, "superseded_by": None}
    judged = select(JudgementRow.image_id).filter_by(**mine).where(JudgementRow.verdict.is_not(None))
    query = select(SetImageRow.image_id).filter_by(set_name=set_name).where(SetImageRow.image_id.not_in(judged))
    return set(session.scalars(query))


def _chosen(release: Release, concept: str, paths: dict[str, str], *, shows: bool) -> Iterator[Exemplar]:
    wanted = Polarity.PRESENT if shows else Polarity.ABSENT
    for example in release.examples:
        if example.concept == concept and example.polarity is wanted and example.image_id in paths:
            yield Exemplar(example.image_id, paths[example.image_id], shows)
