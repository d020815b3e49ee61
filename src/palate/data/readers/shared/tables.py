"""Logs, searches and relations as tables with external ids, and relations read from such a table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.ids import IdMap
from palate.data.query_log import QueryLog
from palate.data.relations import Edges, Relations


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


def read_relations(table: pl.DataFrame, section: Mapping[str, str], items: IdMap) -> Relations:
    """Edges by relation; a target that is not an item becomes an entity of another kind.

    Args:
        table: one row an edge.
        section: ``source``, ``relation``, ``target``, ``weight`` -> column, where it has another name.
        items: ids of the items.

    Raises:
        DataError: if a column is missing, or a weight is not a finite number.
    """
    columns = {role: section.get(role, role) for role in ("source", "relation", "target", "weight")}
    for role in ("source", "target"):
        if columns[role] not in table.columns:
            hint = f"columns: {', '.join(table.columns)}"
            raise DataError("relations lack a column", column=columns[role], hint=hint)
    if columns["relation"] not in table.columns:
        table = table.with_columns(pl.lit("related").alias(columns["relation"]))
    if columns["weight"] in table.columns:
        weights = table[columns["weight"]].cast(pl.Float32, strict=False)
        bad = (weights.is_null() | ~weights.is_finite()).arg_true()
        if len(bad):
            raise DataError("not a finite number", row=int(bad[0]) + 1, column=columns["weight"])
        table = table.with_columns(weights)
    edges = {}
    for (name,), part in table.group_by([columns["relation"]], maintain_order=True):
        source = items.rows(part[columns["source"]], "mark")
        weight = part[columns["weight"]].to_numpy() if columns["weight"] in table.columns else np.ones(len(part))
        target = items.rows(part[columns["target"]], "mark")
        entity = "target_kind" in part.columns and part["target_kind"][0] != "item"
        keep = source >= 0
        if (target[keep] >= 0).all() and not entity:
            edges[str(name)] = Edges(source[keep], target[keep], weight[keep].astype(np.float32))
            continue
        names = part[columns["target"]].cast(pl.String)
        values = names.unique(maintain_order=True)
        codes = IdMap(values, "entity").rows(names)
        edges[str(name)] = Edges(
            source[keep], codes[keep], weight[keep].astype(np.float32), str(name), tuple(values.to_list())
        )
    return Relations(edges)
