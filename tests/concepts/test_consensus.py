from datetime import UTC, datetime
from itertools import permutations, product

import pytest
from pydantic import ValidationError

from concepts.consensus import Consensus, ConsensusRule, Status, consensus
from concepts.errors import DataError
from concepts.example import Origin, Polarity
from concepts.judgement import Judgement, Kind, Verdict

WORDS = {"+": Verdict.PRESENT, "-": Verdict.ABSENT, "?": Verdict.UNCERTAIN, "x": Verdict.NOT_ASSESSABLE}
RULE = ConsensusRule()


def judged(reader: str, verdict: str, **fields: object) -> Judgement:
    return Judgement(reader=reader, image_id="a", concept="streaks", verdict=WORDS[verdict], **fields)


def readers(verdicts: str) -> list[Judgement]:
    return [judged(f"reader {number}", verdict) for number, verdict in enumerate(verdicts)]


def settled(judgements: list[Judgement], rule: ConsensusRule = RULE) -> Consensus:
    (only,) = consensus(judgements, rule=rule)
    return only


@pytest.mark.parametrize(
    ("verdicts", "status", "polarity"),
    [
        ("+", Status.TOO_FEW, None),
        ("++", Status.AGREED, Polarity.PRESENT),
        ("+-", Status.CONTESTED, None),
        ("--+", Status.AGREED, Polarity.ABSENT),
        ("+++--", Status.AGREED, Polarity.PRESENT),
        ("++--", Status.CONTESTED, None),
        ("+?", Status.CONTESTED, None),
        ("++?", Status.AGREED, Polarity.PRESENT),
        ("??", Status.CONTESTED, None),
        ("+x", Status.TOO_FEW, None),
        ("++x", Status.AGREED, Polarity.PRESENT),
        ("xx", Status.TOO_FEW, None),
    ],
)
def test_the_default_rule(verdicts: str, status: Status, polarity: Polarity | None):
    for order in permutations(readers(verdicts)):
        case = settled(list(order))
        assert (case.status, case.polarity) == (status, polarity)


@pytest.mark.parametrize(
    ("rule", "verdicts", "status"),
    [
        ({"minimum_readers": 1}, "+", Status.AGREED),
        ({"minimum_readers": 3}, "++", Status.TOO_FEW),
        ({"majority": 1.0}, "++-", Status.CONTESTED),
        ({"majority": 1.0}, "+++", Status.AGREED),
        ({"majority": 2 / 3}, "++-", Status.AGREED),
        ({"uncertain_counts": False}, "+?", Status.TOO_FEW),
        ({"uncertain_counts": False}, "++??", Status.AGREED),
        ({"not_assessable_counts": True}, "+x", Status.CONTESTED),
        ({"not_assessable_counts": True}, "xx+", Status.LEFT_OUT),
    ],
)
def test_the_rule_is_data(rule: dict[str, object], verdicts: str, status: Status):
    assert settled(readers(verdicts), ConsensusRule.model_validate(rule)).status is status


def test_present_and_absent_are_treated_alike():
    mirrored = str.maketrans("+-", "-+")
    turned = {Polarity.PRESENT: Polarity.ABSENT, Polarity.ABSENT: Polarity.PRESENT, None: None}
    for verdicts in map("".join, product("+-?x", repeat=3)):
        plain, turned_round = settled(readers(verdicts)), settled(readers(verdicts.translate(mirrored)))
        assert (turned_round.status, turned_round.polarity) == (plain.status, turned[plain.polarity])


def test_votes_and_readers_are_told_whether_they_count_or_not():
    case = settled(readers("+-x-")[::-1])
    assert case.votes == {Verdict.PRESENT: 1, Verdict.ABSENT: 2, Verdict.NOT_ASSESSABLE: 1}
    assert case.readers == ("reader 0", "reader 1", "reader 2", "reader 3")
    assert (case.origin, case.adjudicator) == (Origin.JUDGED, None)


@pytest.mark.parametrize(
    ("word", "status", "polarity"),
    [
        ("+", Status.AGREED, Polarity.PRESENT),
        ("-", Status.AGREED, Polarity.ABSENT),
        ("?", Status.LEFT_OUT, None),
        ("x", Status.LEFT_OUT, None),
    ],
)
@pytest.mark.parametrize("verdicts", ["", "+", "---", "+-"])
def test_an_adjudication_wins(verdicts: str, word: str, status: Status, polarity: Polarity | None):
    case = settled([*readers(verdicts), judged("chief", word, kind=Kind.ADJUDICATION)])
    assert (case.status, case.polarity, case.adjudicator) == (status, polarity, "chief")


def test_of_two_adjudications_the_later_wins():
    words = [
        judged("one", "+", kind=Kind.ADJUDICATION, at=datetime(2026, 5, 2, tzinfo=UTC)),
        judged("other", "-", kind=Kind.ADJUDICATION, at=datetime(2026, 5, 1, tzinfo=UTC)),
    ]
    assert settled(words).adjudicator == settled(words[::-1]).adjudicator == "one"


def test_of_two_adjudications_of_one_moment_the_one_stored_later_wins():
    moment = datetime(2026, 5, 1, tzinfo=UTC)
    words = [
        judged("zoe", "+", kind=Kind.ADJUDICATION, at=moment, id=1),
        judged("ann", "-", kind=Kind.ADJUDICATION, at=moment, id=2),
    ]
    assert settled(words).adjudicator == settled(words[::-1]).adjudicator == "ann"


def test_a_first_look_is_no_reading():
    assert settled([*readers("+"), judged("chief", "+", kind=Kind.FIRST_LOOK)]).status is Status.TOO_FEW
    assert settled([judged("chief", "+", kind=Kind.FIRST_LOOK)]).votes == {}


def test_a_second_reading_takes_the_place_of_the_first():
    both = [judged("one", "-", reading=2), *readers("+"), judged("one", "+")]
    assert settled(both).status is Status.CONTESTED


def test_what_was_measured_stands_until_a_reader_corrects_it():
    measured = judged("mask", "+", origin=Origin.MEASURED)
    alone, unseen, corrected = (
        settled([measured]),
        settled([measured, *readers("x")]),
        settled([measured, *readers("-")]),
    )
    assert (alone.polarity, alone.origin, alone.readers) == (Polarity.PRESENT, Origin.MEASURED, ())
    assert (unseen.polarity, unseen.origin) == (Polarity.PRESENT, Origin.MEASURED)
    assert (corrected.polarity, corrected.origin) == (Polarity.ABSENT, Origin.JUDGED)
    assert settled([measured, *readers("+-")]).status is Status.CONTESTED


def test_cells_do_not_mix_and_come_sorted():
    pairs = [("b", "hair"), ("a", "streaks"), ("a", "hair")]
    judgements = [
        Judgement(reader=reader, image_id=image, concept=concept, verdict=Verdict.PRESENT)
        for reader in ("one", "two")
        for image, concept in pairs
    ]
    cases = consensus(judgements, rule=RULE)
    assert [(case.concept, case.image_id) for case in cases] == [("hair", "a"), ("hair", "b"), ("streaks", "a")]
    assert all(case.status is Status.AGREED for case in cases)
    assert consensus([], rule=RULE) == ()


def test_contradictions_are_refused():
    with pytest.raises(
        DataError, match=r"image a, concept streaks: two current verdicts of one \(reading, reading 1\)"
    ):
        settled([judged("one", "+"), judged("one", "-")])


def test_sources_that_contradict_each_other_need_a_reader():
    sources = [judged("mask", "+", origin=Origin.MEASURED), judged("table", "-", origin=Origin.RULE)]
    assert (settled(sources).status, settled(sources).verdict) == (Status.CONTESTED, None)
    assert settled([*sources, *readers("-")]).polarity is Polarity.ABSENT


@pytest.mark.parametrize("rule", [{"minimum_readers": 0}, {"majority": 0.5}, {"majority": 1.1}, {"most": 3}])
def test_a_rule_that_makes_no_sense_is_refused(rule: dict[str, object]):
    with pytest.raises(ValidationError):
        ConsensusRule.model_validate(rule)


def test_a_rule_survives_json():
    rule = ConsensusRule(minimum_readers=3, majority=0.75, uncertain_counts=False, not_assessable_counts=True)
    assert ConsensusRule.model_validate_json(rule.model_dump_json()) == rule
