"""Proposing: what a network uses and nobody named gets a name, and becomes a concept to be judged like any other."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from concepts.curation.sets import SetConcept, concept_record, describe_concept, find_set, insert_concept
from concepts.errors import DataError
from concepts.store.acts import performing
from concepts.store.roles import Action
from concepts.store.schema import ConceptRow, ImageRow, SetImageRow, SuspicionRow
from concepts.store.store import Store


@dataclass(frozen=True, slots=True)
class Proposal:
    """What came of a proposal.

    Attributes:
        concept: Identifier of the concept in the set.
        is_new: Whether the set did not have it before.
        candidates: Images of the set that wait to be judged for it, the network's figure at hand.
        elsewhere: Candidates that the set does not have; a curator can add them.
    """

    concept: str
    is_new: bool
    candidates: int
    elsewhere: int


def propose_concept(
    store: Store,
    actor: str,
    set_name: str,
    concept: str | SetConcept,
    values: Mapping[str, float],
    *,
    run: str,
    axis: str,
    key: str,
) -> Proposal:
    """Add a concept that a run's network seems to use, with the run's candidates for it.

    Candidates are no judgements: they only say which images readers should look at first, so that nothing gets into a
    release that nobody said.

    Args:
        store: An open store.
        actor: A curator.
        set_name: The concept set.
        concept: A word of the vocabulary, or the set's own concept; one that the set has already gets the candidates.
        values: How strongly the axis is active, in 0..1, by SHA-256 of the image file.
        run: Name of the run.
        axis: Which of its axes was named.
        key: One for each submit.

    Raises:
        PermissionDeniedError: If the actor is no curator.
        DataError: If a value is outside 0..1, or the vocabulary does not know the word.
        StoreError: If there is no such set, or an own concept takes a word of the vocabulary.

    Example:
        >>> values = {f"{3:064x}": 0.9, f"{9:064x}": 0.8}  # by digest; the set has the first
        >>> propose_concept(store, OPERATOR, "derm", "globules", values, run="run-1", axis="free_1", key="1")
        Proposal(concept='globules', is_new=True, candidates=1, elsewhere=1)
    """
    wrong = [value for value in values.values() if not 0 <= value <= 1]
    if wrong:
        raise DataError(f"{run} {axis}: activity is in 0..1 (got {wrong[0]}, {len(wrong)} such in all)")
    described = describe_concept(concept)
    request = [set_name, concept_record(described), run, axis, dict(values)]
    with performing(store, actor, Action.PROPOSE_CONCEPT, key=key, request=request) as act:
        if not act.is_repeat:
            find_set(act.session, set_name)
            is_new = act.session.get(ConceptRow, (set_name, described.id)) is None
            row = insert_concept(act.session, set_name, described) if is_new else None
            here = _images(act.session, set_name, values)
            _suspect(act.session, run, described.id, here)
            result = [described.id, is_new, len(here), len(values) - len(here)]
            payload = {"concept": row, "set": set_name, "run": run, "axis": axis, "values": here}
            act.record(f"{set_name}/{described.id}", payload, result=result)
        return Proposal(*act.result)


def _images(session: Session, set_name: str, values: Mapping[str, float]) -> dict[str, float]:
    """Return the figures of the images that the set has, by identifier."""
    query = (
        select(ImageRow.id, ImageRow.digest)
        .join(SetImageRow, SetImageRow.image_id == ImageRow.id)
        .where(SetImageRow.set_name == set_name, ImageRow.digest.in_(list(values)))
    )
    return {image: float(values[digest]) for image, digest in session.execute(query)}


def _suspect(session: Session, run: str, concept: str, values: Mapping[str, float]) -> None:
    suspected = set(session.scalars(select(SuspicionRow.image_id).filter_by(run=run, concept=concept)))
    rows = [
        {"run": run, "concept": concept, "image_id": image, "value": value}
        for image, value in values.items()
        if image not in suspected
    ]
    if rows:
        session.execute(insert(SuspicionRow), rows)
