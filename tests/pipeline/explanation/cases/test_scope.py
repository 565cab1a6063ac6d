"""What is out of scope: distance from the training images, in a Gaussian with few directions of its own."""

import numpy as np
import pytest

from concepts.errors import DataError
from pipeline.explanation.cases.scope import DIRECTIONS, IMAGES_EACH, Scope, fit_scope


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.mark.parametrize("axes", [3, DIRECTIONS, 200])
def test_training_images_lie_at_a_distance_of_about_one(generator, axes):
    summaries = generator.normal(size=(600, axes)) * np.linspace(0.1, 3, axes) + 5
    distances = fit_scope(summaries).distances(summaries)
    assert distances.mean() == pytest.approx(1, abs=0.1)


def test_with_all_directions_it_is_the_mahalanobis_distance(generator):
    mixing = generator.normal(size=(4, 4))
    summaries = generator.normal(size=(400, 4)) @ mixing
    centred = summaries - summaries.mean(axis=0)
    precision = np.linalg.inv(np.cov(summaries.T))
    expected = np.einsum("ij,jk,ik->i", centred, precision, centred) / 4
    np.testing.assert_allclose(fit_scope(summaries).distances(summaries), expected, rtol=1e-8)


def test_an_image_that_mixes_usual_values_unusually_is_far(generator):
    first = generator.normal(size=(500, 1))
    summaries = np.hstack([first, first]) + 0.1 * generator.normal(size=(500, 2))
    scope = fit_scope(summaries)
    usual, foreign = scope.distances(np.array([[1.0, 1.0], [1.0, -1.0]]))
    assert foreign > 50 * usual


def test_new_images_of_the_same_kind_are_not_taken_for_foreign_where_axes_are_many(generator):
    mixing = generator.normal(size=(10, 300))

    def draw(count):
        return generator.normal(size=(count, 10)) @ mixing + 0.3 * generator.normal(size=(count, 300))

    scope = fit_scope(draw(400))
    threshold = np.percentile(scope.distances(draw(400)), 99)
    assert (scope.distances(draw(1000)) > threshold).mean() < 0.03
    assert (scope.distances(generator.normal(size=(50, 300)) * 3) > threshold).all()


def test_few_or_constant_images_are_refused_or_survived():
    with pytest.raises(DataError, match="at least 2 are needed"):
        fit_scope(np.zeros((1, 5)))
    assert np.isfinite(fit_scope(np.zeros((30, 5))).distances(np.zeros((2, 5)))).all()


def test_directions_are_kept_where_enough_images_are_behind_them(generator):
    summaries = generator.normal(size=(45, 60))
    assert (DIRECTIONS, IMAGES_EACH) == (32, 10)
    assert len(fit_scope(summaries).directions) == 4, "ten images behind each"
    assert len(fit_scope(summaries[:9]).directions) == 1
    assert len(fit_scope(generator.normal(size=(500, 60))).directions) == 32
    assert len(fit_scope(generator.normal(size=(500, 7))).directions) == 7


def test_the_other_directions_share_their_mean_variance(generator):
    summaries = generator.normal(size=(40, 6)) * [9, 8, 7, 6, 1, 2]
    scope = fit_scope(summaries)
    spread = np.linalg.eigvalsh(np.cov(summaries.T))[::-1]
    assert list(scope.variances) == pytest.approx(spread[:4])
    assert scope.rest == pytest.approx(spread[4:].mean())
    assert list(scope.mean) == pytest.approx(summaries.mean(axis=0))
    assert fit_scope(summaries[:, :4]).rest == 0


def test_a_distance_adds_what_lies_along_the_directions_and_beside_them():
    scope = Scope(mean=(1.0, 0.0, 0.0), directions=((1.0, 0.0, 0.0),), variances=(4.0,), rest=2.0)
    assert scope.distances(np.array([[3.0, 0.0, 0.0], [1.0, 1.0, 1.0]])).tolist() == [1 / 3, pytest.approx(1 / 3)]
    assert Scope((1.0, 0.0), ((1.0, 0.0),), (4.0,), 0.0).distances(np.array([[3.0, 5.0]])).tolist() == [0.5]


def test_two_images_are_enough_to_fit():
    assert len(fit_scope(np.array([[0.0, 1.0], [1.0, 0.0]])).directions) == 1
