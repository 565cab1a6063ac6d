"""Concept stores for the tests: a SQLite file, and PostgreSQL where there is one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from argon2 import PasswordHasher
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from concepts.curation import accounts
from concepts.curation.accounts import OPERATOR, add_account
from concepts.curation.sets import add_concept, add_images, add_to_set, create_set
from concepts.image_record import ImageRecord
from concepts.store.roles import Role
from concepts.store.store import Store, open_store


@pytest.fixture(autouse=True, scope="session")
def cheap_passwords() -> Iterator[None]:
    """Hash passwords cheaply; what makes Argon2 safe is that it is slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
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
def databases(request, tmp_path_factory) -> Iterator[Databases]:
    """Databases of either kind."""
    server = request.getfixturevalue("postgresql_server") if request.param == "postgresql" else None
    found = Databases(tmp_path_factory.mktemp("stores"), server)
    yield found
    if os.environ.get("DERMAXIS_TEST_POSTGRES"):
        found.drop()


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


def fill(store: Store) -> None:
    for name in ("ann", "ben"):
        add_account(store, OPERATOR, name, [Role.ANNOTATOR], key=f"account {name}")
    add_account(store, OPERATOR, "eve", [Role.ADJUDICATOR], key="account eve")
    create_set(store, OPERATOR, "derm", key="set")
    images = [
        ImageRecord(id=f"image{number}", digest=f"{number:064x}", path=f"{number}.png", width=20, height=10)
        for number in range(6)
    ]
    add_images(store, OPERATOR, images, key="images")
    add_to_set(store, OPERATOR, "derm", [image.id for image in images], key="row")
    for concept in ("streaks", "pigment_network"):
        add_concept(store, OPERATOR, "derm", concept, key=concept)
