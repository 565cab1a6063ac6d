from pathlib import Path

import numpy as np
import pytest

from concepts.errors import LeakError, ReleaseError
from concepts.example import ConceptEntry, Example, MaskFile, Origin, Polarity
from concepts.release import Release, freeze
from concepts.selection import (
    check_usable,
    declared_parents,
    label_table,
    refuse_held_out,
    refuse_orphans,
    region_table,
)


def release_of(*examples: tuple[str, str, str], parents: dict[str, str] | None = None) -> Release:
    """Examples as (image, concept, polarity); what is present has a region; concepts x, y, z."""
    broader = parents or {}
    return freeze(
        "set",
        3,
        concepts=[ConceptEntry(id=c, name=c, definition=c, origin=Origin.MARKED, parent=broader.get(c)) for c in "xyz"],
        examples=[
            Example(
                image_id=image,
                image_digest=f"{ord(image[0]):064x}",
                concept=concept,
                polarity=Polarity(polarity),
                region=MaskFile(path=f"{image}/{concept}.png", digest="0" * 64) if polarity == "present" else None,
                provenance="p",
            )
            for image, concept, polarity in examples
        ],
    )


RELEASE = release_of(("a", "x", "present"), ("b", "x", "unmarked"), ("c", "x", "absent"), ("a", "y", "present"))


def test_labels_in_the_order_asked_for():
    strict = label_table(RELEASE, ["c", "b", "a", "d"], concepts=["y", "x"], unmarked_is_absent=False)
    weak = label_table(RELEASE, ["c", "b", "a", "d"], concepts=["y", "x"], unmarked_is_absent=True)
    nan = np.nan
    np.testing.assert_array_equal(strict, [[nan, 0], [nan, nan], [1, 1], [nan, nan]])
    np.testing.assert_array_equal(weak, [[nan, 0], [nan, 0], [1, 1], [nan, nan]])


def test_an_image_asked_for_twice_gets_its_labels_twice():
    table = label_table(RELEASE, ["a", "c", "a"], concepts=["x", "x"], unmarked_is_absent=False)
    np.testing.assert_array_equal(table, [[1, 1], [0, 0], [1, 1]])


def test_regions_are_where_the_concept_is_present(tmp_path: Path):
    table = region_table(RELEASE, ["b", "a"], concepts=["x", "y"], root=tmp_path)
    assert table == [[None, None], [tmp_path / "a/x.png", tmp_path / "a/y.png"]]


def test_an_unknown_concept_names_those_that_there_are(tmp_path: Path):
    with pytest.raises(ReleaseError, match=r"set@3 has no concept 'streaks'; it has: x, y, z"):
        label_table(RELEASE, ["a"], concepts=["x", "streaks"], unmarked_is_absent=True)
    with pytest.raises(ReleaseError, match="'streaks'"):
        region_table(RELEASE, ["a"], concepts=["streaks"], root=tmp_path)


def test_held_out_images_are_refused_by_name_and_by_content():
    refuse_held_out(RELEASE.examples, ["d", "e"])
    with pytest.raises(LeakError, match="2 held-out images are among the concept examples to learn from: a, c;"):
        refuse_held_out(RELEASE.examples, ["c", "a", "d"])
    with pytest.raises(LeakError, match=": b;"):
        refuse_held_out(RELEASE.examples, {RELEASE.examples[1].image_digest})


def test_many_leaks_are_counted_and_the_first_named():
    many = release_of(*((f"{i:02}", "x", "absent") for i in range(20)))
    with pytest.raises(LeakError, match=r"20 held-out images .*: 00, 01, 02 and 17 more;"):
        refuse_held_out(many.examples, [f"{i:02}" for i in range(20)])


def test_an_empty_concept_is_refused():
    with pytest.raises(ReleaseError, match="present in the 3 training images for: z;"):
        check_usable(RELEASE, ["a", "b", "c"], concepts=["x", "z"], unmarked_is_absent=True)


def test_where_a_concept_is_present_so_is_its_declared_parent():
    marked = (("a", "y", "present"), ("a", "x", "unmarked"), ("b", "y", "present"), ("c", "y", "absent"))
    release = release_of(*marked, ("c", "x", "unmarked"), parents={"y": "x", "z": "pattern"})
    assert declared_parents(release, ["x", "y", "z"]) == {"y": "x"}
    assert declared_parents(release, ["y", "z"]) == {}
    table = label_table(release, ["a", "b", "c"], concepts=["x", "y"], unmarked_is_absent=True)
    np.testing.assert_array_equal(table, [[1, 1], [1, 1], [0, 0]])


def test_a_concept_without_its_parent_is_refused():
    release = release_of(("a", "x", "absent"), ("a", "y", "present"), ("b", "x", "absent"), ("b", "y", "unmarked"))
    refuse_orphans(release, {"x": "y"})
    with pytest.raises(ReleaseError, match=r"set@3: .* in 1 images: a \(y without x\)"):
        refuse_orphans(release, {"y": "x"})
