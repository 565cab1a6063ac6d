import numpy as np
import pytest

from concepts.errors import DataError
from concepts.statistics.bootstrap import group_weights
from pipeline.evaluation.hierarchy import subspace_purity
from pipeline.whitening.subspaces import AxisLayout, Subspace

LAYOUT = AxisLayout(
    ("network", "typical", "atypical", "streaks"), (Subspace("network", ("typical", "atypical"), free=1),)
)
CASES = 400


def cohort(seed=0):
    """Labels (N x 4) and activations of six axes: those named, the subspace's free one, and one of nobody."""
    rng = np.random.default_rng(seed)
    network, kind, streaks = (rng.random((3, CASES)) < 0.5).astype(float)
    labels = np.stack([network, network * kind, network * (1 - kind), streaks], axis=1)
    levels = [2 * network, network * (2 * kind - 1), network * (1 - 2 * kind), 2 * streaks, 0 * streaks, 0 * streaks]
    return labels, np.stack(levels, axis=1) + 0.5 * rng.standard_normal((CASES, 6))


def purity(labels, activations, *, train=(100, 100, 100, 100)):
    weights = group_weights([str(one) for one in range(CASES)], resamples=200, generator=np.random.default_rng(0))
    return subspace_purity(activations, labels, layout=LAYOUT, train_positives=train, minimum=40, weights=weights)


def test_children_are_assessed_among_the_parents_cases():
    labels, activations = cohort()
    found = purity(labels, activations)["network"]
    parents = int((labels[:, 0] == 1).sum())
    for number, name in ((1, "typical"), (2, "atypical")):
        child = found.children[name]
        shown = labels[:, 0] == 1
        positive, negative = (activations[shown & (labels[:, number] == one), number] for one in (1, 0))
        assert child.sibling_auc.value == pytest.approx((positive[:, None] > negative).mean())
        assert child.sibling_auc.low <= child.sibling_auc.value <= child.sibling_auc.high
        assert (
            child.sibling_auc.n == child.parent_axis_auc.n == parents == child.counts.positives + child.counts.negatives
        )
        assert child.parent_axis_auc.low < 0.5 < child.parent_axis_auc.high
        assert child.sibling_auc.value > 0.95


def test_the_strongest_leak_is_named():
    labels, activations = cohort()
    activations[:, 4] -= 3 * labels[:, 3]
    leak = purity(labels, activations)["network"].leak
    assert (leak.concept, leak.axis, leak.pairs) == ("streaks", "free axis 1", 4)
    assert leak.auc.value < 0.05


def test_what_cannot_be_assessed_gets_no_figure():
    labels, activations = cohort()
    found = purity(labels, activations, train=(100, 100, 39, 39))["network"]
    assert np.isnan(found.children["atypical"].sibling_auc.value)
    assert "39 training positives" in found.children["atypical"].counts.reason
    assert found.children["typical"].counts.assessable
    assert found.leak is None
    content = found.to_json()
    assert content["leak"] is None
    assert content["children"]["atypical"]["assessable"] is False


def test_a_child_without_its_parent_is_refused():
    labels, activations = cohort()
    labels[7] = [0, 1, 0, 0]
    with pytest.raises(DataError, match=r"row 7 .*'typical' is present but its parent 'network' is absent"):
        purity(labels, activations)
