"""Open a database: a SQLite file or PostgreSQL by URL; one writer at a time.

Writers queue. On SQLite each takes the file's write lock at once (``BEGIN IMMEDIATE``), on PostgreSQL an advisory lock
as its first statement, so that what a transaction read is still true when it commits. Nothing can deadlock, and no
commit fails to serialise: there is nothing to repeat. On SQLite a writer leaves the line once its commit is in the
write-ahead log, and only then waits until the log is on the disk: the next writer works meanwhile, and all who wait at
the same time are served by the same turn of the disk. Nobody is told that something is stored before it is there.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from concepts.addresses import blanked
from concepts.errors import StoreError

BUSY_SECONDS = 30
CONNECTIONS = 20
"""Kept open, so that a department's sessions find one with a warm cache."""
CACHE_KIB = 8192
"""Of each connection to a SQLite file; a reader's share of the index of judgements fits into it."""
ALLOWED = "a file, sqlite:///…, postgresql://…"


def database_address(word: str, *, what: str) -> URL:
    """Read the address of a database: ``postgresql://…``, ``sqlite:///…`` or the path of a SQLite file.

    Args:
        word: The address.
        what: What the database holds, for messages; e.g. ``store``.

    Raises:
        StoreError: If the address is not understood, or names another kind of database or one in memory.
    """
    if "://" not in word and not word.startswith("sqlite:"):
        return URL.create("sqlite", database=word)
    try:
        address = make_url(word)
        backend = address.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise StoreError(f"the address of the {what} is not understood; allowed: {ALLOWED}") from error
    if backend in ("postgres", "postgresql"):
        return address.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StoreError(f"a {what} cannot be kept in {backend!r:.40}; allowed: {ALLOWED}")
    if not address.database or address.database == ":memory:":
        raise StoreError(f"a {what} is a file or a PostgreSQL database; one in memory would lose what it holds")
    return address.set(drivername="sqlite")


def sqlite_file(address: URL) -> Path | None:
    """Return the file that holds a SQLite database; None for PostgreSQL."""
    return Path(str(address.database)).expanduser() if address.get_backend_name() == "sqlite" else None


def database_engine(address: URL, *, what: str) -> Engine:
    """Make the engine of a database; the folder of a SQLite file is made.

    Raises:
        StoreError: If the folder cannot be made, or the driver for PostgreSQL is not installed.
    """
    path = sqlite_file(address)
    if path is None:
        try:
            return create_engine(address, isolation_level="READ COMMITTED", pool_pre_ping=True, pool_size=CONNECTIONS)
        except ModuleNotFoundError as error:
            raise StoreError("PostgreSQL needs psycopg: pip install 'dermaxis[postgresql]'") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{blanked(str(path))}: the {what} cannot be made: {error.strerror}") from error
    engine = create_engine(
        address.set(database=str(path)), connect_args={"timeout": BUSY_SECONDS}, pool_size=CONNECTIONS
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def writing_alone(engine: Engine, *, lock: int) -> Iterator[Connection]:
    """Open a transaction that is alone in writing; it commits at the end, or leaves no trace after an error.

    Args:
        engine: The database.
        lock: Number of the advisory lock on PostgreSQL; writers with the same number queue.

    Raises:
        StoreError: If the database cannot be written.
    """
    with _turn(engine), errors_in_one_line(shown_address(engine)), engine.connect() as connection:
        writer = connection.execution_options(alone=True)
        with writer.begin():
            if writer.dialect.name == "postgresql":
                writer.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": lock})
            yield writer


def shown_address(engine: Engine) -> str:
    """Return where a database is, for people: without its secrets."""
    return blanked(engine.url.render_as_string(hide_password=True))


@contextmanager
def errors_in_one_line(url: str) -> Iterator[None]:
    """Turn what the driver raises into a `StoreError` of one line; ``url`` is from `shown_address`."""
    try:
        yield
    except DBAPIError as error:
        reason = blanked(" ".join(str(error.orig).split()))
        raise StoreError(f"{url}: the database refused: {reason:.300}") from error


def _set_up_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401  # the driver's own type
    # The driver must not begin transactions by itself: it would begin them deferred.
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        # A commit does not wait for the disk itself; `_turn` does, for everyone who is in the log by then.
        "synchronous = NORMAL",
        "foreign_keys = ON",
        f"cache_size = -{CACHE_KIB}",
        # Without it REPLACE would delete without asking the triggers.
        "recursive_triggers = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    alone = connection.get_execution_options().get("alone", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if alone else "BEGIN")


@contextmanager
def _turn(engine: Engine) -> Iterator[None]:
    """Wait in line for a SQLite file: its own waiting is by polling, which lets some writers starve."""
    if engine.dialect.name != "sqlite":
        yield
        return
    with Path(f"{engine.url.database}-queue").open("a", encoding="utf-8") as ticket:
        fcntl.flock(ticket, fcntl.LOCK_EX)
        yield
    _reach_disk(Path(f"{engine.url.database}-wal"))


def _reach_disk(log: Path) -> None:
    """Wait until all that is in a write-ahead log is on the disk; a log that is gone was brought into the database."""
    try:
        with log.open("rb") as file:
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{log}: the disk did not take what was written: {error.strerror}; check it") from error
