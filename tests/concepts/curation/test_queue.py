from itertools import count

import pytest

from concepts.curation.accounts import OPERATOR
from concepts.curation.door import (
    add_images,
    add_to_set,
    browse,
    import_judgements,
    judge,
    next_case,
    progress,
    queue,
    record_embeddings,
    record_suspicion,
    save_for_later,
    similar_images,
    undo,
    update_set,
)
from concepts.curation.queue import Filter, Order
from concepts.errors import DataError, PermissionDeniedError, StoreError
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Verdict

KEYS = (f"queue key {number}" for number in count())
P, A, U = Verdict.PRESENT, Verdict.ABSENT, Verdict.UNCERTAIN


def say(store, reader: str, image: int, word: Verdict = P, **fields: object) -> None:
    judgement = Judgement(reader=reader, image_id=f"image{image}", concept="streaks", verdict=word, **fields)
    judge(store, reader, "derm", judgement, key=next(KEYS))


def order_of(store, reader: str = "ann", **how: object) -> str:
    return "".join(case.image_id[-1] for case in queue(store, reader, "derm", "streaks", **how))


def test_the_row_goes_on_at_the_same_case_until_it_is_judged(filled):
    assert order_of(filled) == "012345"
    assert next_case(filled, "ann", "derm").image_id == next_case(filled, "ann", "derm").image_id == "image0"
    say(filled, "ann", 0)
    say(filled, "ann", 2)
    assert order_of(filled) == "1345"
    assert order_of(filled, "ben") == "012345"


def test_what_is_undone_comes_back(filled):
    say(filled, "ann", 0)
    undo(filled, "ann", "derm", key="u")
    assert order_of(filled) == "012345"


def test_what_was_put_aside_comes_last(filled):
    save_for_later(filled, "ann", "derm", "image0", "streaks", key="l")
    save_for_later(filled, "ann", "derm", "image3", "streaks", key="m")
    assert order_of(filled) == "124503"
    assert order_of(filled, limit=5) == "12450"
    save_for_later(filled, "ann", "derm", "image0", "streaks", later=False, key="n")
    assert order_of(filled) == "012453"


def test_others_disagreement_and_doubt_come_first_where_asked(filled):
    for image, (word, other) in {2: (P, P), 4: (P, A), 5: (U, U)}.items():
        say(filled, "ben", image, word)
        say(filled, "ben", image, other, reading=2)
    assert order_of(filled, order=Order.CONTESTED)[0] == "4"
    assert order_of(filled, order=Order.UNCERTAIN)[0] == "5"
    assert order_of(filled, order=Order.SET) == "012345"


def test_suspicion_sorts_by_a_runs_figures(filled):
    figures = {"image1": 0.1, "image3": 0.9, "image4": 0.45}
    record_suspicion(filled, OPERATOR, "run", "streaks", figures, key="s")
    assert order_of(filled, order=Order.SUSPICION, run="run") == "341025"
    assert order_of(filled, order=Order.INFORMATIVE, run="run")[0] == "4"
    with pytest.raises(StoreError, match="run"):
        queue(filled, "ann", "derm", "streaks", order=Order.SUSPICION)
    with pytest.raises(DataError, match="suspicion is in"):
        record_suspicion(filled, OPERATOR, "other", "streaks", {"image1": float("nan")}, key="n")


def test_a_second_reading_is_of_what_was_read_before(filled):
    say(filled, "ann", 1)
    say(filled, "ann", 3)
    assert order_of(filled, reading=2) == "13"
    say(filled, "ann", 1, reading=2)
    assert order_of(filled, reading=2) == "3"


def test_the_next_concept_follows_when_one_is_done(filled):
    for image in range(6):
        say(filled, "ann", image)
    assert next_case(filled, "ann", "derm", "streaks") is None
    assert next_case(filled, "ann", "derm").concept == "pigment_network"
    done, open_ = progress(filled, "ann", "derm")
    assert (done.judged, done.total, open_.judged) == (6, 6, 0)


def test_metadata_stay_hidden_from_those_who_judge_blinded(filled):
    assert next_case(filled, "ann", "derm").metadata is None
    with pytest.raises(PermissionDeniedError, match="blinded"):
        browse(filled, "ann", "derm", "streaks", chosen=Filter(diagnosis="melanoma"))
    assert browse(filled, OPERATOR, "derm", "streaks").cases[0].metadata is not None
    update_set(filled, OPERATOR, "derm", blinded=False, key="open")
    assert "diagnosis" in next_case(filled, "ann", "derm").metadata


def test_the_grid_filters_and_turns_pages(filled):
    say(filled, "ann", 1)
    say(filled, "ben", 2, A)
    save_for_later(filled, "ann", "derm", "image5", "streaks", key="l")

    def shown(**chosen: object) -> str:
        return "".join(c.image_id[-1] for c in browse(filled, "ann", "derm", "streaks", chosen=Filter(**chosen)).cases)

    assert shown(own=True) == "1"
    assert shown(own=False) == "02345"
    assert shown(others=True) == "2"
    assert shown(verdict=P) == "1"
    assert shown(verdict=A) == ""
    assert shown(later=True) == "5"
    page = browse(filled, "ann", "derm", "streaks", limit=2, offset=2)
    assert (page.total, [case.image_id for case in page.cases]) == (6, ["image2", "image3"])


def test_similar_images_are_those_in_the_same_direction(filled):
    vectors = [[1, 0], [2, 0.1], [0, 3]]
    record_embeddings(filled, OPERATOR, "run", ["image0", "image1", "image2"], vectors, key="e")
    found = similar_images(filled, "ann", "derm", run="run", like=["image0"])
    assert [name for name, _ in found] == ["image0", "image1", "image2"]
    assert found[0][1] == pytest.approx(1)
    assert found[2][1] == pytest.approx(0)
    with pytest.raises(StoreError, match="no embedding"):
        similar_images(filled, "ann", "derm", run="run", like=["image5"])
    with pytest.raises(DataError, match="finite"):
        record_embeddings(filled, OPERATOR, "bad", ["image0"], [[float("inf")]], key="b")


def test_unknown_sets_and_concepts_are_named(filled):
    with pytest.raises(StoreError, match="there are: derm"):
        next_case(filled, "ann", "dermis")
    with pytest.raises(StoreError, match="globules"):
        queue(filled, "ann", "derm", "globules")


@pytest.mark.parametrize("order", Order)
def test_pages_put_together_are_the_whole_set_in_order(filled, order):
    names = [f"image{number}" for number in range(6)] + [f"more{number:02}" for number in range(34)]
    more = [ImageRecord(id=name, digest=f"{number:064x}", path=name) for number, name in enumerate(names[6:], 9)]
    add_images(filled, OPERATOR, more, key="more")
    add_to_set(filled, OPERATOR, "derm", names[6:], key="more in")
    # On the edges of the bands, inside of them, several times the same, and for some images nothing.
    values = [0.5, 0.505, 0.495, 0.52, 0.6, 0.4, 0.99, 0.9, 1.0, 0.0, 0.1, 0.9899, 0.5, 0.7, 0.3, 0.995]
    figures = {name: values[number % len(values)] for number, name in enumerate(names) if number % 5}
    record_suspicion(filled, OPERATOR, "run", "streaks", figures, key="s")
    words = {name: [(P, A), (U, U), (A, U)][number % 3] for number, name in enumerate(names) if number % 4 == 1}
    said = [
        Judgement(reader=reader, image_id=name, concept="streaks", verdict=verdict)
        for name, verdicts in words.items()
        for reader, verdict in zip(("one", "two"), verdicts, strict=True)
    ]
    import_judgements(filled, OPERATOR, "derm", said, key="said")
    ranks = {
        Order.SET: lambda _: 0,
        Order.CONTESTED: lambda name: -len(set(words.get(name, ()))),
        Order.UNCERTAIN: lambda name: -words.get(name, ()).count(U),
        Order.SUSPICION: lambda name: -figures.get(name, -1),
        Order.INFORMATIVE: lambda name: abs(figures.get(name, 9) - 0.5),
    }
    expected = sorted(names, key=lambda name: (ranks[order](name), names.index(name)))
    for limit in (7, 40):
        found = []
        for offset in range(0, len(names), limit):
            page = browse(filled, "ann", "derm", "streaks", order=order, run="run", limit=limit, offset=offset)
            assert page.total == len(names)
            found += [case.image_id for case in page.cases]
        assert found == expected
    head = queue(filled, "ann", "derm", "streaks", order=order, run="run", limit=25)
    assert [case.image_id for case in head] == expected[:25]
