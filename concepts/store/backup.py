"""Back a store up while it is in use, and put a backup in its place.

A SQLite store is copied by SQLite's own backup call, which sees one state, the write-ahead log included; copying the
file by other means loses what is in the log. A PostgreSQL store goes through ``pg_dump`` and ``pg_restore``. Nothing is
called a backup, and no backup is put in place, before it was opened and checked. What was there before is kept.
"""

import contextlib
import fcntl
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from sqlalchemy import URL, create_engine, text

from concepts.errors import StoreError
from concepts.files import replacing
from concepts.store.check import Findings, check
from concepts.store.database import errors_in_one_line
from concepts.store.store import (
    Store,
    head_revision,
    migrate,
    open_store,
    store_address,
    store_file,
    store_revision,
)

SHARED_BYTES = (510, 0x40000002)
"""Length and start of the bytes that every open connection to a SQLite file keeps locked, from SQLite's file format."""
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file and would apply to another file of the same name."""

OWNER_ONLY = 0o600
"""A backup holds names and password hashes."""


def back_up(url: str | None, file: Path) -> Findings | None:
    """Copy a store to a new file, while others may be writing to it.

    The copy holds all that was acknowledged before the call, and passes `check`.

    Args:
        url: Address of the store; None: the default one.
        file: The backup: a SQLite file, or for PostgreSQL an archive in ``pg_dump``'s custom format.

    Returns:
        What `check` found in the copy; for PostgreSQL in the store itself, in the state that was dumped or a later one.
        None for a PostgreSQL store of an older Dermaxis, which is checked when it is migrated or restored.

    Raises:
        StoreError: If the file exists, the store cannot be read, or the copy does not pass `check`.
    """
    if file.exists() or file.is_symlink():
        raise StoreError(f"{file}: exists already, and a backup is never overwritten; give another file")
    source = store_file(url)
    is_current = store_revision(url) == head_revision()
    with _file_errors(file), replacing(file) as copy:
        copy.chmod(OWNER_ONLY)
        if source is not None:
            _copy_sqlite(source, copy)
            findings = _check_file(copy) if is_current else _check_migrated(copy)
        else:
            _run_tool("pg_dump", "--format=custom", f"--file={copy}", address=store_address(url))
            if not is_current:
                return None
            with closing(open_store(url, must_exist=True)) as store:
                findings = check(store)
        _refuse_broken(findings, str(file))
        return findings


def restore(url: str | None, file: Path) -> tuple[Findings, str]:
    """Put a backup in a store's place; what was there is kept under another name.

    A backup that an older Dermaxis made is migrated on the way.

    Args:
        url: Address of the store, which may be damaged or missing; None: the default one.
        file: From `back_up`.

    Returns:
        What `check` found in the backup, and where the store of before is, "" if there was none.

    Raises:
        StoreError: If the store is in use, or the backup cannot be read or does not pass `check`; then nothing changed.
    """
    if not file.is_file():
        raise StoreError(f"{file}: there is no backup; give a file that 'dermaxis store backup' made")
    target = store_file(url)
    return _restore_postgresql(store_address(url), file) if target is None else _restore_sqlite(target, file)


def _restore_sqlite(target: Path, file: Path) -> tuple[Findings, str]:
    with _file_errors(target), _unused(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # The temporary file takes the target's name only once the one of before is out of the way.
        with replacing(target) as copy:
            _copy_sqlite(file, copy)
            findings = _migrate_and_check(copy)
            _refuse_broken(findings, str(file))
            aside = _set_aside(target)
    return findings, aside


def _set_aside(target: Path) -> str:
    """Rename a store and all that belongs to it; the file first, so that a crash leaves no store instead of a half."""
    aside = target.with_name(f"{target.name}.before-{_stamp()}")
    present = [end for end in ("", *BESIDE) if target.with_name(target.name + end).exists()]
    for end in present:
        target.with_name(target.name + end).rename(aside.with_name(aside.name + end))
    return str(aside) if present else ""


@contextmanager
def _unused(target: Path) -> Iterator[None]:
    """Hold the lock that every connection to a SQLite file shares; it works for a damaged file too."""
    if not target.exists():
        yield
        return
    with target.open("r+b") as held:
        try:
            fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB, *SHARED_BYTES)
        except BlockingIOError as error:
            raise StoreError(f"{target}: the store is in use; stop the tool and every command on it first") from error
        yield


def _copy_sqlite(source: Path, copy: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as reader,
            closing(sqlite3.connect(copy)) as writer,
        ):
            # All pages in one step: one state, and no beginning again whenever somebody writes.
            reader.backup(writer, pages=-1)
            writer.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise StoreError(
            f"{source}: SQLite cannot read the file: {error}; give a SQLite store or its backup"
        ) from error


def _check_migrated(copy: Path) -> Findings:
    """Check a copy that an older Dermaxis made, by a copy of it that is migrated and thrown away."""
    with tempfile.TemporaryDirectory(dir=copy.parent) as folder:
        _copy_sqlite(copy, Path(folder, "migrated.sqlite"))
        return _migrate_and_check(Path(folder, "migrated.sqlite"))


def _migrate_and_check(copy: Path) -> Findings:
    try:
        before, _ = migrate(str(copy))
        if before is None:
            raise StoreError("the file holds no concept store; give one that 'dermaxis store backup' made")
        return _check_file(copy)
    finally:
        Path(f"{copy}-queue").unlink(missing_ok=True)


def _check_file(copy: Path) -> Findings:
    with closing(sqlite3.connect(copy)) as connection:
        faults = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(1)")]
    if faults != ["ok"]:
        raise StoreError(f"the copy is damaged: {faults[0]:.200}; nothing was put in its place")
    with closing(open_store(str(copy), must_exist=True)) as store:
        return check(store)


def _refuse_broken(findings: Findings, where: str) -> None:
    if findings.broken is not None:
        raise StoreError(
            f"{where}: {findings.broken.reason} (event {findings.broken.seq}); nothing was written: "
            "compare the store with its earlier backups"
        )


def _restore_postgresql(address: URL, file: Path) -> tuple[Findings, str]:
    name, stamp = str(address.database), _stamp()
    fresh, aside = f"{name}_restored_{token_hex(4)}", f"{name}_before_{stamp}"
    is_placed = False
    with _administering(address) as administer:
        exists = bool(administer("SELECT datname FROM pg_database WHERE datname = :name", name=name))
        if exists and administer("SELECT pid FROM pg_stat_activity WHERE datname = :name", name=name):
            raise StoreError(f"{name}: the store is in use; stop the tool and every command on it first")
        administer(f"CREATE DATABASE {_quoted(fresh)} TEMPLATE template0 ENCODING 'UTF8'")
        try:
            new = address.set(database=fresh)
            _run_tool("pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", str(file), address=new)
            migrate(new.render_as_string(hide_password=False))
            with closing(open_store(new.render_as_string(hide_password=False), must_exist=True)) as store:
                findings = check(store)
            _refuse_broken(findings, str(file))
            # Each refuses while anyone is connected.
            if exists:
                administer(f"ALTER DATABASE {_quoted(name)} RENAME TO {_quoted(aside)}")
            administer(f"ALTER DATABASE {_quoted(fresh)} RENAME TO {_quoted(name)}")
            is_placed = True
        finally:
            if not is_placed:
                administer(f"DROP DATABASE IF EXISTS {_quoted(fresh)}")
    return findings, aside if exists else ""


@contextmanager
def _administering(address: URL) -> Iterator[Callable[..., list[str]]]:
    """Give statements on the server itself, outside any transaction."""
    engine = create_engine(address.set(database="postgres"), isolation_level="AUTOCOMMIT")
    server = f"the server of {address.database}, database postgres"
    with contextlib.closing(Store(engine)), errors_in_one_line(server), engine.connect() as connection:

        def administer(statement: str, **values: str) -> list[str]:
            answer = connection.execute(text(statement), values)
            return [str(row[0]) for row in answer] if answer.returns_rows else []

        yield administer


def _run_tool(program: str, *arguments: str, address: URL) -> None:
    """Run one of PostgreSQL's programs; the password goes by the environment, where nobody else can read it.

    Raises:
        StoreError: If it is not installed, or fails.
    """
    path = shutil.which(program)
    if path is None:
        raise StoreError(f"{program} is not installed; install PostgreSQL's client programs of the server's version")
    secret = address.password or address.query.get("password")
    password = {"PGPASSWORD": str(secret)} if secret else {}
    bare = address.set(drivername="postgresql", password=None).difference_update_query(["password"])
    command = [path, "--no-password", f"--dbname={bare.render_as_string(hide_password=False)}", *arguments]
    process = subprocess.run(
        command, env={**os.environ, **password}, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if process.returncode != 0:
        reason = " ".join(process.stderr.split())[-300:]
        raise StoreError(f"{program} failed on {address.database}: {reason}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S")


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: the file cannot be written: {error.strerror}; check folder and disk") from error
