"""Many processes judge at once and one is killed: is all that was acknowledged stored, once, and how fast was it?

    python tests/benchmarks/store_writers.py --store /tmp/writers.sqlite
    python tests/benchmarks/store_writers.py --store postgresql://user@127.0.0.1/empty_database

Prints one JSON object; exits with 1 where a judgement was lost or doubled. Every tenth judgement is submitted twice.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select

from concepts.curation.accounts import OPERATOR, add_account
from concepts.curation.door import add_concept, add_images, add_to_set, create_set, judge
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Verdict
from concepts.store.check import check as check_store
from concepts.store.roles import Role
from concepts.store.schema import JudgementRow
from concepts.store.store import Store, open_store

REPEATED = 10


def main() -> int:
    arguments = parse()
    if arguments.reader is not None:
        write(arguments.store, arguments.reader, arguments.judgements)
        return 0
    with closing(open_store(arguments.store)) as store, tempfile.TemporaryDirectory() as folder:
        prepare(store, arguments.writers, arguments.judgements)
        began = time.monotonic()
        logs, killed = run_writers(arguments, Path(folder))
        figures = check(store, logs, killed) | {"seconds": round(time.monotonic() - began, 1)}
    sys.stdout.write(json.dumps(figures) + "\n")
    return int(bool(figures["lost"] or figures["doubled"] or figures["broken"]))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="a new SQLite file or the URL of an empty PostgreSQL database")
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--judgements", type=int, default=1000, help="of each writer")
    parser.add_argument("--seed", type=int, default=0, help="decides who is killed, and when")
    parser.add_argument("--reader", help=argparse.SUPPRESS)
    return parser.parse_args()


def prepare(store: Store, writers: int, judgements: int) -> None:
    create_set(store, OPERATOR, "bench", key="set")
    add_concept(store, OPERATOR, "bench", "streaks", key="concept")
    images = [ImageRecord(id=f"i{n}", digest=f"{n:064x}", path=f"{n}.png") for n in range(judgements)]
    add_images(store, OPERATOR, images, key="images")
    add_to_set(store, OPERATOR, "bench", [image.id for image in images], key="row")
    for number in range(writers):
        add_account(store, OPERATOR, f"reader{number}", [Role.ANNOTATOR], key=f"reader{number}")


def write(url: str, reader: str, judgements: int) -> None:
    """Judge, and say so only after the store did: number of the image, of the judgement, and seconds."""
    with closing(open_store(url)) as store:
        for number in range(judgements):
            judgement = Judgement(reader=reader, image_id=f"i{number}", concept="streaks", verdict=Verdict.PRESENT)
            began = time.monotonic()
            stored = judge(store, reader, "bench", judgement, key=str(number))
            seconds = time.monotonic() - began
            if number % REPEATED == 0:
                judge(store, reader, "bench", judgement, key=str(number))
            sys.stdout.write(f"{number} {stored} {seconds}\n")
            sys.stdout.flush()


def run_writers(arguments: argparse.Namespace, folder: Path) -> tuple[dict[str, Path], str]:
    generator = np.random.default_rng(arguments.seed)
    victim = f"reader{generator.integers(arguments.writers)}"
    stop_at = int(generator.integers(1, max(2, arguments.judgements // 2)))
    logs = {f"reader{number}": folder / f"{number}.log" for number in range(arguments.writers)}
    command = [sys.executable, __file__, "--store", arguments.store, "--judgements", str(arguments.judgements)]
    running = {}
    for reader, log in logs.items():
        with log.open("w", encoding="utf-8") as output:
            running[reader] = subprocess.Popen([*command, "--reader", reader], stdout=output)
    while len(logs[victim].read_text(encoding="utf-8").splitlines()) < stop_at and running[victim].poll() is None:
        time.sleep(0.002)
    running[victim].kill()
    failed = [reader for reader, process in running.items() if process.wait() != 0 and reader != victim]
    if failed:
        raise SystemExit(f"writers failed: {', '.join(failed)}")
    return logs, victim


def check(store: Store, logs: dict[str, Path], killed: str) -> dict[str, Any]:
    acknowledged: dict[tuple[str, str], int] = {}
    seconds = []
    for reader, log in logs.items():
        # The killed process may have been stopped in the middle of its last line.
        for line in log.read_text(encoding="utf-8").rpartition("\n")[0].splitlines():
            image, number, took = line.split()
            acknowledged[reader, f"i{image}"] = int(number)
            seconds.append(float(took))
    with store.reading() as session:
        rows = session.execute(select(JudgementRow.reader, JudgementRow.image_id, JudgementRow.id)).all()
        current = session.scalar(select(func.count()).select_from(JudgementRow).filter_by(superseded_by=None))
    stored = {(reader, image): number for reader, image, number in rows}
    unasked = [cell for cell in stored if cell not in acknowledged and cell[0] != killed]
    return {
        "database": store.engine.dialect.name,
        "acknowledged": len(acknowledged),
        "lost": sum(stored.get(cell) != number for cell, number in acknowledged.items()),
        "doubled": len(rows) - len(stored) + len(unasked) + (len(rows) - (current or 0)),
        "broken": check_store(store).broken is not None,
        "p50_ms": round(1000 * float(np.quantile(seconds, 0.50)), 1),
        "p99_ms": round(1000 * float(np.quantile(seconds, 0.99)), 1),
        "max_ms": round(1000 * max(seconds), 1),
    }


if __name__ == "__main__":
    sys.exit(main())
