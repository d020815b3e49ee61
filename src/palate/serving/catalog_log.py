"""The log of items that were added, changed or removed while the run was in use; all processes read it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sql

from palate.core.errors import DataError
from palate.serving.database import MAX_ID_LENGTH, TABLES, Database, check_id, id_column
from palate.serving.limited_log import LimitedLog

FieldValue = str | int | float | bool | None | list[str]
"""A value of a catalogue column, as JSON has it."""

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
SKIPPED = LimitedLog()
COLUMNS = ("id", "item", "kind", "record", "picture", "time")
ALL_EVENTS = sql.select(*(CATALOG_EVENTS.c[name] for name in COLUMNS))


@dataclass(frozen=True)
class CatalogEvent:
    """An item was put into the catalogue or removed from it.

    Attributes:
        id: place in the log.
        item: item id.
        kind: ``put`` or ``drop``.
        fields: column -> value of an item that was put; empty for one that was removed.
        image: hash of the content of its image file.
        time: seconds since 1970.
    """

    id: int
    item: str
    kind: Literal["put", "drop"]
    fields: Mapping[str, FieldValue]
    image: str | None
    time: float


class CatalogLog:
    """Items put and removed, in the order of writing; the last event of an item counts.

    Args:
        database: the shared database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        database.create_tables(CATALOG_EVENTS)

    def put(self, records: Sequence[tuple[str, Mapping[str, FieldValue], str | None]]) -> list[int]:
        """Log items, all or none; they are on disk when this returns.

        Args:
            records: (item id, column -> value, hash of the image or None).

        Returns:
            Places in the log.

        Raises:
            DataError: for an id that cannot be stored, or a value that JSON cannot hold.
        """
        return self._write([("put", item, _json(item, fields), image) for item, fields, image in records])

    def drop(self, item: str) -> int:
        """Log that an item was removed.

        Args:
            item: item id.

        Returns:
            Place in the log.

        Raises:
            DataError: for an id that cannot be stored.
        """
        return self._write([("drop", item, None, None)])[0]

    def since(self, place: int, for_request: bool = False) -> list[CatalogEvent]:
        """Events after a place, in order.

        Args:
            place: the place.
            for_request: whether a request waits, so that this must not take long.
        """
        ask = self.database.query if for_request else self.database.scan
        query = ALL_EVENTS.where(CATALOG_EVENTS.c.id > place).order_by(CATALOG_EVENTS.c.id)
        return [event for row in ask(query) if (event := _event(*row)) is not None]

    def images(self) -> set[str]:
        """Hashes of the images of items that are not removed."""
        images: dict[str, str | None] = {}
        for event in self.since(0):
            if event.kind == "drop":
                images.pop(event.item, None)
            else:
                images[event.item] = event.image or images.get(event.item)
        return {image for image in images.values() if image is not None}

    def last(self) -> int:
        """The last place; 0 for an empty log."""
        return int(self.database.query(sql.select(sql.func.coalesce(sql.func.max(CATALOG_EVENTS.c.id), 0)))[0][0])

    def _write(self, records: Sequence[tuple[str, str, str | None, str | None]]) -> list[int]:
        now = time.time()
        rows = [
            {"item": check_id("item", item), "kind": kind, "record": record, "picture": image, "time": now}
            for kind, item, record, image in records
        ]
        if not rows:
            return []
        new = sql.insert(CATALOG_EVENTS).returning(CATALOG_EVENTS.c.id)
        return self.database.write(lambda connection: [int(connection.execute(new, row).scalar_one()) for row in rows])


def _event(place: int, item: str, kind: str, record: str | None, image: str | None, when: float) -> CatalogEvent | None:
    """A row of the log; None for one that is damaged or of a kind that this version does not know."""
    if kind in ("put", "drop"):
        try:
            return CatalogEvent(place, item, kind, json.loads(record) if record else {}, image, float(when))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            pass
    SKIPPED.warning(kind, "a row of the log of items cannot be read and is passed over: place %d, kind %r", place, kind)
    return None


def _json(item: str, fields: Mapping[str, FieldValue]) -> str:
    try:
        return json.dumps(dict(fields), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"a field cannot be stored as JSON: {error}", key=item) from error
