"""Events of users, in a database: an acknowledged event is on disk, and an event sent twice is stored once."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args
from uuid import uuid4

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from palate.core.errors import ConfigError, DataError
from palate.serving.batches import BatchError, Faults, raise_faults
from palate.serving.database import MAX_ID_LENGTH, TABLES, Database, Version, check_id, id_column
from palate.serving.limited_log import LimitedLog

EventKind = Literal["click", "like", "unlike", "hide", "unhide"]
EVENT_KINDS: tuple[str, ...] = get_args(EventKind)
BATCH_SIZE = 1000
"""Events in one statement: databases limit the number of its values."""
ERASED_AT_ONCE = 5000
"""Events of a user that one transaction erases."""
RECENT = 10_000
"""Events among which recent users are looked for."""
MAX_EVENTS_OF_USER, MAX_HIDDEN = 500, 2000
"""Latest events of a user that are read; latest times that the user hid something, which are read from all events."""
SHOWN_AGAIN = ("like", "click", "unhide")
"""Kinds that show a hidden item again."""

EVENTS = sql.Table(
    "events",
    TABLES,
    id_column(),
    sql.Column("key", sql.String(MAX_ID_LENGTH), nullable=False),
    sql.Column("user", sql.String(MAX_ID_LENGTH), nullable=False),
    sql.Column("item", sql.String(MAX_ID_LENGTH), nullable=False),
    sql.Column("kind", sql.String(16), nullable=False),
    sql.Column("time", sql.Double, nullable=False),
    sql.UniqueConstraint("user", "key", name="events_user_key"),
    sql.Index("events_user_id", "user", "id"),
    sql.Index("events_user_kind", "user", "kind", "id"),
    sql.Index("events_user_item", "user", "item", "id"),
    sqlite_autoincrement=True,
)
ERASED = sql.Table(
    "forgotten", TABLES, id_column(), sql.Column("who", sql.String(64), nullable=False), sqlite_autoincrement=True
)
FIELDS = ("user", "item", "kind", "key", "time", "id")
COLUMNS = [EVENTS.c[name] for name in FIELDS]
OF_USER = (
    sql.select(*COLUMNS)
    .where(EVENTS.c.user == sql.bindparam("who"))
    .order_by(EVENTS.c.id.desc())
    .limit(MAX_EVENTS_OF_USER)
)
SOME_OF_USER = sql.delete(EVENTS).where(
    EVENTS.c.id.in_(sql.select(EVENTS.c.id).where(EVENTS.c.user == sql.bindparam("who")).limit(sql.bindparam("most")))
)
SKIPPED = LimitedLog()


def _hidden_before() -> sql.Select[Any]:
    """Events before ``place`` that hid an item which the user ``who`` has not been shown again since."""
    hides = (
        sql.select(*COLUMNS)
        .where(EVENTS.c.user == sql.bindparam("who"), EVENTS.c.kind == "hide", EVENTS.c.id < sql.bindparam("place"))
        .order_by(EVENTS.c.id.desc())
        .limit(MAX_HIDDEN)
        .subquery()
    )
    later = EVENTS.alias("later")
    shown = sql.exists().where(
        later.c.user == hides.c.user,
        later.c.item == hides.c.item,
        later.c.id > hides.c.id,
        later.c.kind.in_(SHOWN_AGAIN),
    )
    return sql.select(*(hides.c[name] for name in FIELDS)).where(~shown).order_by(hides.c.id)


HIDDEN_BEFORE = _hidden_before()


class DuplicateKeyError(DataError):
    """An event has the key of another event of the same user."""


class StoredEvents(NamedTuple):
    """What became of events.

    Attributes:
        places: place of each event, also of one that was stored before.
        duplicates: number of events that were stored before.
    """

    places: list[int]
    duplicates: int


@dataclass(frozen=True)
class Event:
    """A user did something with an item.

    Attributes:
        user: user id.
        item: item id.
        kind: ``click``, ``like`` or ``hide``; ``unlike`` and ``unhide`` take back what a like or a hide did.
        key: identifies the event among those of its user; one that is stored is not stored again.
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

    def add(self, events: Iterable[Event]) -> StoredEvents:
        """Store events, all or none; they are on disk when this returns.

        O(events), however many are stored.

        Args:
            events: events; one whose user has stored it before, with the same key, item and kind, is left out.

        Returns:
            Places of the events, and how many were stored before.

        Raises:
            DuplicateKeyError: for an event with the key of another event of its user.
            DatabaseUnavailable: if the database does not answer; some may be stored, and all may be sent again.
        """
        events = list(events)
        if not events:
            return StoredEvents([], 0)
        return self.database.write(lambda connection: _store(connection, events))

    def for_user(self, user: str) -> list[Event]:
        """Latest events of a user, in order, after earlier ones that still hide an item.

        The cost does not grow with the number of events: the latest :data:`MAX_EVENTS_OF_USER` are read.

        Args:
            user: user id.

        Raises:
            DatabaseUnavailable: if the database does not answer.
        """
        latest = self._read(OF_USER, who=user)[::-1]
        if len(latest) < MAX_EVENTS_OF_USER:
            return latest
        return self._read(HIDDEN_BEFORE, who=user, place=latest[0].id) + latest

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

        Raises:
            DatabaseUnavailable: if the database does not answer; some events may be left, and it may be asked again.
        """

        def delete(connection: Connection) -> int:
            return int(connection.execute(SOME_OF_USER, {"who": user, "most": ERASED_AT_ONCE}).rowcount)

        def first(connection: Connection) -> int:
            connection.execute(sql.insert(ERASED).values(who=self.erasure_token(user)))
            return delete(connection)

        n_events = count = self.database.write(first)
        while count == ERASED_AT_ONCE:
            # other writers come in between, who would not wait for all of them
            count = self.database.write(delete)
            n_events += count
        self.database.purge_deleted()
        return n_events

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
        return [event for row in self.database.query(query, **values) if (event := _event(*row)) is not None]


def _event(user: str, item: str, kind: str, key: str, when: float, place: int) -> Event | None:
    """A stored event; None for one that is damaged or of a kind that this version does not know."""
    try:
        return Event(user, item, kind, key, when, place)
    except (DataError, TypeError):
        SKIPPED.warning(str(kind), "an event cannot be read and is passed over: place %s, kind %r", place, kind)
        return None


def _store(connection: Connection, events: list[Event]) -> StoredEvents:
    owners = [(event.user, event.key) for event in events]
    found = _stored(connection, owners, "item", "kind")
    contents = {(user, key): (item, kind) for user, key, item, kind in found}
    rows, faults = [], Faults()
    for at, (event, owner) in enumerate(zip(events, owners)):
        if owner not in contents:
            contents[owner] = (event.item, event.kind)
            rows.append(
                {"key": event.key, "user": event.user, "item": event.item, "kind": event.kind, "time": event.time}
            )
        elif contents[owner] != (event.item, event.kind):
            faults[at + 1] = DuplicateKeyError(
                "this user has another event with this key",
                key=event.key,
                hint="give each event of a user a key of its own",
            )
    if len(faults) > 1:
        raise DuplicateKeyError(str(BatchError(faults, len(events))))
    raise_faults(faults, len(events))
    for start in range(0, len(rows), BATCH_SIZE):
        connection.execute(sql.insert(EVENTS), rows[start : start + BATCH_SIZE])
    places = {(user, key): place for user, key, place in _stored(connection, owners, "id")}
    return StoredEvents([places[owner] for owner in owners], len(events) - len(rows))


def _stored(connection: Connection, owners: list[tuple[str, str]], *columns: str) -> Iterator[tuple[Any, ...]]:
    """User, key and further columns of the events with these users and keys."""
    selected = [EVENTS.c[name] for name in ("user", "key", *columns)]
    for start in range(0, len(owners), BATCH_SIZE):
        batch = sql.tuple_(EVENTS.c.user, EVENTS.c.key).in_(owners[start : start + BATCH_SIZE])
        yield from (tuple(row) for row in connection.execute(sql.select(*selected).where(batch)))
