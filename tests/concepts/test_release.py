import json
import unicodedata
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import assert_release_reads_back
from pydantic import ValidationError

from concepts.errors import ReleaseError
from concepts.example import ConceptEntry, Example, MaskFile, Origin, Polarity
from concepts.release import (
    Release,
    canonical_json,
    freeze,
    read_release,
    shorten,
    split_word,
    verify_images,
    verify_regions,
    write_release,
)

DIGEST = "ab" * 32
OTHER = "cd" * 32
REGION = MaskFile(path="masks/a.png", digest=DIGEST)
WHEN = datetime(2026, 1, 2, tzinfo=UTC)


def concept(identifier: str, **fields: str) -> ConceptEntry:
    return ConceptEntry(**{"id": identifier, "name": "n", "definition": "d", "origin": Origin.MARKED, **fields})


def example(image_id: str, name: str, **fields: object) -> Example:
    basis = {"image_digest": DIGEST, "polarity": Polarity.PRESENT, "provenance": "p"}
    return Example(**{"image_id": image_id, "concept": name, **basis, **fields})


def small(**fields: object) -> Release:
    content = {
        "concepts": [concept("x"), concept("y")],
        "examples": [
            example("a", "x", region=REGION),
            example("a", "y", polarity=Polarity.UNMARKED),
            example("b", "y", polarity=Polarity.ABSENT),
        ],
        "created": WHEN,
        "description": "d",
        "licence": "l",
    }
    return freeze("set", 1, **{**content, **fields})


def tamper(folder: Path, change: object) -> Path:
    path = folder / "release.json"
    write_release(small(), path)
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
identifiers = st.from_regex(r"\A[a-z0-9][a-z0-9_.-]{0,8}\Z")
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


@st.composite
def releases(draw: st.DrawFn) -> Release:
    ids = draw(st.lists(identifiers, min_size=1, max_size=3, unique=True))
    entries = [
        ConceptEntry(id=i, name=draw(names), definition=draw(names), origin=draw(st.sampled_from(Origin))) for i in ids
    ]
    images = draw(st.dictionaries(names, digests, min_size=1, max_size=4))
    cells = [(image, i) for image in images for i in ids]
    examples = []
    for image, i in draw(st.lists(st.sampled_from(cells), min_size=1, unique=True)):
        polarity = draw(st.sampled_from(Polarity))
        region = REGION if polarity is Polarity.PRESENT and draw(st.booleans()) else None
        examples.append(
            Example(
                image_id=image,
                image_digest=images[image],
                concept=i,
                polarity=polarity,
                region=region,
                provenance=draw(names),
            )
        )
    return freeze(
        draw(identifiers),
        draw(st.integers(1, 99)),
        concepts=entries,
        examples=examples,
        description=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=12)),
        created=draw(st.datetimes(timezones=st.just(UTC))),
    )


@settings(max_examples=25, deadline=None)
@given(release=releases(), order=st.randoms())
def test_write_then_read_is_the_same_and_order_of_examples_does_not_matter(tmp_path_factory, release, order):
    assert_release_reads_back(release, tmp_path_factory.mktemp("release"))
    shuffled = order.sample(release.examples, len(release.examples))
    fields = {field: getattr(release, field) for field in Release.model_fields}
    assert Release(**{**fields, "examples": shuffled}) == release


CHANGES = {
    "description": {"description": "D"},
    "licence": {"licence": "L"},
    "order of concepts": {"concepts": [concept("y"), concept("x")]},
    "concept name": {"concepts": [concept("x", name="N"), concept("y")]},
    "concept definition": {"concepts": [concept("x", definition="D"), concept("y")]},
    "concept origin": {"concepts": [concept("x", origin="rule"), concept("y")]},
    "concept rule": {"concepts": [concept("x", rule="r"), concept("y")]},
    "concept parent": {"concepts": [concept("x", parent="y"), concept("y")]},
    "image": {"examples": [example("c", "x")]},
    "image digest": {"examples": [example("a", "x", image_digest=OTHER)]},
    "concept": {"examples": [example("a", "y")]},
    "polarity": {"examples": [example("a", "x", polarity=Polarity.ABSENT)]},
    "region": {"examples": [example("a", "x", region=REGION)]},
    "region path": {"examples": [example("a", "x", region=MaskFile(path="masks/b.png", digest=DIGEST))]},
    "region digest": {"examples": [example("a", "x", region=MaskFile(path="masks/a.png", digest=OTHER))]},
    "provenance": {"examples": [example("a", "x", provenance="P")]},
    "one example": {"examples": [example("a", "x")]},
}


def test_every_change_of_content_changes_the_digest():
    unlike = {small().digest, *(small(**change).digest for change in CHANGES.values())}
    fields = {"concepts": small().concepts, "examples": small().examples, "description": "d", "licence": "l"}
    unlike |= {freeze("other", 1, **fields).digest, freeze("set", 2, **fields).digest}
    assert len(unlike) == len(CHANGES) + 3


def test_the_digest_does_not_depend_on_when_it_was_frozen_nor_on_the_unicode_form():
    assert small(created=WHEN + timedelta(days=1)).digest == small().digest
    forms = [small(description=unicodedata.normalize(form, "naïve Ångström")).digest for form in ("NFC", "NFD")]
    assert forms[0] == forms[1] != small().digest


def test_anyone_can_recompute_the_digest_from_the_file(tmp_path: Path):
    release = small(description="é")
    write_release(release, tmp_path / "release.json")
    content = json.loads((tmp_path / "release.json").read_text(encoding="utf-8"))
    stated, _ = content.pop("digest"), content.pop("created")
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert sha256(text.encode()).hexdigest() == stated == release.digest


def test_the_file_has_one_line_for_each_example(tmp_path: Path):
    write_release(small(), tmp_path / "deep" / "release.json")
    lines = (tmp_path / "deep" / "release.json").read_text(encoding="utf-8").splitlines()
    assert sum('"image_id"' in line for line in lines) == 3


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c["examples"][1].update(polarity="absent"), "digest does not match: file says .*, content gives"),
        (lambda c: c.update(description="other"), "altered after freezing: freeze again or restore"),
        (lambda c: c.update(digest="0" * 64), "digest does not match: file says 0000"),
        (lambda c: c.pop("digest"), "has no digest"),
        (lambda c: c.pop("examples"), "examples: Field required"),
        (lambda c: c.update(examples=[]), "there are no examples; a release needs at least one"),
        (lambda c: c.update(surprise=1), "surprise: Extra inputs are not permitted"),
        (lambda c: c.update(format=2), r"format: Input should be 1 \(got 2\)"),
        (lambda c: c["examples"][0].update(polarity="maybe"), "polarity: Input should be 'present', 'absent' or"),
        (lambda c: c["examples"][0].update(provenance="\ud800"), "provenance: "),
        (lambda c: c["examples"][0].update(provenance="two\nlines"), "digest does not match"),
        (lambda c: c["examples"][0]["region"].update(path="../a.png"), "relative to the data root"),
        (lambda c: c["examples"].append(c["examples"][0]), "a: 'x' is present twice"),
    ],
)
def test_a_file_that_was_changed_is_refused(tmp_path: Path, change: object, complaint: str):
    path = tamper(tmp_path, change)
    with pytest.raises(ReleaseError, match=complaint) as caught:
        read_release(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not JSON"),
        (b"[1]", "expected a JSON object, found list"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, complaint: str):
    path = tmp_path / "release.json"
    path.write_bytes(content)
    with pytest.raises(ReleaseError, match=complaint) as caught:
        read_release(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(ReleaseError, match=r"none\.json: the release cannot be read"):
        read_release(tmp_path / "none.json")


def test_a_release_that_cannot_be_written_leaves_nothing(tmp_path: Path):
    (tmp_path / "release.json").mkdir()
    with pytest.raises(ReleaseError, match="cannot be written"):
        write_release(small(), tmp_path / "release.json")
    assert [file.name for file in tmp_path.iterdir()] == ["release.json"]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"examples": [example("a", "x"), example("a", "x")]}, "a: 'x' is present twice"),
        (
            {"examples": [example("a", "x"), example("a", "x", polarity=Polarity.ABSENT)]},
            "a: 'x' is both present and absent",
        ),
        ({"examples": [example("a", "z")]}, "a: concept 'z' is not declared; declared: x, y"),
        (
            {"examples": [example("a", "x"), example("a", "y", image_digest=OTHER)]},
            "a: its examples come from different files",
        ),
        ({"concepts": [concept("x"), concept("x"), concept("y")]}, "concept 'x' is declared twice"),
        ({"concepts": []}, "there are no concepts; a release needs at least one"),
        ({"examples": []}, "there are no examples; a release needs at least one"),
    ],
)
def test_what_contradicts_itself_is_not_frozen(fields: dict[str, object], complaint: str):
    with pytest.raises(ReleaseError, match=complaint) as caught:
        small(**fields)
    assert str(caught.value).startswith("cannot freeze set@1: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a/b", ".a"])
def test_a_name_must_fit_a_file(name: str):
    with pytest.raises(ReleaseError, match="name: "):
        freeze(name, 1, concepts=[concept("x")], examples=[example("a", "x")])


@pytest.mark.parametrize("path", ["", ".", "/etc/passwd", "../a", "a/../b", "a\\b", "C:a", "a//b", "./a", "a/"])
def test_a_region_stays_inside_the_data_root(path: str):
    with pytest.raises(ValidationError):
        MaskFile(path=path, digest=DIGEST)


@pytest.mark.parametrize("polarity", [Polarity.ABSENT, Polarity.UNMARKED])
def test_only_what_is_present_has_a_region(polarity: Polarity):
    with pytest.raises(ValidationError, match="cannot have a region"):
        example("a", "x", polarity=polarity, region=REGION)


def test_a_release_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        small().name = "other"


def test_regions_are_checked_against_their_digests(tmp_path: Path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_bytes(b"mask")
    region = MaskFile(path="masks/a.png", digest=sha256(b"mask").hexdigest())
    release = small(examples=[example("a", "x", region=region)])
    verify_regions(release, tmp_path)
    (tmp_path / "masks" / "a.png").write_bytes(b"another")
    with pytest.raises(ReleaseError, match=r"1 of 1 region masks.*masks/a\.png has other content"):
        verify_regions(release, tmp_path)
    (tmp_path / "masks" / "a.png").unlink()
    with pytest.raises(ReleaseError, match=r"masks/a\.png is missing"):
        verify_regions(release, tmp_path)


def test_images_are_checked_against_their_digests():
    verify_images(small(), {"a": DIGEST, "b": DIGEST, "unknown": OTHER})
    with pytest.raises(ReleaseError, match="set@1 was frozen on other files of 1 of 2 images: b; restore"):
        verify_images(small(), {"a": DIGEST, "b": OTHER, "unknown": OTHER})


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("derm@1", ("derm", 1)),
        ("a.b-c_9@120", ("a.b-c_9", 120)),
        ("derm@0", None),
        ("derm@01", None),
        ("derm@1234567890", None),
        ("derm", None),
        ("@1", None),
        ("Derm@1", None),
        ("derm@1 ", None),
    ],
)
def test_a_release_is_called_by_name_and_version(word: str, parts: tuple[str, int] | None):
    assert split_word(word) == parts


def test_the_first_three_are_named_and_the_others_counted():
    assert shorten(["a", "b", "c"]) == "a, b, c"
    assert shorten(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert shorten(["a", "b"], named=1) == "a and 1 more"
    assert shorten([]) == ""


def test_json_has_one_spelling():
    assert (
        canonical_json({"b": 1, "a": "a\u0308"})
        == canonical_json({"a": "\u00e4", "b": 1})
        == '{"a":"ä","b":1}'.encode()
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))
