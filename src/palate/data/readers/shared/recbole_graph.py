"""RecBole's knowledge graph: triples between entities (``.kg``), and the entity of each item (``.link``)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.ids import IdMap
from palate.data.issues import DataIssue
from palate.data.readers.shared.tables import read_relations, relation_table
from palate.data.relations import Relations
from palate.data.source_table import SourceTable

TRIPLE = {"head_id": "source", "relation_id": "relation", "tail_id": "target"}
LINK = ("item_id", "entity_id")
INVERSE = "~"


def read_triples(
    table: pl.DataFrame, links: pl.DataFrame, items: IdMap, files: tuple[Path, Path]
) -> tuple[Relations, tuple[DataIssue, ...]]:
    """Triples with an item at one end, by relation, and what was left out.

    A triple that only ends at an item is read backwards, its relation marked with ``~``; a triple without an item is
    left out.

    Args:
        table: the triples.
        links: the entity of each item.
        items: ids of the items.
        files: the files of ``table`` and ``links``, for error messages.

    Raises:
        DataError: if a column is missing, or two items are the same entity.
    """
    for frame, required, file in ((table, tuple(TRIPLE), files[0]), (links, LINK, files[1])):
        for column in required:
            if column not in frame.columns:
                hint = f"columns: {', '.join(frame.columns)}"
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
    edges = SourceTable(pl.concat([forward.select(backward.columns), backward]))
    return read_relations(edges, {}, items, str(files[0]))


def write_triples(data: Dataset, stem: Path) -> None:
    """Write ``stem.kg`` and ``stem.link``; the format has no weights.

    Args:
        data: the data set.
        stem: path without its ending.
    """
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
