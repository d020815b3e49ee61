"""Ranked lists, and the candidates for them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.batch import RaggedArray
from palate.core.errors import ConfigError

IntArray = NDArray[np.int64]
Floats32 = NDArray[np.float32]


class TopK(NamedTuple):
    """Ranked lists, best first.

    Attributes:
        ids: int64 [n, k], item rows; -1 where a row has fewer than k candidates.
        scores: float32 [n, k]; -inf at the same places.
    """

    ids: IntArray
    scores: Floats32


class Candidates:
    """Candidate items: a restricted set of columns, and per-row exclusions inside it.

    Args:
        n_items: number of items.
        exclude: per row, items that may not appear.
        allowed: the only items that may appear, as bool [n_items] or as item rows.

    Attributes:
        allowed: item rows that may appear, ascending; None for all.
        width: number of columns.

    Raises:
        ConfigError: an item row is out of range, or a mask has the wrong shape.
    """

    def __init__(self, n_items: int, exclude: RaggedArray | None, allowed: NDArray[np.bool_] | IntArray | None) -> None:
        self.exclude = exclude if exclude is not None and len(exclude.items) else None
        self.allowed = None if allowed is None else _allowed_rows(allowed, n_items)
        self.width = n_items if self.allowed is None else len(self.allowed)
        self._column_of: IntArray | None = None
        if self.exclude is not None:
            check_items(self.exclude.items, n_items, "exclude")
        if self.allowed is not None:
            self._column_of = np.full(n_items, -1, np.int64)
            self._column_of[self.allowed] = np.arange(len(self.allowed))

    def narrow(self, block: Tensor) -> Tensor:
        """Select the columns that may appear of a block [B, n_items]."""
        return block if self.allowed is None else block[:, torch.as_tensor(self.allowed, device=block.device)]

    def mask(self, block: Tensor, rows: IntArray, *, own: bool) -> Tensor:
        """Set excluded entries to -inf.

        Args:
            block: scores [B, width].
            rows: int64 [B], the rows that the block belongs to.
            own: the block may be written to; otherwise it is copied first.

        Returns:
            [B, width].
        """
        if self.exclude is None:
            return block
        lists = self.exclude.take(rows)
        columns, owners = lists.items, lists.owners()
        if self._column_of is not None:
            columns = self._column_of[columns]
            owners, columns = owners[columns >= 0], columns[columns >= 0]
        if len(owners) == 0:
            return block
        block = block if own else block.clone(memory_format=torch.contiguous_format)
        cells = torch.as_tensor(owners * block.shape[1] + columns, device=block.device)
        block.view(-1).index_fill_(0, cells, -torch.inf)
        return block

    def items(self, columns: Tensor) -> IntArray:
        """Item rows of block columns."""
        rows: IntArray = columns.cpu().numpy()
        return rows if self.allowed is None else self.allowed[rows]


def _allowed_rows(allowed: NDArray[np.bool_] | IntArray, n_items: int) -> IntArray:
    given: NDArray[np.generic] = np.asarray(allowed)
    if given.dtype == np.bool_:
        if given.shape != (n_items,):
            raise ConfigError(f"a mask of shape {given.shape} for {n_items} items", key="allowed")
        return np.flatnonzero(given)
    rows = np.unique(given.astype(np.int64))
    check_items(rows, n_items, "allowed")
    return rows


def check_items(items: IntArray, n_items: int, key: str) -> None:
    """Check item rows.

    Args:
        items: int64 [n].
        n_items: number of items.
        key: name of the argument, for the error.

    Raises:
        ConfigError: a row is outside 0..n_items-1.
    """
    if len(items) and (items.min() < 0 or items.max() >= n_items):
        raise ConfigError(
            f"item rows from {items.min()} to {items.max()}, but there are {n_items} items",
            key=key,
            hint="give dense item rows, 0-based",
        )


def check_request(n_rows: int, k: int, exclude: RaggedArray | None, chunk: int) -> None:
    """Check the arguments of a top-k.

    Args:
        n_rows: number of rows.
        k: list length.
        exclude: per row, items that may not appear.
        chunk: rows per block.

    Raises:
        ConfigError: k or chunk is below 1, or ``exclude`` has another number of lists.
    """
    for key, value in (("k", k), ("chunk", chunk)):
        if value < 1:
            raise ConfigError(f"{value} is below 1", key=key)
    if exclude is not None and len(exclude) != n_rows:
        raise ConfigError(f"{len(exclude)} lists for {n_rows} rows", key="exclude", hint="one list per row")


def empty_lists(n: int, k: int) -> tuple[IntArray, Floats32]:
    """Ids and scores of ``n`` empty lists of ``k`` places."""
    return np.full((n, k), -1, np.int64), np.full((n, k), -np.inf, np.float32)


def store_lists(ids: IntArray, scores: Floats32, start: int, values: Tensor, items: IntArray) -> None:
    """Write a chunk's lists.

    Args:
        ids: int64 [n, k], written to.
        scores: float32 [n, k], written to.
        start: first row of the chunk.
        values: scores of the chunk [B, w]; a place whose value is -inf stays empty.
        items: int64 [B, w], item rows.
    """
    chunk: Floats32 = values.cpu().numpy()
    end, width = start + len(chunk), chunk.shape[1]
    scores[start:end, :width] = chunk
    ids[start:end, :width] = np.where(chunk == -np.inf, -1, items)
