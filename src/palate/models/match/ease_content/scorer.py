"""Item-item weights that reach items that arrived after fitting.

With W the weights of fitted items, A the mean over an arrived item's neighbours and g a history in which arrived items
are replaced by their neighbours, scores are g W for fitted items and (g W + b g) A^T for those that arrived.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.models.match.shared.nearest import Near
from palate.ranking.scorer import Scorer


class ArrivalsScorer(Scorer):
    """Item-item scores of fitted items and of those that arrived.

    Args:
        weights: W float32 [F, F], of fitted items.
        known: bool [F], fitted items that can be scored.
        near: the items that arrived and their neighbours.
        prior: b.
    """

    def __init__(self, weights: Tensor, known: Tensor, near: Near, prior: float) -> None:
        super().__init__(max(near.features.n_items, len(weights)))
        self.weights, self.prior = weights, prior
        empty = sp.csr_array((0, self.n_items), dtype=np.float32)
        self.rows = near.rows if near.graph is not None else near.rows[:0]
        graph = empty if near.graph is None else near.graph
        # fitted items come first, and every neighbour is one of them
        self.near = sp.csr_array((graph.data, graph.indices, graph.indptr), shape=(graph.shape[0], len(weights)))
        self.known = np.zeros(self.n_items, bool)
        self.known[: len(known)] = known.numpy()
        self.known[self.rows[np.diff(graph.indptr) > 0]] = True
        self._place = np.full(self.n_items, -1)
        self._place[self.rows] = np.arange(len(self.rows))

    def score(self, users: UserBatch, items: IntArray | None = None) -> Tensor:
        index, share, starts = self._replaced(users.history)
        width = len(self.weights)
        out = self.weights.new_zeros(len(users), self.n_items)
        if len(index):
            out[:, :width] = embedding_bag(index, self.weights, starts, mode="sum", per_sample_weights=share)
        if len(self.rows):
            reached = out[:, :width].numpy()
            if self.prior and len(index):
                reached = reached + self.prior * _dense(index, share, starts, width)
            out[:, torch.from_numpy(self.rows)] = torch.from_numpy(np.ascontiguousarray((self.near @ reached.T).T))
        return out if items is None else out[:, torch.as_tensor(items)]

    def scorable(self) -> NDArray[np.bool_]:
        return self.known

    def _replaced(self, history: RaggedArray) -> tuple[Tensor, Tensor | None, Tensor]:
        """Fitted items in each history with their shares (None: 1 each), and where each history starts."""
        place = self._place[history.items]
        plain = (place < 0) & (history.items < len(self.weights))
        if plain.all():
            return torch.as_tensor(history.items), None, torch.as_tensor(history.indptr[:-1])
        owners = history.owners()
        size = (len(history), len(self.weights))
        own = sp.csr_array((np.ones(plain.sum(), np.float32), (owners[plain], history.items[plain])), shape=size)
        came = place >= 0
        arrived = (np.ones(came.sum(), np.float32), (owners[came], place[came]))
        both = sp.csr_array(own + sp.csr_array(arrived, shape=(len(history), len(self.rows))) @ self.near)
        index, starts = torch.from_numpy(both.indices.astype(np.int64)), torch.from_numpy(both.indptr[:-1])
        return index, torch.from_numpy(both.data.astype(np.float32)), starts.long()


def _dense(index: Tensor, share: Tensor | None, starts: Tensor, width: int) -> NDArray[np.float32]:
    """Histories as rows of a table, float32 [B, width]."""
    ends = torch.cat([starts[1:], starts.new_tensor([len(index)])])
    owners = torch.repeat_interleave(torch.arange(len(starts)), ends - starts)
    out = torch.zeros(len(starts), width)
    out.index_put_((owners, index), torch.ones(len(index)) if share is None else share, accumulate=True)
    return out.numpy()
