"""What people did in the service, kept in a database: acknowledged is written, said twice is written once."""

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

Kind = Literal["click", "like", "hide"]
KINDS: tuple[str, ...] = get_args(Kind)
AT_ONCE = 1000
"""Events a statement, for databases take so many values and no more."""
RECENT = 10_000
"""Events among which the last users are looked for."""

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
FORGOTTEN = sql.Table(
    "forgotten", TABLES, id_column(), sql.Column("who", sql.String(64), nullable=False), sqlite_autoincrement=True
)
FIELDS = ("user", "item", "kind", "key", "time", "id")
OF = sql.select(*(EVENTS.c[name] for name in FIELDS)).where(EVENTS.c.user == sql.bindparam("who")).order_by(EVENTS.c.id)


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
        if not math.isfinite(self.time):
            raise DataError("a time is a number of seconds", key="time")
        for name in ("user", "item", "key"):
            check_id(name, getattr(self, name))


class EventStore:
    """Events in SQLite or PostgreSQL, shared by processes.

    Args:
        url: an address (see :class:`Database`), or a database that is open. key: up to 64 bytes that marks of the
            forgotten are made with, the same for all who share the database; without it, who has a list of ids can try
            which of them were forgotten.

    Raises:
        ConfigError: for an address that is none, a key that is too long.
    """

    def __init__(self, url: str | Database, key: bytes = b"") -> None:
        if len(key) > hashlib.blake2b.MAX_KEY_SIZE:
            raise ConfigError(f"at most {hashlib.blake2b.MAX_KEY_SIZE} bytes", key="key")
        self.database = Database(url) if isinstance(url, str) else url
        self.key = key
        self.database.create_tables(EVENTS, FORGOTTEN)

    def add(self, events: Iterable[Event]) -> list[int]:
        """Store, all or none, and return when they are on disk; their places, also of those stored before.

        Time grows with the number of events, not of those stored.
        """
        events = list(events)
        rows = [{"key": e.key, "user": e.user, "item": e.item, "kind": e.kind, "time": e.time} for e in events]
        if not rows:
            return []
        keys, places = [e.key for e in events], dict[str, int]()
        new = self.database.insert(EVENTS).on_conflict_do_nothing(index_elements=["key"])
        with self.database.transaction() as connection:
            for start in range(0, len(rows), AT_ONCE):
                part = slice(start, start + AT_ONCE)
                connection.execute(new, rows[part])
                query = sql.select(EVENTS.c.key, EVENTS.c.id).where(EVENTS.c.key.in_(keys[part]))
                places |= {key: at for key, at in connection.execute(query)}
        return [places[key] for key in keys]

    def for_user(self, user: str) -> list[Event]:
        """What a user did, in order."""
        return self._read(OF, who=user)

    def since(self, place: int, most: int = 10_000) -> list[Event]:
        """What came after a place, in order."""
        query = sql.select(*(EVENTS.c[name] for name in FIELDS)).where(EVENTS.c.id > place)
        return self._read(query.order_by(EVENTS.c.id).limit(most))

    def recent_users(self, most: int = 100) -> list[str]:
        """Who did something among the last ``RECENT`` events, the last one first."""
        last = sql.select(EVENTS.c.id, EVENTS.c.user).order_by(EVENTS.c.id.desc()).limit(RECENT).subquery()
        query = sql.select(last.c.user).group_by(last.c.user).order_by(sql.func.max(last.c.id).desc()).limit(most)
        return [who for (who,) in self.database.query(query)]

    def erase(self, user: str) -> int:
        """Remove all of a user's events; how many there were. Other processes learn it by :meth:`erased_since`."""
        with self.database.transaction() as connection:
            gone = connection.execute(sql.delete(EVENTS).where(EVENTS.c.user == user)).rowcount
            connection.execute(sql.insert(FORGOTTEN).values(who=self.erasure_token(user)))
        self.database.scrub()
        return gone

    def erased_since(self, place: int) -> tuple[int, list[str]]:
        """The last place, and :meth:`erasure_token` users who were forgotten after ``place``: not who they were."""
        query = sql.select(FORGOTTEN.c.id, FORGOTTEN.c.who).where(FORGOTTEN.c.id > place).order_by(FORGOTTEN.c.id)
        found = self.database.query(query)
        return (found[-1][0] if found else place), [who for _, who in found]

    def erasure_token(self, user: str) -> str:
        """All that is kept of a forgotten user: who knows the id and the key recognises it, nobody reads it off."""
        return hashlib.blake2b(user.encode(), digest_size=16, key=self.key).hexdigest()

    def version(self) -> Version:
        """Differs when anyone wrote into the database since: events, who is forgotten, or additions."""
        return self.database.version()

    def count(self) -> int:
        """Number of events."""
        return int(self.database.query(sql.select(sql.func.count()).select_from(EVENTS))[0][0])

    def close(self) -> None:
        """Give connections back."""
        self.database.close()

    def _read(self, query: sql.Select[Any], **values: Any) -> list[Event]:
        return [Event(*row) for row in self.database.query(query, **values)]
