"""The database: engines, what begins and ends a transaction, and the translation of its errors.

SQLite: one writing connection per process, whose transactions begin IMMEDIATE, so that a transaction never finds
half-way that another has written; readers cannot write at all. WAL, FULL: a commit that returned is on the disk.
PostgreSQL: READ COMMITTED for writers, which lock rows in the order that `transaction.py` states; REPEATABLE READ,
READ ONLY for readers, so that what they read in several statements belongs together.

Connections must not cross a fork: a child notices and opens its own.
"""

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from retrieval.errors import CatalogDamaged, CatalogUnavailable

OLDEST_SQLITE = (3, 35, 0)  # RETURNING
_WAL_KEPT_BYTES = 64 * 1024 * 1024  # what a checkpoint leaves of a log that a long reader let grow
_STATEMENT_SECONDS = 120  # PostgreSQL: no statement of ours runs for longer unless something is wrong


def _reason(error: Exception) -> str:
    """The driver's own first line; never the statement's parameters, which are callers' data."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return (str(cause).splitlines() or [type(cause).__name__])[0]


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise CatalogUnavailable(f"The catalog does not answer: {_reason(error)}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise CatalogUnavailable(f"The catalog does not answer: {_reason(error)}") from error
        raise CatalogDamaged(f"The catalog refused a change: {_reason(error)}") from error


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ValueError("The catalog's address must be like sqlite:////folder/catalog.db or postgresql://…") from error
    if parsed.drivername in {"postgres", "postgresql"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ValueError("The catalog must be a file: a database in memory cannot be shared by processes.")
    if parsed.drivername not in {"sqlite", "postgresql+psycopg"}:
        raise ValueError(f"The catalog can be SQLite or PostgreSQL, not {parsed.drivername!r}.")
    return parsed


class Database:
    """Engines over one database, for one process at a time."""

    def __init__(self, url: str, *, busy_seconds: int, connections: int) -> None:
        self._url = _parsed(url)
        self._busy_seconds = busy_seconds
        self._connections = connections
        self.is_sqlite = self._url.drivername == "sqlite"
        if self.is_sqlite and sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise CatalogUnavailable(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or later is needed.")
        self._reopening = threading.Lock()  # guards the four names below when a fork is noticed
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        try:
            engines = self._sqlite_engines() if self.is_sqlite else self._postgres_engines()
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise CatalogUnavailable("PostgreSQL needs the extra 'cluster': pip install 'carrel[cluster]'.") from error
        self._writer, self._reader, self._glancer = engines
        self._idle: deque[Any] = deque()  # connections for single reads

    def _sqlite_engines(self) -> tuple[Engine, Engine, Engine]:
        def engine(begin: str, connections: int, pragmas: Mapping[str, str | int]) -> Engine:
            made = create_engine(
                self._url,
                connect_args={"timeout": self._busy_seconds, "check_same_thread": False, "cached_statements": 256},
                pool_size=connections,
                max_overflow=0,
                pool_timeout=self._busy_seconds,
                hide_parameters=True,
            )

            @event.listens_for(made, "connect")
            def prepare(connection: DBAPIConnection, _record: object) -> None:
                assert isinstance(connection, sqlite3.Connection)
                _prepare_sqlite(connection, pragmas, self._busy_seconds)

            @event.listens_for(made, "begin")
            def start(connection: Connection) -> None:
                connection.exec_driver_sql(begin)

            return made

        # One writer: threads of this process then queue fairly here, not in SQLite's growing sleeps.
        writer = engine("BEGIN IMMEDIATE", 1, MappingProxyType({"synchronous": "FULL", "foreign_keys": 1}))
        reader = engine("BEGIN", self._connections, MappingProxyType({"query_only": 1}))
        return writer, reader, reader

    def _postgres_engines(self) -> tuple[Engine, Engine, Engine]:
        timeouts = {
            "lock_timeout": self._busy_seconds,
            "statement_timeout": _STATEMENT_SECONDS,
            "idle_in_transaction_session_timeout": _STATEMENT_SECONDS,
        }
        options = " ".join(f"-c {name}={seconds}s" for name, seconds in timeouts.items())
        given = self._url.query.get("options", "")
        own = given if isinstance(given, str) else " ".join(given)
        url = self._url.update_query_dict({"options": f"{options} {own}".strip()})
        common = {
            "connect_args": {"connect_timeout": self._busy_seconds, "application_name": "carrel"},
            "pool_timeout": self._busy_seconds,
            "hide_parameters": True,
        }
        writer = create_engine(
            url,
            pool_size=self._connections,
            max_overflow=self._connections,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            **common,
        )
        reader = writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        glancer = create_engine(
            url,
            pool_size=self._connections,
            max_overflow=self._connections,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            **common,
        )
        return writer, reader, glancer

    def _engines(self) -> tuple[Engine, Engine, Engine]:
        if os.getpid() != self._process:
            with self._reopening:
                if os.getpid() != self._process:
                    for engine in (self._writer, self._glancer, self._reader):
                        engine.dispose(close=False)  # the parent still uses the connections we inherited
                    self._open()
        return self._writer, self._reader, self._glancer

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with translated(), self._engines()[0].begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with translated(), self._engines()[1].begin() as connection:
            yield connection

    def first(self, sql: str, parameters: Sequence[str]) -> tuple[object, ...] | None:
        """One row by a single read outside any transaction: a tenth of what a reading transaction costs.

        `sql` has a question mark for each parameter. A connection that died while idle is replaced once.
        """
        engine = self._engines()[2]
        text = sql if self.is_sqlite else sql.replace("?", "%s")
        for last in (self.is_sqlite, True):
            connection = self._taken()
            try:
                connection = connection or _unpooled(engine)
                cursor = connection.execute(text, tuple(parameters))
                row = cursor.fetchone()
                cursor.close()
            except engine.dialect.loaded_dbapi.Error as error:  # a raw connection's errors are the driver's own
                if connection is not None:
                    connection.close()
                if last:
                    raise CatalogUnavailable(f"The catalog does not answer: {_reason(error)}") from error
                self._close_idle()  # the server may have restarted: none of the idle connections is worth keeping
                continue
            if len(self._idle) < self._connections:
                self._idle.append(connection)
            else:
                connection.close()
            return None if row is None else tuple(row)
        raise AssertionError("unreachable")

    def _taken(self) -> Any:
        """An idle connection, if there is one."""
        with suppress(IndexError):
            return self._idle.pop()
        return None

    def close(self) -> None:
        mine = os.getpid() == self._process
        if mine:
            self._close_idle()
        for engine in (self._writer, self._glancer, self._reader):
            engine.dispose(close=mine)

    def _close_idle(self) -> None:
        while connection := self._taken():
            connection.close()


def _unpooled(engine: Engine) -> Any:
    """A connection of the driver that no pool knows: a pool's care costs five times what the read itself does."""
    with translated():
        pooled = engine.raw_connection()
        connection = pooled.driver_connection
        pooled.detach()
    return connection


def _prepare_sqlite(connection: sqlite3.Connection, pragmas: Mapping[str, str | int], busy_seconds: int) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: `begin` above decides
    _set_wal(connection, time.monotonic() + busy_seconds)
    connection.execute(f"PRAGMA journal_size_limit={_WAL_KEPT_BYTES}")
    for name, value in pragmas.items():
        connection.execute(f"PRAGMA {name}={value}")


def _set_wal(connection: sqlite3.Connection, deadline: float) -> None:
    """The log's mode is kept in the file; setting it for the first time does not wait for other processes by itself."""
    while True:
        with suppress(sqlite3.OperationalError):
            if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return
            if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal":
                return
        if time.monotonic() > deadline:
            connection.execute("PRAGMA journal_mode=WAL")  # says why not
            return
        time.sleep(0.02)
