"""Negative items for implicit feedback: vectorised, exact, reproducible."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.core.errors import DataError

_RESOLUTION = 2**40
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Negatives:
    """Sampler of items that a user has not interacted with, uniform or by popularity.

    Exact and without rejection rounds: the allowed items lie on a line, each as long as its weight; a draw is a point
    on what remains after the user's positives are cut out, and one binary search over all (user, positive) keys tells
    how much was cut out before it. Cost O(log(positives) + log(items)) a draw, whatever the user's density.

    Args:
        n_items: number of items.
        user_pos: what may not be drawn, CSR [n_users, n_items]: a scipy sparse matrix, or ``(indptr, indices)``.
        allowed_items: items that may be drawn (for example the warm ones), as int rows or as a bool mask [n_items];
            None means all.
        popularity: float [n_items], at least 0, for example training counts; None draws uniformly. Items of weight zero
            are never drawn.
        alpha: exponent on ``popularity`` (1 proportional, .75 as in word2vec, 0 uniform over items that have any).

    Raises:
        DataError: if an item lies outside the table, no item may be drawn, or ``popularity`` is unusable.

    Attributes:
        exhausted: bool [n_users]; users who have interacted with everything that may be drawn. No negative exists for
            them: their draws come from all allowed items, positives included. Drop these users where that matters.
    """

    def __init__(
        self,
        n_items: int,
        user_pos: Any,
        allowed_items: ArrayLike | None = None,
        popularity: ArrayLike | None = None,
        alpha: float = 1.0,
    ) -> None:
        indptr, indices = (user_pos.indptr, user_pos.indices) if hasattr(user_pos, "indptr") else user_pos
        indptr, indices = np.asarray(indptr, np.int64), np.asarray(indices, np.int64)
        if len(indices) and not (indices.min() >= 0 and indices.max() < n_items):
            raise DataError(f"an interaction names an item outside 0..{n_items - 1}", column="item")
        self.n_items, self.n_users = n_items, len(indptr) - 1
        weights = _weights(n_items, allowed_items, popularity, alpha, self.n_users)
        self._items = np.flatnonzero(weights)
        if not len(self._items):
            raise DataError("no item may be drawn as a negative", hint="widen allowed_items or popularity")
        weights = weights[self._items]
        self._ends = np.cumsum(weights)
        self._uniform = bool((weights == 1).all())
        self._cut(indptr, indices, weights)

    def _cut(self, indptr: NDArray[np.int64], indices: NDArray[np.int64], weights: NDArray[np.int64]) -> None:
        place = np.full(self.n_items, -1, np.int64)
        place[self._items] = np.arange(len(self._items))
        user = np.repeat(np.arange(self.n_users), np.diff(indptr))
        at = place[indices]
        keys = np.unique(user[at >= 0] * len(self._items) + at[at >= 0])
        user, at = keys // len(self._items), keys % len(self._items)
        cut = weights[at]
        # running sum of what is cut for one user: a global one minus its value where the user starts
        running = np.concatenate([[0], np.cumsum(cut)])
        first = np.searchsorted(user, np.arange(self.n_users))
        before = running[:-1] - running[first][user]
        total = int(self._ends[-1])
        self._stride = total + 1
        self._first, self._running = first, running
        self._keys = user * self._stride + (self._ends[at] - cut) - before
        last = np.searchsorted(user, np.arange(self.n_users), side="right")
        self._free = total - (running[last] - running[first])
        self.exhausted: NDArray[np.bool_] = self._free == 0

    def draw(self, users: ArrayLike, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw ``n`` independent negatives for each user; repeats are possible.

        Args:
            users: int rows of users [B].
            n: negatives for each.
            rng: source of randomness; equal states give equal draws.

        Returns:
            int64 [B, n].

        Raises:
            DataError: if a user lies outside the matrix that this sampler was built from.
        """
        user = np.asarray(users, np.int64)
        if len(user) and not (user.min() >= 0 and user.max() < self.n_users):
            raise DataError(f"a user lies outside 0..{self.n_users - 1}", column="user")
        free = self._free[user][:, None]
        total = int(self._ends[-1])
        point = rng.integers(np.where(free == 0, total, free), size=(len(user), n))
        first = self._first[user][:, None]
        # a positive whose (shifted) start is at or before the point was cut out before it
        passed = np.searchsorted(self._keys, user[:, None] * self._stride + point, side="right")
        skipped = self._running[passed] - self._running[first]
        point += np.where(free == 0, 0, skipped)
        place = point if self._uniform else np.searchsorted(self._ends, point, side="right")
        return self._items[place]


class PairedNegatives:
    """Sampler of one uniform negative for each of the same positives, epoch by epoch; several times faster.

    Items are first drawn regardless of the user. A byte table tells which draws cannot be positives of their user; the
    few others are looked up, and those that are positives are drawn again by :class:`Negatives`. Every allowed item
    that the user has not taken is equally likely. Memory O(positives).

    Args:
        n_items: number of items.
        user_pos: as in :class:`Negatives`.
        allowed_items: as in :class:`Negatives`.

    Raises:
        DataError: as :class:`Negatives`.
    """

    def __init__(self, n_items: int, user_pos: Any, allowed_items: ArrayLike | None = None) -> None:
        self._exact = Negatives(n_items, user_pos, allowed_items)
        indptr, indices = (user_pos.indptr, user_pos.indices) if hasattr(user_pos, "indptr") else user_pos
        self._users = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        self._base = self._users * n_items
        self._keys = np.unique(self._base + np.asarray(indices, np.int64))
        self._shift = np.uint64(64 - min(22, max(10, 16 * len(self._keys)).bit_length()))
        self._maybe = np.zeros(1 << (64 - int(self._shift)), bool)
        self._maybe[self._slots(self._keys)] = True

    def _slots(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        # Fibonacci hashing: the high bits of a product with 2^64 / golden ratio
        return ((keys.view(np.uint64) * _GOLDEN) >> self._shift).view(np.int64)

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw one negative for each positive.

        Args:
            rng: source of randomness; equal states give equal draws.

        Returns:
            int64 [positives], user by user in the order of ``user_pos``.
        """
        pool = self._exact._items
        drawn = pool[rng.integers(len(pool), size=len(self._users))]
        keys = self._base + drawn
        suspects = np.flatnonzero(self._maybe[self._slots(keys)])
        wanted = keys[suspects]
        is_positive = self._keys[np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)] == wanted
        taken = suspects[is_positive]
        drawn[taken] = self._exact.draw(self._users[taken], 1, rng)[:, 0]
        return drawn


def _weights(
    n_items: int, allowed: ArrayLike | None, popularity: ArrayLike | None, alpha: float, n_users: int
) -> NDArray[np.int64]:
    mask = np.ones(n_items, bool)
    if allowed is not None:
        given = np.asarray(allowed)
        if given.dtype == bool and given.shape != (n_items,):
            raise DataError(f"a mask of {len(given)} items, but there are {n_items}", column="item")
        rows = np.flatnonzero(given) if given.dtype == bool else given.astype(np.int64)
        if len(rows) and not (rows.min() >= 0 and rows.max() < n_items):
            raise DataError(f"an allowed item lies outside 0..{n_items - 1}", column="item")
        mask[:] = False
        mask[rows] = True
    if popularity is None:
        return mask.astype(np.int64)
    counts = np.asarray(popularity, np.float64)
    if counts.shape != (n_items,) or not np.isfinite(counts).all() or (counts < 0).any():
        raise DataError(f"popularity needs {n_items} finite numbers of at least 0", key="popularity")
    mask &= counts > 0
    raw = np.where(mask, np.power(counts, alpha, where=mask, out=np.zeros(n_items)), 0.0)
    if not mask.any():
        return mask.astype(np.int64)
    # whole numbers make the cutting exact; the resolution leaves room for user * total in 64 bits
    scale = min(_RESOLUTION, 2**62 // (max(n_users, 1) + 1)) / raw.sum()
    return np.where(mask, np.maximum(np.rint(raw * scale), 1), 0).astype(np.int64)
