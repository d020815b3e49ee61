"""Scorer: a model frozen for ranking; made once per evaluation or for serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.errors import UnsupportedError
from palate.ranking.topk import topk

_SCORES = 1 << 22
"""Scores held at once (16 MiB): a block is written and read several times, and should stay near the processor."""


class Scorer:
    """Override the first rung that is natural: vectors, else ``score``; the later ones have defaults.

    Attributes:
        n_items: number of catalogue rows scored.
    """

    def __init__(self, n_items: int) -> None:
        self.n_items = n_items

    @property
    def can_score(self) -> bool:
        """Whether :meth:`score` gives scores of arbitrary items; a scorer that only lists overrides :meth:`topk`."""
        return True

    @property
    def matcher(self) -> Scorer:
        """What nominates candidates: the scorer itself, or the first stage of one of several stages."""
        return self

    @property
    def later_stages(self) -> tuple[str, ...]:
        """Names of the stages after the matcher, in order; none for a scorer of one stage."""
        return ()

    def n_candidates(self, stage: str, k: int) -> int:
        """Candidates that a stage hands on for a list.

        Args:
            stage: ``match``, or one of :attr:`later_stages`.
            k: length of the list.
        """
        return k

    def run_stage(
        self, stage: str, users: UserBatch, lists: tuple[IntArray, NDArray[np.float32]], k: int
    ) -> tuple[IntArray, NDArray[np.float32]]:
        """One of :attr:`later_stages`.

        Args:
            stage: its name.
            users: whose lists they are.
            lists: item rows int64 [lists, n], -1 where a list is shorter, and scores float32 [lists, n].
            k: length of the list that is shown.

        Raises:
            UnsupportedError: for a scorer of one stage.
        """
        raise UnsupportedError(f"{type(self).__name__} has one stage", key=stage)

    def members(self) -> Mapping[str, Scorer]:
        """Scorers that a composed scorer combines, by name; empty for any other."""
        return {}

    def item_vectors(self, items: IntArray | None = None) -> Tensor:
        """float32 [N, d]; ``items`` selects rows.

        Raises:
            UnsupportedError: for a scorer without vectors.
        """
        raise UnsupportedError(f"{type(self).__name__} scores without item vectors", hint="use score()")

    def user_vectors(self, users: UserBatch) -> Tensor:
        """float32 [B, d], or [B, m, d] for several interests (the best counts).

        Raises:
            UnsupportedError: for a scorer without vectors.
        """
        raise UnsupportedError(f"{type(self).__name__} scores without user vectors", hint="use score()")

    def scorable(self) -> NDArray[np.bool_]:
        """bool [N]: items this model knows anything about; the others' scores mean nothing."""
        return np.ones(self.n_items, bool)

    def score(self, users: UserBatch, items: IntArray | None = None) -> Tensor:
        """float32 [B, N] or [B, len(items)]."""
        vectors, goods = self.user_vectors(users), self.item_vectors(items)
        if vectors.ndim == 3:
            return (vectors @ goods.T).amax(dim=1)
        return vectors @ goods.T

    def topk(
        self,
        users: UserBatch,
        k: int,
        exclude: RaggedArray | None = None,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[IntArray, NDArray[np.float32]]:
        """Best ``k`` items of each user: ids int64 [B, k] (-1 where candidates ran out), scores float32 [B, k].

        Exact, chunked: never holds more than one chunk of scores.
        """
        chunk = max(16, min(128, _SCORES // max(self.n_items, 1)))
        with torch.inference_mode():
            ids, scores = topk(lambda rows: self.score(users.take(rows)), len(users), k, exclude, allowed, chunk)
        return ids, scores


class VectorScorer(Scorer):
    """Dot product of user and item vectors; a user outside the table is folded in from the history.

    Args:
        users: float32 [n_users, d]. items: float32 [N, d].
        fold_in: history lists -> [B, d]; the default is the mean of the items' vectors.
        known: bool [N], items with a meaningful vector.
    """

    def __init__(
        self,
        users: Tensor,
        items: Tensor,
        fold_in: Callable[[RaggedArray], Tensor] | None = None,
        known: NDArray[np.bool_] | None = None,
    ) -> None:
        super().__init__(len(items))
        self.users, self.items, self.known = users, items, known
        self.fold_in = fold_in or (lambda history: mean_of(items, history))

    def item_vectors(self, items: IntArray | None = None) -> Tensor:
        return self.items if items is None else self.items[torch.as_tensor(items)]

    def user_vectors(self, users: UserBatch) -> Tensor:
        rows = torch.as_tensor(users.rows)
        if len(rows) and int(rows.min()) >= 0:
            return self.users[rows]
        out = self.users.new_zeros(len(rows), self.items.shape[1])
        known = rows >= 0
        out[known] = self.users[rows[known]]
        new = np.flatnonzero(users.rows < 0)
        out[torch.as_tensor(new)] = self.fold_in(users.history.take(new)).to(out.dtype)
        return out

    def scorable(self) -> NDArray[np.bool_]:
        return np.ones(self.n_items, bool) if self.known is None else self.known


def mean_of(vectors: Tensor, lists: RaggedArray, power: float = 1.0) -> Tensor:
    """Sum of ``vectors`` over each list divided by its length to the ``power``; [len(lists), d], empty lists zero."""
    index = torch.as_tensor(lists.items, device=vectors.device)
    starts = torch.as_tensor(lists.indptr[:-1], device=vectors.device)
    if not len(index):
        return vectors.new_zeros(len(lists), vectors.shape[1])
    total = torch.nn.functional.embedding_bag(index, vectors, starts, mode="sum")
    lengths = torch.as_tensor(lists.lengths, dtype=vectors.dtype, device=vectors.device).clamp(min=1)
    return total / lengths.pow(power)[:, None]


class PaddedScorer(Scorer):
    """``base`` over ``n_items`` rows, of which it knows the first ones; the others are not scorable."""

    def __init__(self, base: Scorer, n_items: int) -> None:
        super().__init__(n_items)
        self.base = base

    @property
    def can_score(self) -> bool:
        return self.base.can_score

    @property
    def matcher(self) -> Scorer:
        return self if self.base.matcher is self.base else PaddedScorer(self.base.matcher, self.n_items)

    @property
    def later_stages(self) -> tuple[str, ...]:
        return self.base.later_stages

    def n_candidates(self, stage: str, k: int) -> int:
        return self.base.n_candidates(stage, k)

    def run_stage(
        self, stage: str, users: UserBatch, lists: tuple[IntArray, NDArray[np.float32]], k: int
    ) -> tuple[IntArray, NDArray[np.float32]]:
        return self.base.run_stage(stage, self._older(users), lists, k)

    def topk(
        self,
        users: UserBatch,
        k: int,
        exclude: RaggedArray | None = None,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[IntArray, NDArray[np.float32]]:
        if self.can_score:
            return super().topk(users, k, exclude, allowed)
        # an item that the base does not know is not in its lists
        return self.base.topk(
            self._older(users),
            k,
            None if exclude is None else _below(exclude, self.base.n_items),
            None if allowed is None else allowed[: self.base.n_items],
        )

    def item_vectors(self, items: IntArray | None = None) -> Tensor:
        vectors = torch.nn.functional.pad(self.base.item_vectors(), (0, 0, 0, self.n_items - self.base.n_items))
        return vectors if items is None else vectors[torch.as_tensor(items)]

    def user_vectors(self, users: UserBatch) -> Tensor:
        return self.base.user_vectors(self._older(users))

    def score(self, users: UserBatch, items: IntArray | None = None) -> Tensor:
        scores = torch.nn.functional.pad(self.base.score(self._older(users)), (0, self.n_items - self.base.n_items))
        return scores if items is None else scores[:, torch.as_tensor(items)]

    def _older(self, users: UserBatch) -> UserBatch:
        """Histories without items that ``base`` does not know."""
        history = _below(users.history, self.base.n_items)
        return users if history is users.history else UserBatch(users.rows, history, users.attributes)

    def scorable(self) -> NDArray[np.bool_]:
        return np.concatenate([self.base.scorable(), np.zeros(self.n_items - self.base.n_items, bool)])


def _below(lists: RaggedArray, n_items: int) -> RaggedArray:
    """``lists`` without rows from ``n_items`` on."""
    keep = lists.items < n_items
    if keep.all():
        return lists
    times, events = (None if one is None else one[keep] for one in (lists.times, lists.events))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(lists.owners()[keep], minlength=len(lists)))])
    return RaggedArray(indptr.astype(np.int64), lists.items[keep], times, events)
