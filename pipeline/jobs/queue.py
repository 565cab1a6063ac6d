"""The queue that tells workers what to do: Huey on a SQLite file, PostgreSQL or Redis; messages are JSON.

A message says only which job; everything else stands in the ledger. A message that is lost or comes twice does no
harm: workers put lost ones in again, and a job is begun under the ledger's lock.
"""

import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from huey import Huey, PostgresHuey, RedisHuey, SqliteHuey
from huey.exceptions import ConfigurationError, HueyException
from huey.registry import Message
from huey.serializer import Serializer

from concepts.errors import SettingsError
from pipeline.jobs.ledger import Ledger

LOGGER = logging.getLogger(__name__)
VARIABLE = "DERMAXIS_QUEUE"
NAME = "dermaxis"
TASK = "retrain"
TASK_MODULE = "dermaxis.jobs"
POSTGRESQL = ("postgresql", "postgresql+psycopg")
ALLOWED = "a SQLite file (sqlite:///FILE), postgresql://HOST/DATABASE or redis://HOST:PORT/0"


class JsonMessages(Serializer):
    """Messages as JSON instead of Huey's own pickles, which run code when they are read.

    Only what this queue sends can be written or read: a task's name, its identifier and one job.
    """

    def _serialize(self, data: Message) -> bytes:
        return json.dumps({"id": data.id, "name": data.name, "args": list(data.args)}).encode()

    def _deserialize(self, data: bytes) -> Message:
        content = json.loads(bytes(data).decode())
        return Message(
            id=str(content["id"]),
            name=str(content["name"]),
            args=tuple(str(one) for one in content["args"]),
            kwargs={},
            retries=0,
            retry_delay=0,
        )


class Queue:
    """A queue of jobs' identifiers.

    Args:
        huey: Where they wait.
    """

    def __init__(self, huey: Huey) -> None:
        self.huey = huey
        self._begin: Callable[[str], None] = lambda job: None

        def retrain(job: str) -> None:
            self._begin(job)

        # What messages are called must not depend on where this function stands.
        retrain.__module__ = TASK_MODULE
        self._task = huey.task(name=TASK)(retrain)

    def put(self, job: str) -> None:
        """Let a worker know of a job."""
        self._task(job)

    def waiting(self) -> list[str]:
        """Which jobs have a message that no worker has taken."""
        return [str(task.args[0]) for task in self.huey.pending()]

    def take(self, begin: Callable[[str], None]) -> bool:
        """Take one message and do it here and now; one that nobody of this version sent is dropped.

        Args:
            begin: Called with the job's identifier.

        Returns:
            Whether there was a message.
        """
        self._begin = begin
        try:
            task = self.huey.dequeue()
        except (ValueError, KeyError, TypeError, HueyException) as error:
            LOGGER.warning("dropped a message that is not of this version: %s", error)
            return True
        if task is None:
            return False
        self.huey.execute(task)
        return True

    def close(self) -> None:
        """Let go of the connection."""
        self.huey.storage.close()


def open_queue(url: str | None, ledger: Ledger) -> Queue:
    """The queue at an address.

    Args:
        url: ``sqlite:///FILE``, ``postgresql://…`` or ``redis://…``; None: a SQLite file beside the runs.
        ledger: Whose jobs wait in it.

    Raises:
        SettingsError: If it cannot be opened; says what is allowed or missing.
    """
    options: dict[str, Any] = {"name": NAME, "serializer": JsonMessages(), "results": False}
    if url is None:
        ledger.folder.mkdir(parents=True, exist_ok=True)
        return Queue(SqliteHuey(filename=str(ledger.folder / "queue.sqlite"), timeout=30, **options))
    parts = urlsplit(url)
    try:
        huey = _huey(url, options)
        huey.pending_count()
    except SettingsError:
        raise
    except ConfigurationError as error:
        extra = "postgresql" if parts.scheme in POSTGRESQL else "redis"
        raise SettingsError(f"queue {_shown(url)}: needs the extra: pip install 'dermaxis[{extra}]'") from error
    except Exception as error:  # each database has exceptions of its own; all mean that it cannot be used
        raise SettingsError(f"queue {_shown(url)}: cannot be opened: {' '.join(str(error).split())}") from error
    return Queue(huey)


def _huey(url: str, options: dict[str, Any]) -> Huey:
    parts = urlsplit(url)
    if parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1:
        return SqliteHuey(filename=unquote(parts.path[1:]), timeout=30, **options)
    if parts.scheme in POSTGRESQL:
        return PostgresHuey(dsn=url.replace(parts.scheme, "postgresql", 1), **options)
    if parts.scheme in ("redis", "rediss"):
        return RedisHuey(url=url, **options)
    raise SettingsError(f"queue {_shown(url)}: not an address of a queue; allowed are {ALLOWED}")


def _shown(url: str) -> str:
    """The address without its password."""
    parts = urlsplit(url)
    return url if parts.password is None else url.replace(f":{parts.password}@", ":…@")
