"""Binary labels of items: values of their categorical attributes (topics), and ranges of their numeric ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from torch import Tensor, cat, from_numpy, zeros

from palate.features.encoders.attribute_values import SEPARATORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.core.content import Features
    from palate.data.catalog import Catalog

TOPIC = "topics:"
NUMBER = "numbers:"
# as many terms as columns, so that vectors are the terms themselves and never a projection of them
READER = "tfidf_attributes?dim=2000&max_terms=2000"
NEARLY_UNIQUE = 0.95
SAMPLE_ROWS = 10_000


def topic_columns(items: Catalog) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Plan to read each categorical attribute column, without those whose terms are nearly all distinct."""
    plan: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    for column in items.columns("attributes"):
        values = items.frame[column]
        if not values.dtype.is_numeric() and (values.dtype.is_nested() or _repeats(values)):
            plan[TOPIC + column] = ("attributes", READER, (column,))
    return plan


def number_columns(items: Catalog) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Plan to read each numeric attribute column, for :func:`range_labels`."""
    numeric = [column for column in items.columns("attributes") if items.frame[column].dtype.is_numeric()]
    return {NUMBER + column: ("attributes", "number", (column,)) for column in numeric}


def label_columns(items: Catalog, ranges: int) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Plan to read the columns of :func:`item_labels`."""
    return topic_columns(items) | (number_columns(items) if ranges else {})


def item_labels(fields: Mapping[str, Features], n_items: int, ranges: int) -> Tensor:
    """All labels of the items.

    Args:
        fields: columns as :func:`label_columns` plans them.
        n_items: rows of the table.
        ranges: ranges of each numeric column; 0 leaves numbers out.

    Returns:
        bool [n_items, T].
    """
    labels = topic_labels(fields) | (range_labels(fields, ranges) if ranges else {})
    return cat([zeros(n_items, 0).bool(), *labels.values()], 1)


def topic_labels(fields: Mapping[str, Features]) -> dict[str, Tensor]:
    """Column -> bool [n_items, values], the values of each item; all False where the column is empty."""
    return {
        name.removeprefix(TOPIC): from_numpy((features.values > 0) & features.present[:, None])
        for name, features in fields.items()
        if name.startswith(TOPIC) and features.present.any()
    }


def range_labels(fields: Mapping[str, Features], ranges: int) -> dict[str, Tensor]:
    """Cut each numeric column into ranges of equal counts.

    Args:
        fields: columns as :func:`number_columns` plans them.
        ranges: ranges of a column at most.

    Returns:
        Column -> bool [n_items, at most ``ranges``], the range of each item.
    """
    out = {}
    for name, features in fields.items():
        values, present = features.values[:, 0], features.present
        if name.startswith(NUMBER) and present.any():
            quantiles = np.arange(1, ranges) / ranges
            edges = np.unique(np.quantile(values[present], quantiles))
            index = np.searchsorted(edges, values, side="right")
            hot = (index[:, None] == np.arange(len(edges) + 1)) & present[:, None]
            out[name.removeprefix(NUMBER)] = from_numpy(hot)
    return out


def _repeats(values: pl.Series) -> bool:
    sample = values.drop_nulls().head(SAMPLE_ROWS).cast(pl.String)
    terms = [term for value in sample for term in SEPARATORS.split(value) if term]
    return len(set(terms)) <= NEARLY_UNIQUE * len(terms)
