"""Second readings: asked for, blind to the first, and how far readers agree with themselves."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR
from concepts.curation.rereading import rereading
from concepts.errors import StoreError
from concepts.judgement import Judgement, Verdict
from concepts.statistics.agreement import Measure

P, A, U = Verdict.PRESENT, Verdict.ABSENT, Verdict.UNCERTAIN


def say(reader: str, image: int, verdict: Verdict, *, reading: int = 1, concept: str = "streaks") -> Judgement:
    return Judgement(reader=reader, image_id=f"image{image}", concept=concept, verdict=verdict, reading=reading)


def twice(reader: str, image: int, first: Verdict, second: Verdict) -> list[Judgement]:
    return [say(reader, image, first), say(reader, image, second, reading=2)]


def judge(store, judgement: Judgement) -> None:
    key = f"{judgement.image_id} {judgement.reading} {judgement.verdict}"
    curation.judge(store, judgement.reader, "derm", judgement, key=key)


def row(judgements, **more):
    (only,) = rereading(judgements, generator=np.random.default_rng(0), **more)
    return only


def test_three_of_four_the_same_is_three_quarters():
    readings = [reading for image, second in enumerate((P, P, P, A)) for reading in twice("ann", image, P, second)]
    streaks = row([*readings, say("ben", 0, A)])
    assert (streaks.percent.value, streaks.percent.n) == (0.75, 4)
    assert streaks.percent.low < 0.75 < streaks.percent.high
    assert (streaks.readers, streaks.changed, streaks.read_twice) == (1, 1, 4)


def test_of_one_reader_it_is_the_agreement_of_two_columns():
    columns = np.random.default_rng(3).integers(2, size=(40, 2))
    words = {0: P, 1: A}
    readings = [r for image, (i, j) in enumerate(columns) for r in twice("ann", image, words[i], words[j])]
    streaks = row(readings, measure=Measure.COHEN)
    assert streaks.percent.value == pytest.approx((columns[:, 0] == columns[:, 1]).mean(), abs=1e-12)
    assert streaks.coefficient.value == pytest.approx(cohen_kappa_score(*columns.T), abs=1e-12)
    # Readers who toss a coin agree with themselves by chance alone.
    assert streaks.coefficient.low < 0 < streaks.coefficient.high


def test_images_that_several_readers_read_twice_are_drawn_together():
    def readings(readers: int) -> list[Judgement]:
        seconds = [A if image < 6 else P for image in range(20)]
        names = [f"reader{number}" for number in range(readers)]
        return [r for name in names for image, word in enumerate(seconds) for r in twice(name, image, P, word)]

    alone, many = row(readings(1)).percent, row(readings(9)).percent
    assert (alone.value, many.value, many.n) == (0.7, pytest.approx(0.7), 180)
    # The nine say the same, so their cases tell no more than one reader's.
    assert many.high - many.low == pytest.approx(alone.high - alone.low, rel=0.2)


def test_what_is_uncertain_is_counted_and_enters_no_coefficient():
    streaks = row([*twice("ann", 0, P, P), *twice("ann", 1, U, P), *twice("ann", 2, A, A)])
    assert (streaks.changed, streaks.read_twice, streaks.percent.value, streaks.percent.n) == (1, 3, 1.0, 2)


def test_without_second_readings_there_is_nothing_to_say():
    assert rereading([say("ann", 0, P), say("ben", 0, P)], generator=np.random.default_rng(0)) == []
    assert np.isnan(row(twice("ann", 0, U, P)).percent.value)


def test_a_second_reading_leads_through_what_was_read_and_hides_the_first(filled):
    for image, verdict in ((0, P), (2, A)):
        judge(filled, say("ann", image, verdict))
    cases = curation.queue(filled, "ann", "derm", "streaks", reading=2)
    assert [(case.image_id, case.verdict) for case in cases] == [("image0", None), ("image2", None)]
    assert curation.own_judgement(filled, "ann", "derm", "image0", "streaks", reading=2) is None
    assert curation.own_latest(filled, "ann", "derm", reading=2) == []
    judge(filled, say("ann", 0, A, reading=2))
    assert [judgement.reading for judgement in curation.own_latest(filled, "ann", "derm", reading=2)] == [2]
    (first, second) = (curation.progress(filled, "ann", "derm", reading=reading)[0] for reading in (1, 2))
    assert ((first.judged, first.total), (second.judged, second.total)) == ((2, 6), (1, 2))
    # The first stays as it was.
    assert curation.own_judgement(filled, "ann", "derm", "image0", "streaks").verdict is P
    (streaks,) = curation.reread_agreement(filled, OPERATOR, "derm")
    assert (streaks.concept, streaks.changed, streaks.read_twice) == ("streaks", 1, 1)


def test_what_was_not_read_cannot_be_read_again(filled):
    with pytest.raises(StoreError, match="first reading"):
        judge(filled, say("ann", 0, P, reading=2))
    judge(filled, say("ann", 0, P))
    curation.undo(filled, "ann", "derm", key="undo")
    with pytest.raises(StoreError, match="first reading"):
        judge(filled, say("ann", 0, A, reading=2))


def test_settled_examples_give_nothing_of_the_first_reading_away(filled):
    for reader in ("ann", "ben"):
        for image, verdict in ((0, P), (1, A)):
            judge(filled, replace(say("ann", image, verdict), reader=reader))
    curation.freeze(filled, OPERATOR, "derm", key="freeze")
    judge(filled, say("ann", 1, A, reading=2))
    images = [
        [exemplar.image_id for exemplar in curation.exemplars(filled, "ann", "derm", "streaks", reading=reading)]
        for reading in (1, 2)
    ]
    assert images == [["image0", "image1"], ["image1"]]
