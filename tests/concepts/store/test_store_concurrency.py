import json
import subprocess
import sys
from pathlib import Path
from threading import Barrier, Thread

import pytest
from laws import assert_nothing_lost
from sqlalchemy import func, select

from concepts.curation.door import judge
from concepts.judgement import Judgement, Verdict
from concepts.store.schema import JudgementRow

WRITERS = Path(__file__).parents[2] / "benchmarks" / "store_writers.py"
PRESENT = Judgement(reader="ann", image_id="image0", concept="streaks", verdict=Verdict.PRESENT)


def test_a_double_click_from_two_threads_makes_one_record(filled):
    barrier, answers = Barrier(4), []

    def click() -> None:
        barrier.wait()
        answers.append(judge(filled, "ann", "derm", PRESENT, key="once"))

    threads = [Thread(target=click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [1] * 4
    with filled.reading() as session:
        assert session.scalar(select(func.count()).select_from(JudgementRow)) == 1
    assert_nothing_lost(filled)


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_a_writer_is_killed(databases):
    command = [sys.executable, str(WRITERS), "--store", databases.new(), "--writers", "16", "--judgements", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["acknowledged"] > 15 * 60
    assert (figures["lost"], figures["doubled"], figures["broken"]) == (0, 0, False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "count", "figures"),
    [
        (
            "killed_writers.py",
            ("--kills", "40", "--writers", "4"),
            {"kills": 40, "lost": 0, "twice": 0, "broken": None},
        ),
        ("backups_under_writers.py", ("--backups", "4", "--writers", "4"), {"backups": 4, "whole": 4}),
    ],
)
def test_kills_and_backups_under_writers_lose_nothing(databases, program, count, figures):
    command = [sys.executable, str(WRITERS.with_name(program)), "--store", databases.new(), *count]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads(done.stdout)
    assert measured.items() >= figures.items()
    assert measured["acknowledged"] > 0
