"""Bring what was written into a SQLite file itself, soon after; and tell the witness file, where there is one.

SQLite writes into a log beside the file, and merges it when the last connection closes: a process that is killed leaves
it. Here it is merged, without anybody waiting, half a minute after a write at the latest, and when a store is closed.
"""

import contextlib
import logging
from threading import Lock, Timer

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from concepts.errors import StoreError
from concepts.store import audit
from concepts.store.witness import note, witness_file

SECONDS = 30.0
LOGGER = logging.getLogger(__name__)


class Settling:
    """Settles what a process writes into a store.

    Args:
        engine: The store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._timer: Timer | None = None
        self._lock = Lock()

    def soon(self) -> None:
        """Settle in `SECONDS`, unless that is about to happen anyway."""
        if self._engine.dialect.name != "sqlite" and witness_file() is None:
            return
        with self._lock:
            if self._timer is None:
                self._timer = Timer(SECONDS, self._settle)
                self._timer.daemon = True
                self._timer.start()

    def finish(self) -> None:
        """Settle now, if something waits for it."""
        with self._lock:
            timer = self._timer
        if timer is not None:
            timer.cancel()
            self._settle()

    def _settle(self) -> None:
        with self._lock:
            self._timer = None
        if self._engine.dialect.name == "sqlite":
            # The log is whole without it: what fails now is done next time.
            with contextlib.suppress(SQLAlchemyError):
                merge_log(self._engine)
        witness = witness_file()
        if witness is not None:
            try:
                with Session(self._engine) as session:
                    newest = audit.newest(session)
                if newest is not None:
                    note(witness, newest)
            except (StoreError, SQLAlchemyError) as error:
                LOGGER.error("the witness file was not written: %.300s", error)


def merge_log(engine: Engine) -> None:
    """Bring what is in a SQLite file's log into the file; what somebody still reads is left for the next time."""
    connection = engine.raw_connection()
    try:
        # Outside a transaction, and passive: no reader and no writer waits for it.
        connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").close()
    finally:
        connection.close()
