"""Users: demographics, one to three interests, and a taste over attributes in each; drawn block by block."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.seeding import rng_for
from palate.simulation.presets import WorldConfig
from palate.simulation.schema import LEAF, Schema
from palate.simulation.shop import AGE_BANDS, LOCALES, STYLES

Floats = NDArray[np.float32]
INTERESTS = 3
"""Largest number of interests of a user."""
AGES = (0.2, 0.3, 0.25, 0.15, 0.1)
"""Probability of each age band."""
LATEST_JOIN = 0.9
"""Share of the log after which no user joins."""


@dataclass(frozen=True, eq=False)
class Users:
    """Users ``first .. first + B``.

    Attributes:
        schema: of the world.
        first: row of the first user in the world.
        age: int8 [B].
        locale: int8 [B].
        style: int8 [B].
        activity: float32 [B], mean 1.
        join: float32 [B], time of joining as a share of the log.
        interest: int8 [B, 3], categories, -1 for none.
        strength: float32 [B, 3], click logit of an interest.
        drift: float32 [B, 3], change of the click logit over the log.
        taste: float16 [B, 3, width], click logit of each leaf and attribute value; zero rows for no interest.
        thrift: float32 [B], price sensitivity.
    """

    schema: Schema
    first: int
    age: NDArray[np.int8]
    locale: NDArray[np.int8]
    style: NDArray[np.int8]
    activity: Floats
    join: Floats
    interest: NDArray[np.int8]
    strength: Floats
    drift: Floats
    taste: NDArray[np.float16]
    thrift: Floats

    def __len__(self) -> int:
        return len(self.age)

    def slots(self) -> NDArray[np.int8]:
        """Index of the interest in each category, int8 [B, categories], 3 for none."""
        table = np.full((len(self), len(self.schema.categories)), INTERESTS, np.int8)
        for k in range(INTERESTS):
            rows = np.flatnonzero(self.interest[:, k] >= 0)
            table[rows, self.interest[rows, k]] = k
        return table

    def leaf_chances(self) -> NDArray[np.float64]:
        """Probability of each leaf in the personal part of the logging policy, float64 [B, leaves]; rows sum to 1."""
        per = self.schema.per_category
        liked = np.where(self.interest >= 0, np.exp(self.strength.astype(np.float64)), 0.0)
        weight = np.repeat(liked[:, :, None] / per, per, axis=2)
        weight /= weight.sum(axis=(1, 2), keepdims=True)
        chances = np.zeros((len(self), len(self.schema.leaves)))
        for k in range(INTERESTS):
            rows = np.flatnonzero(self.interest[:, k] >= 0)
            columns = self.interest[rows, k].astype(np.int64)[:, None] * per + np.arange(per)
            chances[rows[:, None], columns] = weight[rows, k]
        return chances

    def take(self, rows: NDArray[np.int64]) -> Users:
        """Some of these users, in the order of ``rows``."""
        arrays: dict[str, Any] = {name: getattr(self, name)[rows] for name in PER_USER}
        return replace(self, first=0, **arrays)

    def ids(self, total: int) -> pl.Series:
        """External ids such as ``u000042``; ``total`` users decide the digits."""
        digits = max(4, len(str(total - 1)))
        rows = pl.int_range(self.first, self.first + len(self), eager=True).cast(pl.String).str.zfill(digits)
        return ("u" + rows).alias("user_id")

    def table(self, config: WorldConfig) -> pl.DataFrame:
        """Table of users as a shop has it: user_id, locale, age_band, style, joined."""
        day = np.floor(self.join.astype(np.float64) * config.days).astype(np.int64)
        return pl.DataFrame(
            {
                "user_id": self.ids(config.n_users),
                "locale": pl.Series(LOCALES).gather(self.locale.astype(np.int64)),
                "age_band": pl.Series(AGE_BANDS).gather(self.age.astype(np.int64)),
                "style": pl.Series(STYLES).gather(self.style.astype(np.int64)),
                "joined": config.start + day * 86_400,
            }
        )


PER_USER = tuple(f.name for f in fields(Users) if f.name not in ("schema", "first"))
"""Attributes of :class:`Users` with one row a user."""


def concat_users(blocks: list[Users]) -> Users:
    """Concatenate blocks of users."""
    arrays: dict[str, Any] = {name: np.concatenate([getattr(b, name) for b in blocks]) for name in PER_USER}
    return replace(blocks[0], **arrays)


class Population:
    """Draws users; their common parameters (kinds of taste, preferences of an age) are drawn once from the seed.

    Args:
        config: settings of the world.
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config, self.schema = config, config.schema_
        rng = rng_for(config.seed, "population")
        schema = self.schema
        kinds = (len(schema.categories), config.archetypes, len(schema.attributes) + 1)
        self.favourites = rng.integers(0, 2**30, kinds)
        self.age_likes = rng.normal(0, 0.7, (len(AGE_BANDS), len(schema.categories)))
        self.age_kind = rng.normal(0, 0.7, (len(AGE_BANDS), config.archetypes))
        self.age_active = np.exp(rng.normal(0, 0.3, len(AGE_BANDS)))

    @property
    def mean_activity(self) -> float:
        """Expected product of activity and the share of the log after joining."""
        return float(np.dot(AGES, self.age_active)) * (1 - self.config.new_users * LATEST_JOIN / 2)

    def block(self, number: int, label: str = "users") -> Users:
        """Draw block ``number`` of ``config.block`` users (the last is shorter).

        Args:
            number: of the block.
            label: of the random stream.
        """
        first = number * self.config.block
        return self.draw(
            first, min(self.config.block, self.config.n_users - first), rng_for(self.config.seed, label, number)
        )

    def draw(self, first: int, size: int, rng: np.random.Generator) -> Users:
        """Draw users; demographics first, since interests, kinds of taste and activity depend on them.

        Args:
            first: row of the first user in the world.
            size: number of users.
            rng: draws them.
        """
        config, schema = self.config, self.schema
        age = rng.choice(len(AGE_BANDS), size=size, p=AGES).astype(np.int8)
        activity = self.age_active[age] * rng.lognormal(-0.245, 0.7, size)
        joined_late = rng.random(size) < config.new_users
        join = np.where(joined_late, rng.random(size) * LATEST_JOIN, 0.0)
        preference = self.age_likes[age] + rng.gumbel(size=(size, len(schema.categories)))
        interest = np.argsort(-preference, axis=1)[:, :INTERESTS].astype(np.int8)
        count = rng.choice([1, 2, 3], size=size, p=[0.55, 0.3, 0.15])
        interest = np.where(np.arange(INTERESTS) < count[:, None], interest, -1).astype(np.int8)
        strength = np.sort(rng.normal(0, 0.5, (size, INTERESTS)), axis=1)[:, ::-1]
        drift = rng.normal(0, config.drift, (size, INTERESTS))
        kind = np.argmax(self.age_kind[age][:, None, :] + rng.gumbel(size=(size, INTERESTS, config.archetypes)), axis=2)
        taste = self._tastes(interest, kind, rng)
        return Users(
            schema, first, age,
            rng.choice(len(LOCALES), size=size, p=[0.4, 0.2, 0.15, 0.1, 0.1, 0.05]).astype(np.int8),
            rng.integers(len(STYLES), size=size).astype(np.int8),
            activity.astype(np.float32), join.astype(np.float32), interest, strength.astype(np.float32),
            drift.astype(np.float32), taste, rng.lognormal(-0.125, 0.5, size).astype(np.float32),
        )  # fmt: skip

    def _tastes(self, interest: NDArray[np.int8], kind: NDArray[np.int64], rng: np.random.Generator) -> NDArray:
        config, schema = self.config, self.schema
        shape = (*interest.shape, len(schema.attributes) + 1)
        follows = rng.random(shape) < config.archetype_share
        noise = 0.2 * rng.standard_normal((*interest.shape, schema.width), dtype=np.float32)
        taste = np.zeros_like(noise)
        attention = rng.lognormal(0, config.attention, shape).astype(np.float32)
        attention /= np.sqrt((attention**2).mean(axis=2, keepdims=True))
        total = 0.0
        for a, name in enumerate((LEAF, *schema.names)):
            block = slice(schema.offsets[a], schema.offsets[a + 1])
            size = schema.offsets[a + 1] - schema.offsets[a]
            factors = schema.factors(name)
            weight = (schema.importance[name] * factors).astype(np.float32)[interest][:, :, None]
            common = self.favourites[interest, kind, a] % size
            favourite = np.where(follows[:, :, a], common, rng.integers(size, size=interest.shape))
            np.put_along_axis(taste[:, :, block], favourite[:, :, None], 1.0, axis=2)
            taste[:, :, block] += noise[:, :, block]
            taste[:, :, block] -= taste[:, :, block].mean(axis=2, keepdims=True)
            taste[:, :, block] *= weight * attention[:, :, a : a + 1]
            total += schema.importance[name] ** 2 * float(np.mean(factors**2)) * (1 / size + 0.04) * (1 - 1 / size)
        taste *= np.float32(config.signal / np.sqrt(total))
        taste[interest < 0] = 0
        return taste.astype(np.float16)
