"""Logs, searches and relations as tables with external ids, and relations read from such a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.id_columns import read_as
from palate.data.id_spelling import spelled
from palate.data.ids import IdMap
from palate.data.issues import DataIssue
from palate.data.query_log import QueryLog
from palate.data.relations import Edges, Relations
from palate.data.source_table import SourceTable
from palate.data.times import cast_or_null

_ENDS = (
    ("source", "relation", "target"),
    ("head", "relation", "tail"),
    ("head", "rel", "tail"),
    ("subject", "predicate", "object"),
    ("from", "relation", "to"),
    ("src", "relation", "dst"),
)
"""Usual names of the ends of relations and of their kind."""


def external_log(data: Dataset) -> pl.DataFrame:
    """The interactions with external ``user`` and ``item`` ids, other roles as they are.

    Args:
        data: the data set.
    """
    table = data.interactions.frame
    return table.with_columns(
        user=data.users.ids.ids.gather(table["user"]), item=data.items.ids.ids.gather(table["item"])
    )


def search_table(data: Dataset, searches: QueryLog) -> pl.DataFrame:
    """All searches with external ids: user, item, query, and time where known.

    Args:
        data: the data set.
        searches: its searches.
    """
    ids = {
        "user": data.users.ids.ids.gather(searches.users),
        "item": data.items.ids.ids.gather(searches.items),
        "query": searches.queries.ids.ids.gather(searches.query),
    }
    return pl.DataFrame(ids if searches.times is None else {**ids, "time": searches.times})


def query_table(searches: QueryLog) -> pl.DataFrame:
    """All queries: id and text.

    Args:
        searches: the searches.
    """
    return pl.DataFrame({"id": searches.queries.ids.ids, "text": searches.queries.raw("text")})


def relation_table(data: Dataset) -> pl.DataFrame:
    """All edges with external ids: source, target, weight, relation, target_kind.

    Args:
        data: the data set.
    """
    parts = []
    for name, edges in data.relations.edges.items():
        ids = data.items.ids.ids.cast(pl.String)
        names = ids if edges.target_kind == "item" else pl.Series(edges.target_names, dtype=pl.String)
        parts.append(
            pl.DataFrame(
                {
                    "source": ids.gather(edges.source),
                    "target": names.gather(edges.target),
                    "weight": edges.weight,
                }
            ).with_columns(relation=pl.lit(name), target_kind=pl.lit(edges.target_kind))
        )
    return pl.concat(parts)


def relation_columns(columns: Sequence[str], section: Mapping[str, str]) -> dict[str, str]:
    """``source``, ``relation``, ``target``, ``weight`` -> column, as given or by their usual names.

    Args:
        columns: of the table of relations.
        section: role -> column, as given.
    """
    usual = next((names for names in _ENDS if {names[0], names[2]} <= set(columns)), _ENDS[0])
    return {**dict(zip(("source", "relation", "target"), usual)), "weight": "weight", **section}


def read_relations(
    source: SourceTable, section: Mapping[str, str], items: IdMap, file: str | None = None
) -> tuple[Relations, tuple[DataIssue, ...]]:
    """Edges by relation, and what was left out.

    Where at least half of the targets of a relation are items, it joins items and its other targets are left out;
    else its targets are entities of another kind. A column ``target_kind`` decides instead.

    Args:
        source: one row an edge.
        section: ``source``, ``relation``, ``target``, ``weight`` -> column, where it has another name.
        items: ids of the items.
        file: the file they were read from, for error messages.

    Raises:
        DataError: if a column is missing, or a weight is not a finite number.
    """
    table = source.frame
    columns = relation_columns(table.columns, section)
    for role in ("source", "target"):
        if columns[role] not in table.columns:
            hint = f"name it in palate.yaml (relations: {{{role}: COLUMN}}); columns: {', '.join(table.columns)}"
            raise DataError("relations lack a column", file=file, column=columns[role], hint=hint)
    names = pl.lit("related") if columns["relation"] not in table.columns else pl.col(columns["relation"])
    weights = np.ones(len(table), np.float32)
    if columns["weight"] in table.columns:
        numbers = cast_or_null(table[columns["weight"]], pl.Float32())
        bad = (numbers.is_null() | ~numbers.is_finite()).arg_true()
        if len(bad):
            raise DataError("not a finite number", file=file, row=int(bad[0]) + 1, column=columns["weight"])
        weights = numbers.to_numpy()
    ends, _ = zip(
        *(spelled(read_as("relations", source, columns[role], file), "relation") for role in ("source", "target"))
    )
    table = table.select(
        names.cast(pl.String).fill_null("related").alias("relation"),
        source=ends[0],
        target=ends[1],
        from_row=pl.Series(items.rows(ends[0], "mark")),
        to_row=pl.Series(items.rows(ends[1], "mark")),
        weight=pl.Series(weights),
        kind=pl.col("target_kind").cast(pl.String) if "target_kind" in table.columns else pl.lit(None, pl.String),
        row=pl.int_range(1, pl.len() + 1),
    )
    edges, lost = {}, []
    for (name,), part in table.group_by(["relation"], maintain_order=True):
        kept = part.filter((pl.col("from_row") >= 0) & pl.col("target").is_not_null())
        to_items = _joins_items(kept)
        kept = kept.filter(pl.col("to_row") >= 0) if to_items else kept
        lost.append(part.join(kept, on="row", how="anti", maintain_order="left"))
        pairs = kept["from_row"].to_numpy(), kept["weight"].to_numpy().astype(np.float32)
        if to_items:
            edges[str(name)] = Edges(pairs[0], kept["to_row"].to_numpy(), pairs[1])
            continue
        values = kept["target"].unique(maintain_order=True)
        targets = IdMap(values, "entity").rows(kept["target"]) if len(values) else np.zeros(0, np.int64)
        edges[str(name)] = Edges(pairs[0], targets, pairs[1], str(name), tuple(values.to_list()))
    return Relations(edges), _lost_edges(lost, len(table), columns, file)


def _joins_items(edges: pl.DataFrame) -> bool:
    if edges["kind"].null_count() < len(edges):
        return bool(edges["kind"].drop_nulls()[0] == "item")
    targets = edges.unique("target")
    return 2 * int((targets["to_row"] >= 0).sum()) >= len(targets)


def _lost_edges(
    lost: list[pl.DataFrame], n: int, columns: Mapping[str, str], file: str | None
) -> tuple[DataIssue, ...]:
    table = pl.concat(lost).sort("row") if lost else pl.DataFrame()
    if not len(table):
        return ()
    unknown_source = table["from_row"][0] < 0
    column = columns["source" if unknown_source else "target"]
    key = table["source" if unknown_source else "target"][0]
    message = f"{len(table):,} of {n:,} relations left out: an end of them is not in the table of items"
    rows = tuple(table["row"].head(1000).to_list())
    return (DataIssue("edge_unknown", "warning", message, file, rows, column, key, len(table)),)
