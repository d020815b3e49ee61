"""What is wrong with items that are to be added or changed, by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from palate.core.errors import DataError, PalateError
from palate.data.catalog import Catalog
from palate.serving.batches import Faults
from palate.serving.catalog_log import FieldValue
from palate.serving.catalog_updates import check_value, editable_columns, unknown_column
from palate.serving.images import sanitize_image

Record = tuple[str, Mapping[str, FieldValue], bytes | None]
"""Item id, column -> value, image."""


def id_faults(items: Catalog, ids: Sequence[str | None]) -> Faults:
    """Ids that are given twice, or are not whole numbers where ids are.

    Args:
        items: the catalogue.
        ids: item ids as text; None for one that is known to be wrong.
    """
    numeric, before, faults = items.ids.ids.dtype != pl.String, set[str](), Faults()
    for at, item in enumerate(ids):
        if item is None:
            continue
        if numeric and not _is_whole_number(item):
            faults[at + 1] = DataError("ids of this catalogue are whole numbers", key=item)
        elif item in before:
            faults[at + 1] = DataError("an item is given twice", key=item)
        before.add(item)
    return faults


def item_faults(items: Catalog, records: Sequence[Record | None]) -> Faults:
    """What is wrong with items: ids, columns, values and images; the first of each row.

    Args:
        items: the catalogue.
        records: the items; None for one that is known to be wrong.
    """
    faults = id_faults(items, [None if record is None else record[0] for record in records])
    for at, record in enumerate(records):
        if record is not None and at + 1 not in faults:
            try:
                _check(items, *record)
            except PalateError as error:
                faults[at + 1] = error
    return faults


def _check(items: Catalog, item: str, fields: Mapping[str, FieldValue], image: bytes | None) -> None:
    allowed = editable_columns(items)
    for column, value in fields.items():
        if column not in allowed:
            raise unknown_column(items, item, column)
        check_value(items, column, value)
    if image is not None:
        sanitize_image(image)


def _is_whole_number(text: str) -> bool:
    try:
        return str(int(text)) == text
    except ValueError:
        return False
