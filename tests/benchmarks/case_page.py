"""How long the server takes to open a case's page, with many cases in the run.

``python tests/benchmarks/case_page.py RUN [--cases 10000] [--pages 40]``: the cases of a real run are repeated
under other names until there are as many as asked for, and pages are opened one after the other, each another case, as
a reviewer does. Measured is the whole run of the page's script, without the network and the browser.
"""

import argparse
import csv
import os
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from streamlit.testing.v1 import AppTest

from clinician_ui import workplace
from clinician_ui.sessions import SESSIONS
from concepts.curation.accounts import OPERATOR, add_account
from concepts.store.roles import Role
from concepts.store.store import open_store
from pipeline.explanation.cases.files import case_file, picture_file, read_case, write_case, write_index
from pipeline.run.folder import RunFolder, open_run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--pages", type=int, default=40)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names = _repeat(asked.run, Path(folder), asked.cases)
        _prepare_store(Path(folder))
        step = max(1, len(names) // asked.pages)
        times = [1000 * seconds for seconds in _open_pages(names[::step][: asked.pages])]
    cuts = statistics.quantiles(times[1:], n=20)
    sys.stdout.write(
        f"{len(names)} cases, {len(times) - 1} pages: median {statistics.median(times[1:]):.0f} ms, "
        f"p95 {cuts[-1]:.0f} ms; the first {times[0]:.0f} ms\n"
    )


def _repeat(source: Path, folder: Path, count: int) -> list[str]:
    run, many = open_run(source), RunFolder(folder / "runs" / "many-20260101-000000")
    many.path.mkdir(parents=True)
    with run.file("cases.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cases = [read_case(run, row["image_id"]) for row in rows]
    index = []
    for number in range(count):
        case, row = cases[number % len(cases)], rows[number % len(rows)]
        name = f"case{number:06}"
        write_case(many, case.model_copy(update={"image_id": name}))
        os.link(run.file(picture_file(case.image_id)), many.file(picture_file(name)))
        index.append(row | {"image_id": name})
    write_index(many, index)
    assert many.file(case_file(index[-1]["image_id"])).is_file()
    os.environ[workplace.RUNS_VARIABLE] = str(folder / "runs")
    return [row["image_id"] for row in index]


def _prepare_store(folder: Path) -> None:
    os.environ[workplace.STORE_VARIABLE] = str(folder / "store.sqlite")
    with closing(open_store(os.environ[workplace.STORE_VARIABLE])) as store:
        add_account(store, OPERATOR, "rev", [Role.REVIEWER], key="rev")


def _page(token: str) -> None:
    from clinician_ui import router, workplace

    workplace.session_token = lambda: token  # type: ignore[assignment]
    router.open_screen(
        next(screen for screen in router.SCREENS if screen.address == "cases"), workplace.current_reader()
    )


def _open_pages(names: list[str]) -> list[float]:
    app = AppTest.from_function(_page, args=(SESSIONS.open("rev"),), default_timeout=120)
    times = []
    for name in names:
        app.query_params["case"] = name
        start = time.perf_counter()
        app.run()
        times.append(time.perf_counter() - start)
        assert not app.exception
        assert any(f"Image {name}" in element.proto.body for element in app.get("html"))
    return times


if __name__ == "__main__":
    main()
