"""Adjudication: contested cases, an adjudicator's blinded first look, the others' verdicts, and the last word."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from concepts.consensus import ConsensusRule, Status, consensus
from concepts.curation.judging import refuse_unknown_cases, write
from concepts.curation.sets import find_set
from concepts.errors import PermissionDeniedError, StoreError
from concepts.judgement import Judgement, Kind
from concepts.store.acts import Act, looking, performing
from concepts.store.judgement_rows import to_json, to_judgements
from concepts.store.roles import Action
from concepts.store.schema import JudgementRow
from concepts.store.store import Store


@dataclass(frozen=True, slots=True)
class ContestedCase:
    """A case that waits for an adjudicator; it does not say who judged what.

    Attributes:
        image_id: The image.
        concept: Identifier of the concept.
        has_looked: Whether the actor gave a first look.
    """

    image_id: str
    concept: str
    has_looked: bool


def contested(store: Store, actor: str, set_name: str, concept: str | None = None) -> list[ContestedCase]:
    """List the cases on which the set's rule finds the readers in disagreement, by concept and image.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such set.

    Example:
        >>> contested(store, "eve", "derm")
        [ContestedCase(image_id='image1', concept='streaks', has_looked=False)]
    """
    with looking(store, actor, Action.CONTESTED) as session:
        judgements = current_judgements(session, set_name, concept=concept, with_regions=False)
        looked = {(j.image_id, j.concept) for j in judgements if j.kind is Kind.FIRST_LOOK and j.reader == actor}
        settled = consensus(judgements, rule=rule_of(session, set_name))
        cases = [(case.image_id, case.concept) for case in settled if case.status is Status.CONTESTED]
        return [ContestedCase(*case, case in looked) for case in cases]


def first_look(store: Store, actor: str, set_name: str, judgement: Judgement, *, key: str) -> int:
    """Give an adjudicator's own verdict on a contested case, before the others' can be read; once only.

    Args:
        store: An open store.
        actor: An adjudicator who did not read the case.
        set_name: The concept set.
        judgement: The actor's verdict; its kind is set here.
        key: One for each submit.

    Returns:
        The judgement's number.

    Raises:
        PermissionDeniedError: If the actor is no adjudicator, or read the case.
        StoreError: If the case is not contested, or the actor looked before.

    Example:
        >>> look = Judgement(reader="eve", image_id="image1", concept="streaks", verdict=Verdict.PRESENT)
        >>> first_look(store, "eve", "derm", look, key="1")
        5
        >>> [case.has_looked for case in contested(store, "eve", "derm")]
        [True]
    """
    look = replace(judgement, kind=Kind.FIRST_LOOK, reading=1)
    with performing(store, actor, Action.FIRST_LOOK, key=key, request=[set_name, to_json(look)]) as act:
        if not act.is_repeat:
            case = _case(act.session, set_name, look.image_id, look.concept)
            _refuse_reader(actor, look, case)
            if any(earlier.kind is Kind.FIRST_LOOK and earlier.reader == actor for earlier in case):
                raise StoreError(f"{look.image_id!r:.80}: {actor!r} looked already; a first look is given once")
            settled = consensus(case, rule=rule_of(act.session, set_name))
            if not settled or settled[0].status is not Status.CONTESTED:
                raise StoreError(f"{look.image_id!r:.80}, concept {look.concept!r}: is not contested")
            _write_one(act, set_name, look)
        return int(act.result)


def others_judgements(store: Store, actor: str, set_name: str, image_id: str, concept: str) -> list[Judgement]:
    """Read the others' judgements of a case, as an adjudicator who gave a first look.

    Raises:
        PermissionDeniedError: If the actor is no adjudicator, or did not look yet.

    Example:
        >>> look = Judgement(reader="eve", image_id="image1", concept="streaks", verdict=Verdict.PRESENT)
        >>> number = first_look(store, "eve", "derm", look, key="1")
        >>> for judgement in others_judgements(store, "eve", "derm", "image1", "streaks"):
        ...     print(judgement.reader, judgement.verdict)
        ann present
        ben absent
    """
    with looking(store, actor, Action.OTHERS_JUDGEMENTS) as session:
        case = _case(session, set_name, image_id, concept)
        _refuse_unlooked(actor, image_id, case)
        return [judgement for judgement in case if judgement.reader != actor]


def adjudicate(store: Store, actor: str, set_name: str, judgement: Judgement, *, key: str) -> int:
    """Give the last word on a case, with the others' verdicts in view; a later word supersedes the actor's earlier one.

    Args:
        store: An open store.
        actor: An adjudicator who gave a first look.
        set_name: The concept set.
        judgement: The verdict that is to stand; its kind is set here.
        key: One for each submit.

    Returns:
        The judgement's number.

    Raises:
        PermissionDeniedError: If the actor is no adjudicator, or did not look yet.

    Example:
        >>> word = Judgement(reader="eve", image_id="image1", concept="streaks", verdict=Verdict.PRESENT)
        >>> first_look(store, "eve", "derm", word, key="1"), adjudicate(store, "eve", "derm", word, key="2")
        (5, 6)
        >>> contested(store, "eve", "derm")
        []
    """
    word = replace(judgement, kind=Kind.ADJUDICATION, reading=1, blinded=False)
    with performing(store, actor, Action.ADJUDICATE, key=key, request=[set_name, to_json(word)]) as act:
        if not act.is_repeat:
            case = _case(act.session, set_name, word.image_id, word.concept)
            _refuse_unlooked(actor, word.image_id, case)
            _refuse_reader(actor, word, case)
            _write_one(act, set_name, word)
        return int(act.result)


def read_judgements(
    store: Store,
    actor: str,
    set_name: str,
    *,
    concept: str | None = None,
    image_id: str | None = None,
    with_regions: bool = True,
) -> list[Judgement]:
    """Read all current judgements of a set, in the order of their numbers; for those who do not judge.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such set.

    Example:
        >>> [(judgement.reader, str(judgement.verdict)) for judgement in read_judgements(store, OPERATOR, "derm")]
        [('ann', 'present'), ('ben', 'present'), ('ann', 'present'), ('ben', 'absent')]
    """
    with looking(store, actor, Action.READ_JUDGEMENTS) as session:
        return current_judgements(session, set_name, concept=concept, image_id=image_id, with_regions=with_regions)


def current_judgements(
    session: Session,
    set_name: str,
    *,
    concept: str | None = None,
    image_id: str | None = None,
    with_regions: bool = True,
) -> list[Judgement]:
    """Return the judgements of a set that are neither superseded nor withdrawn, in the order of their numbers.

    Raises:
        StoreError: If there is no such set.
    """
    find_set(session, set_name)
    query = select(JudgementRow).filter_by(set_name=set_name, superseded_by=None).order_by(JudgementRow.id)
    if concept is not None:
        query = query.filter_by(concept=concept)
    if image_id is not None:
        query = query.filter_by(image_id=image_id)
    return to_judgements(session, session.scalars(query).all(), with_regions=with_regions)


def rule_of(session: Session, set_name: str) -> ConsensusRule:
    """Return the set's rule of consensus."""
    return ConsensusRule.model_validate_json(find_set(session, set_name).consensus)


def _case(session: Session, set_name: str, image_id: str, concept: str) -> list[Judgement]:
    refuse_unknown_cases(session, set_name, [(image_id, concept)])
    return current_judgements(session, set_name, concept=concept, image_id=image_id)


def _write_one(act: Act, set_name: str, judgement: Judgement) -> None:
    records = write(act, set_name, [judgement], undoable=False)
    subject = f"{set_name}/{judgement.concept}/{judgement.image_id}"
    act.record(subject, {"set": set_name, "judgements": records}, result=records[0]["id"])


def _refuse_reader(actor: str, judgement: Judgement, case: Sequence[Judgement]) -> None:
    if judgement.reader != actor:
        raise PermissionDeniedError(f"{actor!r} cannot judge for {judgement.reader!r}; speak for yourself")
    if any(earlier.kind is Kind.READING and earlier.reader == actor for earlier in case):
        raise PermissionDeniedError(f"{actor!r} read {judgement.image_id!r:.80}; someone else must adjudicate it")


def _refuse_unlooked(actor: str, image_id: str, case: Sequence[Judgement]) -> None:
    if not any(earlier.kind is Kind.FIRST_LOOK and earlier.reader == actor for earlier in case):
        raise PermissionDeniedError(f"{actor!r} must judge {image_id!r:.80} blinded before seeing what the others said")
