"""Events of users, in a database: an acknowledged event is on disk, and an event sent twice is stored once."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from uuid import uuid4

import sqlalchemy as sql

from palate.core.errors import ConfigError, DataError
from palate.serving.database import MAX_ID_LENGTH, TABLES, Database, Version, check_id, id_column

EventKind = Literal["click", "like", "hide"]
EVENT_KINDS: tuple[str, ...] = get_args(EventKind)
BATCH_SIZE = 1000
"""Events in one statement: databases limit the number of its values."""
RECENT = 10_000
"""Events among which recent users are looked for."""

EVENTS = sql.Table(
    "events",
    TABLES,
    id_column(),
    sql.Column("key", sql.String(MAX_ID_LENGTH), nullable=False, unique=True),
    sql.Column("user", sql.String(MAX_ID_LENGTH), nullable=False, index=True),
    sql.Column("item", sql.String(MAX_ID_LENGTH), nullable=False),
    sql.Column("kind", sql.String(16), nullable=False),
    sql.Column("time", sql.Double, nullable=False),
    sqlite_autoincrement=True,
)
ERASED = sql.Table(
    "forgotten", TABLES, id_column(), sql.Column("who", sql.String(64), nullable=False), sqlite_autoincrement=True
)
FIELDS = ("user", "item", "kind", "key", "time", "id")
COLUMNS = [EVENTS.c[name] for name in FIELDS]
OF_USER = sql.select(*COLUMNS).where(EVENTS.c.user == sql.bindparam("who")).order_by(EVENTS.c.id)


@dataclass(frozen=True)
class Event:
    """A user did something with an item.

    Attributes:
        user: user id.
        item: item id.
        kind: ``click``, ``like`` or ``hide``.
        key: identifies the event; one that is stored is not stored again.
        time: seconds since 1970.
        id: its place, 0 for an event that is not stored.

    Raises:
        DataError: for an unknown kind, a time that is not finite, or an id that cannot be stored.
    """

    user: str
    item: str
    kind: str = "click"
    key: str = field(default_factory=lambda: uuid4().hex)
    time: float = field(default_factory=time.time)
    id: int = 0

    def __post_init__(self) -> None:
        if self.kind not in EVENT_KINDS:
            raise DataError(f"unknown kind of event {self.kind!r}", key="kind", hint=f"known: {', '.join(EVENT_KINDS)}")
        if not math.isfinite(self.time):
            raise DataError("a time must be a finite number of seconds since 1970", key="time")
        for name in ("user", "item", "key"):
            check_id(name, getattr(self, name))


class EventStore:
    """Events in SQLite or PostgreSQL, shared by processes.

    Args:
        url: URL (see :class:`Database`), or an open database.
        key: up to 64 bytes that tokens of erased users are made with, the same for all processes that share the
            database; without a key, a list of user ids is enough to try which of them were erased.

    Raises:
        ConfigError: if the URL is invalid, or the key too long.
    """

    def __init__(self, url: str | Database, key: bytes = b"") -> None:
        if len(key) > hashlib.blake2b.MAX_KEY_SIZE:
            raise ConfigError(f"a key has at most {hashlib.blake2b.MAX_KEY_SIZE} bytes", key="key")
        self.database = Database(url) if isinstance(url, str) else url
        self.key = key
        self.database.create_tables(EVENTS, ERASED)

    def add(self, events: Iterable[Event]) -> list[int]:
        """Store events, all or none; they are on disk when this returns.

        O(events), however many are stored.

        Args:
            events: events; those whose key is stored already are left out.

        Returns:
            Places of the events, also of those that were stored before.
        """
        events = list(events)
        rows = [{"key": e.key, "user": e.user, "item": e.item, "kind": e.kind, "time": e.time} for e in events]
        if not rows:
            return []
        keys, places = [e.key for e in events], dict[str, int]()
        new = self.database.insert(EVENTS).on_conflict_do_nothing(index_elements=["key"])
        with self.database.transaction() as connection:
            for start in range(0, len(rows), BATCH_SIZE):
                batch = slice(start, start + BATCH_SIZE)
                connection.execute(new, rows[batch])
                query = sql.select(EVENTS.c.key, EVENTS.c.id).where(EVENTS.c.key.in_(keys[batch]))
                places |= {key: place for key, place in connection.execute(query)}
        return [places[key] for key in keys]

    def for_user(self, user: str) -> list[Event]:
        """Events of a user, in order."""
        return self._read(OF_USER, who=user)

    def since(self, place: int, limit: int = 10_000) -> list[Event]:
        """Events after a place, in order.

        Args:
            place: the place.
            limit: number of events at most.
        """
        return self._read(sql.select(*COLUMNS).where(EVENTS.c.id > place).order_by(EVENTS.c.id).limit(limit))

    def recent_users(self, limit: int = 100) -> list[str]:
        """Users of the last :data:`RECENT` events, the most recent first.

        Args:
            limit: number of users at most.
        """
        last = sql.select(EVENTS.c.id, EVENTS.c.user).order_by(EVENTS.c.id.desc()).limit(RECENT).subquery()
        query = sql.select(last.c.user).group_by(last.c.user).order_by(sql.func.max(last.c.id).desc()).limit(limit)
        return [user for (user,) in self.database.query(query)]

    def erase(self, user: str) -> int:
        """Erase all events of a user; other processes learn of it by :meth:`erased_since`.

        Args:
            user: user id.

        Returns:
            Number of events.
        """
        with self.database.transaction() as connection:
            count = connection.execute(sql.delete(EVENTS).where(EVENTS.c.user == user)).rowcount
            connection.execute(sql.insert(ERASED).values(who=self.erasure_token(user)))
        self.database.purge_deleted()
        return count

    def erased_since(self, place: int) -> tuple[int, list[str]]:
        """Users who were erased after a place, as tokens.

        Args:
            place: the place.

        Returns:
            The last place, and an :meth:`erasure_token` for each user.
        """
        query = sql.select(ERASED.c.id, ERASED.c.who).where(ERASED.c.id > place).order_by(ERASED.c.id)
        rows = self.database.query(query)
        return (rows[-1][0] if rows else place), [token for _, token in rows]

    def erasure_token(self, user: str) -> str:
        """All that is kept of an erased user: a keyed hash, from which the id cannot be read."""
        return hashlib.blake2b(user.encode(), digest_size=16, key=self.key).hexdigest()

    def version(self) -> Version:
        """Differs after any process wrote into the database: events, erased users or the catalogue log."""
        return self.database.version()

    def count(self) -> int:
        """Number of events."""
        return int(self.database.query(sql.select(sql.func.count()).select_from(EVENTS))[0][0])

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    def _read(self, query: sql.Select[Any], **values: Any) -> list[Event]:
        return [Event(*row) for row in self.database.query(query, **values)]
