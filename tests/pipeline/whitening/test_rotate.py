import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.whitening.rotate import cayley_step, procrustes_rotation, restore_orthogonality


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_rotation(channels, seed=0):
    return torch.linalg.qr(draw(channels, channels, seed=seed))[0]


def assert_orthogonal(rotation, tolerance=1e-5):
    identity = torch.eye(len(rotation), dtype=rotation.dtype)
    assert (rotation @ rotation.mT - identity).abs().max() <= tolerance


def objective(rotation, means):
    return float((rotation[: len(means)] * means).sum())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), channels=st.integers(1, 9), data=st.data())
def test_closed_form_is_orthogonal_and_never_lowers_the_objective(seed, channels, data):
    count = data.draw(st.integers(0, channels))
    means = draw(count, channels, seed=seed)
    means[data.draw(st.lists(st.integers(0, max(0, count - 1)), max_size=2)) if count else []] = 0
    before = random_rotation(channels, seed + 1)
    after = procrustes_rotation(means, rotation=before)
    assert_orthogonal(after, 1e-9)
    assert objective(after, means) >= objective(before, means) - 1e-9


def test_closed_form_is_the_best_of_many():
    means = draw(2, 5)
    best = objective(procrustes_rotation(means), means)
    assert all(objective(random_rotation(5, seed), means) <= best for seed in range(50))


def test_one_concept_gets_exactly_its_direction():
    direction = draw(1, 6)
    rotation = procrustes_rotation(direction, rotation=random_rotation(6))
    torch.testing.assert_close(rotation[:1], direction / direction.norm(), atol=1e-6, rtol=0)


def test_axes_that_are_in_place_already_move_nothing():
    rotation = random_rotation(6)
    torch.testing.assert_close(procrustes_rotation(3 * rotation[:2], rotation=rotation), rotation)


def test_free_axes_make_room_by_the_smallest_rotation():
    start = torch.eye(4, dtype=torch.float64)
    means = torch.tensor([[0.6, 0.8, 0.0, 0.0]], dtype=torch.float64)
    turned = procrustes_rotation(means, rotation=start)
    expected = torch.tensor([[0.6, 0.8, 0, 0], [-0.8, 0.6, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(turned, expected, atol=1e-6, rtol=0)


def test_a_concept_without_a_mean_stays_where_it_can():
    rotation = random_rotation(6)
    means = torch.zeros(2, 6, dtype=torch.float64)
    torch.testing.assert_close(procrustes_rotation(means, rotation=rotation), rotation)
    means[0] = rotation[0]
    torch.testing.assert_close(procrustes_rotation(means, rotation=rotation)[1], rotation[1], atol=1e-6, rtol=0)


def pooled_maximum(maps):
    return lambda named: torch.einsum("kc,ncp->nkp", named, maps).amax(dim=2).mean()


@pytest.mark.parametrize("channels", [8, 300])
def test_rounding_that_has_added_up_is_put_right(channels):
    drifted = random_rotation(channels) + 1e-5 * draw(channels, channels, seed=1)
    assert (drifted @ drifted.mT - torch.eye(channels)).abs().max() > 1e-5
    assert_orthogonal(restore_orthogonality(drifted), 1e-7)
    exact = random_rotation(channels)
    assert restore_orthogonality(exact) is exact


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_cayley_steps_stay_orthogonal_and_never_lower_the_objective(seed):
    step = cayley_step(random_rotation(6, seed), pooled_maximum(draw(5, 6, 4, seed=seed)), num_concepts=2)
    assert_orthogonal(step.rotation, 1e-9)
    assert step.after >= step.before
    assert step.succeeded == (step.after > step.before)


def test_cayley_low_rank_form_is_the_dense_one():
    rotation, gradient = random_rotation(7), torch.zeros(7, 7, dtype=torch.float64)
    gradient[:2] = draw(2, 7, seed=5)
    skew = gradient @ rotation.mT - rotation @ gradient.mT
    outcome = cayley_step(rotation, lambda named: (named * gradient[:2]).sum(), num_concepts=2, step=0.1)
    half = outcome.step / 2 * skew
    identity = torch.eye(7, dtype=torch.float64)
    torch.testing.assert_close(outcome.rotation, torch.linalg.solve(identity - half, (identity + half) @ rotation))


def test_cayley_steps_climb_to_the_closed_form():
    means, rotation = draw(2, 6), random_rotation(6)
    for _ in range(200):
        rotation = cayley_step(rotation, lambda named: (named * means).sum(), num_concepts=2).rotation
    best = objective(procrustes_rotation(means), means)
    assert objective(rotation, means) == pytest.approx(best, rel=1e-3)


def test_a_search_that_finds_nothing_says_so_and_changes_nothing():
    rotation = random_rotation(5)
    outcome = cayley_step(rotation, lambda named: named.sum() * 0, num_concepts=2)
    assert not outcome.succeeded
    assert outcome.step == 0
    torch.testing.assert_close(outcome.rotation, rotation)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [32, 200])
def test_ten_thousand_updates_in_float32_stay_orthogonal(channels):
    rotation = random_rotation(channels).float()
    for seed in range(5_000):
        rotation = procrustes_rotation(draw(4, channels, seed=seed).float(), rotation=rotation)
        gradient = draw(4, channels, seed=seed + 1)
        rotation = cayley_step(rotation, lambda named, g=gradient: (named * g).sum(), num_concepts=4).rotation
    assert_orthogonal(rotation)
