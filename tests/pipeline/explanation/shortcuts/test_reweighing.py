"""Reweighing makes artefacts independent of the diagnosis."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.explanation.shortcuts.suppression import LARGEST, independence_weights


def tied(rng, images, *, artefacts, tie):
    diagnoses = rng.integers(3, size=images)
    chance = np.where(diagnoses[:, None] == 1, tie, 0.3)
    return (rng.random((images, artefacts)) < chance).astype(float), diagnoses


def shares(table, diagnoses, weights):
    """Weighted share of images with each pattern of artefacts, by diagnosis."""
    patterns = table @ 2 ** np.arange(table.shape[1])
    return np.array(
        [
            [
                weights[(diagnoses == stratum) & (patterns == pattern)].sum() / weights[diagnoses == stratum].sum()
                for pattern in range(4)
            ]
            for stratum in range(3)
        ]
    )


@given(seed=st.integers(0, 999), artefacts=st.sampled_from([1, 2]), tie=st.floats(0.1, 0.8))
@settings(max_examples=30, deadline=None)
def test_weighted_artefacts_go_with_no_diagnosis(seed, artefacts, tie):
    table, diagnoses = tied(np.random.default_rng(seed), 3000, artefacts=artefacts, tie=tie)
    weights = independence_weights(table, diagnoses)
    weighted = shares(table, diagnoses, weights)
    assert np.abs(weighted - weighted[0]).max() <= 1e-9
    assert np.abs(np.bincount(diagnoses, weights) / np.bincount(diagnoses) - 1).max() <= 1e-9


def test_unweighted_the_same_artefacts_are_tied():
    table, diagnoses = tied(np.random.default_rng(0), 3000, artefacts=1, tie=0.8)
    unweighted = shares(table, diagnoses, np.ones(len(table)))
    assert unweighted[1, 1] - unweighted[0, 1] > 0.4


def test_a_rare_kind_does_not_decide_alone():
    diagnoses = np.repeat([0, 1], 1000)
    table = (diagnoses == 1).astype(float)[:, None]
    table[0] = 1.0
    weights = independence_weights(table, diagnoses)
    assert weights[0] == LARGEST


def test_unknown_artefacts_and_none_at_all_weigh_one():
    table, diagnoses = tied(np.random.default_rng(1), 300, artefacts=1, tie=0.8)
    table[:50] = np.nan
    weights = independence_weights(table, diagnoses)
    assert (weights[:50] == 1).all()
    assert weights[50:].std() > 0.1
    assert (independence_weights(table[:, :0], diagnoses) == 1).all()
