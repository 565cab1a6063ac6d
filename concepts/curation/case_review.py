"""Case reviews: what a person says about one case that a network explained. Nothing is erased.

A first read is the reviewer's own opinion before the network's is shown; a review is given with it in view. Both are
kept. Where the reviewer says that a concept was wrongly seen, that is also a judgement in a concept set, so that the
next release can have it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from concepts.curation.judging import refuse_unknown_cases, write
from concepts.errors import DataError
from concepts.judgement import TEXT_LIMIT, Judgement, Verdict, is_plain
from concepts.store.acts import Act, looking, performing
from concepts.store.audit import now
from concepts.store.roles import Action
from concepts.store.schema import CaseReviewRow, ConceptRow, ImageRow, SetImageRow
from concepts.store.store import Store

NAME_LIMIT = 500


class Step(StrEnum):
    """When in the reading the reviewer spoke."""

    FIRST_READ = "first_read"
    """Before anything of the network was shown."""
    REVIEW = "review"
    """With the network's call and explanation in view."""


class Opinion(StrEnum):
    """What the reviewer thinks of the network's call."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReview:
    """What one reviewer says about one case of one run.

    Attributes:
        reviewer: Name of the account.
        run: Name of the run whose network explained the case.
        image_id: The image, as the run calls it.
        digest: SHA-256 of the image file.
        step: First read, or review.
        diagnosis: The reviewer's own; None where they did not commit to one.
        confidence: How sure of it, 0..1; None where not said.
        opinion: Of the network's call; in a review, never in a first read.
        corrections: By concept that was wrongly seen, what the reviewer sees; in a review only.
        comment: Free text.
        seconds: Time taken; None where not measured.
        at: When, ISO 8601; None before it is written.
        id: Number in the store; None before it is written.

    Raises:
        DataError: If a value is outside its range, or a first read speaks of what was not shown yet.
    """

    reviewer: str
    run: str
    image_id: str
    digest: str
    step: Step
    diagnosis: str | None = None
    confidence: float | None = None
    opinion: Opinion | None = None
    corrections: Mapping[str, Verdict] = field(default_factory=dict)
    comment: str = ""
    seconds: float | None = None
    at: str | None = None
    id: int | None = None

    def __post_init__(self) -> None:
        for fault in _faults(self):
            raise DataError(f"review of {self.image_id!r:.80} in {self.run!r:.80}: {fault}")


@dataclass(frozen=True, slots=True)
class ImageInSet:
    """An image in a set: what it is called there, and the set's concepts."""

    set_name: str
    image_id: str
    concepts: tuple[str, ...]


def review_case(store: Store, actor: str, review: CaseReview, *, in_set: ImageInSet | None = None, key: str) -> int:
    """Keep a review; its corrections become judgements in the set that is named.

    Args:
        store: An open store.
        actor: The reviewer; must be the review's.
        review: What is said.
        in_set: From `find_image`: where the corrections become judgements; None: they stay in the review only.
        key: One for each submit.

    Returns:
        The review's number.

    Raises:
        PermissionDeniedError: If the actor may not review.
        DataError: If the review is another person's.
        StoreError: If image or concept are not in that set.

    Example:
        >>> add_account(store, OPERATOR, "rev", [Role.REVIEWER], key="1")
        >>> agrees = {"run": "run-1", "image_id": "a", "digest": "0" * 64, "opinion": Opinion.AGREES}
        >>> review_case(store, "rev", CaseReview(reviewer="rev", step=Step.REVIEW, **agrees), key="2")
        1
    """
    request = [_record(review), None if in_set is None else [in_set.set_name, in_set.image_id]]
    with performing(store, actor, Action.REVIEW_CASE, key=key, request=request) as act:
        if not act.is_repeat:
            if review.reviewer != actor:
                raise DataError(f"{actor!r} cannot review for {review.reviewer!r}; reviewers speak for themselves")
            _keep(act, review, in_set)
        return int(act.result)


def read_reviews(store: Store, actor: str, run: str, *, image_id: str | None = None) -> list[CaseReview]:
    """Read all reviews of a run's cases, or of one case, oldest first.

    Raises:
        PermissionDeniedError: If the actor may not read them.

    Example:
        >>> add_account(store, OPERATOR, "rev", [Role.REVIEWER], key="1")
        >>> read_reviews(store, "rev", "run-1")
        []
    """
    query = select(CaseReviewRow).filter_by(run=run).order_by(CaseReviewRow.id)
    if image_id is not None:
        query = query.filter_by(image_id=image_id)
    with looking(store, actor, Action.READ_REVIEWS) as session:
        return [_review(row) for row in session.scalars(query)]


def find_image(store: Store, actor: str, digest: str) -> list[ImageInSet]:
    """Find the sets in which an image is to be judged, by the digest of its file.

    Raises:
        PermissionDeniedError: If the actor may not look.

    Example:
        >>> add_account(store, OPERATOR, "rev", [Role.REVIEWER], key="1")
        >>> find_image(store, "rev", f"{3:064x}")
        [ImageInSet(set_name='derm', image_id='image3', concepts=('streaks', 'pigment_network'))]
    """
    query = (
        select(SetImageRow.set_name, SetImageRow.image_id)
        .join(ImageRow, ImageRow.id == SetImageRow.image_id)
        .where(ImageRow.digest == digest)
        .order_by(SetImageRow.set_name, SetImageRow.image_id)
    )
    with looking(store, actor, Action.FIND_IMAGE) as session:
        return [ImageInSet(name, image, _concepts_of(session, name)) for name, image in session.execute(query)]


def _record(review: CaseReview) -> dict[str, Any]:
    """Return a review that is to be written as the audit chain has it, but for its number and time."""
    written = {part.name: getattr(review, part.name) for part in fields(review) if part.name not in ("id", "at")}
    return written | {"corrections": {name: str(verdict) for name, verdict in sorted(review.corrections.items())}}


def _keep(act: Act, review: CaseReview, in_set: ImageInSet | None) -> None:
    session = act.session
    number = (session.scalar(select(func.max(CaseReviewRow.id))) or 0) + 1
    record = _record(review) | {"id": number, "at": now()}
    session.execute(insert(CaseReviewRow).values(**record | {"corrections": json.dumps(record["corrections"])}))
    written = _write_corrections(act, review, in_set)
    act.record(f"{review.run}/{review.image_id}", {"review": record, **written}, result=number)


def _write_corrections(act: Act, review: CaseReview, in_set: ImageInSet | None) -> dict[str, Any]:
    if in_set is None or not review.corrections:
        return {}
    refuse_unknown_cases(act.session, in_set.set_name, [(in_set.image_id, concept) for concept in review.corrections])
    judgements = [
        Judgement(
            reader=review.reviewer,
            image_id=in_set.image_id,
            concept=concept,
            verdict=verdict,
            note=f"wrongly seen by the network of {review.run}",
            blinded=False,
        )
        for concept, verdict in sorted(review.corrections.items())
    ]
    return {"set": in_set.set_name, "judgements": write(act, in_set.set_name, judgements, undoable=True)}


def _concepts_of(session: Session, set_name: str) -> tuple[str, ...]:
    query = select(ConceptRow.id).filter_by(set_name=set_name).order_by(ConceptRow.position)
    return tuple(session.scalars(query))


def _review(row: CaseReviewRow) -> CaseReview:
    return CaseReview(
        reviewer=row.reviewer,
        run=row.run,
        image_id=row.image_id,
        digest=row.digest,
        step=Step(row.step),
        diagnosis=row.diagnosis,
        confidence=row.confidence,
        opinion=None if row.opinion is None else Opinion(row.opinion),
        corrections={name: Verdict(verdict) for name, verdict in json.loads(row.corrections).items()},
        comment=row.comment,
        seconds=row.seconds,
        at=row.at,
        id=row.id,
    )


def _faults(review: CaseReview) -> list[str]:
    words = (review.reviewer, review.run, review.image_id, review.diagnosis or "", review.comment)
    first = review.step is Step.FIRST_READ
    confidence, seconds = review.confidence, review.seconds
    checks = (
        (all(is_plain(word) for word in words), "its texts must have no NUL and no half characters"),
        (all(0 < len(word) <= NAME_LIMIT for word in words[:3]), f"names have 1 to {NAME_LIMIT} characters"),
        (len(review.comment) <= TEXT_LIMIT, f"its comment is longer than {TEXT_LIMIT} characters"),
        (confidence is None or 0 <= confidence <= 1, f"confidence must be from 0 to 1, got {confidence}"),
        (seconds is None or 0 <= seconds < float("inf"), f"seconds must be 0 or more, got {seconds}"),
        (not first or review.opinion is None, "a first read has no opinion of a call that was not shown"),
        (not first or not review.corrections, "a first read corrects nothing, since nothing was shown"),
        (not first or review.diagnosis is not None, "a first read needs the reviewer's own diagnosis"),
        (first or review.opinion is not None, "a review says whether it agrees, disagrees or is unsure"),
    )
    return [fault for holds, fault in checks if not holds]
