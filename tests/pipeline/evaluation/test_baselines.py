import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.baselines import Probe, best_filter, linear_probe


def features_of(cases, *, seed=0):
    return np.random.default_rng(seed).normal(size=(cases, 12))


def groups_of(cases):
    return [str(case // 3) for case in range(cases)]


@pytest.mark.parametrize("kind", list(Probe))
def test_the_probe_finds_a_direction_that_no_filter_has(kind):
    train, test = features_of(300), features_of(200, seed=1)
    direction = np.linspace(-1, 1, 12)
    labels, truth = (train @ direction > 0)[:, None].astype(float), test @ direction > 0
    probe = linear_probe(train, labels, test, train_groups=groups_of(300), kind=kind)
    assert roc_auc_score(truth, probe[:, 0]) > 0.97
    assert roc_auc_score(truth, best_filter(train, labels).scores(test)[:, 0]) < 0.9


def test_the_probe_does_not_mind_the_scale_of_a_channel():
    train, test, labels = features_of(90), features_of(40, seed=1), (features_of(90)[:, :1] > 0).astype(float)
    scale = np.logspace(-3, 3, 12)
    first = linear_probe(train, labels, test, train_groups=groups_of(90))
    second = linear_probe(train * scale, labels, test * scale, train_groups=groups_of(90))
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-4)


def test_the_probe_learns_nothing_from_unknown_cases_of_a_concept():
    train, test = features_of(120), features_of(50, seed=1)
    labels = np.repeat((train[:, :1] > 0).astype(float), 2, axis=1)
    labels[60:, 1] = np.nan
    scores = linear_probe(train, labels, test, train_groups=groups_of(120))
    assert np.isfinite(scores).all()
    assert not np.allclose(scores[:, 0], scores[:, 1])
    labels[60:, 0] = np.nan
    scores = linear_probe(train, labels, test, train_groups=groups_of(120))
    np.testing.assert_array_equal(scores[:, 0], scores[:, 1])


@pytest.mark.parametrize("kind", list(Probe))
def test_a_concept_of_one_kind_has_no_probe_and_no_filter(kind):
    train, test, labels = features_of(30), features_of(10, seed=1), np.ones((30, 1))
    assert np.isnan(linear_probe(train, labels, test, train_groups=groups_of(30), kind=kind)).all()
    filters = best_filter(train, labels)
    assert filters.index.tolist() == [-1]
    assert np.isnan(filters.scores(test)).all()


def test_positives_of_a_single_patient_still_give_a_probe():
    train, labels = features_of(30), np.zeros((30, 1))
    labels[:3] = 1
    assert np.isfinite(linear_probe(train, labels, train, train_groups=groups_of(30))).all()


def test_the_best_filter_is_the_planted_one_with_its_sign():
    train = features_of(200)
    labels = np.stack([train[:, 4] > 0, train[:, 7] < 0.5], axis=1).astype(float)
    filters = best_filter(train, labels)
    assert filters.index.tolist() == [4, 7]
    assert filters.sign.tolist() == [1, -1]
    for concept in range(2):
        assert roc_auc_score(labels[:, concept], filters.scores(train)[:, concept]) == 1


def test_the_best_filter_has_the_highest_auc_of_all_with_ties():
    train = features_of(80).round()
    labels = (np.random.default_rng(4).random((80, 1)) < 0.4).astype(float)
    aucs = np.array([roc_auc_score(labels[:, 0], column) for column in train.T])
    assert best_filter(train, labels).index[0] == np.abs(aucs - 0.5).argmax()
