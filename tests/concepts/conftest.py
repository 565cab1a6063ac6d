"""Concept stores for the tests: a SQLite file, and PostgreSQL where there is one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from fake_stores import CHEAP_HASHER, MEMORY, fill
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from concepts.curation import accounts
from concepts.store.store import Store, open_store


@pytest.fixture(autouse=True, scope="session")
def cheap_passwords() -> Iterator[None]:
    """Hash passwords cheaply; what makes Argon2 safe is that it is slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "HASHER", CHEAP_HASHER)
        yield


class Databases:
    """Databases of one kind, each new one a copy of a template: migrating and filling takes longer than most tests."""

    def __init__(self, folder: Path, server: str | None) -> None:
        self.folder = folder
        self.server = make_url(server).set(drivername="postgresql+psycopg") if server else None
        self.made: list[str] = []

    def new(self, template: str | None = None) -> str:
        """The address of a database without tables, or of a copy of another."""
        if self.server is None:
            path = self.folder / f"{uuid4().hex}.sqlite"
            if template:
                shutil.copyfile(template, path)
            return str(path)
        name = f"dermaxis_{uuid4().hex}"
        source = make_url(template).database if template else "template0"
        self._administer(f"CREATE DATABASE {name} TEMPLATE {source}")
        self.made.append(name)
        return self.server.set(database=name).render_as_string(hide_password=False)

    def drop(self) -> None:
        for name in self.made:
            self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    def _administer(self, statement: str) -> None:
        engine = create_engine(self.server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def databases(request) -> Iterator[Databases]:
    """Databases of either kind."""
    server = request.getfixturevalue("postgresql_server") if request.param == "postgresql" else None
    folder = tempfile.mkdtemp(prefix="dermaxis-stores-", dir=MEMORY)
    of_kind = Databases(Path(folder), server)
    yield of_kind
    shutil.rmtree(folder)
    if os.environ.get("DERMAXIS_TEST_POSTGRES"):
        of_kind.drop()


@pytest.fixture(scope="session")
def empty_template(databases) -> str:
    """A store in which nothing is."""
    url = databases.new()
    open_store(url).close()
    return url


@pytest.fixture(scope="session")
def filled_template(databases, empty_template) -> str:
    """The readers ann and ben, the adjudicator eve, and the set ``derm``: 2 concepts, 6 images."""
    url = databases.new(empty_template)
    with closing(open_store(url)) as store:
        fill(store)
    return url


@pytest.fixture
def store_url(databases) -> str:
    """The address of a database without tables."""
    return databases.new()


@pytest.fixture
def store(databases, empty_template) -> Iterator[Store]:
    """An empty store."""
    with closing(open_store(databases.new(empty_template))) as opened:
        yield opened


@pytest.fixture
def filled(databases, filled_template) -> Iterator[Store]:
    """A store as `fill` leaves it."""
    with closing(open_store(databases.new(filled_template))) as opened:
        yield opened
