"""The jobs in their database: submitted once, begun once, kept alive by their workers' heartbeats.

The database is the one record of every job: a SQLite file beside the runs, or PostgreSQL for several machines. All
changes queue for one lock, so that two workers never begin the same job, and all times are the database's, so that
machines whose clocks differ agree on whose worker died. Only the log of a run, and its settings and progress as the run
itself reads and writes them, are files of the machine that works on it.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, and_, delete, insert, or_, select, update

from concepts.addresses import blanked, operator_address
from concepts.errors import RunError, StoreError
from concepts.store.database import (
    database_address,
    database_engine,
    errors_in_one_line,
    shown_address,
    writing_alone,
)
from pipeline.config import RunSettings, dump_settings, read_written_settings
from pipeline.jobs.files import JobFiles
from pipeline.jobs.job import Job, JobState, checked_id
from pipeline.jobs.tables import FORMAT, JOB, TABLES, VERSION, WORKER, DatabaseSeconds
from pipeline.jobs.transitions import after_death, begun
from pipeline.run.progress_file import RunProgress, parse_progress

VARIABLE = "DERMAXIS_QUEUE"
"""Environment variable with the address of the jobs' database."""
FOLDER = ".jobs"
FILE = "jobs.sqlite"
LEASE_SECONDS = 30.0
"""After so long without a heartbeat a worker counts as dead."""
ALONE = 0x6A6F6273
"""Number of the advisory lock on PostgreSQL; spells "jobs"."""
NO_FOLDER = Path("runs")
"""Stands for the folder of the runs in stored settings: each machine puts in its own."""
TIMES = ("at", "changed")
UNKNOWN = "unknown"
MUTABLE = ("state", "attempts", "deaths", "worker", "stop_asked", "reason", "run")


_JOB = TypeAdapter(Job)


@dataclass(frozen=True)
class Ledger:
    """The jobs of one database. Make one with `open_ledger`; threads may share it, processes may not.

    Attributes:
        runs: The folder of the runs on this machine, absolute.
        engine: The database.
        lease: Seconds without a heartbeat after which a worker counts as dead.
    """

    runs: Path
    engine: Engine
    lease: float = LEASE_SECONDS

    def read(self, job: str) -> Job:
        """Return one job.

        Raises:
            RunError: If there is none of that identifier.
        """
        with self._reading() as connection:
            return self._job(connection, job)

    def jobs(self) -> list[Job]:
        """Return all jobs, the newest first."""
        with self._reading() as connection:
            return self._select(connection, lambda query: query.order_by(JOB.c.at.desc(), JOB.c.id.desc()))

    def settings(self, job: str) -> RunSettings:
        """Return the settings of a job; its run goes into this machine's folder of runs.

        Raises:
            SettingsError: If the settings are not those of this version.
        """
        settings = read_written_settings(str(self._column(job, "settings")), origin=f"job {job}")
        return settings.model_copy(update={"runs": self.runs})

    def progress(self, job: str) -> RunProgress | None:
        """Return how far a job has come; None where it never began."""
        return parse_progress(self._column(job, "progress") or "")

    def last_output(self, job: str) -> str:
        """Return the last lines of the run's log; empty where there are none."""
        return str(self._column(job, "output"))

    def files(self, job: str) -> JobFiles:
        """Return where this machine keeps a job's files."""
        return JobFiles(self.runs / FOLDER / checked_id(job))

    def workers(self) -> list[str]:
        """Return the names of the workers that live, in order."""
        with self._reading() as connection:
            alive = select(WORKER.c.name).where(_age(WORKER.c.beaten) <= self.lease).order_by(WORKER.c.name)
            return list(connection.scalars(alive))

    def submit(self, settings: RunSettings, *, by: str, key: str) -> Job:
        """Queue a job; the same key gives the same job.

        Raises:
            RunError: If an active job has the same settings, or the key was used for other settings.
        """
        text = dump_settings(settings.model_copy(update={"runs": NO_FOLDER}))
        same = JOB.c.settings == text
        with self._writing() as connection:
            for job in self._select(connection, lambda query: query.where(JOB.c.key == key, same)):
                return job
            if connection.scalar(select(JOB.c.id).where(JOB.c.key == key)) is not None:
                raise RunError(f"key {key!r:.60} was used for another job; give each submit a key of its own")
            for job in self._select(connection, lambda query: query.where(same)):
                if job.is_active:
                    hint = "resume it" if job.state is JobState.STOPPED else "wait for it"
                    raise RunError(f"job {job.id} has the same settings and is {job.state}; {hint} or change the seed")
            return self._insert(connection, settings.name, settings=text, by=by, key=key)

    def change(self, job: str, transition: Callable[[Job], Job | None]) -> Job | None:
        """Change a job; nobody else changes it meanwhile.

        Args:
            job: Identifier of the job.
            transition: Gives the new job, or None where it must stay as it is.

        Returns:
            The new job; None where it stayed as it was.
        """
        with self._writing() as connection:
            before = self._job(connection, job)
            return self._write(connection, before, transition(before))

    def claim(self, worker: str) -> Job | None:
        """Give the job that waits longest to a worker; jobs of dead workers are put back first.

        Returns:
            The job, now running; None where no job waits.
        """
        with self._writing() as connection:
            self._beat(connection, worker)
            self._put_back(connection)
            waiting = self._select(
                connection,
                lambda query: query.where(JOB.c.state == JobState.QUEUED).order_by(JOB.c.changed, JOB.c.id),
            )
            # One whose row cannot be read does not keep back those behind it.
            ready = next((job for job in waiting if job.state is JobState.QUEUED), None)
            return self._write(connection, ready, begun(ready, worker)) if ready else None

    def report(self, worker: str, job: str, *, progress: str | None, output: str) -> bool:
        """Record that a worker lives and works on a job, and what the run has written so far.

        Args:
            worker: Name of the worker.
            job: Identifier of the job.
            progress: The run's progress as JSON; None where it wrote none yet.
            output: The last lines of the run's log.

        Returns:
            Whether the worker must stop the run: somebody asked for it, or the job was taken from this worker.
        """
        with self._writing() as connection:
            self._beat(connection, worker)
            stop_asked = connection.scalar(
                update(JOB)
                .where(JOB.c.id == job, JOB.c.worker == worker, JOB.c.state == JobState.RUNNING)
                .values(beaten=DatabaseSeconds(), progress=progress, output=blanked(output).replace("\0", ""))
                .returning(JOB.c.stop_asked)
            )
            return stop_asked is None or bool(stop_asked)

    def leave(self, worker: str) -> None:
        """Take a worker that ends off the list."""
        with self._writing() as connection:
            connection.execute(delete(WORKER).where(WORKER.c.name == worker))

    def close(self) -> None:
        """Release the database's connections."""
        self.engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with errors_in_one_line(shown_address(self.engine)), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with writing_alone(self.engine, lock=ALONE) as connection:
            yield connection

    def _select(self, connection: Connection, narrow: Callable[[Select[Any]], Select[Any]]) -> list[Job]:
        return [_to_job(row) for row in connection.execute(narrow(select(*self._columns())))]

    def _job(self, connection: Connection, job: str) -> Job:
        for read in self._select(connection, lambda query: query.where(JOB.c.id == checked_id(job))):
            return read
        raise RunError(f"{job}: no such job in {shown_address(self.engine)}")

    def _column(self, job: str, name: str) -> Any:  # noqa: ANN401  # text, or None where nothing was written
        with self._reading() as connection:
            row = connection.execute(select(JOB.c[name]).where(JOB.c.id == checked_id(job))).one_or_none()
        if row is None:
            raise RunError(f"{job}: no such job in {shown_address(self.engine)}")
        return row[0]

    def _columns(self) -> Sequence[ColumnElement[Any]]:
        stored = [JOB.c[field.name] for field in fields(Job) if field.name != "is_abandoned"]
        return [*stored, self._is_abandoned().label("is_abandoned")]

    def _is_abandoned(self) -> ColumnElement[bool]:
        silent = or_(JOB.c.beaten.is_(None), _age(JOB.c.beaten) > self.lease)
        return and_(JOB.c.state == JobState.RUNNING, silent)

    def _insert(self, connection: Connection, name: str, **columns: str) -> Job:
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        identifier = f"{re.sub('[^A-Za-z0-9]', '_', name)[:60].lstrip('_') or 'run'}-{stamp}-{secrets.token_hex(2)}"
        now = connection.scalar(select(DatabaseSeconds()))
        values = {"state": JobState.QUEUED, "attempts": 0, "deaths": 0, "stop_asked": False, "output": ""}
        connection.execute(insert(JOB).values(id=identifier, name=name, at=now, changed=now, **values, **columns))
        return self._job(connection, identifier)

    def _write(self, connection: Connection, before: Job, after: Job | None) -> Job | None:
        if after is None:
            return None
        values: dict[str, Any] = {name: getattr(after, name) for name in MUTABLE}
        if after.state is not before.state:
            values["changed"] = DatabaseSeconds()
        if after.state is JobState.RUNNING and before.state is not JobState.RUNNING:
            values["beaten"] = DatabaseSeconds()
        connection.execute(update(JOB).where(JOB.c.id == after.id).values(values))
        return self._job(connection, after.id)

    def _put_back(self, connection: Connection) -> None:
        for job in self._select(connection, lambda query: query.where(self._is_abandoned())):
            self._write(connection, job, after_death(job))
        connection.execute(delete(WORKER).where(_age(WORKER.c.beaten) > self.lease))

    def _beat(self, connection: Connection, worker: str) -> None:
        beat = update(WORKER).where(WORKER.c.name == worker).values(beaten=DatabaseSeconds())
        if connection.execute(beat).rowcount == 0:
            connection.execute(insert(WORKER).values(name=worker, beaten=DatabaseSeconds()))


def open_ledger(runs: Path, url: str | None = None, *, lease: float = LEASE_SECONDS) -> Ledger:
    """Open the jobs of a folder of runs; an empty database gets its tables.

    Args:
        runs: The folder of the runs on this machine.
        url: ``postgresql://…``, ``sqlite:///…`` or a SQLite file, or ``@FILE`` that holds one of these; default: what
            the environment variable ``DERMAXIS_QUEUE`` says, else ``.jobs/jobs.sqlite`` beside the runs.
        lease: Seconds without a heartbeat after which a worker counts as dead.

    Raises:
        StoreError: If the address is not allowed, or the database cannot be opened or has another format.
    """
    runs = runs.expanduser().resolve()
    what = "list of jobs"
    word = operator_address(url, VARIABLE) or str(runs / FOLDER / FILE)
    engine = database_engine(database_address(word, what=what), what=what)
    try:
        with writing_alone(engine, lock=ALONE) as connection:
            TABLES.create_all(connection)
            number = connection.scalar(select(VERSION.c.number))
            if number is None:
                connection.execute(insert(VERSION).values(number=FORMAT))
        if number not in (None, FORMAT):
            raise StoreError(
                f"{shown_address(engine)}: the jobs have format {number}, this Dermaxis reads format {FORMAT}; "
                "update Dermaxis or give another database"
            )
    except BaseException:
        engine.dispose()
        raise
    return Ledger(runs, engine, lease)


def _to_job(row: Row[Any]) -> Job:
    """Return the job of a row; of a row that cannot be read, one that failed and says so, so that it hides no other."""
    columns = row._asdict()
    try:
        times = {name: datetime.fromtimestamp(columns[name], UTC).isoformat(timespec="seconds") for name in TIMES}
        return _JOB.validate_python(columns | times)
    except (ValueError, TypeError, OverflowError, OSError):
        unknown: dict[str, Any] = dict.fromkeys(("name", "by", "at", "key", "changed"), UNKNOWN)
        reason = "its row in the jobs' database cannot be read; another version of Dermaxis may have written it"
        return Job(id=f"{columns['id']!s:.120}", state=JobState.FAILED, reason=reason, **unknown)


def _age(beaten: ColumnElement[Any]) -> ColumnElement[float]:
    return DatabaseSeconds() - beaten
