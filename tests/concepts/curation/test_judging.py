from contextlib import closing
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import assert_nothing_lost
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from concepts.curation.accounts import OPERATOR
from concepts.curation.adjudication import current_judgements
from concepts.curation.door import (
    import_judgements,
    judge,
    judge_many,
    own_judgement,
    read_judgements,
    save_for_later,
    undo,
)
from concepts.errors import DataError, StoreError
from concepts.example import Origin
from concepts.judgement import Judgement, Region, RegionKind, Verdict
from concepts.mask import encode
from concepts.store import audit
from concepts.store.check import check
from concepts.store.judgement_rows import JudgementRecord
from concepts.store.schema import EventRow, JudgementRow
from concepts.store.store import open_store

KEYS = (f"key{number}" for number in count())
BOX = Region(RegionKind.BOX, ((0.1, 0.2), (0.5, 0.9)))


def verdict(image: int = 0, concept: str = "streaks", **fields: object) -> Judgement:
    basis = {"reader": "ann", "image_id": f"image{image}", "concept": concept, "verdict": Verdict.PRESENT}
    return Judgement(**{**basis, **fields})


def give(store, *judgements: Judgement) -> list[int]:
    return [judge(store, judgement.reader, "derm", judgement, key=next(KEYS)) for judgement in judgements]


def verdicts_of(store, reader: str = "ann") -> dict[tuple[str, str, int], Verdict]:
    current = read_judgements(store, OPERATOR, "derm")
    return {(j.image_id, j.concept, j.reading): j.verdict for j in current if j.reader == reader}


def rows(store) -> list[JudgementRow]:
    with store.reading() as session:
        return list(session.scalars(select(JudgementRow).order_by(JudgementRow.id)))


def test_a_judgement_reads_back_whole(filled):
    brush = Region(RegionKind.BRUSH, mask=encode(np.eye(3, dtype=bool)))
    polygon = Region(RegionKind.POLYGON, ((0.0, 0.0), (1.0, 0.0), (0.3, 1.0)))
    given_one = verdict(confidence=0.1 + 0.2, note="naïve <b> \u202e", regions=(BOX, brush, polygon), seconds=3.5)
    give(filled, given_one)
    back = own_judgement(filled, "ann", "derm", "image0", "streaks")
    assert replace(back, at=None, id=None) == given_one
    assert back.at.tzinfo is not None


def test_a_correction_supersedes_and_erases_nothing(filled):
    numbers = give(filled, verdict(), verdict(verdict=Verdict.ABSENT), verdict(verdict=Verdict.UNCERTAIN))
    assert verdicts_of(filled) == {("image0", "streaks", 1): Verdict.UNCERTAIN}
    assert [row.superseded_by for row in rows(filled)] == [*numbers[1:], None]
    assert_nothing_lost(filled)


def test_readings_and_readers_do_not_supersede_each_other(filled):
    give(filled, verdict(), verdict(reading=2, verdict=Verdict.ABSENT), verdict(reader="ben"))
    assert verdicts_of(filled) == {("image0", "streaks", 1): Verdict.PRESENT, ("image0", "streaks", 2): Verdict.ABSENT}
    assert verdicts_of(filled, "ben") == {("image0", "streaks", 1): Verdict.PRESENT}


def test_a_repeated_submit_makes_one_record(filled):
    first = judge(filled, "ann", "derm", verdict(), key="once")
    assert judge(filled, "ann", "derm", verdict(), key="once") == first
    assert len(rows(filled)) == 1
    assert judge(filled, "ben", "derm", verdict(reader="ben"), key="once") != first
    assert_nothing_lost(filled)


def test_a_key_that_says_something_else_is_refused_instead_of_losing_it(filled):
    judge(filled, "ann", "derm", verdict(), key="once")
    with pytest.raises(StoreError, match="key of its own"):
        judge(filled, "ann", "derm", verdict(verdict=Verdict.ABSENT), key="once")


@pytest.mark.parametrize("key", ["", "x" * 201, "a\x00b"])
def test_an_act_needs_a_key(filled, key):
    with pytest.raises(StoreError, match="key"):
        judge(filled, "ann", "derm", verdict(), key=key)


def test_nobody_judges_for_another(filled):
    with pytest.raises(StoreError, match="for themselves"):
        judge(filled, "ann", "derm", verdict(reader="ben"), key="k")
    with pytest.raises(StoreError, match="judged"):
        judge(filled, "ann", "derm", verdict(origin=Origin.MEASURED), key="k")


@pytest.mark.parametrize("wrong", [{"image_id": "image9"}, {"concept": "globules"}, {"image_id": "'; DROP TABLE"}])
def test_what_is_not_in_the_set_is_refused_and_leaves_no_trace(filled, wrong):
    before = events(filled)
    with pytest.raises(StoreError, match="not in set"):
        judge_many(filled, "ann", "derm", [verdict(), verdict(**wrong)], key="k")
    assert rows(filled) == []
    assert events(filled) == before


def test_undo_goes_back_any_number_of_steps(filled):
    give(filled, verdict(0, verdict=Verdict.ABSENT), verdict(1), verdict(0), verdict(0, verdict=Verdict.UNCERTAIN))
    states = [verdicts_of(filled)]
    for _ in range(4):
        undo(filled, "ann", "derm", key=next(KEYS))
        states.append(verdicts_of(filled))
    here, there = ("image0", "streaks", 1), ("image1", "streaks", 1)
    assert states == [
        {here: Verdict.UNCERTAIN, there: Verdict.PRESENT},
        {here: Verdict.PRESENT, there: Verdict.PRESENT},
        {here: Verdict.ABSENT, there: Verdict.PRESENT},
        {here: Verdict.ABSENT},
        {},
    ]
    assert undo(filled, "ann", "derm", key=next(KEYS)) == []
    assert len(rows(filled)) == 8
    assert_nothing_lost(filled)


def test_undo_restores_regions_and_takes_a_grid_back_at_once(filled):
    give(filled, verdict(0, regions=(BOX,), note="n"))
    many = [verdict(image, verdict=Verdict.ABSENT) for image in range(4)]
    judge_many(filled, "ann", "derm", many, key="grid")
    assert undo(filled, "ann", "derm", key="back") == [5, 4, 3, 2]
    back = own_judgement(filled, "ann", "derm", "image0", "streaks")
    assert (back.regions, back.note, back.verdict) == ((BOX,), "n", Verdict.PRESENT)
    assert own_judgement(filled, "ann", "derm", "image1", "streaks") is None
    assert undo(filled, "ann", "derm", key="back") == [5, 4, 3, 2]
    assert_nothing_lost(filled)


def test_undo_leaves_others_alone(filled):
    give(filled, verdict(), verdict(reader="ben"))
    undo(filled, "ann", "derm", steps=5, key="u")
    assert verdicts_of(filled) == {}
    assert len(verdicts_of(filled, "ben")) == 1


def test_import_is_all_or_nothing_and_adds_only_what_is_new(filled):
    marked = [verdict(image, reader="atlas", origin=Origin.MARKED) for image in range(3)]
    wrong = [*marked, verdict(9, reader="atlas"), marked[0]]
    with pytest.raises(DataError) as caught:
        import_judgements(filled, OPERATOR, "derm", wrong, key="bad")
    assert [row.split(":")[0] for row in caught.value.rows] == ["judgement 4", "judgement 5"]
    assert rows(filled) == []
    assert import_judgements(filled, OPERATOR, "derm", marked, key="good") == 3
    longer = [*marked, verdict(3, reader="atlas", origin=Origin.MARKED)]
    assert import_judgements(filled, OPERATOR, "derm", longer, key="longer") == 1
    assert len(verdicts_of(filled, "atlas")) == 4
    assert_nothing_lost(filled)


def test_saved_for_later_is_no_verdict_and_ends_with_one(filled):
    save_for_later(filled, "ann", "derm", "image0", "streaks", key="later")
    assert verdicts_of(filled) == {}
    give(filled, verdict())
    with filled.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM later_marks")) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE judgements SET verdict = 'absent' WHERE id = 1",
        "UPDATE judgements SET superseded_by = NULL WHERE id = 1",
        "UPDATE judgements SET superseded_by = 2, note = 'x' WHERE id = 2",
        "DELETE FROM judgements WHERE id = 1",
        "UPDATE regions SET vertices = '[]'",
        "DELETE FROM regions",
        "DELETE FROM masks",
        "DELETE FROM acts",
        "UPDATE audit_events SET actor = 'ben'",
        "DELETE FROM audit_events",
    ],
)
def test_the_database_itself_refuses_to_forget(filled, statement):
    mask = Region(RegionKind.BRUSH, mask=encode(np.eye(3, dtype=bool)))
    give(filled, verdict(regions=(BOX, mask)), verdict(verdict=Verdict.ABSENT))
    with pytest.raises((StoreError, DBAPIError), match="kept as"), filled.writing() as session:
        session.execute(text(statement))
    assert_nothing_lost(filled)


acts = st.lists(
    st.one_of(
        st.tuples(st.just("judge"), st.integers(0, 2), st.sampled_from(Verdict)),
        st.tuples(st.just("many"), st.integers(1, 3), st.sampled_from(Verdict)),
        st.tuples(st.just("undo"), st.integers(1, 3), st.none()),
    ),
    max_size=8,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=acts)
def test_undo_is_the_inverse_of_judging(databases, filled_template, sequence):
    with closing(open_store(databases.new(filled_template))) as store:
        states = [{}]
        for act, number, word in sequence:
            if act == "undo":
                undo(store, "ann", "derm", steps=number, key=next(KEYS))
                del states[max(1, len(states) - number) :]
            else:
                images = [number] if act == "judge" else range(number)
                judge_many(store, "ann", "derm", [verdict(i, verdict=word) for i in images], key=next(KEYS))
                states.append(states[-1] | {(f"image{i}", "streaks", 1): word for i in images})
            assert verdicts_of(store) == states[-1]
        assert_nothing_lost(store)


def test_verify_names_the_first_broken_link(filled):
    give(filled, verdict(), verdict(1))
    drop = {
        "sqlite": ["DROP TRIGGER audit_events_no_update", "DROP TRIGGER judgements_no_update"],
        "postgresql": [
            "DROP TRIGGER audit_events_kept ON audit_events",
            "DROP TRIGGER judgements_kept ON judgements",
        ],
    }
    last = events(filled)
    with filled.writing() as session:
        for statement in drop[filled.engine.dialect.name]:
            session.execute(text(statement))
        session.execute(text("UPDATE judgements SET verdict = 'absent' WHERE id = 2"))
    assert check(filled).broken == audit.BrokenLink(last, f"judgement 2 is not what event {last} wrote: verdict")
    with filled.writing() as session:
        session.execute(text("UPDATE audit_events SET actor = 'ben' WHERE seq = 3"))
    assert check(filled).broken.seq == 3


def test_a_judgement_that_no_event_wrote_is_noticed(filled):
    give(filled, verdict())
    with filled.writing() as session:
        row = session.get(JudgementRow, 1)
        copy = JudgementRecord.of_row(row, ()).to_json() | {"id": 2, "image_id": "image1", "supersedes": None}
        session.add(JudgementRow(**{name: copy[name] for name in copy if name != "regions"}))
    assert "no event wrote" in check(filled).broken.reason


def test_another_process_finds_it_all_again(filled):
    give(filled, verdict(regions=(BOX,)))
    again = open_store(filled.engine.url.render_as_string(hide_password=False))
    with again.reading() as session:
        assert [j.regions for j in current_judgements(session, "derm")] == [(BOX,)]
    again.close()


def events(store) -> int:
    with store.reading() as session:
        return session.scalar(select(func.max(EventRow.seq)))
