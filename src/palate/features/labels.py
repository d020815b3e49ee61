"""Labels of items: the values of one column of attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.core.errors import ConfigError, DataError, did_you_mean
from palate.data.catalog import Catalog
from palate.features.encoders.attribute_values import written_values

PREDICTED, COMPLETED = "_predicted", "_completed"
"""Endings of the columns that hold predicted labels of another column, alone and together with its own values."""


@dataclass(frozen=True, eq=False)
class ItemLabels:
    """Labels of the rows of a catalogue.

    Attributes:
        names: the labels as they are usually written, the most frequent first.
        lists: for each row the places of its labels in ``names``, ascending; empty for a row without a value.
    """

    names: tuple[str, ...]
    lists: RaggedArray

    @property
    def labelled(self) -> IntArray:
        """Rows that have at least one label."""
        return np.flatnonzero(self.lists.lengths)

    @property
    def counts(self) -> IntArray:
        """Number of rows with each label."""
        return np.bincount(self.lists.items, minlength=len(self.names))

    def matrix(self, rows: IntArray) -> NDArray[np.bool_]:
        """Which labels rows have: bool [n, labels].

        Args:
            rows: int64 [n].
        """
        some = self.lists.take(rows)
        out = np.zeros((len(rows), len(self.names)), bool)
        out[np.repeat(np.arange(len(rows)), some.lengths), some.items] = True
        return out

    def take(self, places: IntArray) -> ItemLabels:
        """The same rows with some of the labels alone.

        Args:
            places: int64, places in ``names``, in the order that the result has.
        """
        to = np.full(len(self.names), -1)
        to[places] = np.arange(len(places))
        rows, items = np.repeat(np.arange(len(self.lists)), self.lists.lengths), to[self.lists.items]
        kept = items >= 0
        lists = RaggedArray.build(rows[kept], items[kept], len(self.lists))
        return ItemLabels(tuple(self.names[place] for place in places), lists)


def item_labels(values: pl.Series, known: Sequence[str] = ()) -> ItemLabels:
    """Read the labels of a column: entries of lists, or texts with several values between ``|``, ``;`` or commas.

    Labels that differ only in case are one. A null or empty cell has no label.

    Args:
        values: the column.
        known: labels that come first in ``names``, in this order, whether or not they occur.

    Raises:
        DataError: for numbers with fractions, which are no labels.
    """
    table = _written(values).with_columns(key=pl.col("label").str.to_lowercase()).unique(["row", "key"])
    spelled = (
        table.group_by("key", "label")
        .agg(pl.len().alias("count"))
        .sort("count", "label", descending=[True, False])
        .group_by("key", maintain_order=True)
        .agg(pl.col("label").first(), pl.col("count").sum())
        .sort("count", "key", descending=[True, False])
    )
    first = [name.strip().lower() for name in known]
    others = [(key, label) for key, label in spelled.select("key", "label").rows() if key not in set(first)]
    names = (*known, *(label for _, label in others))
    place = {key: at for at, key in enumerate([*first, *(key for key, _ in others)])}
    rows = table["row"].to_numpy().astype(np.int64)
    items = np.array([place[key] for key in table["key"].to_list()], np.int64)
    return ItemLabels(names, RaggedArray.build(rows, items, len(values)))


def catalog_labels(items: Catalog, column: str) -> ItemLabels:
    """Labels of all items; none where the catalogue has no such column.

    Args:
        items: the catalogue.
        column: whose values are the labels.

    Raises:
        DataError: as :func:`item_labels`.
    """
    if column in items.frame.columns:
        return item_labels(items.frame[column])
    return ItemLabels((), RaggedArray.of([[]] * len(items)))


def label_column(items: Catalog, wanted: str | None) -> str:
    """The column whose values are the labels.

    Args:
        items: the catalogue.
        wanted: name of the column; None takes the only attribute whose values recur and are no numbers.

    Raises:
        ConfigError: for a column that is not there, or where none or several could be meant.
    """
    if wanted is not None:
        if wanted not in items.frame.columns:
            raise ConfigError(
                "the items have no such column", key=wanted, hint=did_you_mean(wanted, items.frame.columns)
            )
        return wanted
    found = [column for column in items.columns("attributes") if _recurs(items.frame[column])]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(found) or "no attribute has values that recur; any column can be named"
    raise ConfigError("name the column whose values are the labels", key="column", hint=listed)


def _written(values: pl.Series) -> pl.DataFrame:
    """Labels as written: columns row, label."""
    table = pl.DataFrame({"row": np.arange(len(values)), "cell": values}).drop_nulls()
    dtype = table["cell"].dtype
    if isinstance(dtype, pl.List | pl.Array):
        table = table.explode("cell").drop_nulls().with_columns(label=pl.col("cell").cast(pl.String))
    elif dtype == pl.String:
        distinct = table.select("cell").unique(maintain_order=True)
        split = [written_values(cell) or [cell] for cell in distinct["cell"].to_list()]
        parts = distinct.with_columns(label=pl.Series(split, dtype=pl.List(pl.String))).explode("label")
        table = table.join(parts, on="cell")
    else:
        if dtype.is_float() and not (table["cell"] == table["cell"].floor()).all():
            raise DataError(
                "numbers with fractions are no labels", column=values.name, hint="name a column of categories"
            )
        table = table.with_columns(label=pl.col("cell").cast(pl.Int64 if dtype.is_float() else dtype).cast(pl.String))
    table = table.select("row", pl.col("label").str.strip_chars())
    return table.filter(pl.col("label") != "")


def _recurs(values: pl.Series) -> bool:
    if values.dtype.is_numeric():
        return False
    labels = item_labels(values)
    return 2 <= len(labels.names) <= len(labels.labelled) / 2
