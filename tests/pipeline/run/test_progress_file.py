"""Progress as a file: what it says at each moment, and how often it is written."""

import json
from contextlib import contextmanager

import pytest

from pipeline.run.progress_file import EVERY_SECONDS, ProgressFile, RunProgress, parse_progress


class Record:
    """A tracker that remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def stage(self, name: str) -> None:
        self.events.append(("stage", name))

    @contextmanager
    def task(self, title: str, total: int):
        self.events.append(("task", title, total))
        yield lambda steps: self.events.append(("advance", steps))
        self.events.append(("end", title))

    def say(self, text: str) -> None:
        self.events.append(("say", text))


@pytest.fixture
def now():
    return [10.0]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "progress.json"


def read(file) -> RunProgress:
    return parse_progress(file.read_text(encoding="utf-8"))


def test_progress_knows_stage_steps_and_the_time_left(file, now):
    tracker = ProgressFile(file, ["plain", "report"], clock=lambda: now[0])
    assert read(file) == RunProgress(stages=("plain", "report"))
    tracker.stage("plain")
    assert read(file) == RunProgress(stages=("plain", "report"), stage="plain")
    with tracker.task("training", 10) as advance:
        assert read(file) == RunProgress(stages=("plain", "report"), stage="plain", title="training", total=10)
        now[0] += 2.0
        advance(1)
        advance(3)
        now[0] += 2.0
        advance(4)
        progress = read(file)
        assert (progress.steps, progress.share, progress.seconds_left) == (8, 0.8, 1.0)
    tracker.stage("report")
    assert read(file) == RunProgress(stages=("plain", "report"), stage="report")


def test_progress_is_written_at_most_twice_a_second_and_at_the_end(file, now):
    tracker = ProgressFile(file, clock=lambda: now[0])
    with tracker.task("training", 10) as advance:
        now[0] += EVERY_SECONDS - 0.01
        advance(4)
        assert read(file).steps == 0
        now[0] += 0.01
        advance(1)
        assert read(file).steps == 5
        now[0] += EVERY_SECONDS - 0.01
        advance(2)
        assert read(file).steps == 5
    assert read(file).steps == 7


def test_more_steps_than_announced_are_not_more_than_all(file, now):
    tracker = ProgressFile(file, clock=lambda: now[0])
    with tracker.task("training", 2) as advance:
        now[0] += 1.0
        advance(3)
    assert (read(file).share, read(file).seconds_left) == (1.0, 0.0)
    assert RunProgress(steps=3, total=0).share == 0.0


def test_the_last_message_and_the_finished_run_are_kept(file):
    tracker = ProgressFile(file)
    tracker.say("prüft")
    tracker.say("fertig … gut")
    tracker.finished("run-1")
    assert (read(file).message, read(file).run) == ("fertig … gut", "run-1")


def test_another_tracker_is_told_the_same(file):
    record = Record()
    tracker = ProgressFile(file, display=record)
    tracker.stage("plain")
    with tracker.task("training", 3) as advance:
        advance(2)
    tracker.say("over")
    expected = [("stage", "plain"), ("task", "training", 3), ("advance", 2), ("end", "training"), ("say", "over")]
    assert record.events == expected


def test_each_task_counts_from_nought(file, now):
    tracker = ProgressFile(file, clock=lambda: now[0])
    for steps in (3, 2):
        with tracker.task("training", 4) as advance:
            advance(steps)
    assert read(file).steps == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_what_is_no_progress_is_none(text):
    assert parse_progress(text) is None


def test_progress_of_another_version_is_read_as_far_as_it_goes():
    assert parse_progress(json.dumps({"stage": "plain", "stages": ["plain"], "colour": "red"})) == RunProgress(
        stages=("plain",), stage="plain"
    )
