"""The version of the tables of a database: made, brought up to date, or refused at the start."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from palate.core.errors import ConfigError

SCHEMA_VERSION = 2
"""1: an event key is unique; 2: an event key is unique for its user."""
SCHEMA = sql.Table("palate_schema", sql.MetaData(), sql.Column("version", sql.Integer, nullable=False))
OLDER_TABLES = ("events", "forgotten", "additions")
"""Tables of databases that do not name their version, which is 1."""


def prepare(connection: Connection, metadata: sql.MetaData, tables: Sequence[sql.Table]) -> None:
    """Create tables that do not exist yet, in a transaction that no other process shares.

    Args:
        connection: the transaction.
        metadata: all tables of the database.
        tables: tables to create.

    Raises:
        ConfigError: for tables of a later version, or with other columns.
    """
    version = _version(connection)
    if version is None:
        SCHEMA.create(connection)
        connection.execute(sql.insert(SCHEMA).values(version=SCHEMA_VERSION))
    elif not 1 <= version <= SCHEMA_VERSION:
        raise ConfigError(
            f"the database has schema version {version}, and this version of Palate reads up to {SCHEMA_VERSION}",
            hint="serve it with the version of Palate that wrote it, or name another database",
        )
    _check_columns(connection, metadata)
    if version == 1:
        _to_version_2(connection, metadata)
    metadata.create_all(connection, tables=tables)


def try_to_write(connection: Connection) -> None:
    """Write, and change nothing: it fails where nothing can be written, such as on a full disk.

    SQLite writes no value that stands there already, so the version is another one in between.

    Args:
        connection: the transaction.
    """
    for step in (1, -1):
        connection.execute(sql.update(SCHEMA).values(version=SCHEMA.c.version + step))


def _version(connection: Connection) -> int | None:
    """The version of the tables; None where there are none."""
    names = sql.inspect(connection).get_table_names()
    if SCHEMA.name not in names:
        return 1 if set(OLDER_TABLES) & set(names) else None
    found = connection.execute(sql.select(SCHEMA.c.version)).scalar()
    return 0 if found is None else int(found)


def _check_columns(connection: Connection, metadata: sql.MetaData) -> None:
    inspector = sql.inspect(connection)
    for name in set(inspector.get_table_names()) & set(metadata.tables):
        found = {column["name"] for column in inspector.get_columns(name)}
        lacking = {column.name for column in metadata.tables[name].columns} - found
        if lacking:
            raise ConfigError(
                f"the table {name!r} of the database lacks the columns {', '.join(sorted(lacking))}",
                key=name,
                hint="another program or version made it: name another database",
            )


def _to_version_2(connection: Connection, metadata: sql.MetaData) -> None:
    """Keys become unique for their users: SQLite cannot drop a constraint, so its table is written again."""
    if SCHEMA.name not in sql.inspect(connection).get_table_names():
        SCHEMA.create(connection)
    if "events" in metadata.tables and "events" in sql.inspect(connection).get_table_names():
        events = metadata.tables["events"]
        columns = ", ".join(f'"{column.name}"' for column in events.columns)
        for index in sql.inspect(connection).get_indexes("events"):
            if not index.get("duplicates_constraint"):
                connection.execute(sql.text(f'DROP INDEX "{index["name"]}"'))
        if connection.dialect.name == "sqlite":
            connection.execute(sql.text("ALTER TABLE events RENAME TO events_of_version_1"))
            events.create(connection)
            connection.execute(sql.text(f"INSERT INTO events ({columns}) SELECT {columns} FROM events_of_version_1"))
            # places are never given twice, also not those of events that were erased
            last = "(SELECT seq FROM sqlite_sequence WHERE name = 'events_of_version_1')"
            place = "INSERT INTO sqlite_sequence (name, seq) SELECT 'events', seq FROM sqlite_sequence WHERE name = "
            connection.execute(sql.text(f"DELETE FROM sqlite_sequence WHERE name = 'events' AND {last} IS NOT NULL"))
            connection.execute(sql.text(f"{place}'events_of_version_1'"))
            connection.execute(sql.text("DROP TABLE events_of_version_1"))
        else:
            for constraint in sql.inspect(connection).get_unique_constraints("events"):
                connection.execute(sql.text(f'ALTER TABLE events DROP CONSTRAINT "{constraint["name"]}"'))
            connection.execute(sql.text('ALTER TABLE events ADD CONSTRAINT events_user_key UNIQUE ("user", "key")'))
            for made in events.indexes:
                made.create(connection)
    connection.execute(sql.delete(SCHEMA))
    connection.execute(sql.insert(SCHEMA).values(version=SCHEMA_VERSION))
