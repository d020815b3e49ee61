"""Filters: which items have these values of a column, or numbers within these bounds; an unknown value never fits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.errors import DataError, did_you_mean
from palate.data.catalog import Catalog
from palate.features.encoders.tfidf_attributes import attribute_values

FilterValue = str | float | Sequence[str] | Mapping[str, float]
"""A value, a number, several values (any of them), or bounds ``{"min": 5, "max": 20}``."""
BOUNDS = ("min", "max")
FEW = 0.2
"""Share of the items up to which those within bounds are looked up in order, faster than all are compared."""


class Filters:
    """Attribute columns of a catalogue, made ready once.

    A request says ``{"category": ["lamp", "vase"], "price": {"min": 5, "max": 20}}``: any of the values, within the
    bounds, all columns at once. Values are compared without case; an attribute may hold several, as a list or separated
    by a comma, ``|`` or ``;``.
    """

    def __init__(self, items: Catalog) -> None:
        self.size = len(items)
        self.numbers: dict[str, NDArray[np.float64]] = {}
        self.sorted: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        self.values: dict[str, dict[str, NDArray[np.int64]]] = {}
        for column in items.columns("attributes"):
            series = items.frame[column]
            if series.dtype.is_numeric():
                values = series.cast(pl.Float64).fill_null(math.nan).to_numpy()
                order = np.argsort(values, kind="stable")
                self.numbers[column], self.sorted[column] = values, (order, values[order])
            else:
                self.values[column] = _rows_by_value(series)

    def mask(self, wanted: Mapping[str, Any]) -> NDArray[np.bool_] | None:
        """bool [n], items that satisfy all of it; None where nothing is asked.

        Raises:
            DataError: for a column that is no attribute, a value that no item has, bounds that are no numbers.
        """
        found: NDArray[np.bool_] | None = None
        for column, asked in wanted.items():
            mine = self._within(column, asked) if column in self.numbers else self._among(column, asked)
            found = mine if found is None else found & mine
        return found

    def _within(self, column: str, asked: Any) -> NDArray[np.bool_]:
        if not isinstance(asked, Mapping):
            asked = {"min": asked, "max": asked}
        for name, bound in asked.items():
            if name not in BOUNDS:
                raise DataError("a number is filtered by its bounds", column=column, key=name, hint="min, max")
            if isinstance(bound, bool) or not isinstance(bound, int | float) or math.isnan(bound):
                raise DataError(f"{bound!r} is no number", column=column, key=name)
        values = self.numbers[column]
        low, high = float(asked.get("min", -math.inf)), float(asked.get("max", math.inf))
        order, rising = self.sorted[column]
        begin, end = np.searchsorted(rising, low, "left"), np.searchsorted(rising, high, "right")
        if end - begin >= FEW * self.size:
            return (values >= low) & (values <= high)
        out = np.zeros(self.size, bool)
        out[order[begin:end]] = True
        return out

    def _among(self, column: str, asked: Any) -> NDArray[np.bool_]:
        if column not in self.values:
            hint = did_you_mean(column, [*self.values, *self.numbers])
            raise DataError("items are not filtered by this column", column=column, hint=hint)
        several = isinstance(asked, Sequence) and not isinstance(asked, str)
        out, known = np.zeros(self.size, bool), self.values[column]
        for value in asked if several else [asked]:
            if not isinstance(value, str):
                raise DataError(f"{value!r} is no text", column=column)
            if value.strip().lower() not in known:
                raise DataError("no item has this value", column=column, key=value, hint=did_you_mean(value, known))
            out[known[value.strip().lower()]] = True
        return out


def _rows_by_value(series: pl.Series) -> dict[str, NDArray[np.int64]]:
    """Value -> rows that have it; each distinct cell is taken apart once."""
    rows = pl.DataFrame({"cell": series, "row": np.arange(len(series))}).group_by("cell", maintain_order=True)
    found: dict[str, list[NDArray[np.int64]]] = {}
    for cell, mine in rows.agg("row").iter_rows():
        values = attribute_values(cell)
        for value in values if isinstance(values, list) else []:
            found.setdefault(value, []).append(np.array(mine, np.int64))
    return {value: np.sort(np.concatenate(parts)) for value, parts in found.items()}
