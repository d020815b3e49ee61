"""Items that come or change while the shop is open: their place in the catalogue, and their content encoded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.core.content import Features
from palate.core.errors import DataError, did_you_mean
from palate.core.item_features import ItemFeatures
from palate.data.catalog import MEDIA_KINDS, Catalog
from palate.data.ids import IdMap
from palate.features.fitted import FittedContent


@dataclass(frozen=True)
class Goods:
    """What is put into the shop at once, an item a place.

    Attributes:
        ids: external, as text, each once. fields: column -> value; what is not named stays as it is. pictures: files,
            None leaves the picture as it is. anew: bool, nothing of what was there under this id stays. times: seconds
            since 1970.
    """

    ids: list[str]
    fields: list[Mapping[str, Any]]
    pictures: list[Path | None]
    anew: NDArray[np.bool_]
    times: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)


def placed(
    items: Catalog, content: FittedContent, features: ItemFeatures, known: Mapping[str, int], goods: Goods
) -> tuple[Catalog, ItemFeatures, IntArray, dict[str, int]]:
    """The catalogue with these items, ``features`` with their vectors, their rows, and the new ones' names.

    Raises:
        DataError: for a column that the catalogue lacks or that names files, or a value that does not fit.
    """
    rows = np.array([known.get(name, -1) for name in goods.ids], np.int64)
    rows[rows >= len(items)] = -1
    fresh = np.flatnonzero(rows < 0)
    rows[fresh] = len(items) + np.arange(len(fresh))
    key = items.id_column
    table = _table(items, key, rows, goods)
    grown = items.append(table[fresh], key) if len(fresh) else items
    old = np.flatnonzero(rows < len(items))
    if len(old):
        spots = pl.Series(rows[old])
        changed = [grown.frame[name].scatter(spots, table[name].gather(old)) for name in table.columns if name != key]
        grown = replace(grown, frame=grown.frame.with_columns(changed))
    small = _readable(items, table, rows, goods)
    updated = features.with_rows(rows, content.encode_new(small), len(grown))
    names = {goods.ids[at]: int(rows[at]) for at in fresh}
    return grown, updated, rows, names


def open_columns(items: Catalog) -> list[str]:
    """Columns that whoever puts an item may fill: all but its id and those that name files."""
    return [c for c in items.frame.columns if items.kinds.get(c) not in MEDIA_KINDS and c != items.id_column]


def _table(items: Catalog, key: str, rows: IntArray, goods: Goods) -> pl.DataFrame:
    """Rows of the catalogue as they are to be."""
    known, may = items.frame.columns, set(open_columns(items))
    for at, fields in enumerate(goods.fields):
        for column in fields:
            if column not in may:
                told = "is not for files or ids" if column in known else "is not in the catalogue"
                hint = "send the picture itself" if column in known else did_you_mean(column, may)
                raise DataError(f"item {goods.ids[at]!r}: the column {told}", row=at + 1, column=column, hint=hint)
    old = [
        items.frame.row(int(row), named=True) if row < len(items) and not anew else {}
        for row, anew in zip(rows, goods.anew)
    ]
    made = {}
    for column in known:
        if column == key:
            made[column] = pl.Series(column, goods.ids)
        else:
            values = [fields.get(column, was.get(column)) for fields, was in zip(goods.fields, old)]
            made[column] = _series(column, values)
    return items.cast_rows(pl.DataFrame(made))


def _series(column: str, values: list[Any]) -> pl.Series:
    try:
        return pl.Series(column, values, strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series(column, [None if value is None else str(value) for value in values])


def _readable(items: Catalog, table: pl.DataFrame, rows: IntArray, goods: Goods) -> Catalog:
    """``table`` as a catalogue to encode: pictures are the files that came, other media lie where they did."""
    changed = []
    for column, kind in items.kinds.items():
        if kind not in MEDIA_KINDS or table[column].dtype != pl.String:
            continue
        root = "" if items.root is None else str(items.root)
        paths = [None if value is None else os.path.join(root, value) for value in table[column]]
        if kind == "image":
            paths = [path if new is None else str(new) for path, new in zip(paths, goods.pictures)]
        changed.append(pl.Series(column, paths, pl.String))
    given = {
        name: _with_rows(found.take(np.zeros(0, np.int64)), None, np.arange(len(table)), len(table))
        for name, found in items.given.items()
    }
    for name, found in items.given.items():
        kept = np.flatnonzero(rows < len(items))
        given[name] = _with_rows(given[name], found.take(rows[kept]), kept, len(table))
    return Catalog(table.with_columns(changed), IdMap(pl.Series(goods.ids)), items.kinds, None, given)


def _with_rows(old: Features, fresh: Features | None, rows: IntArray, size: int) -> Features:
    """A copy of ``size`` rows in which ``rows`` hold ``fresh``, or nothing."""
    values = np.zeros((size, *old.values.shape[1:]), old.values.dtype)
    present = np.zeros(size, bool)
    values[: len(old)], present[: len(old)] = old.values, old.present
    values[rows] = 0 if fresh is None else fresh.values
    present[rows] = False if fresh is None else fresh.present
    return replace(old, values=values, present=present)


def merged(log: Iterable[tuple[str, Mapping[str, Any] | None, Path | None, float]]) -> tuple[Goods, list[str]]:
    """What a series of puts and removals comes to: goods, and the ids that end up removed.

    Goods are in the order in which ids were first put, those removed again included, so that whoever takes in the same
    log, at once or in parts, gives every item the same row.

    Args:
        log: (id, fields or None for a removal, picture, time), in order.
    """
    put: dict[str, tuple[dict[str, Any], Path | None, bool, float]] = {}
    gone: dict[str, None] = {}
    for name, fields, picture, when in log:
        if fields is None:
            gone[name] = None
            if name in put:
                put[name] = ({}, None, True, when)
            continue
        was, pictured, anew, _ = put.get(name, ({}, None, False, 0.0))
        put[name] = ({**was, **fields}, picture or pictured, anew or name in gone, when)
        gone.pop(name, None)
    found = list(put.values())
    goods = Goods(
        list(put),
        [fields for fields, *_ in found],
        [picture for _, picture, *_ in found],
        np.array([anew for *_, anew, _ in found], bool),
        np.array([when for *_, when in found], float),
    )
    return goods, list(gone)


def fitting(items: Catalog, goods: Goods) -> tuple[Goods, int]:
    """The goods without what this catalogue has no place for, and how many values that were."""
    may, lost, fields = set(open_columns(items)), 0, list[Mapping[str, Any]]()
    for given in goods.fields:
        kept = {}
        for column, value in given.items():
            try:
                if column in may and items.cast_rows(pl.DataFrame([_series(column, [value])])) is not None:
                    kept[column] = value
            except DataError:
                pass
        lost += len(given) - len(kept)
        fields.append(kept)
    return replace(goods, fields=fields), lost
