import json
from contextlib import closing
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from fake_stores import judge_two_images
from PIL import Image
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from concepts.curation.accounts import OPERATOR, add_account
from concepts.curation.door import (
    add_images,
    add_to_set,
    adjudicate,
    contested,
    diff_releases,
    export_release,
    first_look,
    freeze,
    history,
    import_judgements,
    import_release,
    judge,
    list_releases,
    others_judgements,
    preview_release,
    read_release,
    retire_release,
    supersede_release,
    update_set,
)
from concepts.curation.releasing import resolve_release
from concepts.errors import PermissionDeniedError, ReleaseError, StoreError
from concepts.example import Origin, Polarity
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Region, RegionKind, Verdict
from concepts.mask import encode
from concepts.release import read_release as read_manifest
from concepts.release import verify_regions, write_release
from concepts.store.check import check
from concepts.store.roles import Action, Role
from concepts.store.store import open_store

KEYS = (f"release key {number}" for number in count())
P, A, U = Verdict.PRESENT, Verdict.ABSENT, Verdict.UNCERTAIN
LEFT = Region(RegionKind.BOX, ((0.0, 0.0), (0.5, 1.0)))


def say(store, reader: str, image: int, word: Verdict, *regions: Region, concept: str = "streaks") -> Judgement:
    judgement = Judgement(reader=reader, image_id=f"image{image}", concept=concept, verdict=word, regions=regions)
    if reader != "eve":
        judge(store, reader, "derm", judgement, key=next(KEYS))
    return judgement


def read_by_two(store) -> None:
    """Agreed present (0), agreed absent (1), contested (2), one reader only (3)."""
    for image, words in enumerate([(P, P), (A, A), (P, A)]):
        for reader, word in zip(("ann", "ben"), words, strict=True):
            say(store, reader, image, word)
    say(store, "ann", 3, P)


def polarities(release) -> dict[str, Polarity]:
    return {example.image_id: example.polarity for example in release.examples}


def test_a_release_holds_what_readers_agreed_on_and_who_they_were(filled):
    read_by_two(filled)
    info = freeze(filled, OPERATOR, "derm", key="f")
    release = read_release(filled, OPERATOR, "derm@1")
    assert (info.version, info.digest, info.status) == (1, release.digest, "frozen")
    assert polarities(release) == {"image0": Polarity.PRESENT, "image1": Polarity.ABSENT}
    assert release.concept_ids == ("streaks",)
    assert release.concepts[0].origin is Origin.JUDGED
    assert [(reader.name, reader.judgements) for reader in release.readers] == [("ann", 2), ("ben", 2)]
    (agreement,) = release.agreement
    assert (agreement.concept, agreement.n, agreement.readers) == ("streaks", 3, 2)
    # Three verdicts of each kind, one of three pairs differs: 1 - (1/3) / (2 * 3 * 3 / (6 * 5)).
    assert agreement.value == pytest.approx(4 / 9, abs=1e-12)
    assert release.consensus["minimum_readers"] == 2
    assert check(filled).broken is None


def test_freezing_twice_with_one_key_makes_one_release(filled):
    read_by_two(filled)
    assert freeze(filled, OPERATOR, "derm", key="f") == freeze(filled, OPERATOR, "derm", key="f")
    assert [info.version for info in list_releases(filled, OPERATOR)] == [1]
    assert freeze(filled, OPERATOR, "derm", key="g").version == 2


def test_what_changed_since_the_preview_is_not_frozen(filled):
    read_by_two(filled)
    preview = preview_release(filled, OPERATOR, "derm")
    assert preview.left_out == ("pigment_network",)
    say(filled, "ben", 3, P)
    with pytest.raises(StoreError, match="changed since the preview"):
        freeze(filled, OPERATOR, "derm", confirmed=preview.release.digest, key="f")
    again = preview_release(filled, OPERATOR, "derm")
    assert freeze(filled, OPERATOR, "derm", confirmed=again.release.digest, key="g").digest == again.release.digest


def test_nothing_agreed_is_nothing_to_freeze(filled):
    with pytest.raises(ReleaseError, match="needs at least one"):
        freeze(filled, OPERATOR, "derm", key="f")


def test_regions_become_masks_of_the_readers_who_said_present(filled, tmp_path):
    brush = np.zeros((5, 10), dtype=bool)
    brush[:, :7] = True
    say(filled, "ann", 0, P, LEFT)
    say(filled, "ben", 0, P, Region(RegionKind.BRUSH, mask=encode(brush)))
    freeze(filled, OPERATOR, "derm", key="f")
    path = export_release(filled, OPERATOR, "derm@1", tmp_path)
    release = read_manifest(path)
    verify_regions(release, tmp_path)
    with Image.open(tmp_path / release.examples[0].region.path) as mask:
        inside = np.asarray(mask)
    # Two readers: a pixel that one of them marked is in.
    assert inside.shape == (10, 20)
    assert inside[:, :14].all()
    assert not inside[:, 14:].any()
    assert export_release(filled, OPERATOR, "derm@1", tmp_path) == path


def test_a_drawing_in_an_image_of_unknown_size_is_not_lost_silently(filled):
    add_images(filled, OPERATOR, [ImageRecord(id="x", digest="ab" * 32, path="x.png")], key="x")
    add_to_set(filled, OPERATOR, "derm", ["x"], key="x in")
    for reader in ("ann", "ben"):
        drawn = Judgement(reader=reader, image_id="x", concept="streaks", verdict=P, regions=(LEFT,))
        judge(filled, reader, "derm", drawn, key="d")
    with pytest.raises(ReleaseError, match="width and height"):
        freeze(filled, OPERATOR, "derm", key="f")


def test_what_was_measured_keeps_its_origin_until_a_reader_corrects_it(filled):
    measured = [
        Judgement(reader="ruler", image_id=f"image{i}", concept="streaks", verdict=P, origin=Origin.MEASURED)
        for i in range(2)
    ]
    import_judgements(filled, OPERATOR, "derm", measured, key="m")
    freeze(filled, OPERATOR, "derm", key="one")
    say(filled, "ann", 1, A)
    freeze(filled, OPERATOR, "derm", key="two")
    first, second = (read_release(filled, OPERATOR, f"derm@{version}") for version in (1, 2))
    assert first.concepts[0].origin is Origin.MEASURED
    assert second.concepts[0].origin is Origin.JUDGED
    changes = diff_releases(filled, OPERATOR, "derm@1", "derm@2")
    assert changes.verdicts_changed == (("streaks", "image1", Polarity.PRESENT, Polarity.ABSENT),)
    assert changes.concepts_changed == ("streaks",)
    assert diff_releases(filled, OPERATOR, "derm@2", "derm@2").is_empty


def test_an_adjudicator_looks_blinded_first_and_has_the_last_word(filled):
    read_by_two(filled)
    (case,) = contested(filled, "eve", "derm")
    assert (case.image_id, case.has_looked) == ("image2", False)
    word = say(filled, "eve", 2, A)
    with pytest.raises(PermissionDeniedError, match="give a first look"):
        others_judgements(filled, "eve", "derm", "image2", "streaks")
    with pytest.raises(PermissionDeniedError, match="give a first look"):
        adjudicate(filled, "eve", "derm", word, key="early")
    first_look(filled, "eve", "derm", word, key="look")
    others = others_judgements(filled, "eve", "derm", "image2", "streaks")
    assert {(other.reader, other.verdict) for other in others} == {("ann", P), ("ben", A)}
    assert contested(filled, "eve", "derm")[0].has_looked
    with pytest.raises(StoreError, match="there is only one"):
        first_look(filled, "eve", "derm", replace(word, verdict=P), key="again")
    adjudicate(filled, "eve", "derm", replace(word, verdict=P), key="word")
    assert contested(filled, "eve", "derm") == []
    freeze(filled, OPERATOR, "derm", key="f")
    release = read_release(filled, OPERATOR, "derm@1")
    assert polarities(release)["image2"] is Polarity.PRESENT
    assert "adjudicated by eve" in {example.provenance.split(" (")[0] for example in release.examples}
    assert check(filled).broken is None


def test_who_read_a_case_does_not_adjudicate_it(filled):
    add_account(filled, OPERATOR, "both", [Role.ANNOTATOR, Role.ADJUDICATOR], key="both")
    say(filled, "both", 0, P)
    say(filled, "ann", 0, A)
    word = Judgement(reader="both", image_id="image0", concept="streaks", verdict=A)
    with pytest.raises(PermissionDeniedError, match="someone else"):
        first_look(filled, "both", "derm", word, key="k")


def test_what_is_not_contested_needs_no_adjudicator(filled):
    read_by_two(filled)
    with pytest.raises(StoreError, match="not contested"):
        first_look(filled, "eve", "derm", say(filled, "eve", 0, P), key="k")


def test_the_rule_of_the_set_decides(filled):
    say(filled, "ann", 0, P)
    update_set(filled, OPERATOR, "derm", consensus={"minimum_readers": 1}, key="rule")
    assert freeze(filled, OPERATOR, "derm", key="f").version == 1
    with pytest.raises(StoreError, match="minimum_readers"):
        update_set(filled, OPERATOR, "derm", consensus={"minimum": 1}, key="wrong")


def test_releases_are_superseded_and_retired_and_never_altered(filled):
    read_by_two(filled)
    freeze(filled, OPERATOR, "derm", key="one")
    with pytest.raises(StoreError, match="later one"):
        supersede_release(filled, OPERATOR, "derm@1", key="early")
    freeze(filled, OPERATOR, "derm", key="two")
    supersede_release(filled, OPERATOR, "derm@1", key="s")
    with pytest.raises(StoreError, match="reason"):
        retire_release(filled, OPERATOR, "derm@2", reason=" ", key="r")
    retire_release(filled, OPERATOR, "derm@2", reason="wrong images", key="r")
    assert [info.status for info in list_releases(filled, OPERATOR, "derm")] == ["superseded", "retired"]
    for statement in ("UPDATE releases SET manifest = '{}'", "UPDATE releases SET status = 'frozen'"):
        with pytest.raises((StoreError, DBAPIError), match="kept as"), filled.writing() as session:
            session.execute(text(statement))
    (event,) = history(filled, OPERATOR, action=Action.RETIRE_RELEASE)
    assert event.payload["status"]["reason"] == "wrong images"


def test_training_finds_a_release_and_its_masks_by_name(filled, tmp_path):
    read_by_two(filled)
    say(filled, "ann", 0, P, LEFT)
    freeze(filled, OPERATOR, "derm", key="f")
    url = filled.engine.url.render_as_string(hide_password=False)
    release = resolve_release("derm@1", url, tmp_path)
    verify_regions(release, tmp_path)
    assert release == read_release(filled, OPERATOR, "derm@1")
    with pytest.raises(StoreError, match="there are: derm@1"):
        resolve_release("derm@2", url, tmp_path)
    retire_release(filled, OPERATOR, "derm@1", reason="r", key="r")
    with pytest.raises(StoreError, match="retired"):
        resolve_release("derm@1", url, tmp_path)


def test_a_release_travels_whole_to_another_store(filled, databases, tmp_path):
    read_by_two(filled)
    say(filled, "ann", 0, P, LEFT)
    freeze(filled, OPERATOR, "derm", key="f")
    path = export_release(filled, OPERATOR, "derm@1", tmp_path / "one")
    with closing(open_store(databases.new())) as other:
        import_release(other, OPERATOR, path, masks=path.parent, key="i")
        with pytest.raises(StoreError, match="already"):
            import_release(other, OPERATOR, path, key="again")
        back = export_release(other, OPERATOR, "derm@1", tmp_path / "two")
        assert back.read_bytes() == path.read_bytes()
        verify_regions(read_manifest(back), tmp_path / "two")
        assert check(other).broken is None


def test_an_altered_release_is_not_brought_in(filled, tmp_path):
    read_by_two(filled)
    freeze(filled, OPERATOR, "derm", key="f")
    path = export_release(filled, OPERATOR, "derm@1", tmp_path)
    path.write_text(path.read_text().replace("image1", "image5"))
    with pytest.raises(ReleaseError, match="altered"):
        import_release(filled, OPERATOR, path, key="i")


def test_manifests_that_know_nothing_of_readers_keep_their_digest(filled, tmp_path):
    read_by_two(filled)
    freeze(filled, OPERATOR, "derm", key="f")
    release = read_release(filled, OPERATOR, "derm@1")
    plain = release.model_copy(update={"readers": None, "agreement": None, "consensus": None})
    write_release(plain, tmp_path / "plain.json")
    assert not {"readers", "agreement", "consensus"} & json.loads((tmp_path / "plain.json").read_text()).keys()
    assert read_manifest(tmp_path / "plain.json").digest == plain.digest != release.digest


def test_a_release_names_the_newest_event_before_it_and_keeps_the_digest_of_its_preview(filled):
    judge_two_images(filled)
    newest = history(filled, OPERATOR, limit=1)[0]
    preview = preview_release(filled, OPERATOR, "derm").release
    info = freeze(filled, OPERATOR, "derm", confirmed=preview.digest, key="one")
    release = read_release(filled, OPERATOR, "derm@1")
    assert (release.chain, release.digest) == (newest.hash, info.digest)
    assert release.chain == newest.hash, "a run's record takes it from here"
