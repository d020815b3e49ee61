"""Choice model: examination falls with position, a click needs interest or misplaced trust, other events follow it.

Click model: P(click) = e(p) [r + (1 - r) t(p)], the trust-bias model of Agarwal et al. (WWW 2019) with e(p) = p^-eta,
t(p) = trust / p for positions p = 1, 2, ... and r the relevance of the item to the user at that time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palate.simulation.items import Items
from palate.simulation.presets import WorldConfig
from palate.simulation.tastes import INTERESTS, Users

IntArray = NDArray[np.int64]
Reals = NDArray[np.float64]


def sigmoid(x: NDArray) -> NDArray:
    """Logistic function; large negative inputs do not overflow."""
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-x)))


class Utility:
    """Click logit of (user, item, time) triples for a block of users.

    Args:
        items: all items.
        users: the block.
        config: settings of the world.
    """

    def __init__(self, items: Items, users: Users, config: WorldConfig) -> None:
        schema = items.schema
        self.config, self.users, self.width = config, users, schema.width
        self.slots = users.slots().ravel()
        self.branches = len(schema.categories)
        no_taste = np.zeros((len(users), 1, schema.width), np.float32)
        self.taste = np.concatenate([users.taste.astype(np.float32), no_taste], axis=1).ravel()
        outside = np.full((len(users), 1), -config.interest_gap, np.float32)
        self.strength = np.concatenate([users.strength, outside], axis=1).ravel()
        self.drift = np.concatenate([users.drift, np.zeros_like(outside)], axis=1).ravel()
        self.category = items.category.astype(np.int64)
        codes = np.column_stack([items.leaf % schema.per_category, items.codes])
        self.columns = codes.astype(np.int64) + np.array(schema.offsets[:-1])
        self.fixed = (config.click_bias + config.appeal_weight * items.appeal).astype(np.float32)
        if items.lift is not None:
            self.fixed += items.lift
        self.price = (config.price_weight * items.surprise).astype(np.float32)

    def logit(self, users: IntArray, items: IntArray, time: NDArray | float) -> NDArray[np.float32]:
        """Click logits; arguments broadcast.

        Args:
            users: int64, rows of this block.
            items: int64, item rows.
            time: in [0, 1], share of the log.

        Returns:
            float32 logits.
        """
        row = users * (INTERESTS + 1) + self.slots[users * self.branches + self.category[items]]
        total = self.fixed[items] - self.price[items] * self.users.thrift[users]
        total += self.strength[row] + self.drift[row] * (np.asarray(time, np.float32) - np.float32(0.5))
        start = row * self.width
        columns = self.columns[items]
        for a in range(columns.shape[-1]):
            total += self.taste[start + columns[..., a]]
        return np.asarray(total)


def examination(position: NDArray | int, config: WorldConfig) -> Reals:
    """Probability that a position is examined.

    Args:
        position: 0-based.
        config: settings of the world.
    """
    return np.asarray((1.0 + position) ** -config.examine)


def click_chance(relevance: NDArray, position: NDArray | int, config: WorldConfig) -> Reals:
    """P(click) of an item at a position.

    Args:
        relevance: in [0, 1].
        position: 0-based.
        config: settings of the world.
    """
    trust = config.trust / (1.0 + position)
    return np.asarray(examination(position, config) * (relevance + (1 - relevance) * trust))


def liking(logit: NDArray) -> NDArray:
    """The click logit clipped to [-3, 3]: a stronger taste does not make purchases more likely."""
    return np.asarray(np.clip(logit, -3, 3))


def save_chance(logit: NDArray) -> Reals:
    """P(save | click)."""
    return sigmoid(0.5 * liking(logit) - 2.8)


def cart_chance(logit: NDArray) -> Reals:
    """P(cart | click)."""
    return sigmoid(0.5 * liking(logit) - 2.6)


def buy_chance(logit: NDArray, surprise: NDArray) -> Reals:
    """P(purchase | cart), lower for a high price.

    Args:
        logit: click logit.
        surprise: log price against the leaf's usual, in standard deviations.
    """
    return sigmoid(0.4 * liking(logit) - 0.9 - 0.4 * surprise)
