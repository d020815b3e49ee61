"""External ids outside, dense row numbers inside."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.errors import DataError
from palate.core.files import digest
from palate.data.hashing import series_parts
from palate.data.id_spelling import SHORTENED, IdColumn, spell, spelled, unify, whole_numbers

OnUnknown = Literal["error", "skip", "mark"]


class IdMap:
    """A bijection between external ids (all strings or all integers) and rows 0..n-1.

    Args:
        ids: external ids in row order; nulls and duplicates are refused with their row.
        entity: the noun for error messages (``item`` or ``user``).
        file: the file the ids came from, for error messages.

    Raises:
        DataError: naming the row of an empty, repeated or unusable id.
    """

    def __init__(self, ids: pl.Series | Sequence[Any], entity: str = "item", file: str | None = None) -> None:
        series = ids if isinstance(ids, pl.Series) else _series(list(ids), entity)
        self.entity = entity
        self.ids = unify([IdColumn(series, file=file)], entity)[0][0]
        if self.ids.null_count():
            missing = self.ids.is_null().arg_true()
            raise DataError(f"{entity} id is empty", file=file, row=int(missing[0]) + 1, hint="give every row an id")
        if self.ids.n_unique() < len(self.ids):
            at = int((~self.ids.is_first_distinct()).arg_true()[0])
            hint = "keep one row for each id"
            if self.ids.dtype == pl.String and re.match(SHORTENED, self.ids[at]):
                hint = "a spreadsheet has shortened it and its last digits are lost: export the column as text"
            raise DataError(f"{entity} id {self.ids[at]!r} appears twice", file=file, row=at + 1, hint=hint)
        self._lookup = pl.DataFrame({"id": self.ids, "row": np.arange(len(self.ids), dtype=np.int64)})

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def hash(self) -> str:
        """Content hash of the ids in order."""
        return digest(*series_parts(self.ids.alias("id")))

    def rows(self, ids: Iterable[Any] | pl.Series, on_unknown: OnUnknown = "error") -> NDArray[np.int64]:
        """Rows of external ids, matched by their spelling: ``"7"`` and 7 are one id, ``"007"`` is another.

        Args:
            ids: external ids.
            on_unknown: unknown ids raise (``error``), are left out (``skip``) or get row -1 (``mark``).

        Returns:
            int64, one row an id, fewer with ``skip``.

        Raises:
            DataError: for an unknown id with ``error``.
        """
        wanted = self._typed(ids)
        joined = pl.DataFrame({"id": wanted}).join(self._lookup, on="id", how="left", maintain_order="left")
        rows = joined["row"].fill_null(-1).to_numpy()
        if on_unknown == "mark":
            return rows
        if on_unknown == "skip":
            return rows[rows >= 0]
        unknown = np.flatnonzero(rows < 0)
        if len(unknown):
            at = int(unknown[0])
            original = ids[at] if isinstance(ids, (list, tuple, pl.Series)) else wanted[at]
            raise DataError(
                f"unknown {self.entity} id", key=original, hint='check the id, or pass on_unknown="skip" or "fallback"'
            )
        return rows

    def _typed(self, ids: Iterable[Any] | pl.Series) -> pl.Series:
        """Ids in the type of this map, null where they cannot be one of its ids."""
        if isinstance(ids, pl.Series) and ids.dtype == self.ids.dtype == pl.Int64:
            return ids
        if isinstance(ids, pl.Series) and (ids.dtype == pl.String or ids.dtype.is_integer()):
            text, _ = spelled(IdColumn(ids), self.entity)
        else:
            text = pl.Series([spell(value) for value in ids], dtype=pl.String)
        return whole_numbers(text) if self.ids.dtype == pl.Int64 else text

    def external(self, rows: NDArray[np.int64]) -> list[Any]:
        """External ids of rows.

        Args:
            rows: int64 row numbers.
        """
        return self.ids.gather(np.asarray(rows, dtype=np.int64)).to_list()

    def extended(self, new: pl.Series) -> IdMap:
        """A map with more ids at its end.

        Args:
            new: external ids.

        Raises:
            DataError: naming the row within ``new`` of an id that is known, empty, repeated or of another type.
        """
        column = new.name or None
        added, _ = spelled(IdColumn(new), self.entity)
        if self.ids.dtype == pl.Int64 and len(self.ids):
            numbers = whole_numbers(added)
            odd = (numbers.is_null() & added.is_not_null()).arg_true()
            if len(odd):
                at = int(odd[0])
                hint = "these ids are whole numbers, without leading zeros or signs"
                raise DataError(f"{self.entity} id {added[at]!r} is text", row=at + 1, column=column, hint=hint)
            added = numbers
        elif not len(self.ids):
            added = unify([IdColumn(new)], self.entity)[0][0]
        known = added.is_in(self.ids.implode()).arg_true() if len(self.ids) else added.is_null().arg_true()
        if len(known) and added[int(known[0])] is not None:
            at = int(known[0])
            raise DataError(f"{self.entity} id {added[at]!r} exists already", row=at + 1, hint="leave known ids out")
        IdMap(added, self.entity)
        return IdMap(pl.concat([self.ids, added]) if len(self.ids) else added, self.entity)


def _series(ids: list[Any], entity: str) -> pl.Series:
    try:
        return pl.Series(ids)
    except (TypeError, OverflowError, UnicodeEncodeError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{entity} ids are neither all text nor all whole numbers ({str(error)[:100]})") from error
