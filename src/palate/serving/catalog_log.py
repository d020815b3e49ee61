"""What was put into the catalogue, and taken out, while the run was in use: a log that all processes read."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sql

from palate.core.errors import DataError
from palate.serving.database import MAX_ID_LENGTH, TABLES, Database, check_id, id_column

CATALOG_EVENTS = sql.Table(
    "additions",
    TABLES,
    id_column(),
    sql.Column("item", sql.String(MAX_ID_LENGTH), nullable=False, index=True),
    sql.Column("kind", sql.String(16), nullable=False),
    sql.Column("record", sql.Text),
    sql.Column("picture", sql.String(64)),
    sql.Column("time", sql.Double, nullable=False),
    sqlite_autoincrement=True,
)
EVERY = sql.select(*(CATALOG_EVENTS.c[name] for name in ("id", "item", "kind", "record", "picture", "time")))


@dataclass(frozen=True)
class CatalogEvent:
    """An item was put into the catalogue or taken out of it.

    Attributes:
        id: its place. fields: column -> value, of what was put; nothing of what was dropped. picture: hash of the
            content of a stored file. time: seconds since 1970.
    """

    id: int
    item: str
    kind: Literal["put", "drop"]
    fields: Mapping[str, Any]
    picture: str | None
    time: float


class CatalogLog:
    """Items put and dropped, in the order of writing; the last record of an item counts."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.create_tables(CATALOG_EVENTS)

    def put(self, records: Sequence[tuple[str, Mapping[str, Any], str | None]]) -> list[int]:
        """Store (item, fields, picture), all or none, and return when they are on disk; their places.

        Raises:
            DataError: for an id that cannot be stored, a field that JSON does not know.
        """
        return self._write([("put", item, _json(item, fields), picture) for item, fields, picture in records])

    def drop(self, item: str) -> int:
        """Say that an item is gone; its place."""
        return self._write([("drop", item, None, None)])[0]

    def since(self, place: int) -> list[CatalogEvent]:
        """What came after a place, in order."""
        return self._read(EVERY.where(CATALOG_EVENTS.c.id > place))

    def last(self) -> int:
        """The last place, 0 before there is one."""
        return int(self.database.query(sql.select(sql.func.coalesce(sql.func.max(CATALOG_EVENTS.c.id), 0)))[0][0])

    def _write(self, records: Sequence[tuple[str, str, str | None, str | None]]) -> list[int]:
        now = time.time()
        rows = [
            {"item": check_id("item", item), "kind": kind, "record": record, "picture": picture, "time": now}
            for kind, item, record, picture in records
        ]
        if not rows:
            return []
        with self.database.transaction() as connection:
            new = sql.insert(CATALOG_EVENTS).returning(CATALOG_EVENTS.c.id)
            return [int(connection.execute(new, row).scalar_one()) for row in rows]

    def _read(self, query: sql.Select[Any]) -> list[CatalogEvent]:
        return [
            CatalogEvent(at, item, kind, json.loads(record) if record else {}, picture, when)
            for at, item, kind, record, picture, when in self.database.query(query.order_by(CATALOG_EVENTS.c.id))
        ]


def _json(item: str, fields: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(fields), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"a field cannot be stored: {error}", key=item) from error
