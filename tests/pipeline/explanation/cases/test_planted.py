"""Which planted concept decided a lesion, and whether contributions find it."""

import numpy as np

from pipeline.data.phantom.rule import CONCEPTS
from pipeline.explanation.cases.planted import cause_hits, causes, planted_cause


def test_a_planted_cause_is_the_one_concept_without_which_the_rule_says_otherwise():
    nothing = dict.fromkeys(CONCEPTS, False)
    assert planted_cause(nothing) is None
    assert planted_cause(nothing | {"blue_whitish_veil": True}) == ("blue_whitish_veil", "melanoma")
    both = nothing | {"blue_whitish_veil": True, "asymmetry": True}
    assert planted_cause(both) is None
    assert planted_cause(nothing | {"blue_whitish_veil": True, "globules": True}) == ("blue_whitish_veil", "melanoma")
    assert planted_cause(nothing | {"regression": True}) is None


def test_a_cause_counts_where_it_speaks_for_the_diagnosis_and_decides_alone():
    nothing = dict.fromkeys(CONCEPTS, False)
    # Either alone would still make a melanoma of it: neither decides.
    assert planted_cause(nothing | {"blue_whitish_veil": True, "streaks": True, "asymmetry": True}) is None
    # Globules speak against melanoma; taking them away changes nothing that they were the cause of.
    cause = planted_cause(nothing | {"globules": True, "milia_like_cysts": True})
    assert cause == ("milia_like_cysts", "seborrheic_keratosis")


def test_cause_hits_count_lesions_that_one_concept_decided_whatever_the_network_called():
    labels = np.zeros((3, len(CONCEPTS)))
    labels[:2, CONCEPTS.index("blue_whitish_veil")] = 1
    good = {"melanoma": {name: float(name == "blue_whitish_veil") for name in CONCEPTS}}
    bad = {"melanoma": {name: float(name == "globules") for name in CONCEPTS}}
    hits = cause_hits(labels, [good, bad, good], concepts=CONCEPTS)
    assert hits[:2].tolist() == [1.0, 0.0]
    assert np.isnan(hits[2])
    assert causes(labels, CONCEPTS) == [("blue_whitish_veil", "melanoma")] * 2 + [None]
    assert np.isnan(cause_hits(labels, [good, bad, good], concepts=("x",))).all()
