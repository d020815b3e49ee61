"""The database of a run in use: SQLite (a file that processes share) or PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from palate.core.errors import ConfigError, DataError, MissingDependencyError

MAX_ID_LENGTH = 200
"""Characters of an id."""
TABLES = sql.MetaData()
LOCK = 0x70616C617465
"""The advisory lock that writers of PostgreSQL hold."""
DIALECTS: dict[str, ModuleType] = {"sqlite": sqlite, "postgresql": postgresql}

Version = tuple[int, ...]
"""Equal while nothing was written; comparable within one :class:`Database` only."""


def id_column() -> sql.Column[int]:
    """The column of places: they rise in the order of writing, and none is given twice."""
    kind = sql.BigInteger().with_variant(sql.Integer, "sqlite")
    return sql.Column("id", kind, primary_key=True, autoincrement=True)


def check_id(name: str, value: str) -> str:
    """Check that every database can hold an id.

    Args:
        name: what it identifies, for the error.
        value: the id.

    Returns:
        ``value``.

    Raises:
        DataError: if it is empty, longer than :data:`MAX_ID_LENGTH`, or not valid text.
    """
    if not 0 < len(value) <= MAX_ID_LENGTH or "\0" in value or (not value.isascii() and _has_surrogates(value)):
        raise DataError(f"an id must be valid text of 1 to {MAX_ID_LENGTH} characters, without NUL", key=name)
    return value


class Database:
    """Connections, and the rule that writers come one after another.

    Args:
        url: as SQLAlchemy reads it: ``sqlite:///shop.db``, ``postgresql+psycopg://user@host/name``.

    Raises:
        ConfigError: if the URL is invalid, or of another database.
        MissingDependencyError: if the driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.insert: Any = DIALECTS[self.engine.dialect.name].insert
        self._tables: list[sql.Table] = []
        self._version_connection: PoolProxiedConnection | None = None
        self._version_lock, self._writer_lock = threading.Lock(), threading.Lock()

    @property
    def is_local(self) -> bool:
        """Whether it is a file of this machine, which answers at once."""
        return self.engine.dialect.name == "sqlite"

    def create_tables(self, *tables: sql.Table) -> None:
        """Create tables that do not exist yet; many processes may do so at once."""
        with self.transaction() as connection:
            TABLES.create_all(connection, tables=tables)
        self._tables += tables

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction of a writer, all or none, on disk when it ends well.

        No two of them overlap, so places become visible in their order: a reader who goes on from a place misses
        nothing.
        """
        # threads queue here, because SQLite makes a writer wait that comes at the wrong moment
        with self._writer_lock, self.engine.begin() as connection:
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(sql.select(sql.func.pg_advisory_xact_lock(LOCK)))
            yield connection

    def query(self, statement: sql.Select[Any], **values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Args:
            statement: the query.
            **values: values of its parameters.
        """
        with self.engine.connect() as connection:
            return list(connection.execute(statement, values))

    def version(self) -> Version:
        """Differs after any process wrote; cheap enough to ask before every request.

        SQLite counts commits of others for a connection, so one that never writes is kept for this. PostgreSQL is
        asked for the last places in the tables that were created here.
        """
        if self.engine.dialect.name == "sqlite":
            with self._version_lock:
                self._version_connection = self._version_connection or self.engine.raw_connection()
                cursor = self._version_connection.cursor()
                cursor.execute("PRAGMA data_version")
                return tuple(cursor.fetchone() or ())
        last = (sql.select(sql.func.coalesce(sql.func.max(t.c.id), 0)).scalar_subquery() for t in self._tables)
        return tuple(self.query(sql.select(*last))[0])

    def purge_deleted(self) -> None:
        """Let deleted rows leave SQLite's files too; PostgreSQL does that in its own time (VACUUM)."""
        if self.engine.dialect.name == "sqlite":
            with self.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the connections."""
        with self._version_lock:
            if self._version_connection is not None:
                self._version_connection.close()
                self._version_connection = None
        self.engine.dispose()


def _has_surrogates(value: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in value)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in DIALECTS:
            raise ConfigError("events are stored in SQLite or PostgreSQL", key=parsed.drivername)
        engine = sql.create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite")
    except sql.exc.ArgumentError as error:
        raise ConfigError("invalid database URL", hint="for example sqlite:////data/shop.db") from error
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "psycopg", extra="postgres") from error
    if engine.dialect.name == "sqlite":

        @sql.event.listens_for(engine, "connect")
        def _configure(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
            cursor = connection.cursor()
            # readers go on while one writes; what is acknowledged is on disk; what is deleted is overwritten
            for pragma in ("busy_timeout=5000", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    return engine
