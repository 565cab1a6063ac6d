from dataclasses import replace

import pytest
from laws import assert_nothing_lost
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from concepts.curation.accounts import OPERATOR, add_account
from concepts.curation.case_review import CaseReview, Opinion, Step, find_image, read_reviews, review_case
from concepts.curation.door import read_judgements
from concepts.errors import DataError, StoreError
from concepts.judgement import Verdict
from concepts.store.check import check
from concepts.store.roles import Role
from concepts.store.schema import ImageRow

FIRST = CaseReview(
    reviewer="rev",
    run="run-1",
    image_id="here1",
    digest="d" * 64,
    step=Step.FIRST_READ,
    diagnosis="nevus",
    confidence=0.7,
)
REVIEW = CaseReview(
    reviewer="rev",
    run="run-1",
    image_id="here1",
    digest="d" * 64,
    step=Step.REVIEW,
    opinion=Opinion.DISAGREES,
    corrections={"streaks": Verdict.ABSENT},
    comment="hair, not streaks",
)


@pytest.fixture
def store(filled):
    add_account(filled, OPERATOR, "rev", [Role.REVIEWER], key="rev")
    return filled


def stored_digest(store) -> str:
    with store.reading() as session:
        return session.get(ImageRow, "image0").digest


def test_first_read_and_review_are_both_kept_and_follow_from_the_audit_chain(store):
    first, review = (review_case(store, "rev", given, key=given.step) for given in (FIRST, REVIEW))
    again = review_case(store, "rev", replace(REVIEW, opinion=Opinion.AGREES, corrections={}), key="later")
    assert [first, review, again] == [1, 2, 3]
    reviews = read_reviews(store, "rev", "run-1", image_id="here1")
    assert [(review.step, review.opinion) for review in reviews] == [
        (Step.FIRST_READ, None),
        (Step.REVIEW, Opinion.DISAGREES),
        (Step.REVIEW, Opinion.AGREES),
    ]
    assert [replace(review, at=None, id=None) for review in reviews[:2]] == [FIRST, REVIEW]
    assert check(store).broken is None


def test_a_repeated_submit_makes_one_review(store):
    assert review_case(store, "rev", REVIEW, key="k") == review_case(store, "rev", REVIEW, key="k")
    assert len(read_reviews(store, "rev", "run-1")) == 1
    with pytest.raises(StoreError, match="key"):
        review_case(store, "rev", FIRST, key="k")


def test_a_correction_becomes_a_judgement_in_the_set_that_has_the_image(store):
    digest = stored_digest(store)
    in_set = next(entry for entry in find_image(store, "rev", digest) if entry.set_name == "derm")
    assert in_set.image_id == "image0"
    assert "streaks" in in_set.concepts
    review_case(store, "rev", replace(REVIEW, digest=digest), in_set=in_set, key="k")
    judgements = [j for j in read_judgements(store, OPERATOR, "derm") if j.reader == "rev"]
    assert [(j.image_id, j.concept, j.verdict, j.blinded) for j in judgements] == [
        ("image0", "streaks", Verdict.ABSENT, False)
    ]
    assert_nothing_lost(store)


def test_a_correction_of_what_the_set_does_not_have_writes_nothing_at_all(store):
    in_set = find_image(store, "rev", stored_digest(store))[0]
    wrong = replace(REVIEW, corrections={"streaks": Verdict.ABSENT, "nonsense": Verdict.PRESENT})
    with pytest.raises(StoreError, match="nonsense"):
        review_case(store, "rev", wrong, in_set=in_set, key="k")
    assert read_reviews(store, "rev", "run-1") == []


def test_an_image_that_no_set_has_is_nowhere(store):
    assert find_image(store, "rev", "e" * 64) == []


def test_nobody_reviews_for_another(store):
    with pytest.raises(DataError, match="speak for themselves"):
        review_case(store, "rev", replace(REVIEW, reviewer="ann"), key="k")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"opinion": None}, "agrees, disagrees"),
        ({"confidence": 1.5}, "in 0..1"),
        ({"comment": "a\x00b"}, "NUL"),
        ({"run": ""}, "characters"),
        ({"step": Step.FIRST_READ}, "not shown"),
        ({"step": Step.FIRST_READ, "opinion": None, "corrections": {}}, "own diagnosis"),
    ],
)
def test_what_does_not_fit_its_step_is_refused(change, complaint):
    with pytest.raises(DataError, match=complaint):
        replace(REVIEW, **change)


def test_reviews_cannot_be_changed_behind_the_stores_back(store):
    review_case(store, "rev", REVIEW, key="k")
    for statement in ("UPDATE case_reviews SET comment = ''", "DELETE FROM case_reviews"):
        with pytest.raises((DatabaseError, StoreError), match="kept as they were written"), store.writing() as session:
            session.execute(text(statement))
    assert check(store).broken is None


def test_a_review_that_no_event_wrote_is_noticed(store):
    review_case(store, "rev", REVIEW, key="k")
    with store.writing() as session:
        session.execute(
            text(
                "INSERT INTO case_reviews (id, reviewer, run, image_id, digest, step, opinion, corrections, comment, "
                "at) VALUES (2, 'rev', 'r', 'i', 'd', 'review', 'agrees', '{}', '', '2026')"
            )
        )
    assert "no event wrote" in check(store).broken.reason
