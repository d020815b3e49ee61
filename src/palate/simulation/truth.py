"""Ground truth: attributes, tastes, P(click | user, item, position), values and oracle scores, for any triple."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from palate.core.errors import ConfigError, DataError
from palate.core.seeding import rng_for
from palate.simulation.choice import Utility, buy_chance, cart_chance, click_chance, examination, sigmoid
from palate.simulation.contexts import ContextModel, Contexts
from palate.simulation.items import Items
from palate.simulation.policy import Policy
from palate.simulation.presets import WorldConfig
from palate.simulation.tastes import Users

Reals = NDArray[np.float64]
PAIRS_AT_ONCE = 2_000_000
MOMENTS = 12
"""Moments of the log over which expected clicks are averaged."""
CONTEXTS = 4
"""Contexts drawn at each of these moments in a world of advertisements."""


class Truth:
    """Hidden parameters of a world. Users and items are row numbers, in the order of the written tables.

    In a world of advertisements clicks depend on the context too: ``truth/contexts.parquet`` has the codes of each
    impression. Without a context, nothing is wanted and device, slot and hour have no effect.

    Args:
        config: settings of the world.
        items: all items.
        users: all users.
    """

    def __init__(self, config: WorldConfig, items: Items, users: Users) -> None:
        self.config, self.items, self.users = config, items, users
        self.schema = items.schema

    @cached_property
    def policy(self) -> Policy:
        """The logging policy."""
        return Policy(self.items, self.config)

    @cached_property
    def contexts(self) -> ContextModel | None:
        """Contexts and their effects; None but in a world of advertisements."""
        return None if self.config.sponsored is None else ContextModel(self.config, self.config.sponsored)

    @cached_property
    def attributes(self) -> pl.DataFrame:
        """Table of item_id and the true value of each attribute that the item's content describes."""
        return self.items.attributes(self.items.content)

    @cached_property
    def drives(self) -> pl.DataFrame:
        """Table of item_id and the attributes that tastes act on; equal to ``attributes`` unless ``no_effect``."""
        return self.items.attributes(np.arange(len(self.items)))

    def shown(self, modality: str, attribute: str) -> NDArray[np.int8]:
        """Value of an attribute that a modality shows, by item.

        Args:
            modality: its name.
            attribute: its name.

        Returns:
            int8 [N], -1 where the modality is missing or shows no value.

        Raises:
            ConfigError: the modality or the attribute is unknown.
        """
        if modality not in self.items.shown:
            raise ConfigError("unknown modality", key=modality, hint=f"known: {', '.join(self.items.shown)}")
        column = self.schema.column(attribute)
        return np.where(self.items.present[modality], self.items.shown[modality][:, column], np.int8(-1))

    def tastes(self, users: ArrayLike) -> NDArray[np.float32]:
        """Click logit of each leaf and attribute value by interest, float32 [B, 3, width].

        Raises:
            DataError: a user row is out of range.
        """
        return self.users.taste[self._rows(users)].astype(np.float32)

    def relevance(
        self, users: ArrayLike, items: ArrayLike, time: ArrayLike = 1.0, context: Contexts | None = None
    ) -> Reals:
        """P(the user likes the item at ``time``), in [0, 1]; arguments broadcast.

        Args:
            users: rows.
            items: rows.
            time: share of the log.
            context: name -> codes, see :data:`palate.simulation.contexts.CODES`.

        Raises:
            DataError: a row is out of range.
            ConfigError: a context in a world without contexts.
        """
        rows, columns, moment = np.broadcast_arrays(self._rows(users), self._columns(items), time)
        known, local = np.unique(rows, return_inverse=True)
        utility = Utility(self.items, self.users.take(known), self.config)
        logit = utility.logit(local.reshape(rows.shape), columns, moment)
        if context is not None:
            if self.contexts is None:
                raise ConfigError("clicks do not depend on a context", key=f"preset {self.config.preset}")
            logit = logit + self.contexts.effect(self.items, columns, context)
        return sigmoid(logit.astype(np.float64))

    def p_click(
        self,
        users: ArrayLike,
        items: ArrayLike,
        positions: ArrayLike,
        time: ArrayLike = 1.0,
        context: Contexts | None = None,
    ) -> Reals:
        """P(click | user, item, position, time, context); arguments broadcast.

        Args:
            users: rows.
            items: rows.
            positions: 0-based.
            time: share of the log.
            context: as in :meth:`relevance`.

        Raises:
            DataError: a row is out of range.
            ConfigError: a context in a world without contexts.
        """
        return click_chance(self.relevance(users, items, time, context), np.asarray(positions), self.config)

    def examination(self, positions: ArrayLike) -> Reals:
        """P(a position is examined)."""
        return examination(np.asarray(positions), self.config)

    def propensity(
        self,
        users: ArrayLike,
        items: ArrayLike,
        days: ArrayLike,
        positions: ArrayLike = 0,
        wanted: ArrayLike | None = None,
    ) -> Reals:
        """P(the logging policy fills the position with the item | user, day); arguments broadcast.

        Args:
            users: rows.
            items: rows.
            days: of the log.
            positions: 0-based; they matter in a world of advertisements only.
            wanted: leaf that the session wants; the mean over what the user may want if None.

        Raises:
            DataError: a row is out of range.
        """
        given = (self._rows(users), self._columns(items), np.asarray(days, np.int64), np.asarray(positions, np.int64))
        rows, columns, when, where = np.broadcast_arrays(*given)
        known, local = np.unique(rows, return_inverse=True)
        bound = self.policy.bind(self.users.take(known))
        leaf = None if wanted is None else np.asarray(wanted, np.int64)
        return bound.propensity(local.reshape(rows.shape), columns, when, where, leaf)

    def oracle_scores(
        self,
        users: ArrayLike,
        items: ArrayLike | None = None,
        kind: Literal["taste", "logged"] = "logged",
        span: tuple[float, float] = (0.0, 1.0),
    ) -> Reals:
        """Scores that no model can beat in expectation.

        Args:
            users: [B] rows.
            items: [M] rows, all if None.
            kind: ``taste`` ranks by relevance at the middle of ``span``: the best page to serve. ``logged`` ranks by
                the expected number of clicks in the log during ``span``, exposure included: the ceiling of every
                metric that counts held-out clicks; in a world of advertisements, where it is a mean over contexts,
                estimated from ``MOMENTS * CONTEXTS`` draws.
            span: shares of the log.

        Returns:
            float64 [B, M].

        Raises:
            DataError: a row is out of range.
            ConfigError: the kind is unknown.
        """
        rows = self._rows(users)
        columns = np.arange(len(self.items)) if items is None else self._columns(items)
        scores = np.empty((len(rows), len(columns)))
        for part, chunk in self._chunks(rows, len(columns)):
            scores[part] = self._oracle(chunk, columns, kind, span)
        return scores

    def user_values(self, users: ArrayLike, time: float = 1.0) -> Reals:
        """Expected spending of a user in one session under the logging policy.

        Args:
            users: [B] rows.
            time: share of the log.

        Returns:
            float64 [B].

        Raises:
            DataError: a row is out of range.
        """
        rows, columns = self._rows(users), np.arange(len(self.items))
        values = np.zeros(len(rows))
        day = np.array(min(int(time * self.config.days), self.config.days - 1))
        for part, chunk in self._chunks(rows, len(columns)):
            bound, local = self.policy.bind(chunk), np.arange(len(chunk))[:, None]
            for logit, wanted, share in self._logits(chunk, columns, [time]):
                clicks: Reals | float = 0.0
                for place in range(self.config.slate):
                    if place == 0 or self.contexts is not None:
                        exposure = bound.propensity(local, columns[None], day, place, wanted)
                    clicks = clicks + exposure * click_chance(sigmoid(logit), place, self.config)
                paid = cart_chance(logit) * buy_chance(logit, self.items.surprise) * self.items.price
                values[part] += share * (clicks * paid).sum(axis=1)
        return values

    def _oracle(self, users: Users, columns: NDArray[np.int64], kind: str, span: tuple[float, float]) -> Reals:
        utility, local = Utility(self.items, users, self.config), np.arange(len(users))[:, None]
        if kind == "taste":
            return sigmoid(utility.logit(local, columns[None], sum(span) / 2).astype(np.float64))
        if kind != "logged":
            raise ConfigError("unknown kind of oracle", key=kind, hint="taste or logged")
        bound, total = self.policy.bind(users), np.zeros((len(users), len(columns)))
        examined = self.examination(np.arange(self.config.slate))
        # alike at all positions where the policy does not depend on them
        parts = self.policy.parts[0] if self.contexts is None else examined @ self.policy.parts / examined.sum()
        moments = span[0] + (span[1] - span[0]) * (np.arange(MOMENTS) + 0.5) / MOMENTS
        draws = 1 if self.contexts is None else CONTEXTS
        for count, (logit, wanted, _) in enumerate(self._logits(users, columns, moments)):
            moment = moments[count // draws]
            day = np.array(min(int(moment * self.config.days), self.config.days - 1))
            like = sigmoid(logit)
            total += bound.mix(parts, local, columns[None], day, wanted) * like * (users.join <= moment)[:, None]
        return total / (MOMENTS * draws)

    def _logits(
        self, users: Users, columns: NDArray[np.int64], moments: Sequence[float] | Reals
    ) -> Iterator[tuple[Reals, NDArray[np.int64] | None, float]]:
        """Click logits float64 [B, M] at each moment, the wanted leaf of each user, and the weight, by context."""
        utility, local = Utility(self.items, users, self.config), np.arange(len(users))[:, None]
        for moment in moments:
            logit = utility.logit(local, columns[None], moment).astype(np.float64)
            if self.contexts is None:
                yield logit, None, 1 / len(moments)
                continue
            rng = rng_for(self.config.seed, "typical contexts", float(moment))
            for draw in range(CONTEXTS):
                hour = int(rng.integers(24))
                context = self.contexts.typical(users.leaf_chances(), (draw, CONTEXTS), hour, rng)
                effect = self.contexts.effect(self.items, columns[None], context)
                yield logit + effect, context["wanted"].astype(np.int64), 1 / (len(moments) * CONTEXTS)

    def _chunks(self, rows: NDArray[np.int64], columns: int) -> Iterator[tuple[slice, Users]]:
        size = max(1, PAIRS_AT_ONCE // columns)
        for start in range(0, len(rows), size):
            yield slice(start, start + size), self.users.take(rows[start : start + size])

    def _rows(self, users: ArrayLike) -> NDArray[np.int64]:
        return _checked(users, self.config.n_users, "user")

    def _columns(self, items: ArrayLike) -> NDArray[np.int64]:
        return _checked(items, len(self.items), "item")

    @classmethod
    def load(cls, folder: str | Path) -> Truth:
        """Read the truth of a written world; tastes are memory-mapped.

        Args:
            folder: the world's, or its ``truth``.

        Raises:
            ArtefactError: a file is missing or damaged, or has a newer format.
        """
        from palate.simulation.truth_store import read_truth

        return cls(*read_truth(Path(folder)))


def _checked(rows: ArrayLike, size: int, kind: str) -> NDArray[np.int64]:
    array = np.asarray(rows, np.int64)
    if array.size and (array.min() < 0 or array.max() >= size):
        raise DataError(
            f"{kind} rows must lie in [0, {size})", key=int(array.min() if array.min() < 0 else array.max())
        )
    return array
