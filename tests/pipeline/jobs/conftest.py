"""Jobs in an empty database, and children that take no time in place of runs."""

import sys
from collections.abc import Callable
from contextlib import closing

import pytest
from sqlalchemy import update

from concepts.store import database
from pipeline.config import parse_overrides
from pipeline.jobs import supervise, worker
from pipeline.jobs.job import Job
from pipeline.jobs.ledger import Ledger, open_ledger
from pipeline.jobs.tables import JOB, TABLES, WORKER

SETTINGS = parse_overrides(["name=tiny", "seed=3"])


@pytest.fixture(autouse=True)
def no_disk(monkeypatch):
    """Wait for no disk: what is written here need not survive a power cut."""
    monkeypatch.setattr(database.os, "fsync", lambda descriptor: None)


@pytest.fixture
def ledger(tmp_path):
    with closing(open_ledger(tmp_path / "runs")) as opened:
        yield opened


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def address(request, tmp_path):
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    url = request.getfixturevalue("postgresql_server")
    with closing(open_ledger(tmp_path / "runs", url)) as earlier, earlier.engine.begin() as connection:
        TABLES.drop_all(connection)
    return url


@pytest.fixture
def machines(address, tmp_path):
    """Open the same jobs as on several machines."""
    opened = []

    def open_there(name: str) -> Ledger:
        opened.append(open_ledger(tmp_path / name, address))
        return opened[-1]

    yield open_there
    for ledger in opened:
        ledger.close()


@pytest.fixture
def submit() -> Callable[..., Job]:
    def submit_tiny(ledger: Ledger, key: str = "k", **changes: object) -> Job:
        return ledger.submit(SETTINGS.model_copy(update=changes), by="res", key=key)

    return submit_tiny


@pytest.fixture
def silence() -> Callable[[Ledger, float], None]:
    """Let the last sign of life of every worker lie some seconds further back."""

    def set_back(ledger: Ledger, seconds: float) -> None:
        with ledger.engine.begin() as connection:
            for table in (JOB, WORKER):
                connection.execute(update(table).values(beaten=table.c.beaten - seconds))

    return set_back


@pytest.fixture
def children(monkeypatch) -> Callable[[str], list[bool]]:
    """Let a worker start a script in place of a run; gives, of each start, whether it was told to resume."""
    started: list[bool] = []
    for module, name in ((supervise, "POLL_SECONDS"), (worker, "IDLE_SECONDS")):
        monkeypatch.setattr(module, name, 0.01)
    monkeypatch.setattr(worker, "REPORTS_PER_LEASE", 3000)

    def use(script: str) -> list[bool]:
        def command(settings, progress, *, resume):
            started.append(resume)
            return [sys.executable, "-S", "-c", script, str(progress), str(settings)]

        monkeypatch.setattr(worker, "command", command)
        return started

    return use
