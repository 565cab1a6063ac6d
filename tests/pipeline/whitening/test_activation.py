import pytest
import torch

from pipeline.choices import Activation
from pipeline.whitening.activation import axis_activations

MAP = torch.tensor([[[[1.0, -2.0, 4.0], [0.0, 3.0, -1.0], [0.0, 0.0, -5.0]]]])


@pytest.mark.parametrize(
    ("activation", "expected"),
    [(Activation.MEAN, 0.0), (Activation.MAX, 4.0), (Activation.POSITIVE_MEAN, 8 / 3), (Activation.POOL_MAX, 4.0)],
)
def test_a_map_with_answers_known_by_thought(activation, expected):
    assert axis_activations(MAP, activation).item() == pytest.approx(expected)


def test_pool_max_is_the_mean_over_whole_windows():
    maps = torch.zeros(1, 1, 7, 6)
    maps[0, 0, 0, 0], maps[0, 0, 4, 4], maps[0, 0, 6, 0] = 2.0, 4.0, 100.0
    assert axis_activations(maps, Activation.POOL_MAX).item() == pytest.approx(6 / 4)


@pytest.mark.parametrize("activation", list(Activation))
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1, 1), (4, 3, 2, 5), (4, 3, 8, 8)])
def test_batched_is_one_by_one_and_gradients_are_finite(activation, shape):
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    whole = axis_activations(z, activation)
    assert whole.shape == (4, 3)
    torch.testing.assert_close(whole, torch.cat([axis_activations(one[None], activation) for one in z]))
    whole.sum().backward()
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("activation", list(Activation))
def test_vectors_are_maps_of_one_position(activation):
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(axis_activations(z, activation), axis_activations(z[:, :, None, None], activation))


def test_positive_mean_of_nothing_positive_is_zero():
    assert axis_activations(-MAP.abs() - 1, Activation.POSITIVE_MEAN).item() == 0
