"""The concept store: one database of what clinicians decided; its transactions and migrations."""

import contextlib
import signal
import sys
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import alembic.command
import alembic.config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, inspect
from sqlalchemy.orm import Session

from concepts.addresses import blanked, operator_address
from concepts.errors import StoreError
from concepts.store.database import (
    database_address,
    database_engine,
    errors_in_one_line,
    shown_address,
    sqlite_file,
    writing_alone,
)
from concepts.store.settling import Settling

VARIABLE = "DERMAXIS_STORE"
"""Environment variable with the address of the store."""
DEFAULT_STORE = Path("~/.local/share/dermaxis/concepts.sqlite")
MIGRATIONS = Path(__file__).with_name("migrations")
CHAIN_LOCK = 0x6465726D
"""Number of the advisory lock on PostgreSQL; spells "derm"."""


@dataclass(frozen=True)
class Store:
    """An open store. Make one with `open_store`; threads may share it, processes may not.

    Attributes:
        engine: The database.
    """

    engine: Engine
    _settling: Settling = field(init=False, repr=False, compare=False)
    _kept: dict[Hashable, tuple[Hashable, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Begin to settle what is written."""
        object.__setattr__(self, "_settling", Settling(self.engine))

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
        """Return where the store is, without its secrets."""
        return shown_address(self.engine)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that sees one state and changes nothing."""
        options = {"isolation_level": "REPEATABLE READ"} if self.engine.dialect.name == "postgresql" else {}
        with errors_in_one_line(self.url), Session(self.engine.execution_options(**options)) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction that is alone in writing; it commits at the end, and leaves no trace after an error.

        Raises:
            StoreError: If the database cannot be written.
        """
        with (
            writing_alone(self.engine, lock=CHAIN_LOCK) as writer,
            Session(writer, join_transaction_mode="rollback_only", autoflush=False) as session,
        ):
            yield session
            session.flush()
        self._settling.soon()

    def close(self) -> None:
        """Settle what was written, and let go of the database's connections."""
        self._settling.finish()
        self.engine.dispose()


@contextmanager
def closed_at_the_end(store: Store) -> Iterator[Store]:
    """Close a store at the end of a block, also when that end is SIGTERM, which would leave its log unmerged."""
    is_ours = current_thread() is main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if is_ours:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield store
    finally:
        store.close()
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def open_store(url: str | None = None, *, must_exist: bool = False) -> Store:
    """Open a store at the current revision; a database without tables becomes a new, empty store.

    Args:
        url: ``postgresql://…``, ``sqlite:///…`` or the path of a SQLite file, or ``@FILE`` that holds one of these;
            default: what the environment variable ``DERMAXIS_STORE`` says, else `DEFAULT_STORE`.
        must_exist: Whether a store that is not there is refused instead of made.

    Raises:
        StoreError: If the address is not understood, the database cannot be opened, holds other things, or is at
            another revision.
    """
    store = _connect(url, must_exist=must_exist)
    try:
        with errors_in_one_line(store.url):
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
    with contextlib.closing(store), errors_in_one_line(store.url):
        before = revision(store)
        revisions = {script.revision for script in _scripts().walk_revisions()}
        if before is not None and before not in revisions:
            raise StoreError(f"{store.url}: this Dermaxis does not know revision {before}; update Dermaxis")
        upgrade(store, "head")
        return before, head_revision()


def store_revision(url: str | None) -> str | None:
    """Return the revision that a store is at, be it this Dermaxis's or not.

    Raises:
        StoreError: If there is no store, or it cannot be opened.
    """
    store = _connect(url, must_exist=True)
    with contextlib.closing(store), errors_in_one_line(store.url):
        return revision(store)


def upgrade(store: Store, target: str) -> None:
    """Run the migrations up to a revision, all or none."""
    config = _config()
    with writing_alone(store.engine, lock=CHAIN_LOCK) as writer:
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
            "make a backup, then run 'dermaxis store migrate'"
        )


def _create_if_empty(store: Store, *, must_exist: bool) -> None:
    if revision(store) is None:
        tables = inspect(store.engine).get_table_names()
        if tables:
            raise StoreError(f"{store.url}: the database holds other tables ({tables[0]}, …); give one of its own")
        if must_exist:
            raise StoreError(f"{store.url}: the database holds no concept store; check the address")
        upgrade(store, "head")


def store_address(url: str | None) -> URL:
    """Return the address of a store as `open_store` reads it.

    Raises:
        StoreError: If the address is not understood.
    """
    return database_address(operator_address(url, VARIABLE) or str(DEFAULT_STORE), what="store")


def store_file(url: str | None) -> Path | None:
    """Return the file of a SQLite store; None for PostgreSQL.

    Raises:
        StoreError: If the address is not understood.
    """
    return sqlite_file(store_address(url))


def _connect(url: str | None, *, must_exist: bool) -> Store:
    address = store_address(url)
    path = sqlite_file(address)
    if path is not None and must_exist and not path.is_file():
        raise StoreError(f"{blanked(str(path))}: there is no concept store; give its address by --store or {VARIABLE}")
    return Store(database_engine(address, what="store"))


def _config() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
