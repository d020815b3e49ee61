"""Items by the values of an attribute column: genres, providers, topics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.core.errors import ConfigError, did_you_mean
from palate.data.catalog import Catalog
from palate.features.encoders.attribute_values import attribute_values


@dataclass(frozen=True, eq=False)
class ItemGroups:
    """The groups of each item; an item may have several, or none.

    Attributes:
        column: the attribute column.
        names: values in lower case, sorted; the groups.
        codes: int64 [n_items, width], groups of each item; ``len(names)`` fills up.
    """

    column: str
    names: tuple[str, ...]
    codes: IntArray

    @classmethod
    def from_catalog(cls, items: Catalog, column: str) -> ItemGroups:
        """Read a column; equal cells are read once.

        Args:
            items: the catalogue.
            column: name of the column.

        Raises:
            ConfigError: if the catalogue has no such column.
        """
        _check_column(items, column)
        known: dict[object, list[str]] = {}
        cells = []
        for cell in items.frame[column].to_list():
            key = tuple(cell) if isinstance(cell, list) else cell
            if key not in known:
                found = attribute_values(cell)
                known[key] = found if isinstance(found, list) else [f"{found:g}"]
            cells.append(known[key])
        names = tuple(sorted({name for values in known.values() for name in values}))
        place = {name: at for at, name in enumerate(names)}
        codes = np.full((len(cells), max(map(len, cells), default=0)), len(names), np.int64)
        for row, values in enumerate(cells):
            codes[row, : len(values)] = [place[name] for name in values]
        return cls(column, names, codes)

    def __len__(self) -> int:
        return len(self.names)

    def group(self, name: str) -> int:
        """Number of a group.

        Args:
            name: its value.

        Raises:
            ConfigError: for a value that no item has.
        """
        if name not in self._places:
            raise ConfigError(f"no item has this value in {self.column}", key=name, hint=did_you_mean(name, self.names))
        return self._places[name]

    def of(self, rows: IntArray) -> IntArray:
        """Groups of items: int64 [..., width]; rows beyond the catalogue have none.

        Args:
            rows: int64 [...], item rows.
        """
        codes: IntArray = self._extended[np.minimum(rows, len(self.codes))]
        return codes

    @cached_property
    def shares(self) -> NDArray[np.float32]:
        """What part of an item belongs to each group, equal for all its groups: float32 [n_items + 1, groups].

        The last row is that of an item without groups.
        """
        out = np.zeros((len(self.codes) + 1, len(self) + 1), np.float32)
        np.put_along_axis(out, self._extended, 1, 1)
        out = out[:, :-1]
        total = out.sum(1, keepdims=True)
        shares: NDArray[np.float32] = np.divide(out, total, out=np.zeros_like(out), where=total > 0)
        return shares

    def shares_of(self, rows: IntArray) -> NDArray[np.float32]:
        """Rows of :attr:`shares`: float32 [..., groups]; rows beyond the catalogue belong to no group.

        Args:
            rows: int64 [...], item rows.
        """
        return self.shares[np.minimum(rows, len(self.codes))]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.names)}

    @cached_property
    def _extended(self) -> IntArray:
        return np.pad(self.codes, ((0, 1), (0, 0)), constant_values=len(self.names))


def attribute_numbers(items: Catalog, column: str) -> NDArray[np.float32]:
    """Numbers of an attribute column: float32 [n_items], 0 where there is none.

    Args:
        items: the catalogue.
        column: name of the column.

    Raises:
        ConfigError: if the catalogue has no such column, or the column holds no numbers.
    """
    _check_column(items, column)
    values = items.frame[column]
    if values.null_count() == len(values):
        return np.zeros(len(values), np.float32)
    if not (values.dtype.is_numeric() or values.dtype == bool):
        raise ConfigError("this column holds no numbers", key=column, hint="name a column of numbers, such as bids")
    numbers: NDArray[np.float32] = values.cast(float).fill_null(0).to_numpy().astype(np.float32)
    return np.where(np.isfinite(numbers), numbers, np.float32(0))


def only_column(items: Catalog, named: str, setting: str) -> str:
    """The attribute column that is meant.

    Args:
        items: the catalogue.
        named: name of the column; empty takes the one that there is.
        setting: that names the column, for errors.

    Raises:
        ConfigError: if there is no such column, none at all, or several to choose from.
    """
    columns = [c for c in items.columns("attributes") if not items.frame[c].dtype.is_float()]
    if named:
        _check_column(items, named)
        return named
    if len(columns) != 1:
        found = f"there are several: {', '.join(columns)}" if columns else "the items have none"
        raise ConfigError(f"name an attribute column; {found}", key=setting)
    return columns[0]


def _check_column(items: Catalog, column: str) -> None:
    columns: Sequence[str] = items.columns("attributes")
    if column not in items.frame.columns:
        raise ConfigError("the items have no such column", key=column, hint=did_you_mean(column, columns))
