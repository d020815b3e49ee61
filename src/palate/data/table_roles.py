"""What the columns of all tables of a data set are: content, roles of the log, and where the ids are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palate.core.errors import DataError
from palate.data.columns import ItemGuess, errors_from, guess_interactions, guess_items
from palate.data.feedback import parse_rule
from palate.data.frames import search_roles, user_column
from palate.data.interactions import PositiveRule
from palate.data.key_columns import find_key, is_among
from palate.data.query_log import query_column
from palate.data.source_table import SourceTable

Roles = Mapping[str, str | Sequence[str] | None]


@dataclass(frozen=True)
class TableRoles:
    """The meaning of the columns of all tables.

    Attributes:
        items: what the columns of the items' table are.
        log: role -> column of the interactions.
        searches: role -> column of the searches; empty without them.
        users: the column of ids of the users' table; None without it.
        queries: the column of ids of the queries' table; None without it.
        rule: the rule for positives that was given, or None.
        notes: guesses on the columns of the log.
    """

    items: ItemGuess
    log: Mapping[str, str]
    searches: Mapping[str, str]
    users: str | None
    queries: str | None
    rule: PositiveRule | None
    notes: tuple[str, ...]

    @property
    def places(self) -> dict[str, list[tuple[str, str]]]:
        """Entity -> table and column of each place that holds its ids."""
        places = {
            "item": [("items", self.items.item_id), ("interactions", self.log["item"])],
            "user": [("interactions", self.log["user"])],
            "query": list[tuple[str, str]](),
        }
        if self.users is not None:
            places["user"].append(("users", self.users))
        for role in places if self.searches else ():
            places[role].append(("searches", self.searches[role]))
        if self.queries is not None:
            places["query"].append(("queries", self.queries))
            places["query"] += [("interactions", self.log["query"])] if "query" in self.log else []
        return places


def named_roles(roles: Roles | None) -> dict[str, str | None]:
    """Role -> the one column that was named for it, None for several and for a role that no column has.

    Args:
        roles: role -> column or columns, as given.
    """
    return {role: column if isinstance(column, str) else None for role, column in (roles or {}).items()}


def find_roles(
    tables: Mapping[str, SourceTable],
    files: Mapping[str, str],
    columns: Mapping[str, str | None] | None,
    roles: Roles | None,
    positive: PositiveRule | Mapping[str, Any] | None,
    given_split: bool,
) -> TableRoles:
    """The meaning of all columns, as given or guessed.

    Args:
        tables: ``items`` and ``interactions``, maybe ``users``, ``searches`` and ``queries``.
        files: table -> the file it was read from, for error messages.
        columns: item columns -> their kind, as given.
        roles: role -> column of the log, as given.
        positive: the rule for positives, as given.
        given_split: whether the log is known to say which part an event belongs to.

    Raises:
        DataError: naming file and column that are unknown, or a role that no column has.
    """
    log, named = tables["interactions"].frame, named_roles(roles)
    with errors_from(files.get("items")):
        items = guess_items(tables["items"].frame, columns, log, named.get("item"))
    people = tables["users"].frame if "users" in tables else None
    key = None if people is None else find_key(people, log, "user", named.get("user"))
    with errors_from(files.get("interactions")):
        keys = {"item": items.log_item, "user": None if key is None else key[1]}
        found, notes = guess_interactions(log, roles, keys, given_split)
    with errors_from(files.get("positive", files.get("interactions"))):
        rule = parse_rule(positive, found)
    _refuse_row_as_header(tables, files, items.item_id, found["item"])
    users = None if people is None else key[0] if key else user_column(people, found["user"])
    searches = search_roles(tables["searches"].frame, files.get("searches")) if "searches" in tables else {}
    queries = query_column(tables["queries"].frame) if "queries" in tables else None
    return TableRoles(items, found, searches, users, queries, rule, notes)


def _refuse_row_as_header(tables: Mapping[str, SourceTable], files: Mapping[str, str], key: str, item: str) -> None:
    """Refuse a table without a header: the name of its column of ids is an id of the other table.

    Raises:
        DataError: naming the file.
    """
    for name, column, other, values in (("items", key, "interactions", item), ("interactions", item, "items", key)):
        if tables[name].from_text and is_among(column, tables[other].spelled(values)):
            raise DataError(
                f"its first line seems to be a row: {column!r} is an id of the {other}",
                file=files.get(name),
                hint=f"write in palate.yaml {name}: {{header: none}}, and the columns under names: [...]",
            )
