"""Writers of a store are killed again and again: is all that was acknowledged stored, once?

    python tests/benchmarks/killed_writers.py --kills 1800 --store /tmp/killed.sqlite
    python tests/benchmarks/killed_writers.py --kills 1800 --store postgresql://user@127.0.0.1/empty_database

Each writer is a process of its own that judges image after image, and is sent SIGKILL after a random time. Its
successor begins with the judgement that was not acknowledged, under the same key: it may have been stored or not.
Prints one JSON object; exits with 1 where a judgement was lost or stored twice, or the store does not pass its check.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
from sqlalchemy import select
from store_writers import prepare

from concepts.curation.door import judge
from concepts.judgement import Judgement, Verdict
from concepts.store.check import check
from concepts.store.schema import JudgementRow
from concepts.store.store import open_store

IMAGES = 500
SHORTEST, LONGEST = 0.1, 1.5
"""Seconds until a writer is killed; it needs the first tenth to open the store."""
WORDS = tuple(Verdict)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="a new SQLite file or the URL of an empty PostgreSQL database")
    parser.add_argument("--kills", type=int, default=1800)
    parser.add_argument("--writers", type=int, default=8, help="at once")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with closing(open_store(arguments.store)) as store:
        prepare(store, arguments.writers, IMAGES)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder, f"{number}.log") for number in range(arguments.writers)]
        for log in logs:
            log.touch()
        kill_all(arguments.store, logs, arguments)
        figures = judged(arguments.store, logs) | {"kills": arguments.kills}
    sys.stdout.write(json.dumps(figures | {"seconds": round(time.monotonic() - began, 1)}) + "\n")
    return int(bool(figures["lost"] or figures["twice"] or figures["broken"]))


def kill_all(url: str, logs: list[Path], arguments: argparse.Namespace) -> None:
    """Keep as many writers going as there are logs, and kill each after a random time."""
    generator = np.random.default_rng(arguments.seed)
    ends: dict[int, tuple[float, int]] = {}
    kills = 0
    while kills < arguments.kills:
        for writer in range(arguments.writers):
            if writer not in ends:
                ends[writer] = (
                    time.monotonic() + generator.uniform(SHORTEST, LONGEST),
                    start(url, writer, logs[writer]),
                )
            end, process = ends[writer]
            if time.monotonic() >= end and kills < arguments.kills:
                os.kill(process, signal.SIGKILL)
                _, status = os.waitpid(process, 0)
                if not os.WIFSIGNALED(status):
                    raise SystemExit(f"writer {writer} failed by itself")
                kills += 1
                del ends[writer]
        time.sleep(0.002)
    for _, process in ends.values():
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def start(url: str, writer: int, log: Path, *, pause: float = 0.0) -> int:
    """Fork a writer: importing all again would take longer than it lives. The parent has no store open."""
    process = os.fork()
    if process == 0:
        try:
            write(url, writer, log, pause=pause)
        except BaseException as error:  # noqa: BLE001  # a forked process must not go on as its parent
            sys.stderr.write(f"writer {writer}: {error!r:.300}\n")
        os._exit(1)
    return process


def write(url: str, writer: int, log: Path, *, pause: float) -> None:
    """Judge for ever, with a pause of so many seconds in between, and say so only after the store did."""
    reader, number = f"reader{writer}", len(acknowledged(log))
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    store = open_store(url)
    while True:
        image, word = f"i{number % IMAGES}", WORDS[number % len(WORDS)]
        judgement = Judgement(reader=reader, image_id=image, concept="streaks", verdict=word)
        stored = judge(store, reader, "bench", judgement, key=str(number))
        os.write(descriptor, f"{number} {stored}\n".encode())
        number += 1
        time.sleep(pause)


def acknowledged(log: Path) -> dict[int, int]:
    """By number of the submit, the number of the judgement."""
    return {int(number): int(stored) for number, stored in map(str.split, log.read_text("utf-8").splitlines())}


def judged(url: str, logs: list[Path]) -> dict[str, object]:
    """Compare what was acknowledged with what is stored."""
    with closing(open_store(url, must_exist=True)) as store:
        findings = check(store)
        with store.reading() as session:
            rows = session.execute(select(JudgementRow.id, JudgementRow.reader, JudgementRow.act)).all()
    stored = {(reader, key): number for number, reader, key in rows}
    submits = {
        (f"reader{writer}", str(number)): judgement
        for writer, log in enumerate(logs)
        for number, judgement in acknowledged(log).items()
    }
    times = Counter((reader, key) for _, reader, key in rows)
    return {
        "acknowledged": len(submits),
        "stored": len(rows),
        "lost": sum(stored.get(submit) != number for submit, number in submits.items()),
        "twice": sum(number > 1 for number in times.values()),
        "broken": findings.broken.reason if findings.broken else None,
    }


if __name__ == "__main__":
    sys.exit(main())
