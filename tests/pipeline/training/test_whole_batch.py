"""Two shares of a batch are normalised and dropped from as the whole: two threads stand for two processes."""

import threading

import pytest
import torch
from torch import nn
from torch.nn import functional

from pipeline.training import whole_batch

SHARES = (slice(0, 5), slice(5, 8))


class TwoProcesses:
    """What `torch.distributed` offers, for two threads of this process."""

    def __init__(self):
        self.rank, self.barrier, self.sent = threading.local(), threading.Barrier(2, timeout=20), [None, None]

    def get_rank(self):
        return self.rank.value

    def get_world_size(self):
        return 2

    def all_reduce(self, totals):
        self.sent[self.rank.value] = totals.clone()
        self.barrier.wait()
        totals.copy_(self.sent[0] + self.sent[1])
        self.barrier.wait()

    def run(self, work):
        results = [None, None]

        def process(rank):
            self.rank.value = rank
            results[rank] = work(rank)

        threads = [threading.Thread(target=process, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


@pytest.fixture
def processes(monkeypatch):
    processes = TwoProcesses()
    monkeypatch.setattr(whole_batch, "distributed", processes)
    monkeypatch.setattr(whole_batch, "is_distributed", lambda: True)
    return processes


def made_norm(kind=nn.BatchNorm2d, **more):
    norm = kind(3, dtype=torch.float64, **more)
    if norm.affine:
        norm.weight.data = torch.tensor([0.5, -2.0, 3.0], dtype=torch.float64)
        norm.bias.data = torch.tensor([1.0, 0.0, -4.0], dtype=torch.float64)
    return norm


def made_batch(*shape, seed=0):
    batch = torch.randn(8, 3, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 3 * batch + torch.arange(8, dtype=torch.float64).view(8, *[1] * (batch.ndim - 1))


@pytest.mark.parametrize(
    ("kind", "shape", "more"),
    [
        (nn.BatchNorm2d, (4, 2), {}),
        (nn.BatchNorm1d, (), {}),
        (nn.BatchNorm2d, (2, 2), {"affine": False}),
        (nn.BatchNorm2d, (2, 2), {"momentum": None}),
        (nn.BatchNorm2d, (2, 2), {"momentum": 0.3, "eps": 0.5}),
        (nn.BatchNorm2d, (2, 2), {"track_running_stats": False}),
    ],
)
def test_two_shares_are_normalised_as_the_whole_forward_and_backward(processes, kind, shape, more):
    whole, shares = made_norm(kind, **more), [made_norm(kind, **more) for _ in SHARES]
    for share in shares:
        whole_batch.see_whole_batch(share)
    for seed in range(2):  # the second batch finds running statistics
        batch, slopes = made_batch(*shape, seed=seed), made_batch(*shape, seed=seed + 7)
        expected = batch.clone().requires_grad_()
        (whole(expected) * slopes).sum().backward()

        def work(rank, batch=batch, slopes=slopes):
            images = batch[SHARES[rank]].clone().requires_grad_()
            output = shares[rank](images)
            (output * slopes[SHARES[rank]]).sum().backward()
            return output.detach(), images.grad

        outputs, gradients = zip(*processes.run(work), strict=True)
        torch.testing.assert_close(torch.cat(gradients), expected.grad)
        fresh = made_norm(kind, **more)
        torch.testing.assert_close(torch.cat(outputs), fresh(batch).detach())
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(sum(dict(share.named_parameters())[name].grad for share in shares), parameter.grad)
    for share in shares:
        assert share.state_dict().keys() == whole.state_dict().keys()
        for name, buffer in whole.named_buffers():
            torch.testing.assert_close(dict(share.named_buffers())[name], buffer)


def test_statistics_carry_no_gradient_and_the_output_keeps_its_type(processes):
    batch = made_batch(2, 2).to(torch.bfloat16)

    def work(rank):
        images = batch[SHARES[rank]].clone().requires_grad_()
        output, mean, variance = whole_batch.normalise_batch(images, None, None, eps=1e-5)
        output.sum().backward()
        return output.detach(), mean, variance, images.grad

    for output, mean, variance, gradient in processes.run(work):
        assert output.dtype == gradient.dtype == torch.bfloat16
        assert mean.dtype == variance.dtype == torch.float64
        assert not mean.requires_grad
        assert not variance.requires_grad
        torch.testing.assert_close(mean, batch.double().mean(dim=(0, 2, 3)), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(variance, batch.double().var(dim=(0, 2, 3)), atol=1e-4, rtol=1e-4)


def test_a_channel_of_one_value_is_not_divided_by_nothing(processes):
    flat = torch.full((8, 3), 2.0, dtype=torch.float64)

    def work(rank):
        return whole_batch.normalise_batch(flat[SHARES[rank]], None, None, eps=1e-5)

    for output, mean, variance in processes.run(work):
        assert output.abs().max() == 0
        assert mean.tolist() == [2, 2, 2]
        assert variance.tolist() == [0, 0, 0]


def test_an_image_is_dropped_from_as_in_one_process(processes):
    dropout = nn.Dropout(0.5)
    whole_batch.see_whole_batch(dropout)
    images = made_batch(50)

    def dropped(rank):
        processes.rank.value = rank
        torch.manual_seed(5)
        return dropout(images[rank::2])

    torch.manual_seed(5)
    expected = images * functional.dropout(torch.ones_like(images), 0.5)
    for rank in range(2):
        torch.testing.assert_close(dropped(rank), expected[rank::2])


def test_in_evaluation_each_process_uses_what_it_remembers(processes):
    network = nn.Sequential(made_norm(), nn.Dropout(0.5))
    batch = made_batch(2, 2)
    expected = network.eval()(batch)
    whole_batch.see_whole_batch(network)
    torch.testing.assert_close(network(batch), expected)


def test_only_plain_normalisations_and_dropouts_of_a_distributed_run_change(processes, monkeypatch):
    class OwnNorm(nn.BatchNorm2d):
        pass

    network = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm1d(3), nn.Dropout(), OwnNorm(3), nn.ReLU())
    kinds = [type(module) for module in network]
    monkeypatch.setattr(whole_batch, "is_distributed", lambda: False)
    whole_batch.see_whole_batch(network)
    assert [type(module) for module in network] == kinds
    monkeypatch.setattr(whole_batch, "is_distributed", lambda: True)
    whole_batch.see_whole_batch(network)
    changed = [type(module) is not kind for module, kind in zip(network, kinds, strict=True)]
    assert changed == [True, True, True, False, False]
    assert all(isinstance(module, kind) for module, kind in zip(network, kinds, strict=True))


def test_alone_a_changed_network_acts_as_before(processes, monkeypatch):
    network = made_norm()
    whole_batch.see_whole_batch(network)
    monkeypatch.setattr(whole_batch, "is_distributed", lambda: False)
    batch = made_batch(2, 2)
    torch.testing.assert_close(network(batch), made_norm()(batch))
    dropout = nn.Dropout(0.5)
    whole_batch.see_whole_batch(dropout)
    torch.manual_seed(1)
    expected = functional.dropout(batch, 0.5)
    torch.manual_seed(1)
    torch.testing.assert_close(dropout(batch), expected)
