"""The tables of the jobs' database, and its clock."""

from sqlalchemy import Boolean, Column, Double, Integer, MetaData, String, Table, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

FORMAT = 1
"""Number of these tables' format; a database of another format is refused."""
TABLES = MetaData()
JOB = Table(
    "job",
    TABLES,
    Column("id", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("key", Text, nullable=False, unique=True),
    Column("at", Double, nullable=False),
    Column("changed", Double, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("worker", Text),
    Column("stop_asked", Boolean, nullable=False),
    Column("reason", Text),
    Column("run", Text),
    Column("beaten", Double),
    Column("settings", Text, nullable=False),
    Column("progress", Text),
    Column("output", Text, nullable=False),
)
"""One row a job. ``at``, ``changed`` and ``beaten`` (the last sign of life of its worker) are seconds since 1970 by the
database's clock; ``settings`` is YAML, ``progress`` JSON, ``output`` the last lines of the run's log."""
WORKER = Table("job_worker", TABLES, Column("name", String, primary_key=True), Column("beaten", Double, nullable=False))
VERSION = Table("job_format", TABLES, Column("number", Integer, primary_key=True))


class DatabaseSeconds(FunctionElement[float]):
    """Seconds since 1970 by the database's clock, which all machines agree on."""

    type = Double()
    inherit_cache = True


@compiles(DatabaseSeconds, "sqlite")
def _sqlite_seconds(_element: DatabaseSeconds, _compiler: SQLCompiler, **_options: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(DatabaseSeconds, "postgresql")
def _postgresql_seconds(_element: DatabaseSeconds, _compiler: SQLCompiler, **_options: object) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"
