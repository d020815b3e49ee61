"""Parts of a data set, built of tables: ids in one type, content, a log with row numbers, notes on all of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from palate.core.given import as_features
from palate.data.absent import absent_note
from palate.data.catalog import Catalog
from palate.data.columns import TIME_FORMAT, errors_from, kind_notes, type_log, unused_columns
from palate.data.content_table import ContentTable
from palate.data.feedback import default_rule, feedback_issues
from palate.data.frames import DenseLog, complete_users, dense_log, dense_searches
from palate.data.id_columns import absent_ids_named, unify_ids
from palate.data.id_spelling import IdColumn, parse_id_types
from palate.data.ids import IdMap
from palate.data.interactions import Interactions, PositiveRule
from palate.data.issues import DataIssue, issue_notes
from palate.data.item_columns import read_item_columns
from palate.data.query_log import QueryLog, SearchTable, build_query_log
from palate.data.source_table import SourceTable
from palate.data.splits import SplitSpec
from palate.data.table_roles import Roles, TableRoles, find_roles, named_roles
from palate.data.unused_feedback import unused_feedback
from palate.data.user_columns import read_user_columns


class FrameTables(NamedTuple):
    """Tables to build a data set of.

    Attributes:
        tables: ``items`` and ``interactions``, maybe ``users``, ``searches`` and ``queries``.
        files: table -> the file it was read from, for error messages.
        columns: item columns -> their kind, as given.
        roles: role -> column of the log, as given.
        positive: the rule for positives, as given.
        spec: settings of the split, as given.
        features: ready vectors by modality.
        root: folder that relative media paths start from.
        ids: the type of ids, as given.
        relation_ids: further ids of items.
        notes: what the reader has to say.
    """

    tables: Mapping[str, SourceTable]
    files: Mapping[str, str]
    columns: Mapping[str, str | None] | None
    roles: Roles | None
    positive: PositiveRule | Mapping[str, Any] | None
    spec: SplitSpec | None
    features: Mapping[str, Any]
    root: Path | None
    ids: str | Mapping[str, str] | None
    relation_ids: Sequence[IdColumn]
    notes: Sequence[str]


class DatasetParts(NamedTuple):
    """Attributes of a :class:`palate.data.dataset.Dataset` that follow from its tables."""

    items: Catalog
    users: Catalog
    interactions: Interactions
    positive: PositiveRule
    spec: SplitSpec
    notes: tuple[str, ...]
    searches: QueryLog | None
    issues: tuple[DataIssue, ...]


def build_parts(given: FrameTables) -> DatasetParts:
    """All parts of a data set.

    Args:
        given: tables and settings.

    Raises:
        DataError: naming file, row and column.
        FeatureError: naming row and column of a vector that is not finite.
    """
    files = given.files
    said = [absent_note(name, table.absent) for name, table in given.tables.items()]
    given_split = given.spec is not None and given.spec.kind == "given"
    roles = find_roles(given.tables, files, given.columns, given.roles, given.positive, given_split)
    types = parse_id_types(given.ids)
    tables, id_notes = unify_ids(given.tables, roles.places, types, files, {"item": given.relation_ids})
    content = read_item_columns(tables["items"].frame, roles.items.columns)
    log, log_issues = _typed_log(tables["interactions"], roles, given)
    with absent_ids_named(tables["items"], roles.items.item_id):
        item_ids = IdMap(tables["items"].frame[roles.items.item_id], "item", files.get("items"))
    issues = [issue for table in tables.values() for issue in table.issues]
    users, people, found = _users(tables, roles, log.frame[roles.log["user"]], files)
    issues += found
    ready = {name: as_features(vectors, name) for name, vectors in given.features.items()}
    items = Catalog(content.frame, item_ids, content.kinds, given.root, ready, files.get("items"), content.decimals)
    dense = dense_log(log, roles.log, items.ids, users.ids, files.get("interactions"))
    issues += dense.issues
    rule = default_rule(dense.table) if roles.rule is None else roles.rule
    log_issues += feedback_issues(dense.table, rule, roles.log, roles.rule is None)
    if roles.rule is None:
        log_issues += unused_feedback(log.frame, roles.log)
    columns_said = [
        *issue_notes(content.issues, "items", files.get("items")),
        *issue_notes(people.issues, "users", files.get("users")),
        *issue_notes(log_issues, "interactions", files.get("interactions")),
    ]
    for note, issue in columns_said:
        if issue.severity == "warning":
            warnings.warn(f"{note} -> {issue.hint}" if issue.hint else note, stacklevel=3)
    searched, found = _searches(tables, roles, dense, (items.ids, users.ids), files)
    issues += found
    query_frame = tables["queries"].frame if "queries" in tables else None
    kinds = kind_notes(content.kinds) if roles.items.guessed else []
    spoken = (
        *given.notes, *filter(None, said), *roles.items.notes, *kinds, *roles.notes, *id_notes, *dense.notes,
    )  # fmt: skip
    return DatasetParts(
        items,
        users,
        Interactions(dense.table, files.get("interactions"), dense.dropped),
        rule,
        given.spec or SplitSpec(kind="given" if "part" in roles.log else "random"),
        (*spoken, *(issue.message for issue in issues), *(note for note, _ in columns_said)),
        build_query_log(searched, query_frame, files.get("queries")),
        (*issues, *(issue for _, issue in columns_said)),
    )


def _typed_log(source: SourceTable, roles: TableRoles, given: FrameTables) -> tuple[SourceTable, list[DataIssue]]:
    """The log with the types of its roles, and what was decided for its columns."""
    file = given.files.get("interactions")
    with errors_from(file):
        typed, issues = type_log(source.frame, roles.log, file, named_roles(given.roles).get(TIME_FORMAT))
    log = source.with_columns(*typed)
    refused = [role for role, column in (given.roles or {}).items() if column is None]
    return log, [*issues, *unused_columns(log.frame, roles.log, refused)]


def _users(
    tables: Mapping[str, SourceTable], roles: TableRoles, taken: pl.Series, files: Mapping[str, str]
) -> tuple[Catalog, ContentTable, tuple[DataIssue, ...]]:
    """The users' catalogue, its columns as they were read, and what is to be said of its rows."""
    file = files.get("interactions")
    if roles.users is None:
        with errors_from(file):
            users = Catalog.from_ids(taken.drop_nulls().unique(maintain_order=True), "user")
        return users, ContentTable(users.frame, {}), ()
    read = read_user_columns(tables["users"].frame, roles.users)
    ids = IdMap(read.frame[roles.users], "user", files.get("users"))
    catalog = Catalog(read.frame, ids, read.kinds, file=files.get("users"), decimals=read.decimals)
    users, found = complete_users(catalog, taken, file)
    return users, read, found


def _searches(
    tables: Mapping[str, SourceTable],
    roles: TableRoles,
    log: DenseLog,
    ids: tuple[IdMap, IdMap],
    files: Mapping[str, str],
) -> tuple[list[SearchTable], tuple[DataIssue, ...]]:
    """Searches of the log and of a table of their own, and what was left out of the latter."""
    found = []
    if "query" in log.table.columns:
        found.append(SearchTable(log.table, files.get("interactions"), roles.log["query"]))
    if "searches" not in tables:
        return found, ()
    dense = dense_searches(tables["searches"], roles.searches, *ids, files.get("searches"))
    return [*found, SearchTable(dense.table, files.get("searches"), roles.searches["query"])], dense.issues
