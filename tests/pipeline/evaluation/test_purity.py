"""Does an axis answer to its concept, and to no other: counts, AUCs and their matrix."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from concepts.errors import DataError
from concepts.statistics.bootstrap import group_weights
from pipeline.evaluation.purity import assess, concept_aucs, mean_auc, purity_matrix


def weights_of(cases, *, resamples=200):
    groups = [str(case) for case in range(cases)]
    return group_weights(groups, resamples=resamples, generator=np.random.default_rng(0))


def planted(cases=200, *, strength=3.0, seed=0):
    generator = np.random.default_rng(seed)
    labels = (generator.random((cases, 3)) < 0.4).astype(float)
    return generator.normal(size=(cases, 3)) + strength * labels, labels


def test_planted_axes_are_pure():
    activations, labels = planted()
    figures = concept_aucs(activations, labels, weights_of(200))
    matrix = purity_matrix(activations, labels)
    assert all(figure.estimate().low > 0.9 for figure in figures)
    assert [figure.value for figure in figures] == pytest.approx(np.diag(matrix))
    assert (np.abs(matrix - 0.5)[~np.eye(3, dtype=bool)] < 0.15).all()


def test_the_matrix_has_axes_in_rows_and_concepts_in_columns():
    activations, labels = planted()
    matrix = purity_matrix(activations[:, [1, 0, 2]], labels)
    assert matrix[1, 0] > 0.9
    assert matrix[0, 1] > 0.9
    assert matrix[0, 0] < 0.7
    assert matrix[0, 2] == pytest.approx(roc_auc_score(labels[:, 2], activations[:, 1]))


def test_matrix_of_more_axes_than_concepts():
    activations, labels = planted()
    matrix = purity_matrix(np.hstack([activations, -activations]), labels)
    assert matrix.shape == (6, 3)
    np.testing.assert_allclose(matrix[:3] + matrix[3:], 1)


def test_the_matrix_leaves_out_what_is_not_known():
    activations, labels = planted()
    sparse = labels.copy()
    sparse[100:, 1] = np.nan
    matrix = purity_matrix(activations, sparse)
    assert matrix[0, 1] == pytest.approx(roc_auc_score(labels[:100, 1], activations[:100, 0]))
    sparse[:, 1] = np.nan
    assert np.isnan(purity_matrix(activations, sparse)[:, 1]).all()


@pytest.mark.parametrize(
    ("positives", "negatives", "train", "reason"),
    [
        (5, 5, 40, None),
        (5, 5, 39, "39 training positives, fewer than the 40 below which an axis is not stable"),
        (4, 9, 40, "4 positives in the test set, fewer than the 5 that an interval needs"),
        (9, 4, 40, "4 negatives in the test set, fewer than the 5 that an interval needs"),
        (0, 0, 0, "0 training positives, fewer than the 40 below which an axis is not stable"),
    ],
)
def test_a_concept_is_assessed_from_five_cases_of_either_kind_and_enough_training(positives, negatives, train, reason):
    labels = np.array([[1.0]] * positives + [[0.0]] * negatives + [[np.nan]] * 3)
    (counts,) = assess(labels, [train], minimum=40)
    assert (counts.positives, counts.negatives, counts.train_positives) == (positives, negatives, train)
    assert counts.reason == reason
    assert counts.assessable is (reason is None)


def test_unknown_cases_change_nothing_but_n():
    activations, labels = planted()
    fewer = concept_aucs(activations[:150], labels[:150], weights_of(200)[:, :150])
    labels[150:] = np.nan
    figures = concept_aucs(activations, labels, weights_of(200))
    assert [figure.estimate() for figure in figures] == [figure.estimate() for figure in fewer]
    assert {figure.n for figure in figures} == {150}


def test_a_concept_that_is_not_assessable_gets_no_number_but_its_n():
    activations, labels = planted()
    figures = concept_aucs(activations, labels, weights_of(200), assessable=[True, False, True])
    assert np.isnan([figures[1].value, *figures[1].replicates]).all()
    assert figures[1].n == 200
    assert np.isfinite([figures[0].value, figures[2].value]).all()


def test_mean_is_paired_and_skips_the_undefined():
    activations, labels = planted()
    figures = concept_aucs(activations, labels, weights_of(200), assessable=[True, False, True])
    assert np.isnan(figures[1].estimate().value)
    estimate = mean_auc(figures)
    assert estimate.value == pytest.approx((figures[0].value + figures[2].value) / 2)
    assert estimate.low < estimate.value < estimate.high
    paired = (figures[0].replicates + figures[2].replicates) / 2
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(paired, (2.5, 97.5))))
    assert np.isnan(mean_auc(figures[1:2]).value)


def test_shapes_that_do_not_agree_are_refused():
    activations, labels = planted()
    with pytest.raises(DataError, match=r"\(200, 2\) do not go with concept labels \(200, 3\)"):
        concept_aucs(activations[:, :2], labels, weights_of(200))
    with pytest.raises(DataError, match=r"\(200,\) do not go with"):
        concept_aucs(activations[:, 0], labels[:, 0], weights_of(200))
