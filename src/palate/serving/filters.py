"""Filters: items with some values of a column, or with numbers or dates within bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.errors import DataError, did_you_mean
from palate.data.catalog import Catalog
from palate.data.times import date_seconds, looks_like_time
from palate.features.encoders.attribute_values import attribute_values
from palate.serving.filter_conditions import (
    Condition,
    FilterValue,
    Operand,
    parse_condition,
    parse_number,
    parse_period,
)

__all__ = ["FilterValue", "Filters"]

SORTED_SHARE = 0.2
"""Share of the items up to which those within bounds are read from a sorted column, faster than all are compared."""
Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


class Filters:
    """Columns of a catalogue, prepared once: attributes, and dates of any column.

    A request says ``{"category": ["lamp", "vase"], "price": {"min": 5, "max": 20}, "tags": {"all": ["red", "old"]},
    "brand": {"not": "Corvo"}, "released": {"min": "2020-03"}}``: all columns at once. A list is any of the values, and
    parts of one column hold together. Values are compared without case; an attribute may hold several, as a list or
    separated by a comma, ``|`` or ``;``. An item without a value matches no value and no bounds; ``not`` alone leaves
    it in. A day, month or year as a bound is meant as a whole.

    Args:
        items: the catalogue.

    Attributes:
        size: number of items.
        numbers: column -> float64 [items], NaN where missing.
        dates: column -> float64 [items], seconds since 1970 UTC, NaN where missing.
        values: column -> value -> rows of the items that have it.
    """

    def __init__(self, items: Catalog) -> None:
        self.size = len(items)
        self.numbers: dict[str, Numbers] = {}
        self.dates: dict[str, Numbers] = {}
        self.values: dict[str, dict[str, NDArray[np.int64]]] = {}
        self._sorted: dict[str, tuple[NDArray[np.int64], Numbers]] = {}
        attributes = set(items.columns("attributes"))
        for column in items.frame.columns:
            series = items.frame[column]
            if column not in attributes:
                if column != items.id_column and column not in items.kinds and _holds_dates(series):
                    self.dates[column] = self._sort(column, date_seconds(series))
            elif series.dtype.is_numeric():
                self.numbers[column] = self._sort(column, series)
            elif _holds_dates(series):
                self.dates[column] = self._sort(column, date_seconds(series))
            else:
                self.values[column] = _rows_by_value(series)

    def mask(self, wanted: Mapping[str, FilterValue]) -> Mask | None:
        """Items that match all filters.

        Args:
            wanted: column -> what it must hold.

        Returns:
            bool [items]; None without filters.

        Raises:
            DataError: for a column that items are not filtered by, an unknown part, or a value that does not fit.
        """
        mask: Mask | None = None
        for column, value in wanted.items():
            if column not in self.numbers and column not in self.dates and column not in self.values:
                hint = did_you_mean(column, [*self.values, *self.numbers, *self.dates])
                raise DataError("items are not filtered by this column", column=column, hint=hint)
            matches = self._matches(column, parse_condition(column, value))
            mask = matches if mask is None else mask & matches
        return mask

    def unknown(self, wanted: Mapping[str, FilterValue]) -> list[str]:
        """A warning for each value that no item has, such as a brand that is sold out: nothing matches it.

        Args:
            wanted: column -> what it must hold, as :meth:`mask` takes it.
        """
        notes = []
        for column, value in wanted.items():
            known = self.values.get(column, {})
            for one in parse_condition(column, value).operands if known else ():
                if isinstance(one, str) and one.strip().lower() not in known:
                    close = get_close_matches(one.strip().lower(), known, n=1)
                    hint = f"; did you mean {close[0]}?" if close else ""
                    notes.append(f"filters: no item has {one!r} as its {column}{hint}")
        return notes

    def _matches(self, column: str, condition: Condition) -> Mask:
        if condition.only_excludes and condition.exclude is not None:
            return ~self._matches(column, condition.exclude)
        mask = self._within(column, condition)
        if condition.any is not None:
            mask &= np.any([self._equal(column, one) for one in condition.any] or [np.zeros(self.size, bool)], axis=0)
        for one in condition.all:
            mask &= self._equal(column, one)
        if condition.exclude is not None:
            mask &= ~self._matches(column, condition.exclude)
        return mask

    def _equal(self, column: str, operand: Operand) -> Mask:
        if column in self.values:
            if not isinstance(operand, str):
                raise DataError(f"{operand!r} is not text", column=column)
            mask = np.zeros(self.size, bool)
            mask[self.values[column].get(operand.strip().lower(), [])] = True
            return mask
        if column in self.dates:
            period = parse_period(column, operand)
            return self._between(column, self.dates[column], period.first, period.last)
        number = parse_number(column, operand)
        return self._between(column, self.numbers[column], number, number)

    def _within(self, column: str, condition: Condition) -> Mask:
        """Items within the bounds; without bounds, where values are asked for or excluded, all others too."""
        if column in self.values:
            if condition.has_bounds:
                raise DataError("bounds are for numbers and dates; this column holds text", column=column)
            return np.ones(self.size, bool)
        if not condition.has_bounds and (condition.any is not None or condition.all):
            return np.ones(self.size, bool)
        low, high = -math.inf, math.inf
        if column in self.dates:
            if condition.low is not None:
                low = parse_period(column, condition.low).first
            if condition.high is not None:
                high = parse_period(column, condition.high).last
            return self._between(column, self.dates[column], low, high)
        if condition.low is not None:
            low = parse_number(column, condition.low)
        if condition.high is not None:
            high = parse_number(column, condition.high)
        return self._between(column, self.numbers[column], low, high)

    def _between(self, column: str, numbers: Numbers, low: float, high: float) -> Mask:
        order, ascending = self._sorted[column]
        first, end = np.searchsorted(ascending, low, "left"), np.searchsorted(ascending, high, "right")
        if end - first >= SORTED_SHARE * self.size:
            return (numbers >= low) & (numbers <= high)
        mask = np.zeros(self.size, bool)
        mask[order[first:end]] = True
        return mask

    def _sort(self, column: str, series: pl.Series) -> Numbers:
        numbers = series.cast(pl.Float64).fill_null(math.nan).to_numpy()
        order = np.argsort(numbers, kind="stable")
        self._sorted[column] = order, numbers[order]
        return numbers


def _holds_dates(series: pl.Series) -> bool:
    """Whether a column holds dates or moments, as such or as text."""
    if series.dtype == pl.Date or isinstance(series.dtype, pl.Datetime):
        return True
    return series.dtype == pl.String and looks_like_time(series)


def _rows_by_value(series: pl.Series) -> dict[str, NDArray[np.int64]]:
    """Value -> rows that have it; each distinct cell is split once."""
    cells = pl.DataFrame({"cell": series, "row": np.arange(len(series))}).group_by("cell", maintain_order=True)
    parts: dict[str, list[NDArray[np.int64]]] = {}
    for cell, rows in cells.agg("row").iter_rows():
        values = attribute_values(cell)
        for value in values if isinstance(values, list) else []:
            parts.setdefault(value, []).append(np.array(rows, np.int64))
    return {value: np.sort(np.concatenate(rows)) for value, rows in parts.items()}
