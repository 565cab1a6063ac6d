"""Many people judge at once in one server: how long does each wait for the next image, and what memory does it take?

    python tests/benchmarks/store_reading.py --store /tmp/reading.sqlite
    python tests/benchmarks/store_reading.py --store postgresql://user@127.0.0.1/empty_database

Sessions are threads of one process that share a store, as in the labelling tool, and ask what the screens Curate and
Grid ask, in the same order. Each looks at its image for a while before it judges (``--look``, seconds). A store that
was filled by an earlier run is used again. What the browser and Streamlit itself take is not in the figures.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from sqlalchemy import insert

from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR, add_account, find_account
from concepts.curation.queue import Filter, Order
from concepts.curation.sets import SetConcept
from concepts.example import ConceptEntry, Example, Origin, Polarity
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Kind, Verdict
from concepts.release import freeze, write_release
from concepts.store.roles import Role
from concepts.store.schema import EmbeddingRow, JudgementRow, LaterRow, SuspicionRow
from concepts.store.store import Store, open_store

SET, RUN = "bench", "run"
READERS_PER_CONCEPT = 2
SUSPECTED = 20
"""Concepts that the run's network has an axis for."""
DIMENSIONS = 64
AT = "2026-01-01T00:00:00.000000+00:00"
GRID_PAGE, GRID_SELECTED, CURATE_AHEAD, NEAREST = 60, 12, 4, 600
CONCEPT_LASTS = 10
"""Cases after which a session goes on to its next concept."""
EVERY_GRID = 4
"""Each so many-th session works in the grid."""
TARGET_MS, TARGET_MIB = 300, 2048
ORDERS = (Order.SET, Order.UNCERTAIN, Order.CONTESTED, Order.INFORMATIVE, Order.SUSPICION)
SHARES = {Verdict.PRESENT: 0.3, Verdict.ABSENT: 0.5, Verdict.UNCERTAIN: 0.15, Verdict.NOT_ASSESSABLE: 0.05}


def main() -> int:
    asked = parse()
    if asked.fill:
        with closing(open_store(asked.store)) as store:
            fill(store, asked)
        return 0
    # Filling takes memory that must not be counted, so it is another process.
    subprocess.run([sys.executable, __file__, *sys.argv[1:], "--fill"], check=True)
    with closing(open_store(asked.store)) as store:
        began = time.process_time()
        timings = work(store, asked)
        seconds = time.process_time() - began
        database = store.engine.dialect.name
    figures = {name: figure(seconds) for name, seconds in sorted(timings.items())}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    asks = asked.sessions * asked.asks
    report(asked, f"{database}, {1000 * seconds / asks:.1f} ms of processor time a case", figures, memory)
    if asked.json:
        asked.json.write_text(json.dumps({"waits": figures, "peak_mib": memory}, indent=1) + "\n")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="a new SQLite file, the URL of an empty database, or filled so")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--concepts", type=int, default=200)
    parser.add_argument("--judgements", type=int, default=200_000, help="stored before anyone asks")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--asks", type=int, default=40, help="next images of each session")
    parser.add_argument("--look", type=float, default=2.0, help="seconds for which each image is looked at, on average")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--fill", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def fill(store: Store, asked: argparse.Namespace) -> None:
    """A set, its images and readers by the store's acts; judgements and figures in bulk, past the audit log."""
    if any(entry.name == SET for entry in curation.list_sets(store, OPERATOR)):
        return
    generator = np.random.default_rng(0)
    images = [image(number) for number in range(asked.images)]
    names = [image.id for image in images]
    curation.create_set(store, OPERATOR, SET, key="set")
    curation.add_images(store, OPERATOR, images, key="images")
    curation.add_to_set(store, OPERATOR, SET, names, key="row")
    for number in range(asked.concepts):
        added = SetConcept(id=concept(number), name=f"Concept {number}", definition="Drawn by lot.", is_own=True)
        curation.add_concept(store, OPERATOR, SET, added, key=added.id)
    for number in range(asked.sessions):
        add_account(store, OPERATOR, reader(number), [Role.ANNOTATOR], key=reader(number))
    rows = list(judgement_rows(asked, names, generator))
    with store.writing() as session:
        session.execute(insert(JudgementRow), rows)
        session.execute(insert(LaterRow), later_rows(rows))
        suspected = [concept(number) for number in range(min(SUSPECTED, asked.concepts))]
        values = generator.random((len(suspected), len(names)))
        for name, row in zip(suspected, values, strict=True):
            pairs = zip(names, map(float, row), strict=True)
            session.execute(
                insert(SuspicionRow), [{"run": RUN, "concept": name, "image_id": i, "value": v} for i, v in pairs]
            )
        vectors = generator.normal(size=(len(names), DIMENSIONS)).astype("<f4")
        session.execute(
            insert(EmbeddingRow),
            [{"run": RUN, "image_id": i, "vector": v.tobytes()} for i, v in zip(names, vectors, strict=True)],
        )
    settle(store, rows, {image.id: image.digest for image in images})


def image(number: int) -> ImageRecord:
    return ImageRecord(
        id=f"ISIC_{number:07}",
        digest=f"{number:064x}",
        path=f"images/ISIC_{number:07}.jpg",
        width=1024,
        height=768,
        diagnosis=("nevus", "melanoma", "seborrheic_keratosis")[number % 3],
        site=("back", "leg", "arm", "face")[number % 4],
        age=20.0 + number % 60,
        source=("first", "second")[number % 2],
    )


def concept(number: int) -> str:
    return f"concept{number:03}"


def reader(number: int) -> str:
    return f"reader{number:02}"


def own_concepts(number: int, asked: argparse.Namespace) -> list[str]:
    """Those that a reader reads: each concept has `READERS_PER_CONCEPT` readers."""
    groups = max(1, asked.sessions // READERS_PER_CONCEPT)
    return [concept(index) for index in range(asked.concepts) if index % groups == number % groups] or [concept(0)]


def judgement_rows(
    asked: argparse.Namespace, names: list[str], generator: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """In the set's order: half of each reader's in the concept that they are at, the rest spread over the others."""
    verdicts = generator.choice(list(map(str, SHARES)), p=list(SHARES.values()), size=asked.judgements + asked.concepts)
    number = 0
    for session in range(asked.sessions):
        first, *others = own_concepts(session, asked)
        each = asked.judgements // asked.sessions
        depths = {first: each // 2, **dict.fromkeys(others, each // 2 // max(1, len(others)))}
        for name, depth in depths.items():
            for image_id in names[: min(depth, len(names) // 2)]:
                number += 1
                yield {
                    "id": number,
                    "set_name": SET,
                    "image_id": image_id,
                    "concept": name,
                    "reader": reader(session),
                    "kind": Kind.READING,
                    "reading": 1,
                    "verdict": verdicts[number - 1],
                    "note": "",
                    "blinded": True,
                    "origin": Origin.JUDGED,
                    "at": AT,
                    "act": f"fill {number}",
                }


def later_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = ("set_name", "reader", "concept", "image_id")
    return [{name: row[name] for name in kept} | {"at": AT} for row in rows[::100]]


def settle(store: Store, rows: list[dict[str, Any]], digests: dict[str, str]) -> None:
    """A release of what the first reader of each case said, for the examples beside the lesion."""
    polarities = {str(Verdict.PRESENT): Polarity.PRESENT, str(Verdict.ABSENT): Polarity.ABSENT}
    latest = {(row["concept"], row["image_id"]): row["verdict"] for row in reversed(rows)}
    examples = [
        Example(
            image_id=image_id,
            image_digest=digests[image_id],
            concept=name,
            polarity=polarities[verdict],
            provenance="judged",
        )
        for (name, image_id), verdict in latest.items()
        if verdict in polarities
    ]
    used = sorted({example.concept for example in examples})
    entries = [ConceptEntry(id=name, name=name, definition="Drawn by lot.", origin=Origin.JUDGED) for name in used]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "release.json"
        write_release(freeze(SET, 1, concepts=entries, examples=examples), path)
        curation.import_release(store, OPERATOR, path, key="release")


@dataclass
class Timings:
    """Seconds, by what was waited for."""

    of: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str, seconds: float) -> None:
        with self.lock:
            self.of[what].append(seconds)


def work(store: Store, asked: argparse.Namespace) -> dict[str, list[float]]:
    timings = Timings()
    failed: list[BaseException] = []

    def act(number: int) -> None:
        try:
            sit(store, number, asked, timings)
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            failed.append(error)

    threads = [threading.Thread(target=act, args=(number,)) for number in range(asked.sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return timings.of


def sit(store: Store, number: int, asked: argparse.Namespace, timings: Timings) -> None:
    """One person's session."""
    generator = np.random.default_rng(number)
    in_grid = number % EVERY_GRID == EVERY_GRID - 1
    screen, order = "Grid" if in_grid else "Curate", ORDERS[(number // EVERY_GRID) % len(ORDERS)]
    by_likeness = in_grid and number // EVERY_GRID % 2 == 1
    time.sleep(asked.look * generator.random())
    concepts = cycle(own_concepts(number, asked))
    name, shown = "", [""]
    for ask in range(asked.asks):
        is_new = ask % CONCEPT_LASTS == 0
        if is_new:
            name = next(concepts)
        began = time.perf_counter()
        if not is_new:
            assign(store, reader(number), name, shown)
            timings.note(f"{screen}: verdict stored", time.perf_counter() - began)
        rendered = time.perf_counter()
        if in_grid:
            shown = grid(store, reader(number), name, order, by_likeness=by_likeness)
        else:
            shown = curate(store, reader(number), name, order, is_new=is_new)
        what = "first of a concept" if is_new else "similar images" if by_likeness else f"next, order {order}"
        timings.note(f"{screen}: {what}", time.perf_counter() - rendered)
        if not is_new:
            timings.note(f"{screen}: verdict and next", time.perf_counter() - began)
        time.sleep(asked.look * 2 * generator.random())


def assign(store: Store, name: str, concept_id: str, images: list[str]) -> None:
    judgements = [
        Judgement(reader=name, image_id=image_id, concept=concept_id, verdict=Verdict.ABSENT) for image_id in images
    ]
    find_account(store, name)
    if len(judgements) == 1:
        curation.judge(store, name, SET, judgements[0], key=uuid4().hex)
    else:
        curation.judge_many(store, name, SET, judgements, key=uuid4().hex)


def curate(store: Store, name: str, concept_id: str, order: Order, *, is_new: bool) -> list[str]:
    """What `clinician_ui.screens.curate.show` asks; the case in front of the reader."""
    find_account(store, name)
    curation.list_sets(store, name)
    curation.read_set(store, name, SET)
    curation.facets(store, name, SET)
    cases = curation.queue(store, name, SET, concept_id, order=order, run=RUN, limit=CURATE_AHEAD)
    curation.own_judgement(store, name, SET, cases[0].image_id, concept_id)
    if is_new:
        curation.exemplars(store, name, SET, concept_id)
    curation.progress(store, name, SET)
    curation.own_latest(store, name, SET)
    return [cases[0].image_id]


def grid(store: Store, name: str, concept_id: str, order: Order, *, by_likeness: bool) -> list[str]:
    """What `clinician_ui.screens.grid.show` asks; what the reader selects."""
    find_account(store, name)
    curation.list_sets(store, name)
    curation.read_set(store, name, SET)
    curation.facets(store, name, SET)
    where = (store, name, SET, concept_id)
    unread = Filter(judged=False)
    if not by_likeness:
        page = curation.browse(*where, filter_by=unread, order=order, run=RUN, limit=GRID_PAGE)
        return [case.image_id for case in page.cases[:GRID_SELECTED]]
    present = curation.browse(*where, filter_by=Filter(verdict=Verdict.PRESENT), limit=NEAREST)
    like = [case.image_id for case in present.cases] or [image(0).id]
    ranked = [image_id for image_id, _ in curation.similar_images(store, name, SET, run=RUN, like=like)]
    near = Filter(judged=False, images=ranked[:NEAREST])
    cases = curation.browse(*where, filter_by=near, run=RUN, limit=NEAREST).cases
    return [case.image_id for case in cases[:GRID_SELECTED]]


def figure(seconds: list[float]) -> dict[str, float]:
    milliseconds = 1000 * np.array(seconds)
    p50, p95 = np.quantile(milliseconds, [0.5, 0.95]).tolist()
    return {"n": len(seconds), "p50_ms": p50, "p95_ms": p95, "max_ms": float(milliseconds.max())}


def report(asked: argparse.Namespace, what: str, figures: dict[str, dict[str, float]], memory: float) -> None:
    say(
        f"{what}; {asked.images:,} images, {asked.concepts} concepts, {asked.judgements:,} judgements, "
        f"{asked.sessions} sessions, {asked.look:g} s to look at an image\n"
    )
    say(f"{'what is waited for':40} {'n':>6} {'p50':>11} {'p95':>11} {'longest':>11} {'target':>11}\n")
    for name, row in figures.items():
        times = " ".join(f"{row[key]:8.1f} ms" for key in ("p50_ms", "p95_ms", "max_ms"))
        say(f"{name:40} {row['n']:6} {times} {TARGET_MS:8} ms\n")
    say(f"{'peak memory of the process':40} {'':6} {'':11} {'':11} {memory:7.0f} MiB {TARGET_MIB:7} MiB\n")


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
