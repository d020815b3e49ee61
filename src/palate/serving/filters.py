"""Filters: items with some values of a column, or with numbers within bounds; a missing value never matches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.errors import DataError, did_you_mean
from palate.data.catalog import Catalog
from palate.features.encoders.tfidf_attributes import attribute_values

FilterValue = str | float | Sequence[str] | Mapping[str, float]
"""A value, a number, several values (any of them), or bounds ``{"min": 5, "max": 20}``."""
BOUNDS = ("min", "max")
SORTED_SHARE = 0.2
"""Share of the items up to which those within bounds are read from a sorted column, faster than all are compared."""


class Filters:
    """Attribute columns of a catalogue, prepared once.

    A request says ``{"category": ["lamp", "vase"], "price": {"min": 5, "max": 20}}``: any of the values, within the
    bounds, all columns at once. Values are compared without case; an attribute may hold several, as a list or separated
    by a comma, ``|`` or ``;``.

    Args:
        items: the catalogue.

    Attributes:
        size: number of items.
        numbers: column -> float64 [items], NaN where missing.
        values: column -> value -> rows of the items that have it.
    """

    def __init__(self, items: Catalog) -> None:
        self.size = len(items)
        self.numbers: dict[str, NDArray[np.float64]] = {}
        self.values: dict[str, dict[str, NDArray[np.int64]]] = {}
        self._sorted: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        for column in items.columns("attributes"):
            series = items.frame[column]
            if series.dtype.is_numeric():
                numbers = series.cast(pl.Float64).fill_null(math.nan).to_numpy()
                order = np.argsort(numbers, kind="stable")
                self.numbers[column], self._sorted[column] = numbers, (order, numbers[order])
            else:
                self.values[column] = _rows_by_value(series)

    def mask(self, wanted: Mapping[str, FilterValue]) -> NDArray[np.bool_] | None:
        """Items that match all filters.

        Args:
            wanted: column -> values or bounds.

        Returns:
            bool [items]; None without filters.

        Raises:
            DataError: for a column that is not an attribute, or bounds that are not numbers.
        """
        mask: NDArray[np.bool_] | None = None
        for column, value in wanted.items():
            matches = self._within(column, value) if column in self.numbers else self._one_of(column, value)
            mask = matches if mask is None else mask & matches
        return mask

    def unknown(self, wanted: Mapping[str, FilterValue]) -> list[str]:
        """A warning for each value that no item has, such as a brand that is sold out: nothing matches it.

        Args:
            wanted: column -> values or bounds, as :meth:`mask` takes them.
        """
        notes = []
        for column, value in wanted.items():
            known = self.values.get(column, {})
            for one in _as_list(value) if known else ():
                if isinstance(one, str) and one.strip().lower() not in known:
                    close = get_close_matches(one.strip().lower(), known, n=1)
                    hint = f"; did you mean {close[0]}?" if close else ""
                    notes.append(f"filters: no item has {one!r} as its {column}{hint}")
        return notes

    def _within(self, column: str, wanted: FilterValue) -> NDArray[np.bool_]:
        bounds: Mapping[str, object] = wanted if isinstance(wanted, Mapping) else {"min": wanted, "max": wanted}
        limits = {"min": -math.inf, "max": math.inf}
        for name, bound in bounds.items():
            if name not in BOUNDS:
                raise DataError("a number is filtered by bounds", column=column, key=name, hint="min, max")
            if isinstance(bound, bool) or not isinstance(bound, int | float) or math.isnan(bound):
                raise DataError(f"{bound!r} is not a number", column=column, key=name)
            limits[name] = float(bound)
        numbers, (order, ascending) = self.numbers[column], self._sorted[column]
        first = np.searchsorted(ascending, limits["min"], "left")
        end = np.searchsorted(ascending, limits["max"], "right")
        if end - first >= SORTED_SHARE * self.size:
            return (numbers >= limits["min"]) & (numbers <= limits["max"])
        mask = np.zeros(self.size, bool)
        mask[order[first:end]] = True
        return mask

    def _one_of(self, column: str, wanted: FilterValue) -> NDArray[np.bool_]:
        if column not in self.values:
            hint = did_you_mean(column, [*self.values, *self.numbers])
            raise DataError("items are not filtered by this column", column=column, hint=hint)
        mask, known = np.zeros(self.size, bool), self.values[column]
        for value in _as_list(wanted):
            if not isinstance(value, str):
                raise DataError(f"{value!r} is not text", column=column)
            mask[known.get(value.strip().lower(), [])] = True
        return mask


def _as_list(wanted: FilterValue) -> Sequence[object]:
    return wanted if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]


def _rows_by_value(series: pl.Series) -> dict[str, NDArray[np.int64]]:
    """Value -> rows that have it; each distinct cell is split once."""
    cells = pl.DataFrame({"cell": series, "row": np.arange(len(series))}).group_by("cell", maintain_order=True)
    parts: dict[str, list[NDArray[np.int64]]] = {}
    for cell, rows in cells.agg("row").iter_rows():
        values = attribute_values(cell)
        for value in values if isinstance(values, list) else []:
            parts.setdefault(value, []).append(np.array(rows, np.int64))
    return {value: np.sort(np.concatenate(rows)) for value, rows in parts.items()}
