"""Pairs of items that one person took, and negatives of the same class that this person did not take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from palate.core.batch import IntArray, RaggedArray

if TYPE_CHECKING:
    from palate.data.views import TrainView

TRIES = 8
HEAD, TAIL = 0.8, 0.5


class Clicked:
    """Args: items: rows to draw from. classes: int64 [n_items]; partners are of one class."""

    def __init__(self, view: TrainView, items: IntArray, classes: IntArray) -> None:
        keep = np.isin(view.items, items)
        users, taken = view.users[keep], view.items[keep]
        self.taken = RaggedArray.build(users, taken, view.n_users)
        self.takers = RaggedArray.build(taken, users, view.n_items)
        self.matrix, self.classes = view.matrix, classes
        self.pool = items[np.argsort(classes[items], kind="stable")]
        self.ordered = classes[self.pool]
        _, counts = np.unique(np.stack([users, classes[taken]]), axis=1, return_counts=True)
        self.any = bool((counts > 1).any())

    def draw(self, rows: Tensor, negatives: int, pool: str) -> tuple[Tensor, Tensor, Tensor]:
        """A partner of each row that has one, and ``negatives`` more items for each; all share all of them.

        Draws from torch's global generator.

        Args:
            pool: ``class`` draws of the row's class and counts nothing else; ``both`` draws so and counts what others
                drew, of whatever class; ``all`` draws of any.

        Returns:
            Anchors int64 [n]; candidates int64 [m], the anchors' partners first; bool [n, m], which are an anchor's
            negatives.
        """
        draws = torch.rand(len(rows), 2 * TRIES + negatives, dtype=torch.float64).numpy()
        pairs, rest = np.split(draws, [2 * TRIES], axis=1)
        anchors = rows.cpu().numpy()
        partners, users, found = self.partners(anchors, pairs.reshape(-1, 2, TRIES).swapaxes(0, 1))
        anchors = anchors[found]
        candidates = np.concatenate([partners[found], self.negatives(anchors, rest[found], pool != "all").ravel()])
        counts = self.counts(anchors, users[found], candidates, pool == "class")
        anchor, candidate, count = (torch.from_numpy(x).to(rows.device) for x in (anchors, candidates, counts))
        return anchor, candidate, count

    def asking(self, others: IntArray, view: TrainView, rng: np.random.Generator) -> IntArray:
        """(partner among ``items``, other item) int64 [k, 2] for those ``others`` for which one is drawn."""
        every = Clicked(view, np.union1d(self.pool, others), self.classes)
        partners, _, found = every.partners(others, rng.random((2, len(others), TRIES)))
        return np.stack([partners, others], axis=1)[found & np.isin(partners, self.pool)]

    def partners(self, anchors: IntArray, draws: NDArray[np.float64]) -> tuple[IntArray, IntArray, NDArray[np.bool_]]:
        """For each anchor another item of its class, the person who took both, and whether any was found.

        Args:
            anchors: int64 [n]. draws: [2, n, tries].
        """
        counts = self.takers.lengths[anchors]
        asked = anchors[counts > 0]
        draws = draws[:, counts > 0]
        users = self._pick(self.takers, asked[:, None], draws[0])
        items = self._pick(self.taken, users, draws[1])
        good = (items != asked[:, None]) & (self.classes[items] == self.classes[asked][:, None])
        row, first = np.arange(len(asked)), good.argmax(1)
        out = np.zeros((3, len(anchors)), np.int64)
        out[:, counts > 0] = items[row, first], users[row, first], good[row, first]
        return out[0], out[1], out[2].astype(bool)

    def negatives(self, anchors: IntArray, draws: NDArray[np.float64], alike: bool) -> IntArray:
        """Items int64 [n, k] for draws [n, k], of the anchors' classes if ``alike``, else of any."""
        start, stop = np.zeros_like(anchors), np.full_like(anchors, len(self.pool))
        if alike:
            start, stop = (np.searchsorted(self.ordered, self.classes[anchors], side) for side in ("left", "right"))
        found: IntArray = self.pool[start[:, None] + (draws * (stop - start)[:, None]).astype(np.int64)]
        return found

    def counts(self, anchors: IntArray, users: IntArray, candidates: IntArray, alike: bool) -> NDArray[np.bool_]:
        """Which candidates are negatives, bool [n, m]: not taken by the anchor's person, of its class if ``alike``."""
        found: NDArray[np.bool_] = self.matrix[users][:, candidates].toarray() == 0
        return found & (self.classes[candidates] == self.classes[anchors][:, None]) if alike else found

    def _pick(self, lists: RaggedArray, rows: IntArray, draws: NDArray[np.float64]) -> IntArray:
        """One entry of each list, none of them empty."""
        found: IntArray = lists.items[lists.indptr[rows] + (draws * lists.lengths[rows]).astype(np.int64)]
        return found


class Exposed:
    """The much and the little exposed among ``items``: above the quantile .8 of exposure, and up to the median.

    Args:
        exposure: int [n_items]. items: rows to look at. classes: int64 [n_items].
    """

    def __init__(self, exposure: IntArray, items: IntArray, classes: IntArray) -> None:
        seen = exposure[items]
        self.head = np.isin(np.arange(len(classes)), items[seen > np.quantile(seen, HEAD)])
        self.tail, self.classes = items[seen <= np.quantile(seen, TAIL)], classes

    def pairs(self, rows: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Heads among ``rows`` whose class has little exposed items, and the most similar of those by the cosine of
        ``vectors`` [n_items, d]."""
        heads = rows[torch.from_numpy(self.head).to(rows.device)[rows]]
        tail = torch.from_numpy(self.tail).to(rows.device)
        same = torch.from_numpy(self.classes[heads.cpu().numpy()][:, None] == self.classes[self.tail]).to(rows.device)
        heads, same = heads[same.any(1)], same[same.any(1)]
        unit = F.normalize(vectors, dim=1)
        return heads, tail[(unit[heads] @ unit[tail].T).masked_fill(~same, -torch.inf).argmax(1)]
