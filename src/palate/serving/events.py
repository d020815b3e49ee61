"""What people did in the shop, kept in a database: acknowledged is written, said twice is written once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from uuid import uuid4

import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine

from palate.core.errors import DataError

Kind = Literal["click", "like", "hide"]
KINDS: tuple[str, ...] = get_args(Kind)
LONGEST = 200
"""Characters of an id."""
AT_ONCE = 1000
"""Events a statement, for databases take so many values and no more."""

TABLES = sql.MetaData()
EVENTS = sql.Table(
    "events",
    TABLES,
    sql.Column("id", sql.BigInteger().with_variant(sql.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sql.Column("key", sql.String(LONGEST), nullable=False, unique=True),
    sql.Column("user", sql.String(LONGEST), nullable=False, index=True),
    sql.Column("item", sql.String(LONGEST), nullable=False),
    sql.Column("kind", sql.String(16), nullable=False),
    sql.Column("time", sql.Double, nullable=False),
    sqlite_autoincrement=True,
)
FORGOTTEN = sql.Table(
    "forgotten",
    TABLES,
    sql.Column("id", sql.BigInteger().with_variant(sql.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sql.Column("who", sql.String(64), nullable=False),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True)
class Event:
    """A user did something with an item.

    Attributes:
        key: names the event; one that is stored is not stored again. time: seconds since 1970. id: its place, 0 before
            it has one.
    """

    user: str
    item: str
    kind: str = "click"
    key: str = field(default_factory=lambda: uuid4().hex)
    time: float = field(default_factory=time.time)
    id: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"unknown kind of event {self.kind!r}", key="kind", hint=f"known: {', '.join(KINDS)}")
        for name in ("user", "item", "key"):
            value = getattr(self, name)
            if not 0 < len(value) <= LONGEST or "\0" in value:
                raise DataError(f"an id has 1 to {LONGEST} characters, none of them zero", key=name)


class EventStore:
    """Events in SQLite (a file, shared by processes) or PostgreSQL.

    Args:
        url: as SQLAlchemy reads it: ``sqlite:///events.db``, ``postgresql+psycopg://user@host/name``.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        TABLES.create_all(self.engine)

    def add(self, events: Iterable[Event]) -> list[int]:
        """Store, all or none, and return when they are on disk; their places, also of those stored before.

        Time grows with the number of events, not of those stored.
        """
        events = list(events)
        rows = [{"key": e.key, "user": e.user, "item": e.item, "kind": e.kind, "time": e.time} for e in events]
        if not rows:
            return []
        keys, places = [e.key for e in events], dict[str, int]()
        with self.engine.begin() as connection:
            for start in range(0, len(rows), AT_ONCE):
                part = slice(start, start + AT_ONCE)
                connection.execute(_ignoring(connection).on_conflict_do_nothing(index_elements=["key"]), rows[part])
                query = sql.select(EVENTS.c.key, EVENTS.c.id).where(EVENTS.c.key.in_(keys[part]))
                places |= {key: place for key, place in connection.execute(query)}
        return [places[key] for key in keys]

    def of(self, user: str) -> list[Event]:
        """What a user did, in order."""
        return self._read(sql.select(EVENTS).where(EVENTS.c.user == user).order_by(EVENTS.c.id))

    def since(self, place: int, most: int = 10_000) -> list[Event]:
        """What came after a place, in order."""
        return self._read(sql.select(EVENTS).where(EVENTS.c.id > place).order_by(EVENTS.c.id).limit(most))

    def forget(self, user: str) -> int:
        """Remove all of a user's events; how many there were. Other processes learn it by :meth:`forgotten_since`."""
        with self.engine.begin() as connection:
            gone = connection.execute(sql.delete(EVENTS).where(EVENTS.c.user == user)).rowcount
            connection.execute(sql.insert(FORGOTTEN).values(who=mark_of(user)))
        return gone

    def forgotten_since(self, place: int) -> tuple[int, list[str]]:
        """The last place, and :func:`mark_of` users who were forgotten after ``place``: not who they were."""
        with self.engine.connect() as connection:
            query = sql.select(FORGOTTEN.c.id, FORGOTTEN.c.who).where(FORGOTTEN.c.id > place).order_by(FORGOTTEN.c.id)
            found = connection.execute(query).all()
        return (found[-1][0] if found else place), [who for _, who in found]

    def count(self) -> int:
        """Number of events."""
        with self.engine.connect() as connection:
            return int(connection.execute(sql.select(sql.func.count()).select_from(EVENTS)).scalar_one())

    def close(self) -> None:
        """Give connections back."""
        self.engine.dispose()

    def _read(self, query: sql.Select[Any]) -> list[Event]:
        with self.engine.connect() as connection:
            return [Event(**row) for row in connection.execute(query).mappings()]


def mark_of(user: str) -> str:
    """A hash, which is all that is kept of a forgotten user: who knows the id recognises it, nobody reads it off."""
    return hashlib.blake2b(user.encode(), digest_size=16).hexdigest()


def _ignoring(connection: Connection) -> Any:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(EVENTS)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(EVENTS)


def _engine(url: str) -> Engine:
    engine = sql.create_engine(url)
    if engine.dialect.name == "sqlite":

        @sql.event.listens_for(engine, "connect")
        def _settle(connection: Any, record: Any) -> None:
            cursor = connection.cursor()
            # readers go on while one writes; what is acknowledged is on disk
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    return engine
