"""Topics of items: the values of their categorical attributes, and ranges of their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from torch import Tensor, cat, from_numpy, zeros

from palate.features.encoders.tfidf_attributes import SEPARATORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.core.content import Features
    from palate.data.catalog import Catalog

PREFIX = "topics:"
# as many terms as columns, so that vectors are the terms themselves and never a projection of them
READER = "tfidf_attributes?dim=2000&max_terms=2000"
NEARLY_UNIQUE = 0.95
NUMBER = "numbers:"
LOOKED_AT = 10_000


def topic_columns(items: Catalog) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """What to read: each attribute column but numbers and those whose terms are nearly all different."""
    found: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    for column in items.columns("attributes"):
        values = items.frame[column]
        if not values.dtype.is_numeric() and (values.dtype.is_nested() or _repeats(values)):
            found[PREFIX + column] = ("attributes", READER, (column,))
    return found


def number_columns(items: Catalog) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """What to read of numeric attribute columns, for :func:`ranges`."""
    numeric = [column for column in items.columns("attributes") if items.frame[column].dtype.is_numeric()]
    return {NUMBER + column: ("attributes", "number", (column,)) for column in numeric}


def trait_columns(items: Catalog, parts: int) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """What to read for :func:`traits`."""
    return topic_columns(items) | (number_columns(items) if parts else {})


def traits(fields: Mapping[str, Features], n_items: int, parts: int) -> Tensor:
    """bool [n_items, T], all topics and, unless ``parts`` is 0, ranges of numbers."""
    known = topics(fields) | (ranges(fields, parts) if parts else {})
    return cat([zeros(n_items, 0).bool(), *known.values()], 1)


def ranges(fields: Mapping[str, Features], parts: int) -> dict[str, Tensor]:
    """Numeric column -> bool [n_items, at most ``parts``]: in which equal share of its values an item is."""
    out = {}
    for name, found in fields.items():
        values, present = found.values[:, 0], found.present
        if name.startswith(NUMBER) and present.any():
            inner = np.arange(1, parts) / parts
            edges = np.unique(np.quantile(values[present], inner))
            place = np.searchsorted(edges, values, side="right")
            hot = (place[:, None] == np.arange(len(edges) + 1)) & present[:, None]
            out[name.removeprefix(NUMBER)] = from_numpy(hot)
    return out


def _repeats(values: pl.Series) -> bool:
    shown = values.drop_nulls().head(LOOKED_AT).cast(pl.String)
    terms = [term for value in shown for term in SEPARATORS.split(value) if term]
    return len(set(terms)) <= NEARLY_UNIQUE * len(terms)


def topics(fields: Mapping[str, Features]) -> dict[str, Tensor]:
    """Column -> bool [n_items, values], which values an item has; none where that is not known."""
    return {
        name.removeprefix(PREFIX): from_numpy((found.values > 0) & found.present[:, None])
        for name, found in fields.items()
        if name.startswith(PREFIX) and found.present.any()
    }
