"""A store is backed up again and again while many write to it: does each backup hold all that was acknowledged?

    python tests/benchmarks/backups_under_writers.py --backups 100 --store /tmp/backed_up.sqlite
    python tests/benchmarks/backups_under_writers.py --backups 100 --store postgresql://user@127.0.0.1/empty_database

Each backup must pass its check and hold every judgement that was acknowledged before it began; those of PostgreSQL are
restored into a database of their own for that. Prints one JSON object; exits with 1 where one does not.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from killed_writers import IMAGES, acknowledged, start
from sqlalchemy import select
from sqlalchemy.engine import make_url
from store_writers import prepare

from concepts.store.backup import back_up, restore
from concepts.store.check import check
from concepts.store.schema import JudgementRow
from concepts.store.store import open_store, store_file

PAUSE = 0.1
"""Seconds between two judgements of a writer; without it, the last backups would mostly be waited for."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="a new SQLite file or the URL of an empty PostgreSQL database")
    parser.add_argument("--backups", type=int, default=100)
    parser.add_argument("--writers", type=int, default=8)
    arguments = parser.parse_args()
    with closing(open_store(arguments.store)) as store:
        prepare(store, arguments.writers, IMAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        logs = [folder / f"{number}.log" for number in range(arguments.writers)]
        for log in logs:
            log.touch()
        writers = [start(arguments.store, number, log, pause=PAUSE) for number, log in enumerate(logs)]
        try:
            whole, seconds = [], []
            for number in range(arguments.backups):
                before = acknowledged_numbers(logs)
                began = time.monotonic()
                back_up(arguments.store, folder / f"{number}.backup")
                seconds.append(time.monotonic() - began)
                whole.append(before <= held(arguments.store, folder / f"{number}.backup"))
                (folder / f"{number}.backup").unlink()
        finally:
            for process in writers:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
        figures = {
            "backups": len(whole),
            "whole": sum(whole),
            "acknowledged": len(acknowledged_numbers(logs)),
            "p50_s": round(float(np.median(seconds)), 2),
            "max_s": round(max(seconds), 2),
        }
    sys.stdout.write(json.dumps(figures) + "\n")
    return int(figures["whole"] != figures["backups"])


def acknowledged_numbers(logs: list[Path]) -> set[int]:
    """Return the numbers of all judgements that were acknowledged so far; a line that is being written is not."""
    return {stored for log in logs for stored in acknowledged(log).values()}


def held(url: str, backup: Path) -> set[int]:
    """Return the numbers of the judgements in a backup that passes its check; none where it does not."""
    if store_file(url) is not None:
        return numbers(str(backup))
    copy = make_url(url)
    copy = copy.set(database=f"{copy.database}_copy").render_as_string(hide_password=False)
    restore(copy, backup)
    try:
        return numbers(copy)
    finally:
        drop(copy)


def numbers(url: str) -> set[int]:
    with closing(open_store(url, must_exist=True)) as store:
        if check(store).broken is not None:
            return set()
        with store.reading() as session:
            return set(session.scalars(select(JudgementRow.id)))


def drop(url: str) -> None:
    from sqlalchemy import create_engine, text

    address = make_url(url).set(drivername="postgresql+psycopg")
    engine = create_engine(address.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{address.database}" WITH (FORCE)'))
    engine.dispose()


if __name__ == "__main__":
    sys.exit(main())
