"""What a reader is shown of settled cases, and what the grid is filtered by."""

from concepts.consensus import Status
from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Verdict


def judge(store, reader, image, verdict, concept="streaks"):
    judgement = Judgement(reader=reader, image_id=image, concept=concept, verdict=verdict)
    return curation.judge(store, reader, "derm", judgement, key=f"{reader} {image} {verdict}")


def freeze_two(store):
    for reader in ("ann", "ben"):
        judge(store, reader, "image0", Verdict.PRESENT)
        judge(store, reader, "image1", Verdict.ABSENT)
    curation.freeze(store, OPERATOR, "derm", key="freeze")


def test_settled_cases_are_shown_to_those_who_judged_them(filled):
    freeze_two(filled)
    found = curation.exemplars(filled, "ann", "derm", "streaks")
    assert [(exemplar.image_id, exemplar.shows) for exemplar in found] == [("image0", True), ("image1", False)]


def test_cases_still_to_judge_give_nothing_away(filled):
    freeze_two(filled)
    curation.undo(filled, "ann", "derm", key="undo")
    assert [exemplar.image_id for exemplar in curation.exemplars(filled, "ann", "derm", "streaks")] == ["image0"]


def test_without_a_release_there_is_nothing_to_show(filled):
    assert curation.exemplars(filled, "ann", "derm", "streaks") == []


def test_cases_come_in_the_order_asked_for(filled):
    judge(filled, "ann", "image2", Verdict.UNCERTAIN)
    cases = curation.read_cases(filled, "ann", "derm", "streaks", ["image2", "nowhere", "image0"])
    assert [(case.image_id, case.verdict) for case in cases] == [("image2", Verdict.UNCERTAIN), ("image0", None)]


def test_own_latest_verdicts_come_newest_first(filled):
    for image in ("image3", "image1"):
        judge(filled, "ann", image, Verdict.ABSENT)
    judge(filled, "ben", "image5", Verdict.ABSENT)
    assert [judgement.image_id for judgement in curation.own_latest(filled, "ann", "derm")] == ["image1", "image3"]


def test_facets_hide_metadata_from_those_who_are_blinded(filled):
    image = ImageRecord(id="old", digest="a" * 64, path="old.png", diagnosis="melanoma", source="clinic", age=80)
    curation.add_images(filled, OPERATOR, [image], key="old")
    curation.add_to_set(filled, OPERATOR, "derm", ["old"], key="row of old")
    hidden, seen = (curation.facets(filled, actor, "derm") for actor in ("ann", OPERATOR))
    assert (hidden.diagnoses, hidden.ages, hidden.sources) == ((), None, ("clinic",))
    assert (seen.diagnoses, seen.ages) == (("melanoma",), (80, 80))


def test_standing_says_where_each_image_is(filled):
    for reader, verdict in (("ann", Verdict.PRESENT), ("ben", Verdict.ABSENT)):
        judge(filled, reader, "image0", verdict)
    judge(filled, "ann", "image1", Verdict.PRESENT)
    found = curation.standing(filled, OPERATOR, "derm", "streaks")
    assert found == {"image0": Status.CONTESTED, "image1": Status.TOO_FEW}
