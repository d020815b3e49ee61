"""Texts to learn from: columns of the log and of the catalogue, and the users' own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from palate.core.errors import ConfigError, did_you_mean
from palate.data.catalog import Catalog
from palate.data.views import TrainView
from palate.models.generate.shared.columns import said


@dataclass(frozen=True)
class TextColumn:
    """A column that holds texts.

    Attributes:
        table: ``log`` for interactions, ``items`` for the catalogue.
        name: of the column.
    """

    table: Literal["log", "items"]
    name: str


def find_column(
    train: TrainView, wanted: str, names: Sequence[str], fallback: str | None, setting: str
) -> TextColumn | None:
    """The column of texts that a setting means.

    Args:
        train: the training view.
        wanted: name of a column of the log or of the catalogue; empty takes the first of ``names`` that the log has,
            else ``fallback``.
        names: usual names in the log.
        fallback: a column of the catalogue, or None.
        setting: for error messages.

    Raises:
        ConfigError: for a column that neither table has.
    """
    log = {} if train.tables is None else dict(train.events.context_values)
    items = [] if train.tables is None else train.items_table.frame.columns
    if not wanted:
        found = next((name for name in names if name in log), None)
        return TextColumn("log", found) if found else None if fallback is None else TextColumn("items", fallback)
    if wanted in log:
        return TextColumn("log", wanted)
    if wanted in items:
        return TextColumn("items", wanted)
    hint = did_you_mean(wanted, [*log, *items])
    raise ConfigError(f"neither the log nor the catalogue has the column {wanted!r}", key=setting, hint=hint)


def texts_of(train: TrainView, column: TextColumn | None) -> list[str | None]:
    """Texts of a column, one a training positive in the order of the view.

    Args:
        train: the training view.
        column: None yields no text.
    """
    if column is None:
        return [None] * len(train)
    if column.table == "log":
        values = train.events.context_values[column.name]
        codes = train.events.context[column.name][train.positive]
        return [values[code] if code >= 0 else None for code in codes.tolist()]
    texts = [said(value) for value in train.items_table.frame[column.name].to_list()]
    return [texts[item] for item in train.items.tolist()]


def user_texts(users: Catalog | None, n_users: int) -> list[str | None]:
    """What users say of themselves: their columns of text.

    Args:
        users: the table of users, or None.
        n_users: rows.
    """
    if users is None or not users.columns("text"):
        return [None] * n_users
    return [None if raw is None else str(raw) for raw in users.raw("text")]


def used_rows(texts: Sequence[str | None]) -> np.ndarray:
    """Int64: places with a text.

    Args:
        texts: None where there is none.
    """
    return np.flatnonzero([bool(text) for text in texts])
