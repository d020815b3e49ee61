"""The items of a table of events, where there is no table of items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.data.column_names import ROLE_NAMES, find_role, squash
from palate.data.source_table import SourceTable

_CONSTANT, _REPEATED = 0.9, 0.8
_ROLES = frozenset(squash(name) for role, names in ROLE_NAMES.items() if role != "item" for name in names)


def items_of_log(log: SourceTable, settings: Mapping[str, Any]) -> tuple[SourceTable, str]:
    """One row an item of a log, with the columns that say the same wherever the item occurs.

    Args:
        log: one row an event.
        settings: of palate.yaml; ``items: {id: ...}`` or ``interactions: {item: ...}`` names the column of ids.

    Returns:
        The items, and a note.

    Raises:
        DataError: if no column is recognised as that of the items.
    """
    sections = [settings.get(name) or {} for name in ("items", "interactions")]
    named = sections[0].get("id") or sections[1].get("item") or next(iter(find_role("item", log.frame.columns)), None)
    if named is None or named not in log.frame.columns:
        hint = f"name it in palate.yaml (items: {{id: COLUMN}}); columns: {', '.join(log.frame.columns)}"
        raise DataError("cannot tell which column is the item id", column=named, hint=hint)
    key = str(named)
    known = log.filter(log.frame[key].is_not_null())
    first = known.frame[key].is_first_distinct()
    rest = [c for c in log.frame.columns if c != key and squash(c) not in _ROLES]
    rest = [c for c in rest if c not in sections[1].values()]
    kept = _constant(known.frame, key, rest) if first.sum() <= _REPEATED * len(first) else []
    items = known.filter(first)
    text = {c: values for c, values in items.text.items() if c in (key, *kept)}
    found = SourceTable(items.frame.select(key, *kept), text, {}, (), log.from_text)
    listed = f", with {', '.join(kept)}, which are the same in all events of an item" if kept else ""
    return found, f"items: those of the interactions, by {key!r}{listed}"


def _constant(frame: pl.DataFrame, key: str, columns: list[str]) -> list[str]:
    """Columns that have one value for nearly all ids."""
    if not columns:
        return []
    usable = [c for c in columns if not frame[c].dtype.is_nested()]
    counts = frame.group_by(key).agg(pl.col(c).drop_nulls().n_unique() for c in usable)
    return [c for c in usable if float((counts[c] <= 1).mean() or 0.0) >= _CONSTANT]  # type: ignore[arg-type]
