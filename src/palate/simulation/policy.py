"""The logging policy: a known mixture of exploration, freshness, popularity and personal choice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.simulation.items import Items
from palate.simulation.presets import WorldConfig
from palate.simulation.tastes import Users

IntArray = NDArray[np.int64]
Codes = NDArray[np.integer[Any]]


class Policy:
    """Mixture policy that fills each position independently: draw a component, then an item.

    P(item | user, day, position) is exact for every item. Items are in order of arrival, so those on sale on a day are
    a prefix of all, and of each leaf. In a world of advertisements the shares of the components change with the
    position, so that favourites stand at the top, and the personal component shows the leaf that the session wants.

    Args:
        items: all items.
        config: settings of the world.
    """

    def __init__(self, items: Items, config: WorldConfig) -> None:
        days, leaves = np.arange(config.days), len(items.schema.leaves)
        self.parts = np.tile(config.policy, (config.slate, 1))
        if config.sponsored is not None:
            share = np.linspace(0, 1, config.slate)[:, None]
            self.parts = self.parts * (1 - share) + np.array(config.sponsored.policy_last) * share
        self.thresholds = np.cumsum(self.parts, axis=1)[:, :-1]
        self.n = len(items)
        self.leaf = items.leaf.astype(np.int64)
        self.weight = np.exp(config.popularity * items.appeal.astype(np.float64))
        self.total = np.concatenate([[0.0], np.cumsum(self.weight)])
        self.on_sale = np.searchsorted(items.arrival, days, side="right")
        oldest = np.maximum(days - config.fresh_days + 1, 1)
        self.fresh_from = np.searchsorted(items.arrival, oldest, side="left")
        self.by_leaf = np.argsort(items.leaf, kind="stable")
        self.leaf_total = np.concatenate([[0.0], np.cumsum(self.weight[self.by_leaf])])
        self.leaf_start = np.searchsorted(items.leaf[self.by_leaf], np.arange(leaves))
        ends = np.append(self.leaf_start[1:], self.n)
        self.leaf_count = np.stack(
            [
                np.searchsorted(items.arrival[self.by_leaf[s:e]], days, side="right")
                for s, e in zip(self.leaf_start, ends)
            ],
            axis=1,
        )
        self.leaf_mass = self.leaf_total[self.leaf_start + self.leaf_count] - self.leaf_total[self.leaf_start]

    def bind(self, users: Users) -> BlockPolicy:
        """Bind the policy to one block of users."""
        return BlockPolicy(self, users)


class BlockPolicy:
    """A policy with the personal component of a block of users.

    Args:
        policy: the policy.
        users: the block.
    """

    def __init__(self, policy: Policy, users: Users) -> None:
        self.policy = policy
        self.chances = users.leaf_chances()
        self.leaves = self.chances.shape[1]
        ladder = np.cumsum(self.chances, axis=1)
        ladder[:, -1] = 1.0
        # one sorted array for all users: user u has the interval (u, u + 1]
        self.ladder = (ladder + np.arange(len(users))[:, None]).ravel()

    def sample(
        self,
        users: IntArray,
        days: IntArray,
        rng: np.random.Generator,
        positions: Codes | int = 0,
        wanted: Codes | None = None,
    ) -> IntArray:
        """Draw one item for each (user, day, position).

        Args:
            users: int64 [n], rows of the block.
            days: int64 [n].
            rng: draws them.
            positions: integers [n], 0-based.
            wanted: integers [n], the leaf that the personal component shows; drawn from the user's interests if None.

        Returns:
            int64 [n], item rows.
        """
        p = self.policy
        part = (rng.random(len(users))[:, None] >= p.thresholds[positions]).sum(axis=1)
        draw = rng.random(len(users))
        items = np.minimum((draw * p.on_sale[days]).astype(np.int64), p.on_sale[days] - 1)
        fresh = np.flatnonzero((part == 1) & (p.fresh_from[days] < p.on_sale[days]))
        count = (p.on_sale - p.fresh_from)[days[fresh]]
        items[fresh] = p.fresh_from[days[fresh]] + np.minimum((draw[fresh] * count).astype(np.int64), count - 1)
        popular = np.flatnonzero(part == 2)
        target = draw[popular] * p.total[p.on_sale[days[popular]]]
        items[popular] = np.minimum(np.searchsorted(p.total, target, side="right") - 1, p.on_sale[days[popular]] - 1)
        own = np.flatnonzero(part == 3)
        if wanted is None:
            spot = np.searchsorted(self.ladder, users[own] + rng.random(len(own)), side="right")
            leaf = np.clip(spot - users[own] * self.leaves, 0, self.leaves - 1)
        else:
            leaf = wanted[own].astype(np.int64)
        items[own] = self._of_leaf(leaf, days[own], draw[own])
        return items

    def _of_leaf(self, leaf: IntArray, days: IntArray, draw: NDArray[np.float64]) -> IntArray:
        p = self.policy
        start, count = p.leaf_start[leaf], p.leaf_count[days, leaf]
        target = p.leaf_total[start] + draw * p.leaf_mass[days, leaf]
        inside = np.searchsorted(p.leaf_total, target, side="right") - 1
        return np.asarray(p.by_leaf[np.clip(inside, start, start + count - 1)])

    def propensity(
        self,
        users: IntArray,
        items: IntArray,
        days: IntArray,
        positions: Codes | int = 0,
        wanted: Codes | None = None,
    ) -> NDArray[np.float64]:
        """P(item | user, day, position); 0 for an item not yet on sale. Arguments broadcast.

        Args:
            users: int64, rows of the block.
            items: int64, item rows.
            days: int64.
            positions: integers, 0-based.
            wanted: integers, the leaf that the session wants; the mean over what the user may want if None.
        """
        return self.mix(np.moveaxis(self.policy.parts[positions], -1, 0), users, items, days, wanted)

    def mix(
        self,
        parts: NDArray[np.float64],
        users: IntArray,
        items: IntArray,
        days: IntArray,
        wanted: Codes | None = None,
    ) -> NDArray[np.float64]:
        """P(item | user, day) of a mixture with other shares of the components. Arguments broadcast.

        Args:
            parts: float64 [4, ...], shares of the components.
            users: int64, rows of the block.
            items: int64, item rows.
            days: int64.
            wanted: integers, as in :meth:`propensity`.
        """
        p = self.policy
        on_sale, fresh_from = p.on_sale[days], p.fresh_from[days]
        fresh_count = on_sale - fresh_from
        chance = parts[0] / on_sale
        has_fresh = fresh_count > 0
        fresh = np.where(items >= fresh_from, 1.0 / np.maximum(fresh_count, 1), 0.0)
        chance = chance + parts[1] * np.where(has_fresh, fresh, 1.0 / on_sale)
        weight, leaf = p.weight[items], p.leaf[items]
        chance = chance + parts[2] * weight / p.total[on_sale]
        # an item that is not on sale may be the first of its leaf: no mass to divide by
        mass = np.maximum(p.leaf_mass[days, leaf], 1e-300)
        own = self.chances[users, leaf] if wanted is None else leaf == wanted
        chance = chance + parts[3] * own * weight / mass
        return np.where(items < on_sale, chance, 0.0)
