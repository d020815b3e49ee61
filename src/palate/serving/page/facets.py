"""Filters of a list by attributes of the catalogue; they stand in the address of the page, which can be shared."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from starlette.datastructures import QueryParams

from palate.core.batch import IntArray
from palate.core.errors import DataError
from palate.serving.filter_conditions import DATE, Operand
from palate.serving.filters import FilterValue
from palate.serving.page.values import column_label, format_number, parse_written_number
from palate.serving.snapshot import ModelSnapshot

VALUE, MIN, MAX = "is.", "min.", "max."
"""Prefixes of parameters: a value of a column, the bounds of a number."""
MAX_CHIPS, MAX_CHOICES, MAX_FACETS = 12, 60, 6
"""Values up to which all are shown at once, values of a list, columns that are shown."""


@dataclass(frozen=True)
class Choice:
    """A value of a column.

    Attributes:
        value: the value.
        count: number of items that have it.
        selected: whether the address names it.
    """

    value: str
    count: int
    selected: bool


@dataclass(frozen=True)
class Facet:
    """A column to filter by.

    Attributes:
        column: the column.
        choices: its values; empty for numbers.
        is_date: whether the column holds dates.
        minimum: lower bound of the address.
        maximum: upper bound of the address.
        lowest: lowest number or date of the catalogue.
        highest: highest number or date of the catalogue.
    """

    column: str
    choices: tuple[Choice, ...] = ()
    minimum: str = ""
    maximum: str = ""
    lowest: str = ""
    highest: str = ""
    is_date: bool = False

    @property
    def label(self) -> str:
        """Label of the column."""
        return column_label(self.column)

    @property
    def is_used(self) -> bool:
        """Whether the address filters by this column."""
        return bool(self.minimum or self.maximum) or any(choice.selected for choice in self.choices)

    @property
    def as_chips(self) -> bool:
        """Whether all values are shown at once."""
        return 0 < len(self.choices) <= MAX_CHIPS


def parse_filters(query: QueryParams) -> dict[str, FilterValue]:
    """Filters of an address, as the service takes them.

    Args:
        query: parameters of the address.

    Raises:
        DataError: for a bound that is not a number, or values and bounds of the same column.
    """
    values: dict[str, list[str]] = {}
    bounds: dict[str, dict[str, Operand]] = {}
    for name, value in query.multi_items():
        if not value.strip():
            continue
        if name.startswith(VALUE):
            values.setdefault(name[len(VALUE) :], []).append(value)
        elif name.startswith((MIN, MAX)):
            column = name[len(MIN) :]
            bounds.setdefault(column, {})[name[:3]] = _bound(column, value)
    for column in values:
        if column in bounds:
            raise DataError("a column is filtered by values or by bounds, not both", column=column)
    return cast(dict[str, FilterValue], values | bounds)


def catalog_facets(snapshot: ModelSnapshot, query: QueryParams) -> list[Facet]:
    """Columns with few values first, then columns with more values, then numbers.

    Args:
        snapshot: the catalogue.
        query: parameters of the address.
    """
    filters, facets = snapshot.stats.filters, list[Facet]()
    for column, rows in filters.values.items():
        selected = {value.strip().lower() for value in query.getlist(VALUE + column)}
        if 2 <= len(rows) <= MAX_CHOICES or selected:
            facets.append(Facet(column, tuple(_choices(snapshot, rows, selected))))
    facets.sort(key=lambda facet: not facet.as_chips)
    for column, values in filters.numbers.items():
        present = values[snapshot.active & np.isfinite(values)]
        if len(present) and present.min() < present.max():
            lowest, highest = (format_number(float(one)).replace(",", "") for one in (present.min(), present.max()))
            facets.append(Facet(column, (), query.get(MIN + column, ""), query.get(MAX + column, ""), lowest, highest))
    for column, seconds in filters.dates.items():
        known = seconds[snapshot.active & np.isfinite(seconds)]
        if len(known) and known.min() < known.max():
            days = (
                datetime.datetime.fromtimestamp(float(day), datetime.UTC).date() for day in (known.min(), known.max())
            )
            first, last = (day.isoformat() for day in days)
            given = query.get(MIN + column, ""), query.get(MAX + column, "")
            facets.append(Facet(column, (), *given, first, last, is_date=True))
    # what is filtered by is always shown; otherwise the order stays
    return sorted(sorted(facets, key=lambda facet: not facet.is_used)[:MAX_FACETS], key=facets.index)


def _choices(snapshot: ModelSnapshot, rows: Mapping[str, IntArray], selected: set[str]) -> Iterable[Choice]:
    counts = [(value, int(snapshot.active[members].sum())) for value, members in rows.items()]
    counts.sort(key=lambda pair: (pair[0] not in selected, -pair[1], pair[0]))
    for value, count in counts[:MAX_CHOICES]:
        if count or value in selected:
            yield Choice(value, count, value in selected)


def _bound(column: str, text: str) -> Operand:
    """A number, or a date as it is written; a year is both."""
    if DATE.fullmatch(text.strip()) and "-" in text:
        return text
    try:
        number = parse_written_number(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{text!r} is not a number", column=column, hint="leave the field empty for no bound")
    return number
