"""Pairs of items that one user took, negatives of the same class, and items by exposure."""

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
HEAD_QUANTILE, TAIL_QUANTILE = 0.8, 0.5


class CoClicks:
    """Sample partners and negatives of items from interactions.

    Args:
        view: training view.
        items: int64, rows to draw from.
        classes: int64 [n_items]; partners are of one class.

    Attributes:
        has_pairs: whether any user took two items of one class.
    """

    def __init__(self, view: TrainView, items: IntArray, classes: IntArray) -> None:
        mask = np.isin(view.items, items)
        users, taken = view.users[mask], view.items[mask]
        self.items_of_user = RaggedArray.build(users, taken, view.n_users)
        self.users_of_item = RaggedArray.build(taken, users, view.n_items)
        self.matrix, self.classes = view.matrix, classes
        self.pool = items[np.argsort(classes[items], kind="stable")]
        self.pool_classes = classes[self.pool]
        _, counts = np.unique(np.stack([users, classes[taken]]), axis=1, return_counts=True)
        self.has_pairs = bool((counts > 1).any())

    def sample(self, rows: Tensor, negatives: int, pool: str) -> tuple[Tensor, Tensor, Tensor]:
        """Sample a partner of each row that has one, and ``negatives`` more items for each; all rows share them.

        Draws from torch's global generator.

        Args:
            rows: int64 [B], items.
            negatives: items drawn for each row.
            pool: ``class`` draws from the row's class and uses no other negatives; ``both`` draws from it, and uses
                what was drawn for other rows whatever its class; ``all`` draws from all classes.

        Returns:
            Anchors int64 [n]; candidates int64 [m], the anchors' partners first; bool [n, m], which candidates are
            negatives of an anchor.
        """
        draws = torch.rand(len(rows), 2 * TRIES + negatives, dtype=torch.float64).numpy()
        pair_draws, rest = np.split(draws, [2 * TRIES], axis=1)
        anchors = rows.cpu().numpy()
        partners, users, found = self.sample_partners(anchors, pair_draws.reshape(-1, 2, TRIES).swapaxes(0, 1))
        anchors = anchors[found]
        drawn = self.sample_negatives(anchors, rest[found], pool != "all").ravel()
        candidates = np.concatenate([partners[found], drawn])
        mask = self.negative_mask(anchors, users[found], candidates, pool == "class")
        anchor, candidate, negative = (torch.from_numpy(x).to(rows.device) for x in (anchors, candidates, mask))
        return anchor, candidate, negative

    def sample_eval_pairs(self, eval_items: IntArray, view: TrainView, rng: np.random.Generator) -> IntArray:
        """Sample a partner among the items of the pool for each held-out item.

        Args:
            eval_items: int64, rows of held-out items.
            view: training view.
            rng: draws partners.

        Returns:
            (partner, held-out item) int64 [k, 2] for those items for which a partner is drawn.
        """
        everything = CoClicks(view, np.union1d(self.pool, eval_items), self.classes)
        partners, _, found = everything.sample_partners(eval_items, rng.random((2, len(eval_items), TRIES)))
        return np.stack([partners, eval_items], axis=1)[found & np.isin(partners, self.pool)]

    def sample_partners(
        self, anchors: IntArray, draws: NDArray[np.float64]
    ) -> tuple[IntArray, IntArray, NDArray[np.bool_]]:
        """Sample for each anchor another item of its class that some user took as well.

        Args:
            anchors: int64 [n].
            draws: uniform [2, n, tries], of users and of items.

        Returns:
            Partners int64 [n]; the users who took both, int64 [n]; whether a partner was found, bool [n].
        """
        counts = self.users_of_item.lengths[anchors]
        used = anchors[counts > 0]
        draws = draws[:, counts > 0]
        users = self._pick(self.users_of_item, used[:, None], draws[0])
        items = self._pick(self.items_of_user, users, draws[1])
        valid = (items != used[:, None]) & (self.classes[items] == self.classes[used][:, None])
        row, first = np.arange(len(used)), valid.argmax(1)
        out = np.zeros((3, len(anchors)), np.int64)
        out[:, counts > 0] = items[row, first], users[row, first], valid[row, first]
        return out[0], out[1], out[2].astype(bool)

    def sample_negatives(self, anchors: IntArray, draws: NDArray[np.float64], same_class: bool) -> IntArray:
        """Sample items of the pool.

        Args:
            anchors: int64 [n].
            draws: uniform [n, k].
            same_class: draw from the anchors' classes, else from all.

        Returns:
            int64 [n, k].
        """
        start, stop = np.zeros_like(anchors), np.full_like(anchors, len(self.pool))
        if same_class:
            start, stop = (
                np.searchsorted(self.pool_classes, self.classes[anchors], side) for side in ("left", "right")
            )
        items: IntArray = self.pool[start[:, None] + (draws * (stop - start)[:, None]).astype(np.int64)]
        return items

    def negative_mask(
        self, anchors: IntArray, users: IntArray, candidates: IntArray, same_class: bool
    ) -> NDArray[np.bool_]:
        """Mark the candidates that are negatives of each anchor.

        Args:
            anchors: int64 [n].
            users: int64 [n], the user of each anchor; what that user took is not a negative.
            candidates: int64 [m].
            same_class: only candidates of the anchor's class are negatives.

        Returns:
            bool [n, m].
        """
        mask: NDArray[np.bool_] = self.matrix[users][:, candidates].toarray() == 0
        return mask & (self.classes[candidates] == self.classes[anchors][:, None]) if same_class else mask

    def _pick(self, lists: RaggedArray, rows: IntArray, draws: NDArray[np.float64]) -> IntArray:
        """Draw one entry of each list; all are nonempty."""
        picked: IntArray = lists.items[lists.indptr[rows] + (draws * lists.lengths[rows]).astype(np.int64)]
        return picked


class ExposureGroups:
    """Split items by exposure: the head lies above its quantile 0.8, the tail up to the median.

    Args:
        exposure: int [n_items].
        items: int64, rows to split.
        classes: int64 [n_items].

    Attributes:
        head: bool [n_items].
        tail: int64, rows.
    """

    def __init__(self, exposure: IntArray, items: IntArray, classes: IntArray) -> None:
        values = exposure[items]
        self.head = np.isin(np.arange(len(classes)), items[values > np.quantile(values, HEAD_QUANTILE)])
        self.tail, self.classes = items[values <= np.quantile(values, TAIL_QUANTILE)], classes

    def nearest_tail(self, rows: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Pair the head items among ``rows`` with the most similar tail item of their class, by cosine.

        Args:
            rows: int64 [B].
            vectors: float [n_items, d].

        Returns:
            Head items int64 [n], those whose class has tail items; tail items int64 [n].
        """
        heads = rows[torch.from_numpy(self.head).to(rows.device)[rows]]
        tail = torch.from_numpy(self.tail).to(rows.device)
        same = torch.from_numpy(self.classes[heads.cpu().numpy()][:, None] == self.classes[self.tail]).to(rows.device)
        heads, same = heads[same.any(1)], same[same.any(1)]
        normalized = F.normalize(vectors, dim=1)
        return heads, tail[(normalized[heads] @ normalized[tail].T).masked_fill(~same, -torch.inf).argmax(1)]
