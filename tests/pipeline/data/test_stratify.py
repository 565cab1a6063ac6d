"""Groups are dealt out so that every part gets its share of every diagnosis; quotas are proportional."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.stratify import assign_groups, proportional_quotas

SHARES = (0.64, 0.16, 0.2)


def assign(counts, shares=SHARES, seed=0):
    return assign_groups(np.array(counts), shares, np.random.default_rng(seed))


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=40).filter(
        lambda rows: all(map(sum, rows)) and all(map(sum, zip(*rows, strict=True)))
    ),
    seed=st.integers(0, 5),
)
def test_every_group_gets_one_part_and_every_part_its_share_but_for_a_group(counts, seed):
    assigned = assign(counts, seed=seed)
    assert assigned.shape == (len(counts),)
    assert set(assigned) <= {0, 1, 2}
    sizes = np.array(counts).sum(axis=1)
    for part, share in enumerate(SHARES):
        assert abs(sizes[assigned == part].sum() - share * sizes.sum()) <= 3 * sizes.max()


def test_a_rare_diagnosis_is_in_every_part_with_the_small_groups_in_the_small_parts():
    # Diagnosis 1 has three groups: of 1, 2 and 9 images. The test part, the last, is served first, the smallest first.
    counts = [[9, 0]] * 20 + [[0, 1], [0, 2], [0, 9]]
    assigned = assign(counts)
    assert assigned[20:].tolist() == [2, 1, 0]


def test_a_diagnosis_with_fewer_groups_than_parts_goes_to_the_last_parts():
    assigned = assign([[3, 0]] * 10 + [[0, 1], [0, 4]])
    assert assigned[10:].tolist() == [2, 1]


def test_the_rest_goes_where_most_is_lacking():
    # A group of each part first; then the largest of the rest can go to training only.
    assert assign([[50], [1], [1], [1]]).tolist()[0] == 0
    halves = assign([[1]] * 200, shares=(0.5, 0.25, 0.25))
    assert np.bincount(halves).tolist() == [100, 50, 50]


def test_equal_groups_are_shuffled_by_the_generator():
    counts = [[1]] * 30
    assert assign(counts, seed=1).tolist() == assign(counts, seed=1).tolist() != assign(counts, seed=2).tolist()


@pytest.mark.parametrize(
    ("sizes", "total", "least", "quotas"),
    [
        ([80, 20], 10, 0, [8, 2]),
        ([97, 3], 10, 3, [7, 3]),
        ([98, 2], 10, 3, [8, 2]),
        ([97, 3], 4, 3, [2, 2]),
        ([97, 3], 1, 3, [1, 0]),
        ([5, 5, 5], 15, 3, [5, 5, 5]),
        ([1, 1, 98], 10, 1, [1, 1, 8]),
        ([26, 74], 10, 0, [3, 7]),
        ([550, 400, 50], 10, 2, [5, 3, 2]),
    ],
)
def test_quotas_are_in_proportion_but_for_the_least_of_the_rare(sizes, total, least, quotas):
    assert proportional_quotas(np.array(sizes), total, least=least).tolist() == quotas


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=6), share=st.floats(0, 1), least=st.integers(0, 5))
def test_quotas_add_up_and_never_exceed_what_there_is(sizes, share, least):
    sizes = np.array(sizes)
    total = round(share * sizes.sum())
    quotas = proportional_quotas(sizes, total, least=least)
    assert quotas.sum() == total
    assert (quotas <= sizes).all()
    assert (quotas >= np.minimum(sizes, min(least, total // len(sizes)))).all()
