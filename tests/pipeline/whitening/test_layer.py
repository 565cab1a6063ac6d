import copy

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.autograd import gradcheck

from pipeline.choices import Activation
from pipeline.whitening.errors import WhiteningError
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.whiten import covariance


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def coloured(*shape, seed=0):
    """Samples with correlated channels and means that are not zero."""
    mix = torch.randn(shape[1], shape[1], generator=generator(seed + 1))
    return torch.einsum("dc,nc...->nd...", mix, torch.randn(*shape, generator=generator(seed))) + 0.5


def assert_white(z, tolerance=1e-3):
    identity = torch.eye(z.shape[1], dtype=torch.float64)
    error = torch.linalg.matrix_norm(covariance(z.detach().double())[1] - identity) / z.shape[1] ** 0.5
    assert error <= tolerance


def random_rotation(channels, seed=0):
    return torch.linalg.qr(torch.randn(channels, channels, generator=generator(seed)))[0]


def settled(channels=5, concepts=("a", "b"), **options):
    """A layer in evaluation mode with statistics and a rotation that are not the identity."""
    layer = ConceptWhitening(channels, concepts, **options)
    layer.set_statistics(*covariance(coloured(200, channels, seed=7)))
    layer.set_rotation(random_rotation(channels))
    return layer.eval()


@pytest.mark.parametrize("shape", [(60, 6), (8, 6, 3, 3)])
def test_training_output_is_white_and_keeps_its_shape(shape):
    layer = ConceptWhitening(6, ["a"])
    layer.set_rotation(random_rotation(6))
    z = layer(coloured(*shape))
    assert z.shape == shape
    assert_white(z)
    assert z.double().mean(dim=[0, *range(2, len(shape))]).abs().max() < 1e-4


def test_white_at_512_channels_condition_1000_and_4_samples_per_channel():
    basis = random_rotation(512)
    x = torch.randn(2048, 512, generator=generator(3)) * torch.logspace(0, -1.5, 512) @ basis.mT
    assert_white(ConceptWhitening(512)(x))


def test_evaluation_with_exact_statistics_is_white():
    x = coloured(300, 5)
    layer = ConceptWhitening(5).eval()
    layer.set_statistics(*covariance(x))
    assert_white(layer(x))
    assert layer.residual(x) < 1e-3
    assert layer.residual(3 * x) == pytest.approx(8, rel=1e-2)


def test_running_averages_forget_how_they_began_and_converge():
    layer, x = ConceptWhitening(4), coloured(100, 4)
    layer(x)
    mean, cov = covariance(x)
    torch.testing.assert_close(layer.covariance, cov, rtol=1e-3, atol=1e-4)
    for seed in range(30):
        layer(x[torch.randperm(100, generator=generator(seed))])
    torch.testing.assert_close(layer.mean, mean, rtol=1e-3, atol=1e-4)
    layer.eval()
    assert_white(layer(x), 1e-2)


def test_evaluation_treats_images_one_by_one():
    layer, x = settled(), coloured(4, 5, 2, 2)
    torch.testing.assert_close(layer(x), torch.cat([layer(one[None]) for one in x]))


def test_a_vector_is_a_map_of_one_position():
    layer, x = settled(), coloured(6, 5)
    torch.testing.assert_close(layer(x), layer(x[:, :, None, None])[:, :, 0, 0])


def test_channels_last_gives_the_same_in_its_own_format():
    x = coloured(8, 5, 4, 4)
    last = x.to(memory_format=torch.channels_last)
    for training in (True, False):
        layer = settled().train(training)
        torch.testing.assert_close(copy.deepcopy(layer)(last), layer(x), atol=1e-4, rtol=1e-4)
        assert layer(last).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("training", [True, False])
def test_gradcheck(training):
    layer = settled(3).double().train(training)
    x = coloured(3, 3, 2, 2).double().requires_grad_()
    assert gradcheck(layer, x)


def test_a_second_backward_pass_gives_the_same():
    layer = ConceptWhitening(4)
    x = coloured(30, 4).requires_grad_()
    loss = layer(x).pow(3).sum()
    (first,) = torch.autograd.grad(loss, x, retain_graph=True)
    (second,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(first, second)


def test_activations_are_those_of_the_first_axes():
    layer, x = settled(activation=Activation.MEAN), coloured(6, 5, 3, 3)
    torch.testing.assert_close(layer.activations(x), layer(x).mean(dim=(2, 3))[:, :2])
    torch.testing.assert_close(layer.pool(layer(x)), layer.activations(x))


@pytest.mark.parametrize("change", ["set_rotation", "set_statistics", "load", "in place", "dtype", "training"])
def test_the_cached_map_follows_every_change(change):
    layer, x = settled(4, ()), coloured(50, 4)
    before = layer(x)
    if change == "set_rotation":
        layer.set_rotation(random_rotation(4, 9))
    elif change == "set_statistics":
        layer.set_statistics(torch.ones(4), 2 * torch.eye(4))
    elif change == "load":
        layer.load_state_dict(ConceptWhitening(4).state_dict())
    elif change == "in place":
        layer.rotation.mul_(-1)
    elif change == "dtype":
        layer, x = layer.double(), x.double()
        assert layer(x).dtype == torch.float64
        return
    else:
        layer.train()(3 * x)
        layer.eval()
    fresh = ConceptWhitening(4).eval()
    fresh.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x), fresh(x))
    assert not torch.allclose(layer(x), before)


def test_state_and_names_survive_a_file_without_pickle(tmp_path):
    layer = settled(5, ["pigment network", "streaks"], activation=Activation.MAX)
    save_file(layer.state_dict(), tmp_path / "layer.safetensors")
    other = ConceptWhitening(5, ["x", "y"]).eval()
    other.load_state_dict(load_file(tmp_path / "layer.safetensors"))
    x = coloured(4, 5)
    assert other.concepts == ("pigment network", "streaks")
    assert other.activation is Activation.MAX
    assert torch.equal(other(x), layer(x))


def test_autocast_and_half_networks_keep_their_statistics_wide():
    layer, x = ConceptWhitening(4), coloured(40, 4, 2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x.bfloat16()).dtype == torch.bfloat16
        torch.testing.assert_close(layer(x), ConceptWhitening(4)(x))
    half = layer.to(torch.bfloat16)
    assert half.covariance.dtype == torch.float32
    assert half(x.bfloat16()).isfinite().all()


def strange_input(case):
    """Inputs that break whitening elsewhere: constant, single, too few, dead, duplicate, huge, tiny, half."""
    draw = generator(case)
    channels = int(torch.randint(1, 9, (), generator=draw))
    count = int(torch.randint(1, 12, (), generator=draw))
    shape = (count, channels) if case % 2 else (count, channels, 1 + case % 3, 1 + case % 4)
    x = torch.randn(shape, generator=draw) * 10.0 ** float(torch.randint(-6, 7, (), generator=draw))
    kind = case // 2 % 6
    if kind == 0:
        x = torch.full_like(x, float(x.flatten()[0]))
    if kind == 1:
        x[:, 0] = 0
    if kind == 2:
        x[:, -1] = x[:, 0]
    if kind == 3:
        x = x + 1e3 * x.abs().max()
    return x.clamp(-6e4, 6e4).half() if kind == 4 else x


def assert_finite(case):
    x = strange_input(case)
    layer = ConceptWhitening(x.shape[1], ["a"])
    for _ in range(2):
        x = x.detach().requires_grad_()
        z = layer(x)
        z.float().square().sum().backward()
        assert z.isfinite().all(), case
        assert x.grad.isfinite().all() or x.dtype == torch.float16, case
    assert layer.eval()(x).isfinite().all(), case


@pytest.mark.parametrize("start", range(0, 300, 100))
def test_always_finite(start):
    for case in range(start, start + 100):
        assert_finite(case)


@pytest.mark.slow
def test_always_finite_in_ten_thousand_cases():
    for case in range(10_000):
        assert_finite(case)


def test_a_batch_that_is_not_finite_leaves_the_running_statistics_alone():
    layer = ConceptWhitening(3)
    assert layer(torch.full((20, 3), torch.inf)).isnan().any()
    assert torch.equal(layer.covariance, torch.eye(3))


def test_refusals_say_what_came_and_what_is_allowed():
    with pytest.raises(WhiteningError, match="occurs twice"):
        ConceptWhitening(4, ["a", "a"])
    with pytest.raises(WhiteningError, match="5 concepts for 4 channels"):
        ConceptWhitening(4, list("abcde"))
    with pytest.raises(WhiteningError, match="expected N x 4"):
        ConceptWhitening(4)(torch.zeros(2, 3))
