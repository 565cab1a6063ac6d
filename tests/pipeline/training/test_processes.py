"""Processes of a job find their backend, hear the first and agree on failures, here without any other."""

import json

import pytest
import torch
from ignite import distributed as idist

from concepts.errors import DermaxisError, RunError
from pipeline.training.processes import _backend, agreed, from_first, started_with_others
from pipeline.training.whitened import largest_change


@pytest.mark.parametrize(("size", "answer"), [(None, False), ("1", False), ("2", True)])
def test_a_process_knows_whether_there_are_others(monkeypatch, size, answer):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if size is not None:
        monkeypatch.setenv("WORLD_SIZE", size)
    assert started_with_others() is answer


def on_gpus(monkeypatch, devices: int, here: str | None) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if here is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", here)


@pytest.mark.parametrize(
    ("devices", "here", "backend"), [(0, "8", "gloo"), (1, None, "nccl"), (2, "2", "nccl"), (4, "2", "nccl")]
)
def test_processes_talk_over_the_gpus_where_there_are_any(monkeypatch, devices, here, backend):
    on_gpus(monkeypatch, devices, here)
    assert _backend() == backend


def test_two_processes_do_not_share_a_gpu(monkeypatch):
    on_gpus(monkeypatch, 2, "3")
    with pytest.raises(RunError, match="3 processes on a machine with 2 GPUs"):
        _backend()


def test_alone_a_value_is_returned_as_it_is(monkeypatch):
    monkeypatch.setattr(idist, "broadcast", None)
    value = object()
    assert from_first(value) is value


def among_two(monkeypatch, rank: int, **answers) -> None:
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    monkeypatch.setattr(idist, "get_rank", lambda: rank)
    for name, answer in answers.items():
        monkeypatch.setattr(idist, name, answer)


def test_the_first_sends_its_value_in_ascii(monkeypatch):
    sent = []

    def broadcast(text: str, src: int) -> str:
        sent.append((text, src))
        return text

    among_two(monkeypatch, 0, broadcast=broadcast)
    assert from_first({"run": "Läsion", "number": 3}) == {"run": "Läsion", "number": 3}
    ((text, source),) = sent
    assert source == 0
    assert text.isascii()


def test_another_hears_the_first_and_sends_nothing(monkeypatch):
    sent = []

    def broadcast(text: str, src: int) -> str:
        sent.append(text)
        return json.dumps({"from": src})

    among_two(monkeypatch, 1, broadcast=broadcast)
    assert from_first({"from": 1}) == {"from": 0}
    assert sent == [""]


@pytest.mark.parametrize("rank", [0, 1])
def test_where_no_process_fails_all_go_on(monkeypatch, rank):
    told = []
    among_two(monkeypatch, rank, all_gather=lambda mine: told.append(mine) or [0, 0])
    with agreed():
        pass
    assert told == [0]


@pytest.mark.parametrize(("rank", "failures"), [(0, [1, 0]), (0, [1, 1]), (1, [0, 1])])
def test_the_first_that_failed_speaks(monkeypatch, rank, failures):
    told = []
    among_two(monkeypatch, rank, all_gather=lambda mine: told.append(mine) or failures)
    with pytest.raises(RunError, match="mine"), agreed():
        raise RunError("mine")
    assert told == [1]


@pytest.mark.parametrize(("rank", "failures"), [(0, [0, 1]), (1, [1, 0])])
def test_the_others_end_silently_with_its_status(monkeypatch, rank, failures):
    among_two(monkeypatch, rank, all_gather=lambda _: failures)
    with pytest.raises(SystemExit) as ended, agreed():
        pass
    assert ended.value.code == DermaxisError.exit_code


def test_of_two_that_failed_the_second_is_not_heard(monkeypatch):
    among_two(monkeypatch, 1, all_gather=lambda _: [1, 1])
    with pytest.raises(SystemExit) as ended, agreed():
        raise RunError("not heard")
    assert ended.value.code == DermaxisError.exit_code


@pytest.mark.parametrize(("elsewhere", "largest"), [(5.0, 5.0), (0.5, 3.0)])
def test_the_largest_change_is_that_of_any_process(monkeypatch, elsewhere, largest):
    monkeypatch.setattr(
        idist, "all_reduce", lambda mine, op: {"SUM": sum, "MIN": min, "MAX": max}[op]([mine, elsewhere])
    )
    assert largest_change(torch.tensor([1.0, 2.0]), torch.tensor([1.0, -1.0])) == largest
