"""One database of a run in use: SQLite (a file that processes share) or PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine, make_url

from palate.core.errors import ConfigError, DataError, MissingDependencyError

MAX_ID_LENGTH = 200
"""Characters of an id."""
TABLES = sql.MetaData()
LOCK = 0x70616C617465
"""The advisory lock that writers of PostgreSQL hold."""
DIALECTS: dict[str, Any] = {"sqlite": sqlite, "postgresql": postgresql}

Version = tuple[int, ...]
"""Equal: nobody wrote in between. Means nothing to another :class:`Database`."""


def id_column() -> sql.Column[int]:
    """The column of places: they rise in the order of writing, and none is given twice."""
    kind = sql.BigInteger().with_variant(sql.Integer, "sqlite")
    return sql.Column("id", kind, primary_key=True, autoincrement=True)


def check_id(name: str, value: str) -> str:
    """An id that every database can hold.

    Raises:
        DataError: for one that is empty, longer than ``MAX_ID_LENGTH``, or no text; ``name`` says of what.
    """
    if not 0 < len(value) <= MAX_ID_LENGTH or "\0" in value or (not value.isascii() and _halved(value)):
        raise DataError(f"an id has 1 to {MAX_ID_LENGTH} characters, none of them zero or half of one", key=name)
    return value


class Database:
    """Connections, and the rule that writers come one after another.

    Args:
        url: as SQLAlchemy reads it: ``sqlite:///shop.db``, ``postgresql+psycopg://user@host/name``.

    Raises:
        ConfigError: for an address of neither. MissingDependencyError: without the driver.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.insert = DIALECTS[self.engine.dialect.name].insert
        self._made: list[sql.Table] = []
        self._watch: Any = None
        self._watching, self._turn = threading.Lock(), threading.Lock()

    @property
    def is_local(self) -> bool:
        """Whether it is in this machine's own files, and answers at once."""
        return self.engine.dialect.name == "sqlite"

    def create_tables(self, *tables: sql.Table) -> None:
        """Create those that are not there; many processes may do so at once."""
        with self.transaction() as connection:
            TABLES.create_all(connection, tables=tables)
        self._made += tables

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction, all or none, on disk when it ends well.

        No two of them overlap, so places become visible in their order: who reads on from a place misses nothing.
        """
        # threads queue here, for SQLite lets those wait who ask at the wrong moment
        with self._turn, self.engine.begin() as connection:
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(sql.select(sql.func.pg_advisory_xact_lock(LOCK)))
            yield connection

    def query(self, statement: sql.Select[Any], **values: Any) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self.engine.connect() as connection:
            return list(connection.execute(statement, values))

    def version(self) -> Version:
        """Differs when anyone, here or in another process, wrote since; cheap enough to ask before every request.

        SQLite counts commits of others for a connection, so one that never writes is kept to be asked. PostgreSQL is
        asked for the last places in the tables that were made here.
        """
        if self.engine.dialect.name == "sqlite":
            with self._watching:
                self._watch = self._watch or self.engine.raw_connection()
                return tuple(self._watch.cursor().execute("PRAGMA data_version").fetchone())
        last = (sql.select(sql.func.coalesce(sql.func.max(t.c.id), 0)).scalar_subquery() for t in self._made)
        return tuple(self.query(sql.select(*last))[0])

    def scrub(self) -> None:
        """Let deleted rows leave SQLite's files too; PostgreSQL does that in its own time (VACUUM)."""
        if self.engine.dialect.name == "sqlite":
            with self.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Give connections back."""
        with self._watching:
            if self._watch is not None:
                self._watch.close()
                self._watch = None
        self.engine.dispose()


def _halved(value: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in value)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in DIALECTS:
            raise ConfigError("events are kept in SQLite or PostgreSQL", key=parsed.drivername)
        engine = sql.create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite")
    except sql.exc.ArgumentError as error:
        raise ConfigError("this is no address of a database", hint="for example sqlite:////data/shop.db") from error
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "psycopg", extra="postgres") from error
    if engine.dialect.name == "sqlite":

        @sql.event.listens_for(engine, "connect")
        def _settle(connection: Any, record: Any) -> None:
            cursor = connection.cursor()
            # readers go on while one writes; what is acknowledged is on disk; what is deleted is overwritten
            for pragma in ("busy_timeout=5000", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    return engine
