"""Progress reaches a terminal, a log and a file, and the file is whole whenever it is read."""

import io
import json

import pytest
from rich.console import Console

from pipeline.run.progress import Bars, Silent
from pipeline.run.progress_file import EVERY_SECONDS, ProgressFile, RunProgress, parse_progress


def read_progress(path):
    return parse_progress(path.read_text())


class Recorder(Silent):
    """A tracker that keeps what it was told."""

    def __init__(self):
        self.calls = []

    def stage(self, name):
        self.calls.append(("stage", name))

    def say(self, text):
        self.calls.append(("say", text))


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "progress.json"


@pytest.fixture
def tracker(path, clock):
    return ProgressFile(path, ["plain", "report"], clock=lambda: clock[0])


def printed(*, is_terminal):
    output = io.StringIO()
    bars = Bars(Console(file=output, force_terminal=is_terminal, width=80, color_system=None))
    bars.stage("plain")
    with bars.task("epoch [1]", 5) as advance:
        advance(2)
        advance(1)
    bars.say("saved [bold]")
    return output.getvalue()


def test_a_log_gets_one_line_for_each_stage_task_and_message():
    assert printed(is_terminal=False).splitlines() == ["stage: plain", "epoch [1] (5)", "saved [bold]"]


def test_a_terminal_gets_a_bar_that_counts():
    output = printed(is_terminal=True)
    assert "stage: plain" in output
    assert "3/5" in output
    assert "(5)" not in output
    assert "saved [bold]" in output


def test_a_silent_tracker_prints_nothing(capsys):
    tracker = Silent()
    tracker.stage("plain")
    with tracker.task("epoch", 3) as advance:
        assert advance(1) is None
    tracker.say("saved")
    assert capsys.readouterr() == ("", "")


def test_a_new_file_names_the_stages_and_nothing_else(tracker, path):
    progress = read_progress(path)
    assert progress == RunProgress(stages=("plain", "report"))
    assert (progress.stage, progress.seconds_left, progress.run, progress.share) == (None, None, None, 0.0)


def test_the_time_left_follows_from_the_pace(tracker, path, clock):
    tracker.stage("plain")
    with tracker.task("epoch 1", 10) as advance:
        assert (read_progress(path).title, read_progress(path).total, read_progress(path).steps) == ("epoch 1", 10, 0)
        clock[0] += 6
        advance(3)
        progress = read_progress(path)
        assert (progress.steps, progress.share, progress.seconds_left) == (3, 0.3, 14.0)
        advance(9)
    # More steps than were announced: all is done, and no time is left.
    assert (read_progress(path).steps, read_progress(path).share, read_progress(path).seconds_left) == (12, 1.0, 0.0)


def test_a_task_writes_only_so_often_and_once_more_at_its_end(tracker, path, clock):
    with tracker.task("epoch", 4) as advance:
        clock[0] += EVERY_SECONDS / 2
        advance(1)
        assert read_progress(path).steps == 0
        clock[0] += EVERY_SECONDS / 2
        advance(1)
        assert read_progress(path).steps == 2
        advance(1)
        assert read_progress(path).steps == 2
    assert read_progress(path).steps == 3


def test_a_stage_begins_without_the_task_of_the_last(tracker, path, clock):
    with tracker.task("epoch", 4) as advance:
        clock[0] += 1
        advance(2)
    tracker.stage("report")
    progress = read_progress(path)
    assert (progress.stage, progress.title, progress.steps, progress.total) == ("report", "", 0, 0)
    assert progress.seconds_left is None
    with tracker.task("pages", 2):
        assert read_progress(path).seconds_left is None


def test_messages_and_the_finished_run_are_written_at_once(tracker, path):
    tracker.say("saved")
    assert read_progress(path).message == "saved"
    assert read_progress(path).run is None
    tracker.finished("trial-1")
    assert (read_progress(path).run, read_progress(path).message) == ("trial-1", "saved")


def test_progress_is_passed_on(path):
    steps, recorder = [], Recorder()
    recorder.task = lambda title, total: Passing(steps, title, total)
    tracker = ProgressFile(path, display=recorder)
    tracker.stage("plain")
    with tracker.task("epoch", 2) as advance:
        advance(2)
    tracker.say("saved")
    assert recorder.calls == [("stage", "plain"), ("say", "saved")]
    assert steps == [("epoch", 2), 2]


class Passing:
    """A task that keeps its steps."""

    def __init__(self, steps, title, total):
        self.steps = steps
        steps.append((title, total))

    def __enter__(self):
        return self.steps.append

    def __exit__(self, *error):
        return None


@pytest.mark.parametrize("text", ["", "{", "[1]", "3"])
def test_what_cannot_be_read_is_no_progress(text):
    assert parse_progress(text) is None


def test_a_file_of_a_later_version_is_read_as_far_as_it_is_known():
    progress = parse_progress(json.dumps({"stage": "plain", "steps": 2, "total": 4, "weather": "fine"}))
    assert progress == RunProgress(stage="plain", steps=2, total=4)
    assert progress.share == 0.5
