"""Edge sampling: a sparser user-item graph for every epoch."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from palate.core.errors import ConfigError
from palate.modules.graph import Graph, Norm, bipartite, row_numbers


class EdgeSampler:
    """Draws sub-graphs of a user-item graph, renormalised on the edges that stay.

    ``by="degree"`` keeps an edge with probability proportional to ``1 / sqrt(d_u d_i)``, which thins the popular nodes
    (FREEDOM, Zhou & Shen, ACM MM 2023); ``by="uniform"`` is plain edge dropout (SGL). Both draw without
    replacement and keep exactly ``round(keep * edges)`` distinct edges.

    Args:
        users: int [e], rows of users.
        items: int [e], rows of items.
        n_users: number of users.
        n_items: number of items.
        by: probability of an edge to stay.

    Raises:
        DataError: a row number is out of range.
    """

    def __init__(
        self,
        users: ArrayLike,
        items: ArrayLike,
        n_users: int,
        n_items: int,
        by: Literal["degree", "uniform"] = "degree",
    ) -> None:
        keys = np.unique(row_numbers(users, n_users, "users") * n_items + row_numbers(items, n_items, "items"))
        self.users, self.items = keys // n_items, keys % n_items
        self.n_users, self.n_items = n_users, n_items
        self._slowness: np.ndarray | None = None
        if by == "degree":
            user_degree = np.bincount(self.users, minlength=n_users)
            item_degree = np.bincount(self.items, minlength=n_items)
            self._slowness = np.sqrt(user_degree[self.users].astype(np.float64) * item_degree[self.items])

    def __len__(self) -> int:
        return len(self.users)

    def draw(self, keep: float, rng: np.random.Generator, norm: Norm = "sym") -> Graph:
        """Draw a graph on ``n_users + n_items`` nodes.

        Args:
            keep: fraction of the edges that stay, in (0, 1].
            rng: draws the edges.
            norm: see :meth:`palate.modules.graph.Graph.normalised`.

        Raises:
            ConfigError: ``keep`` is out of range.
        """
        if not 0 < keep <= 1:
            raise ConfigError(f"the fraction of edges to keep must lie in (0, 1], got {keep}", key="keep")
        count = max(1, round(keep * len(self)))
        if count >= len(self):
            return bipartite(self.users, self.items, self.n_users, self.n_items, norm=norm)
        # smallest Exp(1)/weight first = drawing without replacement by weight (Efraimidis & Spirakis, 2006)
        clock = rng.standard_exponential(len(self))
        if self._slowness is not None:
            clock *= self._slowness
        chosen = np.sort(np.argpartition(clock, count)[:count])
        return bipartite(self.users[chosen], self.items[chosen], self.n_users, self.n_items, norm=norm)
