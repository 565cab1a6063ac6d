import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pipeline.whitening.batch import composed, whiten_batch
from pipeline.whitening.channels import Channels
from pipeline.whitening.whiten import covariance, ridge, shrunk_whitening, whitening_matrix


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def spread_covariance(channels, condition, seed=0):
    basis = torch.linalg.qr(torch.randn(channels, channels, generator=generator(seed), dtype=torch.float64))[0]
    values = torch.logspace(0, -torch.tensor(float(condition)).log10(), channels, dtype=torch.float64)
    return (basis * values) @ basis.mT


def test_whitening_makes_the_covariance_the_identity():
    sigma = spread_covariance(40, 1e3)
    white = whitening_matrix(sigma, eps=0.0)
    torch.testing.assert_close(white @ sigma @ white, torch.eye(40, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(white, white.mT)


def test_scale_of_the_data_does_not_matter():
    sigma = spread_covariance(8, 100)
    torch.testing.assert_close(whitening_matrix(sigma * 1e4), whitening_matrix(sigma) / 100, rtol=1e-6, atol=0)


def test_covariance_is_numpys():
    x = torch.randn(6, 4, 3, 2, generator=generator(), dtype=torch.float64)
    mean, sigma = covariance(x)
    positions = x.permute(1, 0, 2, 3).reshape(4, -1)
    torch.testing.assert_close(mean, positions.mean(dim=1))
    torch.testing.assert_close(sigma, torch.cov(positions, correction=0))


@pytest.mark.parametrize(
    "sigma", [torch.zeros(4, 4), torch.ones(4, 4), torch.diag(torch.tensor([1.0, 1.0, 0.0, -1e-9]))]
)
def test_singular_covariances_have_finite_matrices_and_gradients(sigma):
    sigma = sigma.clone().requires_grad_()
    white = whitening_matrix(sigma)
    white.sum().backward()
    assert white.isfinite().all()
    assert sigma.grad.isfinite().all()


def test_what_is_not_finite_stays_so_without_an_error():
    assert whitening_matrix(torch.full((3, 3), torch.nan)).isnan().all()


@pytest.mark.parametrize("condition", [1, 50])
def test_first_and_second_derivatives(condition):
    sigma = spread_covariance(4, condition).requires_grad_()
    assert gradcheck(lambda s: whitening_matrix((s + s.mT) / 2, eps=1e-2), sigma)
    assert gradgradcheck(lambda s: whitening_matrix((s + s.mT) / 2, eps=1e-2), sigma)


def batch_case(shape, *, offset=0.0, channels_last=False, seed=0):
    x = torch.randn(shape, generator=generator(seed), dtype=torch.float64) + offset
    rotation = torch.linalg.qr(torch.randn(shape[1], shape[1], generator=generator(1), dtype=torch.float64))[0]
    running = (torch.ones(shape[1], dtype=torch.float64), 2 * torch.eye(shape[1], dtype=torch.float64))
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    return x.requires_grad_(), rotation, running


CASES = [
    ((9, 3), {}),
    ((3, 3), {"offset": 50.0}),
    ((2, 3, 2, 2), {}),
    ((3, 3, 3, 2), {"offset": 50.0}),
    ((3, 3, 3, 2), {"channels_last": True}),
]


@pytest.mark.parametrize(("shape", "options"), CASES)
def test_fused_whitening_is_the_composed_one_with_its_derivatives(shape, options):
    x, rotation, running = batch_case(shape, **options)

    def fused(x):
        return whiten_batch(x, rotation, running=running, eps=1e-3, enough=12)[0]

    torch.testing.assert_close(fused(x), composed(x, rotation, running, eps=1e-3, enough=12))
    assert gradcheck(fused, x, fast_mode=True)
    assert gradgradcheck(fused, x, fast_mode=True)


def test_a_far_off_centre_channel_is_whitened_all_the_same_in_float32():
    x = torch.randn(400, 4, generator=generator()) + torch.tensor([0.0, 1e3, -3e3, 0.0])
    z, mean, _ = whiten_batch(x, torch.eye(4), running=(torch.zeros(4), torch.eye(4)), eps=1e-5, enough=16)
    torch.testing.assert_close(covariance(z)[1], torch.eye(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(mean.float(), x.mean(dim=0))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("side", [2, 6])
def test_products_do_not_depend_on_the_memory_format(side, channels_last):
    x = torch.randn(3, 5, side, side, generator=generator())
    maps = Channels(x.to(memory_format=torch.channels_last) if channels_last else x)
    matrix, offset = torch.randn(4, 5, generator=generator(2)), torch.randn(4, generator=generator(3))
    expected = torch.einsum("dc,nchw->ndhw", matrix, x) + offset[:, None, None]
    torch.testing.assert_close(maps.apply(matrix, offset), expected)
    torch.testing.assert_close(maps.apply(matrix, offset, plus=torch.ones_like(expected)), expected + 1)
    torch.testing.assert_close(maps.outer(maps), torch.einsum("nchw,ndhw->cd", x, x))
    torch.testing.assert_close(maps.sum(), x.sum(dim=(0, 2, 3)))


def test_shrunk_whitening_is_whitening_without_shrinkage_and_a_ridge_discriminant_with_it():
    x = torch.randn(200, 6, generator=generator(3), dtype=torch.float64) * torch.logspace(-2, 1, 6, dtype=torch.float64)
    _, cov = covariance(x)
    torch.testing.assert_close(shrunk_whitening(cov, eps=1e-5, shrinkage=0.0), whitening_matrix(cov, eps=1e-5))
    shrinkage, direction = 0.5, torch.randn(6, generator=generator(4), dtype=torch.float64)
    identity = torch.eye(6, dtype=torch.float64)
    regularised = cov + (ridge(cov, eps=1e-5) + shrinkage * cov.diagonal().mean()) * identity
    discriminant = torch.linalg.solve(regularised, direction)
    # In whitened space z = W x, the linear form discriminant · x is (W^-1 discriminant) · z.
    seen = torch.linalg.solve(whitening_matrix(cov, eps=1e-5), discriminant)
    torch.testing.assert_close(shrunk_whitening(cov, eps=1e-5, shrinkage=shrinkage) @ direction, seen)
