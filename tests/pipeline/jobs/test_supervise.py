"""A child process: how it ends, why it failed, and that nobody else goes down with it."""

import signal
import sys

import pytest

from pipeline.jobs import supervise
from pipeline.jobs.supervise import REASON_LIMIT, command, failure_reason


@pytest.fixture(autouse=True)
def short_polls(monkeypatch):
    monkeypatch.setattr(supervise, "POLL_SECONDS", 0.01)


def run(script: str, log, *, tick=lambda: False, grace=10.0):
    return supervise.supervise([sys.executable, "-S", "-c", script], log, tick=tick, grace=grace)


def says(log, word: str):
    """Ask the child to stop once its log holds a word."""
    return lambda: log.exists() and word in log.read_text()


def test_a_child_that_ends_well_leaves_its_output(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("dermaxis: of an earlier attempt\n")
    ending = run("print('hello')", log)
    assert (ending.code, ending.was_stopped, ending.reason, ending.run) == (0, False, None, None)
    assert log.read_text() == "dermaxis: of an earlier attempt\nhello\n"


def test_a_failure_is_explained_by_this_attempts_output_alone(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("dermaxis: of an earlier attempt\n")
    ending = run("import sys; print('first'); sys.exit('last')", log)
    assert (ending.code, ending.was_stopped, ending.reason) == (1, False, "last")


def test_a_child_is_stopped_by_ctrl_c_once(tmp_path):
    log = tmp_path / "log.txt"
    script = (
        "import signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nprint('ready', flush=True)\n"
        "try:\n time.sleep(60)\nexcept KeyboardInterrupt:\n time.sleep(0.1); print('cleaned up')"
    )
    ending = run(script, log, tick=says(log, "ready"))
    assert (ending.code, ending.was_stopped) == (0, True)
    assert log.read_text().split("\n")[1] == "cleaned up"


def test_a_child_that_does_not_end_is_killed(tmp_path):
    log = tmp_path / "log.txt"
    deaf = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    ending = run(deaf, log, tick=says(log, "deaf"), grace=0.05)
    assert (ending.code, ending.was_stopped) == (-signal.SIGKILL, True)


def test_a_child_dies_with_whoever_watches_it(tmp_path):
    def fail() -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run("import time; time.sleep(60)", tmp_path / "log.txt", tick=fail)


def test_a_child_sees_when_its_watcher_is_gone(tmp_path):
    """Its standard input is a pipe: it ends with the watcher, not before."""
    log = tmp_path / "log.txt"
    script = "import os, stat; print(stat.S_ISFIFO(os.fstat(0).st_mode))"
    run(script, log)
    assert log.read_text() == "True\n"


@pytest.mark.parametrize(
    ("output", "code", "reason"),
    [
        ("a\ndermaxis: no such\tfolder\n  b  c\n", 2, "no such folder"),
        ("dermaxis: first\ndermaxis: second", 2, "second"),
        ("Traceback\n  ValueError:  odd\n\n", 1, "ValueError: odd"),
        ("not dermaxis: inside", 1, "not dermaxis: inside"),
        ("", 3, "exit status 3"),
        ("x" * 999, 1, "x" * REASON_LIMIT),
        ("dermaxis: full disk", -signal.SIGKILL, "the run was killed by SIGKILL; memory may have run out"),
    ],
)
def test_a_reason_is_one_line(output, code, reason):
    assert failure_reason(output, code) == reason


def test_a_job_is_done_by_the_command_that_people_type(tmp_path):
    words = command(tmp_path / "s.yaml", tmp_path / "p.json", resume=False)
    assert words[1:5] == ["-m", "pipeline", "run", str(tmp_path / "s.yaml")]
    assert words[5:] == ["--progress", str(tmp_path / "p.json"), "--attended"]
    assert command(tmp_path / "s.yaml", tmp_path / "p.json", resume=True) == [*words, "--resume"]
