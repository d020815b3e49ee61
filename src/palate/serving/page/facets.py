"""What a list can be narrowed by: attributes of the catalogue, in the address of the page so that it can be shared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.datastructures import QueryParams

from palate.core.errors import DataError
from palate.serving.page.values import label, number
from palate.serving.snapshot import ModelSnapshot

AMONG, LEAST, MOST = "is.", "min.", "max."
CHIPS, CHOICES, SHOWN = 12, 60, 6
"""Values that are shown as chips at most, values of a list at most, columns that are shown at most."""


@dataclass(frozen=True)
class Choice:
    """A value, how many items have it, whether it is chosen."""

    value: str
    count: int
    chosen: bool


@dataclass(frozen=True)
class Facet:
    """A column to narrow by: ``choices`` of values, or bounds of numbers as they stand in the address."""

    column: str
    choices: tuple[Choice, ...] = ()
    least: str = ""
    most: str = ""
    low: str = ""
    high: str = ""

    @property
    def label(self) -> str:
        """Its name for people."""
        return label(self.column)

    @property
    def chips(self) -> bool:
        """Whether its values are few enough to be shown all at once."""
        return 0 < len(self.choices) <= CHIPS


def filters(query: QueryParams) -> dict[str, Any]:
    """What the address asks for, as a wish has it.

    Raises:
        DataError: for a bound that is no number.
    """
    out: dict[str, Any] = {}
    for name, value in query.multi_items():
        column = name[len(AMONG) :] if name.startswith(AMONG) else name[len(LEAST) :]
        if not value.strip() or not name.startswith((AMONG, LEAST, MOST)):
            continue
        if isinstance(out.get(column), dict) == name.startswith(AMONG) and column in out:
            raise DataError("values or bounds, not both", column=column)
        if name.startswith(AMONG):
            out.setdefault(column, []).append(value)
        else:
            out.setdefault(column, {})[name[:3]] = _bound(column, value)
    return out


def facets(snapshot: ModelSnapshot, query: QueryParams) -> list[Facet]:
    """Columns with few values first, then longer lists, then numbers."""
    made, found = snapshot.stats.filters, list[Facet]()
    for column, rows in made.values.items():
        chosen = {value.strip().lower() for value in query.getlist(AMONG + column)}
        if 2 <= len(rows) <= CHOICES or chosen:
            found.append(Facet(column, tuple(_choices(snapshot, rows, chosen))))
    found.sort(key=lambda facet: not facet.chips)
    for column, values in made.numbers.items():
        there = values[snapshot.active & np.isfinite(values)]
        if len(there) and there.min() < there.max():
            least, most = query.get(LEAST + column, ""), query.get(MOST + column, "")
            found.append(Facet(column, (), least, most, number(float(there.min())), number(float(there.max()))))
    return found[:SHOWN]


def _choices(snapshot: ModelSnapshot, rows: Mapping[str, Any], chosen: set[str]) -> Iterable[Choice]:
    counted = [(value, int(snapshot.active[mine].sum())) for value, mine in rows.items()]
    counted.sort(key=lambda pair: (-pair[1], pair[0]))
    for value, count in counted[:CHOICES]:
        if count or value in chosen:
            yield Choice(value, count, value in chosen)


def _bound(column: str, value: str) -> float:
    try:
        bound = float(value.replace(",", "."))
    except ValueError:
        bound = math.nan
    if not math.isfinite(bound):
        raise DataError(f"{value!r} is no number", column=column, hint="leave it empty for no bound")
    return bound
