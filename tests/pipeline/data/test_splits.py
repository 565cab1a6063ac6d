"""Splits: no group is divided, shares and diagnoses are kept, and leaks are refused by name."""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concepts.errors import DataError, LeakError
from pipeline.data.sample import Sample
from pipeline.data.splits import (
    Part,
    Split,
    check_split,
    group_ids,
    limit_samples,
    make_split,
    read_split,
    write_split,
)

SHARES = {Part.TRAIN: 0.64, Part.VALIDATION: 0.16, Part.TEST: 0.2}


def sample(image_id, diagnosis="nevus", **fields):
    return Sample(
        image_id=image_id,
        path=Path(f"{image_id}.png"),
        digest=f"d{image_id}",
        diagnosis=diagnosis,
        source="s",
        **fields,
    )


def cohort(sizes):
    """One sample per image of each (diagnosis, group size), and its group."""
    samples, groups = [], []
    for group, (diagnosis, size) in enumerate(sizes):
        for _ in range(size):
            samples.append(sample(f"i{len(samples):05d}", diagnosis))
            groups.append(f"g{group}")
    return samples, groups


def split_of(samples, groups, seed=0):
    return make_split(samples, groups=groups, validation=0.16, test=0.2, seed=seed)


def assert_undivided(split, groups_of):
    parts = defaultdict(set)
    for image_id, group in groups_of.items():
        parts[group].add(split.parts[image_id])
    assert all(len(group_parts) == 1 for group_parts in parts.values())


sizes = st.lists(st.tuples(st.sampled_from(["nevus", "melanoma", "angioma"]), st.integers(1, 6)), max_size=80)
three_of_each = [(diagnosis, 1) for diagnosis in ("nevus", "melanoma", "angioma") for _ in range(3)]


@settings(max_examples=30, deadline=None)
@given(sizes=sizes, seed=st.integers(0, 9))
def test_a_split_keeps_groups_whole_and_shares_and_diagnoses_in_proportion(sizes, seed):
    samples, groups = cohort(sizes + three_of_each)
    split = split_of(samples, groups, seed)
    assert set(split.parts) == {s.image_id for s in samples}
    assert_undivided(split, {s.image_id: group for s, group in zip(samples, groups, strict=True)})
    check_split(split, samples, groups)
    largest = max(Counter(groups).values())
    for diagnosis in {s.diagnosis for s in samples}:
        images = [s.image_id for s in samples if s.diagnosis == diagnosis]
        counts = Counter(split.parts[image_id] for image_id in images)
        assert set(counts) == set(Part)
        for part, share in SHARES.items():
            assert abs(counts[part] - share * len(images)) <= 2 * largest


def test_shares_are_exact_to_an_image_where_every_image_is_its_own_group():
    samples, groups = cohort([("nevus", 1)] * 1867 + [("melanoma", 1)] * 519 + [("seborrheic_keratosis", 1)] * 208)
    split = split_of(samples, groups)
    for diagnosis, total in Counter(s.diagnosis for s in samples).items():
        counts = Counter(split.parts[s.image_id] for s in samples if s.diagnosis == diagnosis)
        for part, share in SHARES.items():
            assert abs(counts[part] - share * total) <= 1


def test_a_group_of_half_the_cohort_goes_to_training():
    samples, groups = cohort([("nevus", 100)] + [("nevus", 1)] * 100)
    split = split_of(samples, groups)
    assert split.parts[samples[0].image_id] is Part.TRAIN
    assert abs(len(split.image_ids(Part.TEST)) - 40) <= 1


def test_groups_of_several_diagnoses_are_placed_once():
    samples, groups = cohort([("nevus", 2)] * 30 + [("melanoma", 2)] * 30)
    groups = [f"g{int(group[1:]) % 30}" for group in groups]
    split = split_of(samples, groups)
    check_split(split, samples, groups)
    for part in Part:
        counts = Counter(s.diagnosis for s in samples if split.parts[s.image_id] is part)
        assert counts["nevus"] == counts["melanoma"] > 0


def test_the_seed_decides_and_the_order_of_samples_does_not():
    samples, groups = cohort([("nevus", 1 + k % 3) for k in range(60)])
    backwards = split_of(samples[::-1], groups[::-1])
    assert split_of(samples, groups).digest == backwards.digest
    assert split_of(samples, groups, seed=1).digest != backwards.digest


def test_a_diagnosis_with_too_few_groups_is_named():
    samples, groups = cohort([("nevus", 1)] * 20 + [("melanoma", 9), ("melanoma", 1)])
    with pytest.raises(DataError, match=r"'melanoma' cannot be in train.* 10 images are in 2 groups"):
        split_of(samples, groups)


def test_links_of_every_kind_add_up():
    samples = [
        sample("a", patient_id="P2"),
        sample("b", patient_id="P2", lesion_id="L1"),
        sample("c", lesion_id="L1"),
        sample("d", lesion_id="L2"),
        sample("e", patient_id="P1"),
        sample("f"),
        sample("g"),
        replace(sample("h"), digest="dg"),
    ]
    duplicates = np.array([0, 1, 2, 3, 2, 4, 5, 6])
    named = ["patient:P1", "patient:P1", "patient:P1", "lesion:L2", "patient:P1", "image:f", "image:g", "image:g"]
    assert group_ids(samples, duplicates) == named
    assert group_ids(samples, None)[4] == "patient:P1"
    assert group_ids(samples, None)[0] == "patient:P2"
    assert group_ids([], None) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 30)), min_size=1, max_size=40))
def test_group_ids_are_equal_for_linked_images_and_distinct_otherwise(links):
    samples = [
        sample(str(row), patient_id=f"P{patient}" if patient else None, lesion_id=f"L{lesion}" if lesion else None)
        for row, (patient, lesion, _) in enumerate(links)
    ]
    groups = group_ids(samples, np.array([duplicate for *_, duplicate in links]))
    for i, first in enumerate(links):
        for j, second in enumerate(links):
            if any(a == b and (a or kind == 2) for kind, (a, b) in enumerate(zip(first, second, strict=True))):
                assert groups[i] == groups[j]
    reached = {group: {row for row, other in enumerate(groups) if other == group} for group in groups}
    for rows in reached.values():
        start = min(rows)
        seen, queue = {start}, [start]
        while queue:
            here = links[queue.pop()]
            near = {
                row
                for row, there in enumerate(links)
                if here[2] == there[2] or (here[0] and here[0] == there[0]) or (here[1] and here[1] == there[1])
            }
            queue += near - seen
            seen |= near
        assert seen == rows


def test_a_leak_is_refused_by_name():
    samples = [sample(name) for name in "abcd"]
    parts = {"a": Part.TRAIN, "b": Part.TEST, "c": Part.TEST, "d": Part.VALIDATION}
    split = Split(parts, {name: f"image:{name}" for name in "abcd"})
    check_split(split, samples, list("abcd"))
    message = r"group 'P1' is in train \(a\) and test \(b, c\).*one part"
    with pytest.raises(LeakError, match=message) as caught:
        check_split(split, samples, ["P1", "P1", "P1", "d"])
    assert len(caught.value.rows) == 1
    with pytest.raises(LeakError, match="'P9' is in train"):
        check_split(Split(parts, dict.fromkeys("abcd", "P9")), samples, list("abcd"))


def test_several_leaks_are_counted_and_all_listed():
    samples = [sample(name) for name in "abcdef"]
    parts = dict(zip("abcdef", [Part.TRAIN, Part.TEST] * 3, strict=True))
    split = Split(parts, {name: name for name in "abcdef"})
    with pytest.raises(
        LeakError, match=r"^group 'x' is in train \(a\) and test \(b\) \(and 2 more groups\);"
    ) as caught:
        check_split(split, samples, list("xxyyzz"))
    assert [row[:9] for row in caught.value.rows] == ["group 'x'", "group 'y'", "group 'z'"]
    with pytest.raises(LeakError, match=r"\(and 1 more groups\)"):
        check_split(split, samples, list("xxyyef"))


@pytest.mark.parametrize(("number", "listed"), [(3, r"i0, i1, i2\)"), (4, r"i0, i1, i2 and 1 more\)")])
def test_of_many_images_the_first_three_are_named(number, listed):
    samples = [sample(f"i{row}") for row in range(number)] + [sample("z")]
    parts = dict.fromkeys((row.image_id for row in samples), Part.TRAIN) | {"z": Part.TEST}
    with pytest.raises(LeakError, match=listed):
        check_split(Split(parts, {name: name for name in parts}), samples, ["g"] * len(samples))


def test_a_split_of_other_images_is_refused():
    samples = [sample(name) for name in "ab"]
    split = Split({"a": Part.TRAIN, "x": Part.TEST}, {"a": "a", "x": "x"})
    with pytest.raises(DataError, match="1 samples are not in the split: b"):
        check_split(split, samples, ["a", "b"])
    with pytest.raises(DataError, match="1 images of the split are not among the samples: x"):
        check_split(split, samples[:1], ["a"])
    with pytest.raises(DataError, match="'a' is listed twice"):
        check_split(split, [samples[0], samples[0]], ["a", "a"])


def test_written_then_read_is_the_same(tmp_path):
    samples, groups = cohort([("nevus", 2)] * 20)
    split = split_of(samples, [f'patient:"{group}", ü' for group in groups])
    write_split(split, tmp_path / "split.csv")
    again = read_split(tmp_path / "split.csv")
    assert (again, again.digest) == (split, split.digest)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'image_id'; it has no columns; expected image_id, part, group"),
        ("image_id,part\na,train\n", "no column 'group'; it has image_id, part"),
        ("image_id,part,group\na,train,a\nb,holdout,b\n", "row 3: unknown part 'holdout'; expected train, validation"),
        ("image_id,part,group\na,train,a\na,test,a\n", "row 3: image 'a' was listed before"),
        ("image_id,part,group\na,train,\n", "row 2: image_id and group must not be empty"),
        ("image_id,part,group\na\n", "row 2: image_id and group"),
    ],
)
def test_a_bad_split_file_is_refused_with_its_row(tmp_path, text, message):
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_split(path)
    assert str(path) in str(caught.value)


def test_a_missing_split_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"split.csv: the split cannot be read"):
        read_split(tmp_path / "split.csv")


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=6), limit=st.integers(1, 200), seed=st.integers(0, 5))
def test_a_limit_keeps_order_number_and_proportions(counts, limit, seed):
    samples, _ = cohort([(f"d{kind}", 1) for kind, count in enumerate(counts) for _ in range(count)])
    kept = limit_samples(samples, limit, seed)
    assert len(kept) == min(limit, len(samples))
    assert kept == sorted(kept, key=lambda sample: sample.image_id)
    assert len({sample.image_id for sample in kept}) == len(kept)
    by_diagnosis = Counter(sample.diagnosis for sample in kept)
    for kind, count in enumerate(counts):
        least = min(count, 3, limit // len(counts))
        assert by_diagnosis[f"d{kind}"] >= least
        assert abs(by_diagnosis[f"d{kind}"] - len(kept) * count / len(samples)) <= 1 + 3 * len(counts)


def test_a_limit_and_a_split_draw_from_streams_of_their_own():
    samples, groups = cohort([("nevus", 1)] * 100)
    tested = set(split_of(samples, groups).image_ids(Part.TEST))
    limited = {sample.image_id for sample in limit_samples(samples, 20, 0)}
    assert len(tested) == len(limited) == 20
    assert tested != limited


def test_a_limit_of_all_or_more_keeps_all():
    samples, _ = cohort([("nevus", 1)] * 5)
    assert limit_samples(samples, 5, 0) == limit_samples(samples, 6, 0) == samples
    assert len(limit_samples(samples, 4, 0)) == 4


def test_a_limit_draws_by_seed():
    samples, _ = cohort([("nevus", 1)] * 200)
    assert limit_samples(samples, 50, 0) == limit_samples(samples, 50, 0) != limit_samples(samples, 50, 1)
