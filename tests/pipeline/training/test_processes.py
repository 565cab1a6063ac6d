"""What several processes agree on, with Ignite's part played by one of them."""

import json

import pytest
import torch

from concepts.errors import DataError, DermaxisError, RunError
from pipeline.training import processes


class Ignite:
    """The collective functions of Ignite for one of two processes, whose other one is played."""

    def __init__(self, rank, *, other=0, first="null"):
        self.rank, self.other, self.first, self.sent = rank, other, first, []

    def get_rank(self):
        return self.rank

    def get_world_size(self):
        return 2

    def all_gather(self, value):
        return [value, self.other] if self.rank == 0 else [self.other, value]

    def broadcast(self, text, src):
        assert src == 0
        self.sent.append(text)
        return text if self.rank == 0 else self.first


@pytest.mark.parametrize(("world", "expected"), [(None, False), ("1", False), ("2", True), ("8", True)])
def test_several_are_those_whose_number_says_so(monkeypatch, world, expected):
    if world is None:
        monkeypatch.delenv("WORLD_SIZE", raising=False)
    else:
        monkeypatch.setenv("WORLD_SIZE", world)
    assert processes.started_with_others() is expected


def test_the_first_processes_value_is_sent_as_ascii_and_others_get_it(monkeypatch):
    run = {"run": "Läsion", "epoch": 3}
    monkeypatch.setattr(processes, "idist", first := Ignite(0))
    assert processes.from_first(run) == run
    assert first.sent == [json.dumps(run)]
    assert first.sent[0].isascii()
    monkeypatch.setattr(processes, "idist", other := Ignite(1, first=json.dumps(run)))
    assert processes.from_first(None) == run
    assert other.sent == [""]


def test_alone_a_value_is_handed_back_as_it_is():
    value = object()
    assert processes.from_first(value) is value


@pytest.mark.parametrize(
    ("rank", "fails", "other", "ends_with"),
    [
        (0, False, 0, None),
        (0, True, 0, DataError),
        (0, True, 1, DataError),
        (1, True, 1, SystemExit),
        (1, True, 0, DataError),
        (0, False, 1, SystemExit),
    ],
)
def test_all_fail_where_one_does_and_only_the_first_of_them_speaks(monkeypatch, rank, fails, other, ends_with):
    monkeypatch.setattr(processes, "idist", Ignite(rank, other=other))

    def work():
        with processes.agreed():
            if fails:
                raise DataError("no image")

    if ends_with is None:
        work()
        return
    with pytest.raises(ends_with) as caught:
        work()
    if ends_with is SystemExit:
        assert caught.value.code == DermaxisError.exit_code


@pytest.mark.parametrize(
    ("here", "gpus", "backend"), [("2", 0, "gloo"), ("2", 2, "nccl"), ("1", 4, "nccl"), (None, 1, "nccl")]
)
def test_processes_talk_by_what_the_machine_has(monkeypatch, here, gpus, backend):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if here is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
    assert processes._backend() == backend


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(RunError, match=r"3 processes on a machine with 2 GPUs; .* CUDA_VISIBLE_DEVICES="):
        processes._backend()
