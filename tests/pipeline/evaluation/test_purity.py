import numpy as np
import pytest

from concepts.errors import DataError
from concepts.statistics.bootstrap import group_weights
from pipeline.choices import Activation
from pipeline.evaluation.purity import assess, concept_aucs, mean_auc, purity_figures, purity_matrix

CONCEPTS = ("pigment_network", "streaks", "globules")


def weights_of(cases, *, resamples=200):
    groups = [str(one) for one in range(cases)]
    return group_weights(groups, resamples=resamples, generator=np.random.default_rng(0))


def planted(cases=200, *, strength=3.0, seed=0):
    generator = np.random.default_rng(seed)
    labels = (generator.random((cases, 3)) < 0.4).astype(float)
    return generator.normal(size=(cases, 3)) + strength * labels, labels


def figures_of(activations, labels, *, train_positives=(80, 80, 80)):
    return purity_figures(
        {Activation.MEAN: activations, Activation.MAX: np.round(activations)},
        labels,
        concepts=CONCEPTS,
        activation=Activation.MEAN,
        counts=assess(labels, train_positives, minimum=40),
        weights=weights_of(len(labels)),
    )


def test_planted_axes_are_pure():
    by_concept, mean, matrix = figures_of(*planted())
    for figure in by_concept.values():
        assert figure.axis_auc[Activation.MEAN].low > 0.9
        assert figure.best_other_auc < figure.axis_auc[Activation.MEAN].value
    assert mean[Activation.MEAN].value == pytest.approx(np.diag(matrix).mean())
    assert (np.abs(matrix - 0.5)[~np.eye(3, dtype=bool)] < 0.15).all()


def test_swapped_axes_are_found_out():
    activations, labels = planted()
    by_concept, _, matrix = figures_of(activations[:, [1, 0, 2]], labels)
    assert by_concept["pigment_network"].best_other == "streaks"
    assert by_concept["pigment_network"].best_other_auc > by_concept["pigment_network"].axis_auc[Activation.MEAN].high
    assert matrix[1, 0] > 0.9


def test_a_thin_concept_gets_no_number():
    by_concept, mean, matrix = figures_of(*planted(), train_positives=(80, 12, 80))
    thin = by_concept["streaks"]
    assert not thin.assessability.assessable
    assert "12 training positives, fewer than the 40" in thin.assessability.reason
    assert np.isnan(thin.axis_auc[Activation.MEAN].value)
    assert thin.axis_auc[Activation.MEAN].n == 200
    assert np.isnan(matrix[:, 1]).all()
    assert mean[Activation.MEAN].value == pytest.approx(np.diag(matrix)[[0, 2]].mean())


def test_a_concept_without_test_negatives_gets_no_number():
    activations, labels = planted()
    labels[labels[:, 0] == 0, 0] = np.nan
    by_concept, _, _ = figures_of(activations, labels)
    assert by_concept["pigment_network"].assessability.reason.startswith("0 negatives in the test set")
    assert by_concept["pigment_network"].assessability.positives == np.sum(labels[:, 0] == 1)


def test_unknown_cases_change_nothing_but_n():
    activations, labels = planted()
    known = concept_aucs(activations[:150], labels[:150], weights_of(200)[:, :150])
    labels[150:] = np.nan
    some = concept_aucs(activations, labels, weights_of(200))
    assert [one.estimate() for one in some] == [one.estimate() for one in known]
    assert {one.n for one in some} == {150}


def test_mean_is_paired_and_skips_the_undefined():
    activations, labels = planted()
    figures = concept_aucs(activations, labels, weights_of(200), assessable=[True, False, True])
    assert np.isnan(figures[1].estimate().value)
    estimate = mean_auc(figures)
    assert estimate.value == pytest.approx((figures[0].value + figures[2].value) / 2)
    assert estimate.low < estimate.value < estimate.high


def test_matrix_of_more_axes_than_concepts():
    activations, labels = planted()
    matrix = purity_matrix(np.hstack([activations, -activations]), labels)
    assert matrix.shape == (6, 3)
    np.testing.assert_allclose(matrix[:3] + matrix[3:], 1)


def test_shapes_that_do_not_agree_are_refused():
    activations, labels = planted()
    with pytest.raises(DataError, match=r"\(200, 2\) do not go with concept labels \(200, 3\)"):
        concept_aucs(activations[:, :2], labels, weights_of(200))
