"""Predicted labels as a table beside the data, or as an attribute of a copy of the data; the data stay as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from palate.core.errors import ArtefactError, ConfigError
from palate.core.files import atomic_path
from palate.core.output import check_not_protected
from palate.data.dataset import Dataset
from palate.data.load import write
from palate.features.labels import COMPLETED, PREDICTED, catalog_labels
from palate.models.tag.shared.tagging_model import TaggingModel
from palate.training.deployment import deployment_of

PROBABILITY = "_probability"
"""Ending of the column that holds the probabilities of predicted labels."""
TABLES = (".parquet", ".csv", ".jsonl")


def predicted_tags(model: TaggingModel, data: Dataset, every: bool = False) -> pl.DataFrame:
    """Labels of items that have none, by a fitted tagger.

    Args:
        model: fitted on these or other data of the same columns.
        data: holds the items.
        every: predict the labels of items that have some, too.

    Returns:
        A row for each item without a label: its id, ``<column>_predicted`` (list of text, the likeliest first) and
        ``<column>_probability`` (list of numbers); both null for an item without content.
    """
    known, ids = deployment_of(model), data.items.ids.ids
    labels = catalog_labels(data.items, model.column)
    if known.items.ids.ids.equals(ids) and known.about["hash"] == data.hash and model.item_features is not None:
        features = model.item_features
    else:
        features = known.content.model_features(known.content.encode_new(data.items))
    lacking = np.arange(data.n_items) if every else np.flatnonzero(labels.lists.lengths == 0)
    found = model.tags_of(features.take(lacking))
    predicted, probability = model.column + PREDICTED, model.column + PROBABILITY
    lists = found.group_by("row", maintain_order=True).agg(
        pl.col("tag").alias(predicted), pl.col("probability").alias(probability)
    )
    table = pl.DataFrame({"row": np.arange(len(lacking)), data.items.id_column: ids.gather(lacking)})
    return table.join(lists, on="row", how="left", maintain_order="left").drop("row")


def with_predicted(data: Dataset, column: str, tags: pl.DataFrame) -> Dataset:
    """A copy of the data in which models can read predicted labels as an attribute.

    ``<column>_completed``, the labels as they are known and else as they are predicted, takes the place of ``column``
    among the attributes; ``column`` itself, ``<column>_predicted`` and ``<column>_probability`` are carried.

    Args:
        data: the data that were tagged.
        column: whose labels were predicted.
        tags: as :func:`predicted_tags` returns them.
    """
    id_column, predicted = tags.columns[0], column + PREDICTED
    ids = pl.DataFrame({id_column: data.items.ids.ids})
    found = ids.join(tags, on=id_column, how="left", maintain_order="left").drop(id_column)
    labels = catalog_labels(data.items, column)
    own = pl.DataFrame(
        {"row": labels.lists.owners(), "label": pl.Series(labels.names, dtype=pl.String).gather(labels.lists.items)}
    )
    lists = pl.DataFrame({"row": np.arange(data.n_items)}).join(
        own.group_by("row").agg("label"), on="row", how="left", maintain_order="left"
    )
    completed = lists.select(pl.coalesce("label", pl.lit(found[predicted])).alias(column + COMPLETED)).to_series()
    frame = data.items.frame.drop(*found.columns, completed.name, strict=False)
    frame = frame.with_columns(*found.get_columns(), completed)
    kinds = {name: kind for name, kind in data.items.kinds.items() if name in frame.columns and name != column}
    items = replace(data.items, frame=frame, kinds={**kinds, completed.name: "attributes"})
    return replace(data, items=items)


def check_target(out: str | Path, data: str | Path, overwrite: bool = False) -> None:
    """Refuse a file or folder that may not be written, before anything is read.

    Args:
        out: a table by its ending, else a folder.
        data: folder or file of the data.
        overwrite: replace a file of that name.

    Raises:
        ConfigError: for one that exists.
        ArtefactError: for a file of the data.
    """
    path = Path(out)
    check_not_protected(path, data)
    if path.resolve().is_relative_to(Path(data).resolve()):
        raise ArtefactError("lies in the data", file=path, hint="predictions are no data: name a place outside")
    table = path.suffix.lower() in TABLES
    free = not path.exists() or (path.is_dir() and not table and not any(path.iterdir()))
    if not free and not (overwrite and table and path.is_file()):
        hint = "name another file, or --overwrite (overwrite=True)" if table else "name a new folder"
        raise ConfigError("already exists", file=path, hint=hint)


def write_tags(
    tags: pl.DataFrame, data: Dataset, column: str, out: str | Path, source: str | Path, overwrite: bool = False
) -> Path:
    """Write predicted labels as a table, or a copy of the data that has them as an attribute.

    Args:
        tags: as :func:`predicted_tags` returns them.
        data: the data that were tagged.
        column: whose labels were predicted.
        out: ``.parquet``, ``.csv`` or ``.jsonl`` for a table, else a new folder.
        source: folder or file of the data.
        overwrite: replace a table of that name.

    Returns:
        The file or folder.

    Raises:
        ConfigError: for one that exists.
        ArtefactError: for a file of the data.
    """
    if Path(out).suffix.lower() in TABLES:
        return write_table(tags, out, source, overwrite)
    check_target(out, source)
    return write(with_predicted(data, column, tags), out)


def write_table(table: pl.DataFrame, file: str | Path, data: str | Path, overwrite: bool = False) -> Path:
    """Write a table outside the data; lists are joined by ``|`` in a CSV.

    Args:
        table: of tags or keywords.
        file: ``.parquet``, ``.csv`` or ``.jsonl``.
        data: folder or file of the data.
        overwrite: replace a file of that name.

    Returns:
        The file.

    Raises:
        ConfigError: for a file of another kind, or one that exists.
        ArtefactError: for a file of the data.
    """
    path = Path(file)
    if path.suffix.lower() not in TABLES:
        raise ConfigError("tables are written as parquet, csv or jsonl", file=path, hint="--out tags.parquet")
    check_target(path, data, overwrite)
    lists = [name for name, dtype in table.schema.items() if isinstance(dtype, pl.List)]
    with atomic_path(path) as aside:
        if path.suffix.lower() == ".parquet":
            table.write_parquet(aside)
        elif path.suffix.lower() == ".csv":
            table.with_columns(pl.col(lists).cast(pl.List(pl.String)).list.join("|")).write_csv(aside)
        else:
            table.write_ndjson(aside)
    return path
