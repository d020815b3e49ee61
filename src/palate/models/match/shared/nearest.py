"""Arrived items' nearest fitted items, kept from one content to the next; and item-item weights that reach arrivals.

With W the weights of fitted items, A the mean over an arrived item's neighbours and g a history in which arrived items
are replaced by their neighbours, scores are g W for fitted items and (g W + b g) A^T for those that arrived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.content import Features
from palate.features.item_content import ItemContent
from palate.models.match.shared.columns import Places, changed_rows, few
from palate.models.match.shared.item_graph import Deployment, fitted_vectors, near_graph
from palate.ranking.scorer import Scorer


@dataclass(frozen=True)
class Near:
    """Nearest fitted items of those that arrived; nothing is written in place.

    Attributes:
        content: what it was made of. rows: int64 [a], ascending: items that are not fitted and have content. graph:
            [a, n_items], rows sum to one or are empty; None where nobody has a neighbour. fitted: what is searched.
    """

    content: Mapping[str, Features]
    rows: Places
    graph: sp.csr_array | None
    fitted: Deployment
    n_items: int


def nearest(
    content: ItemContent,
    given: Mapping[str, Features],
    n_items: int,
    fitted: Tensor,
    k: int,
    weights: Mapping[str, float] | None,
    before: Near | None,
) -> Near:
    """Neighbours in the content ``given``, from ``before`` where few items differ from what that was made of.

    O(fitted) for each new or changed item; O(fitted) for each arrived one where a fitted item changed.

    Args:
        content: reads vectors; it is loaded with all of ``given`` only where everything is made anew. fitted: bool
            [items], who may be a neighbour.
    """
    given = {name: given[name] for name in content.names if name in given}
    changed = None if before is None else changed_rows(before.content, given)
    regular = all(len(found) == n_items for found in given.values())
    if before is None or changed is None or not regular or not few(changed, n_items) or n_items < before.n_items:
        return _whole(content, given, n_items, fitted, k, weights)
    if before.graph is None or bool(fitted[torch.from_numpy(changed[changed < len(fitted)])].any()):
        return _whole(content, given, n_items, fitted, k, weights)
    here: NDArray[np.bool_] = np.any([found.present[changed] for found in given.values()], axis=0)
    fresh, kept = changed[here], ~np.isin(before.rows, changed)
    found = near_graph(before.fitted, content.others(given, fresh), n_items, k, weights) if len(fresh) else None
    old = before.graph[kept]
    parts = [_wide(old, n_items), sp.csr_array((len(fresh), n_items)) if found is None else found.to_scipy()]
    rows = np.concatenate([before.rows[kept], fresh])
    order = np.argsort(rows, kind="stable")
    graph = sp.csr_array(sp.vstack(parts, format="csr", dtype=np.float32))[order]
    return Near(given, rows[order], graph, before.fitted, n_items)


def _whole(
    content: ItemContent,
    given: Mapping[str, Features],
    n_items: int,
    fitted: Tensor,
    k: int,
    weights: Mapping[str, float] | None,
) -> Near:
    content.load(given, n_items)
    here = pad(fitted.cpu(), (0, n_items - len(fitted)))
    rows = (~here & content.any_present(n_items)).nonzero().squeeze(1)
    device = content.present(content.names[0]).device if content.names else torch.device("cpu")
    known = {n: (base, vectors.cpu()) for n, (base, vectors) in fitted_vectors(content, here).items()}
    read = {name: content.rows(name, rows.to(device)) for name in content.names}
    asked = {name: (values.cpu(), present.cpu()) for name, (values, present) in read.items()}
    found = near_graph(known, asked, n_items, k, weights) if len(rows) else None
    return Near(given, rows.numpy(), None if found is None else found.to_scipy(), known, n_items)


def _wide(graph: sp.csr_array, columns: int) -> sp.csr_array:
    return sp.csr_array((graph.data, graph.indices, graph.indptr), shape=(graph.shape[0], columns))


class ArrivalsScorer(Scorer):
    """Args: weights W float32 [F, F]; known bool [F]; near: who arrived; prior: b."""

    def __init__(self, weights: Tensor, known: Tensor, near: Near, prior: float) -> None:
        super().__init__(max(near.n_items, len(weights)))
        self.weights, self.prior = weights, prior
        empty = sp.csr_array((0, self.n_items), dtype=np.float32)
        self.rows = near.rows if near.graph is not None else near.rows[:0]
        graph = empty if near.graph is None else near.graph
        # fitted items come first, whoever is a neighbour is one of them
        self.near = _wide(graph, len(weights))
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
