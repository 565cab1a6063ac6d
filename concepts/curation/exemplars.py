"""Settled examples of a concept to look at while judging it, without giving away what is still to be judged."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from concepts.curation.sets import find_set
from concepts.example import Polarity
from concepts.judgement import Kind
from concepts.store.acts import looking
from concepts.store.roles import Action
from concepts.store.schema import ImageRow, JudgementRow, ReleaseRow, SetImageRow, portions
from concepts.store.store import Store

SHOWS = {Polarity.PRESENT: True, Polarity.ABSENT: False}
Settled = Mapping[str, Sequence[tuple[str, str, bool]]]


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


def exemplars(
    store: Store, actor: str, set_name: str, concept: str, *, reading: int = 1, limit: int = 4
) -> list[Exemplar]:
    """Show examples and counter-examples of a concept, from the newest release of the set that is in force.

    An image that the reader has still to judge for the concept is left out: its verdict would be given away.

    Args:
        store: An open store.
        actor: Who looks.
        set_name: The concept set.
        concept: Identifier of the concept.
        reading: 2 where the reader judges for the second time; then what they read only once is left out.
        limit: At most so many that show it, and so many that do not.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such set.

    Example:
        >>> info = freeze(store, OPERATOR, "derm", key="1")
        >>> exemplars(store, "ann", "derm", "streaks")
        [Exemplar(image_id='image0', path='0.png', shows=True)]
    """
    with looking(store, actor, Action.EXEMPLARS) as session:
        find_set(session, set_name)
        settled = _settled(store, session, set_name).get(concept, ())
        hides = _Hiding(actor, set_name, concept, reading)
        halves = [_first_visible(session, settled, hides, shows=shows, limit=limit) for shows in (True, False)]
        return [exemplar for half in halves for exemplar in half]


@dataclass(frozen=True, slots=True)
class _Hiding:
    """For whom which images must not be shown: those of the set that they have still to judge for the concept."""

    actor: str
    set_name: str
    concept: str
    reading: int

    def condition(self) -> ColumnElement[bool]:
        of_image = (JudgementRow.image_id == ImageRow.id, JudgementRow.verdict.is_not(None))
        mine = {"set_name": self.set_name, "concept": self.concept, "reader": self.actor, "kind": Kind.READING}
        current = select(JudgementRow.id).filter_by(**mine, reading=self.reading, superseded_by=None)
        judged = current.where(*of_image).exists()
        asked = select(SetImageRow.image_id).filter_by(set_name=self.set_name)
        return asked.where(SetImageRow.image_id == ImageRow.id).exists() & ~judged


def _settled(store: Store, session: Session, set_name: str) -> Settled:
    """Return by concept image, digest and whether it shows the concept, from the newest release that is in force."""
    newest = select(ReleaseRow.version).filter_by(name=set_name, status="frozen")
    version = session.scalar(newest.order_by(ReleaseRow.version.desc()).limit(1))
    if version is None:
        return {}
    settled: Settled = store.keep(("settled", set_name), version, lambda: _examples(session, set_name, version))
    return settled


def _examples(session: Session, set_name: str, version: int) -> Settled:
    manifest = session.scalar(select(ReleaseRow.manifest).filter_by(name=set_name, version=version))
    settled: dict[str, list[tuple[str, str, bool]]] = defaultdict(list)
    # The manifest was checked when it was kept, and never changes: its text will do.
    for example in json.loads(manifest or "{}").get("examples", ()):
        if example["polarity"] in SHOWS:
            shows = SHOWS[example["polarity"]]
            settled[example["concept"]].append((example["image_id"], example["image_digest"], shows))
    return {concept: tuple(examples) for concept, examples in settled.items()}


def _first_visible(
    session: Session, settled: Sequence[tuple[str, str, bool]], hides: _Hiding, *, shows: bool, limit: int
) -> list[Exemplar]:
    """Return the first examples whose images the store has by the same file and that are not hidden."""
    candidates = [(image_id, digest) for image_id, digest, shows_concept in settled if shows_concept is shows]
    visible: list[Exemplar] = []
    for portion in portions(candidates):
        names = [image_id for image_id, _ in portion]
        query = select(ImageRow.id, ImageRow.digest, ImageRow.path).where(ImageRow.id.in_(names), ~hides.condition())
        paths = {(row.id, row.digest): row.path for row in session.execute(query)}
        visible += [Exemplar(key[0], paths[key], shows) for key in portion if key in paths]
        if len(visible) >= limit:
            break
    return visible[:limit]
