"""Open a concept store: a SQLite file by default, PostgreSQL by URL; its transactions and migrations.

Writers queue. On SQLite each takes the file's write lock at once (``BEGIN IMMEDIATE``), on PostgreSQL an advisory lock
as its first statement, so that what a transaction read is still true when it commits, and the audit chain has one end.
Nothing can deadlock, and no commit fails to serialise: there is nothing to repeat. On SQLite a writer leaves the line
once its commit is in the write-ahead log, and only then waits until the log is on the disk: the next one works
meanwhile, and whoever waits at the same time is served by the same turn of the disk. Nobody is told that something is
stored before it is there.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from concepts.errors import StoreError

DEFAULT_STORE = Path("~/.local/share/dermaxis/concepts.sqlite")
MIGRATIONS = Path(__file__).with_name("migrations")
BUSY_SECONDS = 30
CONNECTIONS = 20
"""Kept open, so that a department's sessions find one with a warm cache."""
CACHE_KIB = 8192
"""Of each connection to a SQLite file; a reader's share of the index of judgements fits into it."""
CHAIN_LOCK = 0x6465726D
"""Number of the advisory lock on PostgreSQL; spells "derm"."""


@dataclass(frozen=True)
class Store:
    """An open store. Make one with `open_store`; threads may share it, processes may not.

    Attributes:
        engine: The database.
    """

    engine: Engine
    _kept: dict[Hashable, tuple[Hashable, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def keep(self, key: Hashable, stamp: Hashable, make: Callable[[], Any]) -> Any:  # noqa: ANN401  # whatever is made
        """Keep what ``make`` gives in memory as long as the stamp is the same.

        For what follows from rows that are only ever added, and takes long to gather.

        Args:
            key: What it is; of one thing only the newest is kept.
            stamp: Changes when rows are added, e.g. their number.
            make: Gathers it.
        """
        kept_before = self._kept.get(key)
        if kept_before is None or kept_before[0] != stamp:
            kept_before = self._kept[key] = (stamp, make())
        return kept_before[1]

    @property
    def url(self) -> str:
        """Return where the store is, without a password."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that sees one state and changes nothing."""
        options = {"isolation_level": "REPEATABLE READ"} if self.engine.dialect.name == "postgresql" else {}
        with _one_line(self.url), Session(self.engine.execution_options(**options)) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction that is alone in writing; it commits at the end, and leaves no trace after an error.

        Raises:
            StoreError: If the database cannot be written.
        """
        with (
            _turn(self.engine),
            _one_line(self.url),
            self.engine.connect() as connection,
            _alone(connection) as writer,
            Session(writer, join_transaction_mode="rollback_only", autoflush=False) as session,
        ):
            yield session
            session.flush()

    def close(self) -> None:
        """Let go of the database's connections."""
        self.engine.dispose()


def open_store(url: str | None = None, *, must_exist: bool = False) -> Store:
    """Open a store at the current revision; a database without tables becomes a new, empty store.

    Args:
        url: ``postgresql://…``, ``sqlite:///…`` or the path of a SQLite file; default: what the environment variable
            ``DERMAXIS_STORE`` says, else `DEFAULT_STORE`.
        must_exist: Whether a store that is not there is refused instead of made.

    Raises:
        StoreError: If the address is not understood, the database cannot be opened, holds other things, or is at
            another revision.
    """
    store = _connect(url, must_exist=must_exist)
    try:
        with _one_line(store.url):
            _create_if_empty(store, must_exist=must_exist)
            _refuse_other_revision(store)
    except BaseException:
        store.close()
        raise
    return store


def migrate(url: str | None = None) -> tuple[str | None, str]:
    """Bring a store up to the current revision.

    Returns:
        The revisions before and after.

    Raises:
        StoreError: If the database cannot be opened, or comes from a newer Dermaxis.
    """
    store = _connect(url, must_exist=True)
    with contextlib.closing(store), _one_line(store.url):
        before = revision(store)
        revisions = {script.revision for script in _scripts().walk_revisions()}
        if before is not None and before not in revisions:
            raise StoreError(f"{store.url}: revision {before} is not known here; update Dermaxis")
        upgrade(store, "head")
        return before, head_revision()


def upgrade(store: Store, target: str) -> None:
    """Run the migrations up to a revision, all or none."""
    config = _config()
    with _turn(store.engine), store.engine.connect() as connection, _alone(connection) as writer:
        config.attributes["connection"] = writer
        alembic.command.upgrade(config, target)


def revision(store: Store) -> str | None:
    """Return the revision that the store is at; None where there is none."""
    with store.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


@cache
def head_revision() -> str:
    """Return the revision that this Dermaxis works with."""
    return str(_scripts().get_current_head())


def _refuse_other_revision(store: Store) -> None:
    present, head = revision(store), head_revision()
    if present != head:
        raise StoreError(
            f"{store.url}: the store is at revision {present}, this Dermaxis needs {head}; "
            "make a copy, then run 'dermaxis concepts migrate'"
        )


def _create_if_empty(store: Store, *, must_exist: bool) -> None:
    if revision(store) is None:
        tables = inspect(store.engine).get_table_names()
        if tables:
            raise StoreError(f"{store.url}: the database holds other tables ({tables[0]}, …); give one of its own")
        if must_exist:
            raise StoreError(f"{store.url}: the database holds no concept store; check the address")
        upgrade(store, "head")


def _connect(url: str | None, *, must_exist: bool) -> Store:
    address = _address(url)
    if address.get_backend_name() == "sqlite":
        if not address.database or address.database == ":memory:":
            raise StoreError("a store is a file or a PostgreSQL database; one in memory would lose judgements")
        path = Path(address.database).expanduser()
        if must_exist and not path.is_file():
            raise StoreError(f"{path}: there is no concept store; give its address by --store or DERMAXIS_STORE")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path}: the store cannot be made: {error.strerror}") from error
        file = address.set(database=str(path))
        engine = create_engine(file, connect_args={"timeout": BUSY_SECONDS}, pool_size=CONNECTIONS)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return Store(engine)
    try:
        return Store(
            create_engine(address, isolation_level="READ COMMITTED", pool_pre_ping=True, pool_size=CONNECTIONS)
        )
    except ModuleNotFoundError as error:
        raise StoreError("PostgreSQL needs psycopg: pip install 'dermaxis[postgresql]'") from error


def _address(url: str | None) -> URL:
    word = os.environ.get("DERMAXIS_STORE", str(DEFAULT_STORE)) if url is None else url
    if "://" not in word and not word.startswith("sqlite:"):
        return URL.create("sqlite", database=word)
    try:
        address = make_url(word)
        backend = address.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise StoreError(
            "the store's address is not understood; allowed: a file, sqlite:///…, postgresql://…"
        ) from error
    if backend in ("postgres", "postgresql"):
        return address.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StoreError(f"a store cannot be kept in {backend!r:.40}; allowed: a file, sqlite:///…, postgresql://…")
    return address.set(drivername="sqlite")


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


@contextmanager
def _alone(connection: Connection) -> Iterator[Connection]:
    writer = connection.execution_options(alone=True)
    with writer.begin():
        if writer.dialect.name == "postgresql":
            writer.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": CHAIN_LOCK})
        yield writer


@contextmanager
def _one_line(url: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        raise StoreError(f"{url}: the database refused: {reason:.300}") from error


def _config() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
