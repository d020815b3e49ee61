"""The database of a run in use: SQLite (a file that processes share) or PostgreSQL."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from palate.core.errors import ConfigError, DataError, MissingDependencyError
from palate.serving.availability import Availability, DatabaseUnavailable, Result, TimeLimit
from palate.serving.schema import prepare, try_to_write

MAX_ID_LENGTH = 200
"""Characters of an id."""
TABLES = sql.MetaData()
LOCK = 0x70616C617465
"""The advisory lock that writers of PostgreSQL hold."""
READ_SECONDS, WRITE_SECONDS = 0.5, 1.0
"""How long a request waits for the database to read or to write; after that it goes on without."""
PATIENT_SECONDS = 10.0
"""How long the start, and work in the background, wait for the database."""
THREADS = 12
"""Threads that wait for a database elsewhere; as many again may be left behind by one that is frozen."""
CHECKED_BYTES = 2**30
"""Size of an SQLite file up to which it is checked at the start."""
POSTGRES_OPTIONS = {
    "connect_timeout": 2, "keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
    "tcp_user_timeout": 10_000, "options": f"-c lock_timeout={int(2000 * WRITE_SECONDS)}",
}  # fmt: skip
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
    """Connections, and the rules that writers come one after another and that no request waits for long.

    Args:
        url: as SQLAlchemy reads it: ``sqlite:///shop.db``, ``postgresql+psycopg://user@host/name``.

    Attributes:
        reads: whether reading works.
        writes: whether writing works.

    Raises:
        ConfigError: if the URL is invalid, or of another database.
        MissingDependencyError: if the driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.insert: Any = DIALECTS[self.engine.dialect.name].insert
        self.reads = Availability("events and added items cannot be read")
        self.writes = Availability("events and changes cannot be stored")
        self._tables: list[sql.Table] = []
        self._version_connection: PoolProxiedConnection | None = None
        self._version_lock, self._writer_lock = threading.Lock(), threading.Lock()
        self._readers, self._writers = TimeLimit(THREADS), TimeLimit(THREADS)
        self._file = _file(self.engine)
        self._inode: int | None = None
        self._holds_deleted = False

    @property
    def is_local(self) -> bool:
        """Whether it is a file of this machine, which answers at once."""
        return self.engine.dialect.name == "sqlite"

    @property
    def is_fast(self) -> bool:
        """Whether a query is a matter of milliseconds."""
        return self.is_local and self.reads.reason is None

    def create_tables(self, *tables: sql.Table) -> None:
        """Create tables that do not exist yet, and bring older ones up to date; many processes may do so at once.

        Raises:
            ConfigError: if the database cannot be opened, is damaged, or was written by another version.
        """
        try:
            if self._file is not None and self._inode is None:
                _make_private(self._file)
                self._check_whole()
            with self._transaction(PATIENT_SECONDS) as connection:
                prepare(connection, TABLES, tables)
        except (sql.exc.DBAPIError, sql.exc.TimeoutError, TimeoutError, OSError) as error:
            raise ConfigError(
                _reason(error),
                key=None if self._file is None else str(self._file),
                hint="check that it runs and may be written, or name another one",
            ) from error
        if self._file is not None:
            self._inode = self._file.stat().st_ino
        self._tables += tables

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """Do some work in a transaction of a writer, all or none; it is on disk when this returns.

        No two of them overlap, so places become visible in their order: a reader who goes on from a place misses
        nothing.

        Args:
            work: takes a connection.

        Returns:
            What ``work`` returns.

        Raises:
            DatabaseUnavailable: if the database does not answer in :data:`WRITE_SECONDS`.
        """

        def commit() -> Result:
            with self._transaction(WRITE_SECONDS) as connection:
                return work(connection)

        return self._guarded(self.writes, self._writers, commit, 2 * WRITE_SECONDS)

    def query(self, statement: sql.Select[Any], **values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Args:
            statement: the query.
            **values: values of its parameters.

        Raises:
            DatabaseUnavailable: if the database does not answer in :data:`READ_SECONDS`.
        """
        return self._guarded(self.reads, self._readers, lambda: self._rows(statement, values), READ_SECONDS)

    def scan(self, statement: sql.Select[Any], **values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query that may take long; never for a request.

        Args:
            statement: the query.
            **values: values of its parameters.

        Raises:
            DatabaseUnavailable: if the database does not answer in :data:`PATIENT_SECONDS`.
        """
        return self._guarded(self.reads, self._readers, lambda: self._rows(statement, values), PATIENT_SECONDS)

    def version(self) -> Version:
        """Differs after any process wrote; cheap enough to ask before every request.

        SQLite counts commits of others for a connection, so one that never writes is kept for this. PostgreSQL is
        asked for the last places in the tables that were created here.

        Raises:
            DatabaseUnavailable: if the database does not answer in :data:`READ_SECONDS`.
        """
        if self.engine.dialect.name == "sqlite":
            return self._guarded(self.reads, self._readers, self._data_version, READ_SECONDS)
        last = (sql.select(sql.func.coalesce(sql.func.max(t.c.id), 0)).scalar_subquery() for t in self._tables)
        return tuple(self.query(sql.select(*last))[0])

    def problem(self) -> str | None:
        """Why the database cannot be used at the moment; None if it can."""
        try:
            self.query(sql.select(sql.literal(1)))
            if self.writes.reason is not None:
                # an empty transaction succeeds on a full disk; a server that has none stops by itself
                self.write(try_to_write if self.is_local else lambda connection: None)
        except DatabaseUnavailable as error:
            return error.message
        return None

    def purge_deleted(self) -> None:
        """Let deleted rows leave SQLite's files too; PostgreSQL does that in its own time (VACUUM).

        Where another process reads the rows at the moment, it is done by a later call of :meth:`finish_purge`.
        """
        self._holds_deleted = self.is_local
        self.finish_purge()

    def finish_purge(self) -> None:
        """Do what :meth:`purge_deleted` could not do yet."""
        if not self._holds_deleted:
            return
        with suppress(sql.exc.DBAPIError, sql.exc.TimeoutError, OSError), self.engine.connect() as connection:
            is_busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
            self._holds_deleted = bool(is_busy)

    def close(self) -> None:
        """Close the connections."""
        with self._version_lock:
            if self._version_connection is not None:
                self._version_connection.close()
                self._version_connection = None
        self.engine.dispose()

    def _guarded(
        self, availability: Availability, limit: TimeLimit, work: Callable[[], Result], seconds: float
    ) -> Result:
        """The result of ``work``; SQLite limits its own waiting, any other database is left behind after a while."""
        availability.check()
        try:
            result = work() if self.is_local else limit.run(work, seconds)
        except (sql.exc.IntegrityError, sql.exc.DataError):
            raise
        except (sql.exc.DBAPIError, sql.exc.TimeoutError, TimeoutError, OSError) as error:
            availability.failed(_reason(error))
            raise availability.error() from error
        availability.succeeded()
        return result

    @contextmanager
    def _transaction(self, seconds: float) -> Iterator[Connection]:
        # threads queue here, because SQLite makes a writer wait that comes at the wrong moment
        if not self._writer_lock.acquire(timeout=seconds):
            raise TimeoutError
        try:
            with self.engine.begin() as connection:
                if self.engine.dialect.name == "sqlite":
                    connection.exec_driver_sql(f"PRAGMA busy_timeout={int(1000 * seconds)}")
                    try:
                        connection.exec_driver_sql("BEGIN IMMEDIATE")
                    finally:
                        connection.exec_driver_sql(f"PRAGMA busy_timeout={int(1000 * READ_SECONDS)}")
                    self._require_files()
                else:
                    connection.execute(sql.select(sql.func.pg_advisory_xact_lock(LOCK)))
                yield connection
        finally:
            self._writer_lock.release()

    def _rows(self, statement: sql.Select[Any], values: dict[str, Any]) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(statement, values)]

    def _data_version(self) -> Version:
        with self._version_lock:
            self._version_connection = self._version_connection or self.engine.raw_connection()
            cursor = self._version_connection.cursor()
            cursor.execute("PRAGMA data_version")
            return tuple(cursor.fetchone() or ())

    def _require_files(self) -> None:
        """Refuse to write into files that nobody could read again, because they were replaced or removed meanwhile."""
        if self._file is None or self._inode is None:
            return
        log = self._file.with_name(f"{self._file.name}-wal")
        if not self._file.is_file() or self._file.stat().st_ino != self._inode or not log.is_file():
            raise OSError("its files were replaced or removed while it was open")

    def _check_whole(self) -> None:
        """Find damage before anything is served."""
        assert self._file is not None
        with self.engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={int(1000 * PATIENT_SECONDS)}")
            # readers go on while one writes
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            if self._file.stat().st_size <= CHECKED_BYTES:
                found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
                if found != "ok":
                    raise OSError("it is damaged")
            connection.exec_driver_sql(f"PRAGMA busy_timeout={int(1000 * READ_SECONDS)}")


def _has_surrogates(value: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in value)


def _reason(error: Exception) -> str:
    """Why the database did not answer, without addresses and statements."""
    original = getattr(error, "orig", None)
    text = str(original if original is not None else error).lower()
    if isinstance(error, TimeoutError | sql.exc.TimeoutError) or "timeout" in text or "locked" in text:
        return "the database is locked, or does not answer in time"
    if "malformed" in text or "not a database" in text or "damaged" in text:
        return "the database is damaged"
    if "full" in text or "no space" in text:
        return "the disk of the database is full"
    if "readonly" in text or "read-only" in text or "permission" in text:
        return "the database cannot be written"
    if "replaced or removed" in text:
        return "the files of the database were replaced or removed while it was open"
    return "the database cannot be reached"


def _file(engine: Engine) -> Path | None:
    """The file of an SQLite database."""
    name = engine.url.database
    if engine.dialect.name != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def _make_private(file: Path) -> None:
    """Let only this account read the file: it names users."""
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    if file.stat().st_uid == os.getuid() and file.stat().st_mode & 0o077:
        file.chmod(0o600)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in DIALECTS:
            raise ConfigError("events are stored in SQLite or PostgreSQL", key=parsed.drivername)
        options: dict[str, Any] = {}
        if parsed.get_backend_name() == "postgresql":
            given = {name: value for name, value in POSTGRES_OPTIONS.items() if name not in parsed.query}
            options = {
                "pool_pre_ping": True, "pool_size": THREADS, "max_overflow": THREADS, "pool_timeout": WRITE_SECONDS,
                "connect_args": given if parsed.get_driver_name() == "psycopg" else {},
            }  # fmt: skip
        engine = sql.create_engine(parsed, **options)
    except sql.exc.ArgumentError as error:
        raise ConfigError("invalid database URL", hint="for example sqlite:////data/shop.db") from error
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "psycopg", extra="postgres") from error
    if engine.dialect.name == "sqlite":

        @sql.event.listens_for(engine, "connect")
        def _configure(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
            # a damaged value is one row that is passed over, not an error of the whole query
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            cursor = connection.cursor()
            # what is acknowledged is on disk; what is deleted is overwritten
            for pragma in (f"busy_timeout={int(1000 * READ_SECONDS)}", "synchronous=FULL", "secure_delete=ON"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    return engine
