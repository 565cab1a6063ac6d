"""What changed from one release to another, on releases of a few examples."""

import json
from datetime import UTC, datetime

import pytest

from concepts.example import AgreementEntry, ConceptEntry, Example, MaskFile, Origin, Polarity
from concepts.release import Release, freeze
from concepts.release_diff import diff

P, A = Polarity.PRESENT, Polarity.ABSENT
MASK, OTHER = (MaskFile(path=f"{name}.png", digest=name * 64) for name in "ab")


def example(image: str, concept: str, polarity: Polarity = P, region: MaskFile | None = None) -> Example:
    return Example(
        image_id=image, image_digest="0" * 64, concept=concept, polarity=polarity, region=region, provenance="p"
    )


def agreement(concept: str, value: float | None, measure: str = "alpha") -> AgreementEntry:
    return AgreementEntry(concept=concept, measure=measure, value=value, n=9, readers=2, threshold=0.4)


def release(*examples: Example, concepts: str, rule: str | None = None, **fields: object) -> Release:
    """A release of concepts with one letter each; the rule is that of concept x."""
    entries = [
        ConceptEntry(id=c, name=c, definition=c, origin=Origin.MARKED, rule=rule if c == "x" else None)
        for c in concepts
    ]
    created = datetime(2026, 1, 1, tzinfo=UTC)
    return freeze("set", 1, concepts=entries, examples=examples, created=created, **fields)


FIRST = release(example("a", "x"), example("b", "x"), example("c", "x", region=MASK), example("a", "w"), concepts="xw")
SECOND = release(
    example("a", "x"), example("b", "x", A), example("c", "x", region=OTHER), example("d", "y"), concepts="yx", rule="r"
)


def test_each_change_stands_where_it_belongs():
    changes = diff(FIRST, SECOND)
    assert (changes.concepts_added, changes.concepts_removed, changes.concepts_changed) == (("y",), ("w",), ("x",))
    assert (changes.examples_added, changes.examples_removed) == ((("y", "d"),), (("w", "a"),))
    assert changes.verdicts_changed == (("x", "b", P, A),)
    assert changes.regions_changed == (("x", "c"),)
    assert not changes.is_empty


def test_the_other_way_round_what_was_added_is_removed():
    there, back = diff(FIRST, SECOND), diff(SECOND, FIRST)
    assert (back.concepts_added, back.concepts_removed) == (there.concepts_removed, there.concepts_added)
    assert (back.examples_added, back.examples_removed) == (there.examples_removed, there.examples_added)
    assert back.verdicts_changed == (("x", "b", A, P),)
    assert back.regions_changed == there.regions_changed


def test_changes_come_sorted():
    more = release(*(example(i, c) for c in "zyx" for i in "cba"), concepts="zyx")
    changes = diff(release(example("a", "x"), concepts="x"), more)
    assert changes.concepts_added == ("y", "z")
    assert changes.examples_added == tuple(sorted((c, i) for c in "xyz" for i in "abc" if (c, i) != ("x", "a")))


def test_a_verdict_that_changes_takes_its_region_with_it():
    changes = diff(release(example("a", "x", region=MASK), concepts="x"), release(example("a", "x", A), concepts="x"))
    assert changes.verdicts_changed == (("x", "a", P, A),)
    assert changes.regions_changed == ()


def test_a_release_does_not_differ_from_itself():
    changes = diff(FIRST, FIRST)
    assert changes.is_empty
    assert set(changes.to_json()) == {
        *("concepts_added", "concepts_removed", "concepts_changed", "examples_added", "examples_removed"),
        *("verdicts_changed", "regions_changed", "agreement"),
    }
    assert not any(changes.to_json().values())


@pytest.mark.parametrize("change", [{"concepts": "xv"}, {"rule": "r", "concepts": "xw"}])
def test_a_concept_alone_is_a_change(change: dict[str, str]):
    # An example of the concept that is not declared would be refused; it is the same otherwise.
    other = release(*(e for e in FIRST.examples if e.concept in change["concepts"]), **change)
    assert not diff(FIRST, other).is_empty


def test_agreement_is_compared_where_both_measured_the_same():
    first = release(
        example("a", "x"),
        concepts="xyz",
        agreement=(agreement("x", 0.5), agreement("y", 0.1), agreement("z", 0.3, "kappa")),
    )
    second = release(
        example("a", "x"), concepts="xyz", agreement=(agreement("z", 0.3), agreement("y", None), agreement("x", 0.7))
    )
    assert diff(first, second).agreement == {"x": (0.5, 0.7), "y": (0.1, None)}
    assert diff(first, second).is_empty, "agreement is no content"
    assert diff(FIRST, second).agreement == {}
    assert json.loads(json.dumps(diff(first, second).to_json()))["agreement"]["x"] == [0.5, 0.7]
