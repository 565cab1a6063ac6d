"""Fixtures for every test."""

import gc
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine.default import DefaultDialect

from concepts.store import database

DEBIAN = Path("/usr/lib/postgresql")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several test processes share the cores; read before torch is imported, and inherited by what a test starts.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# MONAI imports jsonschema, which, where this is installed, compiles grammars of addresses for three seconds.
sys.modules.setdefault("rfc3987_syntax", None)
# MONAI imports MLflow where it is installed, for more than a second; tests of ours import it themselves.
sys.modules.setdefault("mlflow", None)
gc.disable()  # until all is collected: importing makes no garbage worth a search


def pytest_collection_finish() -> None:
    """Let tests import MLflow, and spare each what it would pay for all that was imported."""
    if sys.modules["mlflow"] is None:
        del sys.modules["mlflow"]
    # Pytest listens to each logger that does not propagate, six times a test; nearly all are of Streamlit.
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("streamlit."):
            logger.propagate = True
    # Out of the collector's sight, which searched it often, and which Hypothesis times at each search.
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def statements_compiled_once() -> Iterator[None]:
    """Let all stores share what SQLAlchemy compiled: each test opens one, whose statements are those of the others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "create_engine", partial(create_engine, execution_options={"compiled_cache": {}}))
        patch.setattr(DefaultDialect, "__eq__", lambda dialect, other: type(dialect) is type(other))
        patch.setattr(DefaultDialect, "__hash__", lambda dialect: hash(type(dialect)))
        yield


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with real data, or skip, saying so."""
    folder = os.environ.get("DERMAXIS_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real data absent: set DERMAXIS_DATA to the folder that holds isic2018/")
    return Path(folder)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The address of a PostgreSQL server: the one that is named, else a private one that is thrown away, else skip."""
    named = os.environ.get("DERMAXIS_TEST_POSTGRES")
    if named:
        yield named
        return
    programs = sorted(DEBIAN.glob("*/bin"))
    if not programs or (os.geteuid() == 0 and not shutil.which("runuser")):
        pytest.skip("PostgreSQL absent: set DERMAXIS_TEST_POSTGRES to a server's URL, or install Debian's postgresql")
    pytest.importorskip("psycopg")
    folder = Path(tempfile.mkdtemp(prefix="dermaxis-postgresql-", dir=roomy_memory()))
    cluster = Cluster(programs[-1], folder)
    try:
        yield cluster.start()
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def roomy_memory() -> Path | None:
    """A folder in memory, where there is room for a cluster: dozens of databases on a busy disk take minutes."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > 1 << 30 else None


class Cluster:
    """A PostgreSQL cluster on loopback, in a folder of its own."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder

    def start(self) -> str:
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._run("initdb", "--username=tests", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        # Thrown away in any case, so it need not reach the disk.
        options = "-c fsync=off -c full_page_writes=off -c synchronous_commit=off "
        options += f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "--wait", f"--log={self.folder}/log", f"--options={options}", "start")
        return f"postgresql://tests@127.0.0.1:{port}/postgres"

    def stop(self) -> None:
        if (self.folder / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "--mode=immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), f"--pgdata={self.folder}/data", *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder)
