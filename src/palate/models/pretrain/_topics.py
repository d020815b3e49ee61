"""Topics of items: the values of their categorical attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, from_numpy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.core.content import Features
    from palate.data.catalog import Catalog

PREFIX = "topics:"
# as many terms as columns, so that vectors are the terms themselves and never a projection of them
READER = "tfidf_attributes?dim=2000&max_terms=2000"
NEARLY_UNIQUE = 0.95


def topic_columns(items: Catalog) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """What to read: each attribute column but numbers and those that name every row differently."""
    found: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    for column in items.columns("attributes"):
        values = items.frame[column]
        repeats = values.dtype.is_nested() or values.n_unique() <= NEARLY_UNIQUE * len(values)
        if repeats and not values.dtype.is_numeric():
            found[PREFIX + column] = ("attributes", READER, (column,))
    return found


def topics(fields: Mapping[str, Features]) -> dict[str, Tensor]:
    """Column -> bool [n_items, values], which values an item has; none where that is not known."""
    return {
        name.removeprefix(PREFIX): from_numpy((found.values > 0) & found.present[:, None])
        for name, found in fields.items()
        if name.startswith(PREFIX) and found.present.any()
    }
