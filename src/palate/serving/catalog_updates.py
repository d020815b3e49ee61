"""Updates of the catalogue: items that are added or changed, their place in the catalogue and their encoded content."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

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
from palate.serving.catalog_log import FieldValue


@dataclass(frozen=True)
class CatalogUpdate:
    """Items that are added or changed at once, by position.

    Attributes:
        ids: external ids as text, each once.
        fields: column -> value; columns that are not named keep their values.
        images: image files; None keeps the image.
        is_new: bool [n], whether nothing is kept of an item that had this id.
        times: float64 [n], seconds since 1970.
    """

    ids: list[str]
    fields: list[Mapping[str, FieldValue]]
    images: list[Path | None]
    is_new: NDArray[np.bool_]
    times: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)


class LoggedChange(NamedTuple):
    """One change of the log.

    Attributes:
        item: item id.
        fields: column -> value; None for a removal.
        image: image file, where one came.
        time: seconds since 1970.
    """

    item: str
    fields: Mapping[str, FieldValue] | None
    image: Path | None
    time: float


class UpdatedCatalog(NamedTuple):
    """A catalogue after an update.

    Attributes:
        items: the catalogue.
        features: its feature vectors.
        rows: int64 [n], rows of the items of the update.
        new_rows: id -> row of the items that were added.
    """

    items: Catalog
    features: ItemFeatures
    rows: IntArray
    new_rows: dict[str, int]


def apply_update(
    items: Catalog, content: FittedContent, features: ItemFeatures, known: Mapping[str, int], update: CatalogUpdate
) -> UpdatedCatalog:
    """Add and change items, and encode their content.

    Args:
        items: the catalogue.
        content: the run's encoders.
        features: feature vectors of ``items``.
        known: id -> row; rows beyond ``items`` are not known yet.
        update: items to add or change.

    Raises:
        DataError: for a column that the catalogue lacks or that names files, or a value that does not fit.
    """
    rows = np.array([known.get(item, -1) for item in update.ids], np.int64)
    rows[rows >= len(items)] = -1
    added = np.flatnonzero(rows < 0)
    rows[added] = len(items) + np.arange(len(added))
    key = items.id_column
    table = _updated_rows(items, key, rows, update)
    updated = items.append(table[added], key) if len(added) else items
    changed = np.flatnonzero(rows < len(items))
    if len(changed):
        spots = pl.Series(rows[changed])
        columns = [name for name in table.columns if name != key]
        series = [updated.frame[name].scatter(spots, table[name].gather(changed)) for name in columns]
        updated = replace(updated, frame=updated.frame.with_columns(series))
    to_encode = _encodable(items, table, rows, update)
    vectors = features.with_rows(rows, content.encode_new(to_encode), len(updated))
    return UpdatedCatalog(updated, vectors, rows, {update.ids[at]: int(rows[at]) for at in added})


def editable_columns(items: Catalog) -> list[str]:
    """Columns that an update may fill: all but the id and those that name files."""
    return [c for c in items.frame.columns if items.kinds.get(c) not in MEDIA_KINDS and c != items.id_column]


def unknown_column(items: Catalog, item: str, column: str) -> DataError:
    """The error of a column that an update may not fill.

    Args:
        items: the catalogue.
        item: item id.
        column: the column.
    """
    exists = column in items.frame.columns
    fault = "is not for files or ids" if exists else "is not in the catalogue"
    hint = "send the image itself" if exists else did_you_mean(column, editable_columns(items))
    return DataError(f"item {item!r}: the column {fault}", column=column, hint=hint)


def check_value(items: Catalog, column: str, value: FieldValue) -> None:
    """Check that a value fits its column.

    Args:
        items: the catalogue.
        column: the column.
        value: the value.

    Raises:
        DataError: if it does not fit.
    """
    items.cast_rows(pl.DataFrame([_series(column, [value])]))


def fold_updates(log: Iterable[LoggedChange]) -> tuple[CatalogUpdate, list[str]]:
    """Fold a series of changes into one update and the ids of the items that are removed at its end.

    Items stand in the order in which ids were first put, removed ones included, so that every process that reads the
    same log, at once or in parts, gives every item the same row.

    Args:
        log: changes, in order.
    """
    put: dict[str, tuple[dict[str, FieldValue], Path | None, bool, float]] = {}
    removed: dict[str, None] = {}
    for item, fields, image, when in log:
        if fields is None:
            removed[item] = None
            if item in put:
                put[item] = ({}, None, True, when)
            continue
        old_fields, old_image, is_new, _ = put.get(item, ({}, None, False, 0.0))
        put[item] = ({**old_fields, **fields}, image or old_image, is_new or item in removed, when)
        removed.pop(item, None)
    changes = list(put.values())
    update = CatalogUpdate(
        list(put),
        [fields for fields, *_ in changes],
        [image for _, image, *_ in changes],
        np.array([is_new for *_, is_new, _ in changes], bool),
        np.array([when for *_, when in changes], float),
    )
    return update, list(removed)


def drop_unknown_fields(items: Catalog, update: CatalogUpdate) -> tuple[CatalogUpdate, int]:
    """The update without values that a catalogue has no place for, and how many values those were.

    Args:
        items: the catalogue.
        update: items to add or change.
    """
    allowed, n_dropped, fields = set(editable_columns(items)), 0, list[Mapping[str, FieldValue]]()
    for given in update.fields:
        fitting = {c: value for c, value in given.items() if c in allowed and _fits(items, c, value)}
        n_dropped += len(given) - len(fitting)
        fields.append(fitting)
    return replace(update, fields=fields), n_dropped


def _fits(items: Catalog, column: str, value: FieldValue) -> bool:
    try:
        check_value(items, column, value)
    except DataError:
        return False
    return True


def _updated_rows(items: Catalog, key: str, rows: IntArray, update: CatalogUpdate) -> pl.DataFrame:
    """Catalogue rows of the items of an update."""
    columns, allowed = items.frame.columns, set(editable_columns(items))
    for at, fields in enumerate(update.fields):
        for column in fields:
            if column not in allowed:
                raise unknown_column(items, update.ids[at], column)
    old = [
        items.frame.row(int(row), named=True) if row < len(items) and not is_new else {}
        for row, is_new in zip(rows, update.is_new)
    ]
    table = {}
    for column in columns:
        if column == key:
            table[column] = pl.Series(column, update.ids)
        else:
            values = [fields.get(column, before.get(column)) for fields, before in zip(update.fields, old)]
            table[column] = _series(column, values)
    return items.cast_rows(pl.DataFrame(table))


def _series(column: str, values: list[FieldValue]) -> pl.Series:
    try:
        return pl.Series(column, values, strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series(column, [None if value is None else str(value) for value in values])


def _encodable(items: Catalog, table: pl.DataFrame, rows: IntArray, update: CatalogUpdate) -> Catalog:
    """``table`` as a catalogue to encode: new images by their files, other media where the catalogue has them."""
    changed = []
    for column, kind in items.kinds.items():
        if kind not in MEDIA_KINDS or table[column].dtype != pl.String:
            continue
        root = "" if items.root is None else str(items.root)
        paths = [None if value is None else os.path.join(root, value) for value in table[column]]
        if kind == "image":
            paths = [path if new is None else str(new) for path, new in zip(paths, update.images)]
        changed.append(pl.Series(column, paths, pl.String))
    given = {}
    for name, features in items.given.items():
        empty = _with_rows(features.take(np.zeros(0, np.int64)), None, np.arange(len(table)), len(table))
        known = np.flatnonzero((rows < len(items)) & ~update.is_new)
        given[name] = _with_rows(empty, features.take(rows[known]), known, len(table))
    return Catalog(table.with_columns(changed), IdMap(pl.Series(update.ids)), items.kinds, None, given)


def _with_rows(old: Features, new: Features | None, rows: IntArray, size: int) -> Features:
    """A copy of ``size`` rows in which ``rows`` hold ``new``, or are absent."""
    values = np.zeros((size, *old.values.shape[1:]), old.values.dtype)
    present = np.zeros(size, bool)
    values[: len(old)], present[: len(old)] = old.values, old.present
    values[rows] = 0 if new is None else new.values
    present[rows] = False if new is None else new.present
    return replace(old, values=values, present=present)
