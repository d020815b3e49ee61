"""Contexts of sessions in a world of advertisements: what is wanted, the page, a query, device, slot and hour.

Click logit of advertisement i in context c, beside the user's taste:

    match_category [category of i is wanted] + match_leaf [leaf of i is wanted] + match_value [both i's category and
    i's value are wanted] + sum over device, slot and hour of (main effect + effect on the category of i)

What is wanted is hidden; the page hints at the category, and a query, where there is one, says leaf and value.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.seeding import rng_for
from palate.simulation.items import Items
from palate.simulation.presets import WorldConfig
from palate.simulation.schema import Schema
from palate.simulation.sponsored import SponsoredConfig

DEVICES = ("phone", "desktop", "tablet")
SLOTS = ("top", "side", "feed")
HOURS = 24
OWN_DEVICE = 0.8
"""Probability that a session is on the user's own device."""
DEVICE_SHARES = (0.55, 0.35, 0.1)
SLOT_SHARES = (0.3, 0.3, 0.4)
QUERIES = ("{word} {leaf}", "{leaf} {word}", "{leaf}, {word}", "best {leaf} {word}")
CODES = ("wanted", "attribute", "value", "page", "device", "slot", "hour", "query")
"""Names of the columns of contexts."""

Contexts = Mapping[str, NDArray[np.int16]]
"""Aligned columns of codes: ``wanted`` leaf, ``attribute`` and ``value`` that are wanted (an attribute that the text
shows), ``page`` (category), ``device``, ``slot``, ``hour``, ``query`` (wording, -1 without a query)."""


class ContextModel:
    """Draws contexts and knows their effects.

    Args:
        config: settings of the world.
        sponsored: settings of advertisements.
    """

    def __init__(self, config: WorldConfig, sponsored: SponsoredConfig) -> None:
        self.config, self.sponsored, self.schema = config, sponsored, config.schema_
        rng, branches = rng_for(config.seed, "context effects"), len(self.schema.categories)
        self.effects: dict[str, NDArray[np.float32]] = {}
        for name, size in (("device", len(DEVICES)), ("slot", len(SLOTS)), ("hour", HOURS)):
            main = rng.normal(0, sponsored.context, (size, 1))
            crossed = rng.normal(0, sponsored.context_category, (size, branches))
            self.effects[name] = (main + crossed).astype(np.float32)
        self.askable = np.array([self.schema.column(name) for name in self.schema.visibility["text"]])
        self.sizes = np.array([len(attribute) for attribute in self.schema.attributes])

    def draw(
        self, leaf_chances: NDArray[np.float64], visitor: NDArray[np.int64], stamp: NDArray, rng: np.random.Generator
    ) -> dict[str, NDArray[np.int16]]:
        """Draw the context of each session; what is wanted follows the interests of the user.

        Args:
            leaf_chances: float64 [users, leaves], see :meth:`palate.simulation.tastes.Users.leaf_chances`.
            visitor: int64 [n], rows of ``leaf_chances``.
            stamp: int64 [n], Unix seconds.
            rng: draws them.

        Returns:
            int16 [n] by name, see ``Contexts``.
        """
        n, per = len(visitor), self.schema.per_category
        ladder = np.cumsum(leaf_chances, axis=1)
        ladder[:, -1] = 1.0
        leaves = ladder.shape[1]
        # one sorted array for all users: user u has the interval (u, u + 1]
        steps = (ladder + np.arange(len(ladder))[:, None]).ravel()
        wanted = np.clip(
            np.searchsorted(steps, visitor + rng.random(n), side="right") - visitor * leaves, 0, leaves - 1
        )
        attribute = rng.choice(self.askable, size=n)
        value = (rng.random(n) * self.sizes[attribute]).astype(np.int64)
        elsewhere = rng.integers(len(self.schema.categories), size=n)
        page = np.where(rng.random(n) < self.sponsored.on_topic, wanted // per, elsewhere)
        own = rng.choice(len(DEVICES), size=len(leaf_chances), p=DEVICE_SHARES)
        other = rng.choice(len(DEVICES), size=n, p=DEVICE_SHARES)
        device = np.where(rng.random(n) < OWN_DEVICE, own[visitor], other)
        slot = rng.choice(len(SLOTS), size=n, p=SLOT_SHARES)
        wording = rng.integers(self.wordings, size=n)
        query = np.where(rng.random(n) < self.sponsored.asks, wording, -1)
        hour = stamp // 3600 % HOURS
        columns = (wanted, attribute, value, page, device, slot, hour, query)
        return {name: column.astype(np.int16) for name, column in zip(CODES, columns)}

    def typical(
        self, leaf_chances: NDArray[np.float64], stratum: tuple[int, int], hour: int, rng: np.random.Generator
    ) -> dict[str, NDArray[np.int16]]:
        """Draw one context for each user, alike for all but in the leaf that is wanted.

        Args:
            leaf_chances: float64 [users, leaves].
            stratum: (k, n): the wanted leaves are those between the quantiles k / n and (k + 1) / n.
            hour: of the day.
            rng: draws it.

        Returns:
            int16 [users, 1] or [1, 1] by name.
        """
        k, n = stratum
        quantile = (k + rng.random()) / n
        wanted = (np.cumsum(leaf_chances, axis=1)[:, :-1] <= quantile).sum(axis=1)[:, None]
        attribute = rng.choice(self.askable)
        drawn = {
            "attribute": attribute, "value": rng.integers(self.sizes[attribute]), "hour": hour, "page": 0, "query": -1,
            "device": rng.choice(len(DEVICES), p=DEVICE_SHARES), "slot": rng.choice(len(SLOTS), p=SLOT_SHARES),
        }  # fmt: skip
        return {"wanted": wanted.astype(np.int16)} | {n: np.full((1, 1), v, np.int16) for n, v in drawn.items()}

    def effect(self, items: Items, rows: NDArray[np.int64], contexts: Contexts) -> NDArray[np.float32]:
        """Click logit of items due to the context; arguments broadcast.

        Args:
            items: all items.
            rows: int64, item rows.
            contexts: columns that broadcast with ``rows``.
        """
        settings, per = self.sponsored, self.schema.per_category
        leaf, branch, wanted = items.leaf[rows], items.category[rows], contexts["wanted"]
        same = branch == wanted // per
        has_value = items.codes[rows, contexts["attribute"]] == contexts["value"]
        total = np.float32(settings.match_category) * same + np.float32(settings.match_leaf) * (leaf == wanted)
        total = total + np.float32(settings.match_value) * (same & has_value)
        for name, table in self.effects.items():
            total = total + table[contexts[name], branch]
        return np.asarray(total, np.float32)

    @property
    def wordings(self) -> int:
        """Number of ways to word a query."""
        return len(QUERIES) * _words(self.schema)

    def columns(self, contexts: Contexts) -> dict[str, pl.Series]:
        """What is seen of contexts: page, device, slot, hour, and the words of the query.

        Args:
            contexts: aligned columns.

        Returns:
            Name -> values; the query is null where there is none.
        """
        branches = pl.Series([category.name for category in self.schema.categories])
        named = {"page": branches, "device": pl.Series(DEVICES), "slot": pl.Series(SLOTS)}
        seen = {name: names.gather(contexts[name].astype(np.int64)) for name, names in named.items()}
        return seen | {"hour": pl.Series(contexts["hour"]), "query": self._queries(contexts)}

    def _queries(self, contexts: Contexts) -> pl.Series:
        """Words of queries, written once for each distinct one."""
        names = ("wanted", "attribute", "value", "query")
        table = pl.DataFrame({name: contexts[name] for name in names})
        distinct = table.filter(pl.col("query") >= 0).unique(maintain_order=True)
        texts = pl.Series([self._write(*row) for row in distinct.rows()], dtype=pl.String)
        found = table.join(distinct.with_columns(text=texts), on=names, how="left", maintain_order="left")
        return found["text"].alias("query")

    def _write(self, wanted: int, attribute: int, value: int, wording: int) -> str:
        name = self.schema.names[attribute]
        words = self.schema.words[name][self.schema.values(name)[value]]
        template, word = divmod(wording, _words(self.schema))
        return QUERIES[template].format(word=words[word % len(words)], leaf=self.schema.leaves[wanted])


def _words(schema: Schema) -> int:
    """Largest number of words for one value."""
    return max(len(words) for values in schema.words.values() for words in values.values())
