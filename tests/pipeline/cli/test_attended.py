"""A command stops at Ctrl-C, and when the program that started it is gone."""

import os
import signal
import threading

import pytest
import typer

from pipeline.cli import attended
from pipeline.cli.attended import interrupt_when_input_closes, resumable, when_input_closes


def interrupted():
    with resumable():
        raise KeyboardInterrupt


def test_ctrl_c_is_one_line_that_says_how_to_resume(capsys):
    with pytest.raises(typer.Exit) as stopped:
        interrupted()
    assert stopped.value.exit_code == 130
    assert capsys.readouterr().err == "dermaxis: stopped; resume the run with the same command and --resume\n"


def test_what_does_not_stop_is_left_alone():
    with resumable():
        pass
    with pytest.raises(ZeroDivisionError), resumable():
        raise ZeroDivisionError


def test_an_input_closes_when_its_last_holder_is_gone_whatever_was_written():
    reading, writing = os.pipe()
    closed = threading.Event()
    when_input_closes(closed.set, descriptor=reading)
    os.write(writing, b"x" * 10_000)
    assert not closed.wait(0.05)
    os.close(writing)
    assert closed.wait(5)
    os.close(reading)


def test_a_closed_input_interrupts_even_where_ctrl_c_was_ignored(monkeypatch):
    waiting = []
    monkeypatch.setattr(attended, "when_input_closes", waiting.append)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interrupt_when_input_closes()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    (act,) = waiting
    order = []
    monkeypatch.setattr("_thread.interrupt_main", lambda: order.append("interrupted"))
    monkeypatch.setattr(attended.time, "sleep", order.append)
    monkeypatch.setattr(attended.os, "_exit", order.append)
    act()
    assert order == ["interrupted", attended.GRACE, 130]
