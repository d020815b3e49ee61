"""Tokens: sequences of ids of texts, of pictures, or of both one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from palate.batches.registry import batch_kinds
from palate.core.batch import IntArray, RaggedArray, TokenBatch
from palate.core.errors import DataError

IGNORED = -100
"""Target of a position that predicts nothing."""


@batch_kinds.register("tokens")
class TokenBatches:
    """One row a sequence: the parts of it, such as a text and the codes of a picture, one after the other.

    Every position predicts the next id, but positions of parts that are given and not learnt (a prompt, a picture)
    predict nothing.

    Args:
        parts: ids of each part, as many lists in each; a list may be empty, as a missing picture is.
        learnt: whether the ids of each part are predicted; all are by default.
        longest: ids of a sequence; longer ones lose their oldest.
        rows: int64 [n], the item or user of each sequence.

    Raises:
        DataError: when parts have different numbers of lists, or none is given.
    """

    sequential = False

    def __init__(
        self,
        parts: Sequence[RaggedArray],
        learnt: Sequence[bool] | None = None,
        longest: int = 512,
        rows: IntArray | None = None,
    ) -> None:
        if not parts or len({len(part) for part in parts}) != 1:
            raise DataError("the parts of sequences differ in number", hint="give an empty list for a missing part")
        self.parts, self.learnt = list(parts), list(learnt or [True] * len(parts))
        self.longest, self.rows = longest, rows

    def __len__(self) -> int:
        return len(self.parts[0])

    def collate(self, rows: IntArray, rng: np.random.Generator) -> TokenBatch:
        """Sequences padded on the right.

        Args:
            rows: int64 [B], which.
            rng: unused.
        """
        taken = [part.take(rows) for part in self.parts]
        lengths = np.stack([part.lengths for part in taken])
        total = np.minimum(lengths.sum(0), self.longest)
        width = max(int(total.max(initial=0)), 1)
        ids, segments = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.int64)
        learns = np.zeros((len(rows), width), bool)
        cut = lengths.sum(0) - total
        before = np.cumsum(lengths, axis=0) - lengths - cut
        for number, (part, learnt) in enumerate(zip(taken, self.learnt)):
            owners = part.owners()
            place = np.arange(len(part.items)) - part.indptr[owners] + before[number][owners]
            inside = place >= 0
            at = owners[inside], place[inside]
            ids[at], segments[at], learns[at] = part.items[inside], number, learnt
        mask = np.arange(width) < total[:, None]
        targets = np.full_like(ids, IGNORED)
        following = learns[:, 1:] & mask[:, 1:]
        targets[:, :-1][following] = ids[:, 1:][following]
        own = None if self.rows is None else torch.from_numpy(np.ascontiguousarray(self.rows[rows]))
        i, m, t, s = (torch.from_numpy(array) for array in (ids, mask, targets, segments))
        return TokenBatch(i, m, t, s, own)
