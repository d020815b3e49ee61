"""Taste: attribute values that a user takes more often than people do, with the items that have them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.contracts import Preference
from palate.core.lift import shrunk_lift
from palate.features.encoders.attribute_values import attribute_values, written_values

MAX_COMMON = 0.2
"""Share of the catalogue from which an attribute value tells nothing: nearly everything has it."""
SHRINKAGE = 5.0
"""Imagined items in a history that have a value as often as people take it; a history must outweigh them."""
USUAL_RATE = 0.05
"""How often people take a value where no catalogue tells."""


def log_lift(count: int, size: int, rate: float) -> float:
    """Logarithm of how much more often a value occurs in a history than among all takings, shrunk to 0.

    The logarithm of :func:`palate.core.lift.shrunk_lift` with :data:`SHRINKAGE`.

    Args:
        count: items of the history with the value.
        size: items of the history.
        rate: share of all takings that fall on items with the value, above 0.
    """
    return math.log(shrunk_lift(count, size, rate, SHRINKAGE))


class LikedValue(NamedTuple):
    """A value that a user likes, in rows.

    Attributes:
        column: column of the attribute.
        value: the value in lower case.
        weight: :func:`log_lift`, above 0.
        rows: rows of the items of the history that have it.
    """

    column: str
    value: str
    weight: float
    rows: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class CatalogTaste:
    """How often people take each attribute value of a catalogue, and so which of them tell something of a user.

    Attributes:
        values: column -> value in lower case -> int64 rows of the items that have it.
        taken: int64 [items], how often each item was taken.
    """

    values: Mapping[str, Mapping[str, NDArray[np.int64]]]
    taken: NDArray[np.int64]

    def share(self, column: str, value: str) -> float:
        """Share of the items that have a value.

        Args:
            column: column of the attribute.
            value: in lower case.
        """
        return len(self.values.get(column, {}).get(value, ())) / max(len(self.taken), 1)

    def rate(self, column: str, value: str) -> float:
        """Share of all takings that fall on items with a value; a few takings count as drawn by chance.

        Args:
            column: column of the attribute.
            value: in lower case.
        """
        found = self._rates.get((column, value))
        if found is None:
            rows = self.values.get(column, {}).get(value)
            share = max(self.share(column, value), 1 / max(len(self.taken), 1))
            count = 0 if rows is None else int(self.taken[rows[rows < len(self.taken)]].sum())
            found = (count + SHRINKAGE * share) / (self._total + SHRINKAGE)
            if rows is not None:
                self._rates[column, value] = found
        return found

    @cached_property
    def _total(self) -> int:
        return int(self.taken.sum())

    @cached_property
    def _rates(self) -> dict[tuple[str, str], float]:
        """Rates of values of the catalogue that were asked for."""
        return {}

    def likes(self, cells: Mapping[int, Mapping[str, Any]], among: Mapping[str, Any] | None = None) -> list[LikedValue]:
        """Values that occur in a history more often than among all takings, the most telling first: lift times takings.

        Args:
            cells: row -> cells of the items of the history, oldest first.
            among: cells of one item, for the values that it shares; None for all values.
        """
        found: dict[tuple[str, str], list[int]] = {}
        for column in self.values:
            wanted = None if among is None else set(cell_values(among.get(column)))
            if wanted is not None and not wanted:
                continue
            for row, item in cells.items():
                for value in cell_values(item.get(column)):
                    if wanted is None or value in wanted:
                        found.setdefault((column, value), []).append(row)
        return _ranked(
            LikedValue(column, value, log_lift(len(rows), len(cells), self.rate(column, value)), tuple(rows))
            for (column, value), rows in found.items()
            if self.share(column, value) <= MAX_COMMON
        )


def preferences(liked: Iterable[LikedValue], items: Mapping[int, tuple[str, Mapping[str, Any]]]) -> list[Preference]:
    """The same in ids, values spelled as the items of the history spell them.

    Args:
        liked: values by rows.
        items: row -> id and cells of the items of the history.
    """
    return [
        Preference(
            one.column,
            spelling(items[one.rows[-1]][1].get(one.column), one.value),
            one.weight,
            tuple(items[row][0] for row in one.rows),
        )
        for one in liked
    ]


def history_preferences(history: Sequence[Mapping[str, Any]], columns: Iterable[str], id_of: Any) -> list[Preference]:
    """What a user likes by a history alone, where no catalogue tells how often people take a value.

    Args:
        history: cells of items, oldest first.
        columns: attributes to look at.
        id_of: gives the id of an item by its cells.
    """
    found: dict[tuple[str, str], list[int]] = {}
    for column in columns:
        for row, item in enumerate(history):
            for value in cell_values(item.get(column)):
                found.setdefault((column, value), []).append(row)
    liked = _ranked(
        LikedValue(column, value, log_lift(len(rows), len(history), USUAL_RATE), tuple(rows))
        for (column, value), rows in found.items()
    )
    return preferences(liked, {row: (id_of(item), item) for row, item in enumerate(history)})


def cell_values(cell: object) -> list[str]:
    """Values of an attribute cell in lower case; none for a number.

    Args:
        cell: the cell.
    """
    if isinstance(cell, str):
        return list(_text_values(cell))
    values = attribute_values(cell)
    return values if isinstance(values, list) else []


def spelling(cell: object, value: str) -> str:
    """A value in lower case as the cell spells it.

    Args:
        cell: the cell.
        value: one of its :func:`cell_values`.
    """
    for written in _text_spellings(cell) if isinstance(cell, str) else written_values(cell):
        if written.lower() == value:
            return written
    return value


# a catalogue has few different cells, and a request reads those of a whole history
@lru_cache(maxsize=16384)
def _text_values(cell: str) -> tuple[str, ...]:
    values = attribute_values(cell)
    return tuple(values) if isinstance(values, list) else ()


@lru_cache(maxsize=16384)
def _text_spellings(cell: str) -> tuple[str, ...]:
    return tuple(written_values(cell))


def _ranked(found: Iterable[LikedValue]) -> list[LikedValue]:
    """Liked values, the most telling first: a great lift, and many takings that bear it out."""
    liked = (one for one in found if one.weight > 0)
    return sorted(liked, key=lambda one: (-one.weight * len(one.rows), one.column, one.value))
