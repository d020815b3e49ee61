"""RecBole's knowledge graph: triples between entities (``.kg``) and which entity an item is (``.link``)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from palate.core.errors import DataError
from palate.data.columns import errors_from
from palate.data.dataset import Dataset
from palate.data.ids import IdMap
from palate.data.readers.shared.tables import read_relations, relation_table
from palate.data.relations import Relations

TRIPLE = {"head_id": "source", "relation_id": "relation", "tail_id": "target"}
LINK = ("item_id", "entity_id")
INVERSE = "~"


def triples(table: pl.DataFrame, links: pl.DataFrame, items: IdMap, files: tuple[Path, Path]) -> Relations:
    """Triples with an item at one end, by relation.

    A triple that only ends at an item is read the other way round, its relation marked with ``~``; one that touches no
    item has no place among relations of items and is left out.
    """
    for found, wanted, file in ((table, tuple(TRIPLE), files[0]), (links, LINK, files[1])):
        for column in wanted:
            if column not in found.columns:
                hint = f"found: {', '.join(found.columns)}"
                raise DataError("no such column", file=file, column=column, hint=hint)
    entity = pl.Series(links["entity_id"].cast(pl.String))
    if entity.is_duplicated().any():
        at = int(entity.is_duplicated().arg_true()[0])
        raise DataError("two items are the same entity", file=files[1], row=at + 1, column="entity_id")
    names = table.rename(TRIPLE).select(pl.col(*TRIPLE.values()).cast(pl.String))
    known = dict(zip(entity, links["item_id"].cast(pl.String)))
    head, tail = (names[end].replace_strict(known, default=None) for end in ("source", "target"))
    forward = names.with_columns(source=head, target=tail.fill_null(names["target"])).filter(head.is_not_null())
    only_tail = head.is_null() & tail.is_not_null()
    backward = names.select(source=tail, relation=pl.lit(INVERSE) + pl.col("relation"), target=pl.col("source")).filter(
        only_tail
    )
    with errors_from(str(files[0])):
        return read_relations(pl.concat([forward.select(backward.columns), backward]), {}, items)


def write_triples(data: Dataset, stem: Path) -> None:
    """``stem.kg`` and ``stem.link``; weights have no place there and are left out."""
    if not data.relations.edges:
        return
    table = relation_table(data).select(
        pl.col("source").alias("head_id:token"),
        pl.col("relation").alias("relation_id:token"),
        pl.col("target").alias("tail_id:token"),
    )
    ids = data.items.ids.ids.cast(pl.String)
    link = pl.DataFrame({"item_id:token": ids, "entity_id:token": ids})
    for frame, suffix in ((table, ".kg"), (link, ".link")):
        frame.write_csv(stem.with_name(stem.name + suffix), separator="\t", quote_style="never")
