"""Ranked lists, and which items may appear in them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.errors import ConfigError

IntArray = NDArray[np.int64]
Floats32 = NDArray[np.float32]


class ItemLists(Protocol):
    """Lists of item rows, one for each row that is ranked; :class:`palate.core.batch.RaggedArray` is such lists."""

    def __len__(self) -> int: ...

    @property
    def items(self) -> IntArray:
        """int64 [nnz]: the entries of all lists, one list after the other."""

    def take(self, rows: IntArray) -> ItemLists:
        """The lists of ``rows``, in that order."""

    def owners(self) -> IntArray:
        """int64 [nnz]: the list that each entry belongs to."""


class TopK(NamedTuple):
    """Ranked lists, best first.

    Attributes:
        ids: int64 [n, k], item rows; -1 where a row has fewer than k candidates.
        scores: float32 [n, k]; -inf at the same places.
    """

    ids: IntArray
    scores: Floats32


class Candidates:
    """Which items may appear: a narrowed set of columns, and per-row exclusions inside it."""

    def __init__(self, n_items: int, exclude: ItemLists | None, allowed: NDArray[np.bool_] | IntArray | None) -> None:
        self.exclude = exclude if exclude is not None and len(exclude.items) else None
        self.kept = None if allowed is None else _allowed_rows(allowed, n_items)
        self.width = n_items if self.kept is None else len(self.kept)
        self._place: IntArray | None = None
        if self.exclude is not None:
            check_items(self.exclude.items, n_items, "exclude")
        if self.kept is not None:
            self._place = np.full(n_items, -1, np.int64)
            self._place[self.kept] = np.arange(len(self.kept))

    def narrow(self, block: Tensor) -> Tensor:
        """Only the columns that may appear."""
        return block if self.kept is None else block[:, torch.as_tensor(self.kept, device=block.device)]

    def mask(self, block: Tensor, rows: IntArray, *, own: bool) -> Tensor:
        """Cells excluded for ``rows`` [B] put to -inf; a block that is not our own is copied first."""
        if self.exclude is None:
            return block
        lists = self.exclude.take(rows)
        columns, owners = lists.items, lists.owners()
        if self._place is not None:
            columns = self._place[columns]
            owners, columns = owners[columns >= 0], columns[columns >= 0]
        if len(owners) == 0:
            return block
        block = block if own else block.clone(memory_format=torch.contiguous_format)
        cells = torch.as_tensor(owners * block.shape[1] + columns, device=block.device)
        block.view(-1).index_fill_(0, cells, -torch.inf)
        return block

    def items(self, columns: Tensor) -> IntArray:
        """Item rows of block columns."""
        found: IntArray = columns.cpu().numpy()
        return found if self.kept is None else self.kept[found]


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
    """Refuse item rows outside 0..n_items-1, as ConfigError that names ``key``."""
    if len(items) and (items.min() < 0 or items.max() >= n_items):
        raise ConfigError(
            f"item rows from {items.min()} to {items.max()}, but there are {n_items} items",
            key=key,
            hint="give dense item rows, 0-based",
        )


def check_request(n_rows: int, k: int, exclude: ItemLists | None, chunk: int) -> None:
    """Refuse k or chunk below 1, and exclusions for another number of rows, as ConfigError."""
    for key, value in (("k", k), ("chunk", chunk)):
        if value < 1:
            raise ConfigError(f"{value} is below 1", key=key)
    if exclude is not None and len(exclude) != n_rows:
        raise ConfigError(f"{len(exclude)} lists for {n_rows} rows", key="exclude", hint="one list per row")


def empty_lists(n: int, k: int) -> tuple[IntArray, Floats32]:
    """Lists [n, k] without any item."""
    return np.full((n, k), -1, np.int64), np.full((n, k), -np.inf, np.float32)


def store_lists(ids: IntArray, scores: Floats32, start: int, values: Tensor, items: IntArray) -> None:
    """Write a chunk's lists from row ``start`` on; a place whose value is -inf stays empty."""
    found: Floats32 = values.cpu().numpy()
    end, width = start + len(found), found.shape[1]
    scores[start:end, :width] = found
    ids[start:end, :width] = np.where(found == -np.inf, -1, items)
