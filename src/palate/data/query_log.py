"""Search queries of users, and the items they took after each query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import polars as pl

from palate.core.batch import IntArray
from palate.core.errors import DataError
from palate.core.files import digest
from palate.data.catalog import Catalog
from palate.data.ids import IdMap

QUERY_IDS = ("query_id", "query", "id")
_ROLES = ("user", "item", "query", "time")


@dataclass(frozen=True, eq=False)
class QueryLog:
    """Queries that led to an item.

    Attributes:
        queries: all queries with their text.
        query: int64 [n], rows of ``queries``.
        users: int64 [n], rows of users.
        items: int64 [n], rows of the items taken.
        times: int64 [n], or None if not all are known.
    """

    queries: Catalog
    query: IntArray
    users: IntArray
    items: IntArray
    times: IntArray | None = None

    def __len__(self) -> int:
        return len(self.query)

    def restrict_to(self, users: IntArray, items: IntArray, n_items: int, until: int | None = None) -> QueryLog:
        """Searches whose user and item are one of the given pairs.

        Args:
            users: int64 [m], users of the pairs.
            items: int64 [m], items of the pairs.
            n_items: number of items.
            until: leave out searches after this time.
        """
        keep = np.isin(self.users * n_items + self.items, users * n_items + items)
        if until is not None and self.times is not None:
            keep &= self.times <= until
        times = None if self.times is None else self.times[keep]
        return replace(self, query=self.query[keep], users=self.users[keep], items=self.items[keep], times=times)

    def content_hash(self) -> str:
        """Hash of the queries, users, items and times."""
        arrays = [part.tobytes() for part in (self.query, self.users, self.items, self.times) if part is not None]
        return digest(self.queries.content_hash(), *arrays)


class SearchTable(NamedTuple):
    """Searches of one table.

    Attributes:
        frame: dense ``user`` and ``item``, ``query`` (null where there was no query), and maybe ``time`` and ``row``.
        file: where it was read from, for error messages.
        column: its column of queries, for error messages.
    """

    frame: pl.DataFrame
    file: str | None = None
    column: str = "query"


def build_query_log(
    tables: Sequence[SearchTable], queries: pl.DataFrame | None = None, file: str | None = None
) -> QueryLog | None:
    """Searches of several tables without repeats.

    Args:
        tables: searches of each table.
        queries: ids and their text. Without it a query of type text is its own words, and queries of another type
            are ignored.
        file: where ``queries`` was read from, for error messages.

    Returns:
        The searches; None if no text of any query is known.

    Raises:
        DataError: if ``queries`` has no text, or a search names a query that it lacks.
    """
    if not tables:
        return None
    parts = [_numbered(one.frame, at) for at, one in enumerate(tables)]
    table = pl.concat(parts, how="diagonal_relaxed").filter(pl.col("query").is_not_null())
    if queries is None and table["query"].dtype == pl.String:
        table = table.with_columns(pl.col("query").str.strip_chars()).filter(pl.col("query") != "")
        texts = table["query"].unique(maintain_order=True)
        queries = pl.DataFrame({"query": texts, "text": texts})
    if queries is None or not len(table):
        return None
    table = table.unique([name for name in _ROLES if name in table.columns], keep="first", maintain_order=True)
    catalog = _catalog(queries, file)
    rows = catalog.ids.rows(table["query"], "mark")
    if (rows < 0).any():
        unknown = table.row(int(np.flatnonzero(rows < 0)[0]), named=True)
        source = tables[unknown["table"]]
        raise DataError(
            "a query id that the table of queries lacks",
            file=source.file,
            row=unknown["row"],
            column=source.column,
            key=unknown["query"],
            hint=f"add it to {file or 'the table of queries'}, or leave that table out: then a query is its own words",
        )
    timed = "time" in table.columns and not table["time"].null_count()
    return QueryLog(
        catalog,
        rows,
        table["user"].to_numpy().astype(np.int64),
        table["item"].to_numpy().astype(np.int64),
        table["time"].to_numpy().astype(np.int64) if timed else None,
    )


def _numbered(frame: pl.DataFrame, table: int) -> pl.DataFrame:
    """The roles of searches, each with the number of its table and its row there."""
    row = pl.col("row") if "row" in frame.columns else pl.int_range(1, pl.len() + 1)
    roles = [role for role in _ROLES if role in frame.columns]
    return frame.select(*roles, row.cast(pl.Int64).alias("row"), pl.lit(table).alias("table"))


def query_column(queries: pl.DataFrame) -> str:
    """The column of ids of a table of queries.

    Args:
        queries: one row a query.
    """
    return next((name for name in QUERY_IDS if name in queries.columns), queries.columns[0])


def _catalog(queries: pl.DataFrame, file: str | None) -> Catalog:
    column = query_column(queries)
    kinds = {name: "text" for name in queries.columns if name != column and queries[name].dtype == pl.String}
    if not kinds:
        raise DataError("queries have no text", file=file, hint=f"columns: {', '.join(queries.columns)}")
    return Catalog(queries, IdMap(queries[column], "query", file), kinds, file=file)
