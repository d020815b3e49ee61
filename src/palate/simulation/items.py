"""Items: category, attributes, price, arrival, and the attribute values that each modality shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.errors import ConfigError
from palate.core.seeding import rng_for
from palate.simulation.presets import WorldConfig
from palate.simulation.schema import Codes, Schema
from palate.simulation.shop import BRANDS

HIDDEN = -1
"""Code of an attribute value that a modality does not show."""


@dataclass(frozen=True, eq=False)
class Items:
    """All items, in order of arrival. Behaviour follows ``leaf``, ``codes``, ``price``; content follows ``content``.

    Attributes:
        schema: of the world.
        leaf: int16 [N].
        codes: int8 [N, A], the attributes.
        brand: int16 [N].
        price: float32 [N].
        surprise: float32 [N], log price against the leaf's usual, in standard deviations.
        appeal: float32 [N], standard normal; drives exposure and, a little, clicks.
        arrival: int16 [N], day.
        twin: int64 [N], the earlier item of which this one is a near-duplicate, or -1.
        content: int64 [N], the row whose attributes this item's content describes: itself, or, without effect, another.
        shown: modality -> int8 [N, A], the value that the content shows, -1 for none.
        present: modality -> bool [N].
        campaign: int64 [N], the row of the first advertisement of its campaign; None without campaigns.
        lift: float32 [N], click logit due to the advertiser and to optional components; None without campaigns.
        reading: float32 [N], seconds that reading takes; None in worlds without reading times.
    """

    schema: Schema
    leaf: NDArray[np.int16]
    codes: Codes
    brand: NDArray[np.int16]
    price: NDArray[np.float32]
    surprise: NDArray[np.float32]
    appeal: NDArray[np.float32]
    arrival: NDArray[np.int16]
    twin: NDArray[np.int64]
    content: NDArray[np.int64]
    shown: Mapping[str, Codes]
    present: Mapping[str, NDArray[np.bool_]]
    campaign: NDArray[np.int64] | None = None
    lift: NDArray[np.float32] | None = None
    reading: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.leaf)

    @property
    def category(self) -> NDArray[np.int16]:
        """int16 [N], the branch that behaviour follows."""
        return self.leaf // np.int16(self.schema.per_category)

    def ids(self) -> pl.Series:
        """External ids such as ``lamp-0007``."""
        digits = max(4, len(str(len(self) - 1)))
        names = pl.Series(self.schema.leaves).gather(self.leaf[self.content].astype(np.int64))
        rows = pl.int_range(len(self), eager=True).cast(pl.String).str.zfill(digits)
        return (names + "-" + rows).alias("item_id")

    def attributes(self, rows: NDArray[np.int64]) -> pl.DataFrame:
        """Table of item_id and one column a hidden attribute, taken from ``rows`` int64 [N]."""
        codes = self.codes[rows].astype(np.int64)
        named = {a.name: pl.Series(a.values).gather(codes[:, k]) for k, a in enumerate(self.schema.attributes)}
        return pl.DataFrame({"item_id": self.ids(), **named})

    def head(self, size: int) -> Items:
        """The first ``size`` items as behaviour sees them; content stays that of all items."""
        arrays: dict[str, Any] = {
            name: values[:size] for name in (*BEHAVIOUR, *OPTIONAL) if (values := getattr(self, name)) is not None
        }
        return replace(self, **arrays)

    def table(self, config: WorldConfig) -> pl.DataFrame:
        """Table of items as a catalogue has it, without media.

        Id, tree, brand, price, first day; a world of advertisements has advertiser, campaign and bid instead of a
        brand, a newsroom has reading times instead of a price.

        Args:
            config: settings of the world.
        """
        leaf = self.leaf[self.content].astype(np.int64)
        branches = [category.name for category in self.schema.categories for _ in category.leaves]
        table = pl.DataFrame(
            {
                "item_id": self.ids(),
                "category": pl.Series(branches).gather(leaf),
                "subcategory": pl.Series(self.schema.leaves).gather(leaf),
                "brand": pl.Series(BRANDS).gather(self.brand[self.content].astype(np.int64)),
                "price": np.round(self.price[self.content].astype(np.float64), 2),
                "first_seen": config.start + self.arrival.astype(np.int64) * 86_400,
            }
        )
        if self.reading is not None:
            table = table.drop("price").with_columns(
                reading_time=pl.Series(np.round(self.reading[self.content]).astype(np.int64))
            )
        if self.campaign is not None:
            campaign = pl.Series(self.campaign[self.content]).cast(pl.String).str.zfill(4)
            bid = rng_for(config.seed, "bids").lognormal(-0.7, 0.5, len(self))
            table = table.rename({"brand": "advertiser"}).with_columns(
                ("campaign-" + campaign).alias("campaign"), bid=pl.Series(np.round(bid, 2))
            )
        return table


BEHAVIOUR = ("leaf", "codes", "brand", "price", "surprise", "appeal", "arrival")
"""Arrays of :class:`Items` with one row an item, which behaviour follows."""
OPTIONAL = ("campaign", "lift", "reading")
"""Further ones, which are None in worlds without them."""


def make_items(config: WorldConfig) -> Items:
    """Draw all items; attributes are independent of tree, brand, price and appeal, so no table column reveals them.

    Raises:
        ConfigError: too few items are present from the start.
    """
    schema, n, seed = config.schema_, config.n_items, config.seed
    leaves = len(schema.leaves)
    arrival = _arrivals(config)
    if int((arrival == 0).sum()) < leaves:
        raise ConfigError(f"at least {leaves} items must be present from the start", key="new_items", hint="lower it")
    rng = rng_for(seed, "items")
    leaf = rng.integers(leaves, size=n).astype(np.int16)
    leaf[:leaves] = rng.permutation(leaves)
    codes = np.stack([rng.integers(len(a), size=n) for a in schema.attributes], axis=1).astype(np.int8)
    twin = _twins(n, config.near_duplicates, leaves, rng)
    copies = twin >= 0
    leaf[copies], codes[copies] = leaf[twin[copies]], codes[twin[copies]]
    brand = rng.integers(len(BRANDS), size=n).astype(np.int16)
    tier = rng.normal(0, 0.25, len(BRANDS))
    usual = np.log([price for category in schema.categories for price in category.prices])
    surprise = (tier[brand] + rng.normal(0, 0.4, n)) / np.hypot(0.25, 0.4)
    campaign = lift = reading = None
    if config.sponsored is not None:
        campaign = _campaigns(config, config.sponsored.ads_per_campaign, int((arrival == 0).sum()))
        leaf, brand, surprise = leaf[campaign], brand[campaign], surprise[campaign]
        offered = [schema.column(name) for name in schema.names if name not in schema.visibility["image"]]
        codes[:, offered] = codes[campaign][:, offered]
    price = np.exp(usual[leaf] + surprise * np.hypot(0.25, 0.4)).astype(np.float32)
    appeal = rng.normal(size=n).astype(np.float32)
    content = rng_for(seed, "shuffle").permutation(n) if config.no_effect else np.arange(n)
    cheap = surprise[content] < 0
    present = {m: _present(config, m, cheap, rng_for(seed, "present", m)) for m in schema.visibility}
    if config.sponsored is not None:
        quality = rng_for(seed, "advertisers").normal(0, config.sponsored.quality, len(BRANDS))
        count = np.sum([present[m] for m in COMPONENTS], axis=0)
        lift = (quality[brand] + config.sponsored.component * count).astype(np.float32)
        # behaviour follows the components that an advertisement has, the catalogue those of the content
        present |= {m: present[m][content] for m in COMPONENTS}
    if config.reading_seconds is not None:
        spread = rng_for(seed, "reading").normal(0, READING_SPREAD, n)
        reading = (config.reading_seconds * np.exp(spread)).astype(np.float32)
    return Items(
        schema, leaf, codes, brand, price, surprise.astype(np.float32), appeal, arrival, twin, content,
        {m: _shown(schema, m, codes[content], rng_for(seed, "shown", m)) for m in schema.visibility},
        present, campaign, lift, reading,
    )  # fmt: skip


COMPONENTS = ("detail", "sitelinks")
"""Optional components of an advertisement: a close-up, and links with what the advertiser offers."""
READING_SPREAD = 0.6
"""Standard deviation of the logarithm of reading times."""


def _campaigns(config: WorldConfig, size: float, known: int) -> NDArray[np.int64]:
    """The row of the first advertisement of each item's campaign, one of the ``known`` items of the first day."""
    founders = min(max(round(config.n_items / size), len(config.schema_.leaves)), known)
    campaign = rng_for(config.seed, "campaigns").integers(founders, size=config.n_items)
    campaign[:founders] = np.arange(founders)
    return campaign


def _arrivals(config: WorldConfig) -> NDArray[np.int16]:
    late = round(config.new_items * config.n_items)
    arrival = np.zeros(config.n_items, np.int16)
    first = max(1, int(config.days * (1 - config.new_from)))
    if late:
        arrival[-late:] = np.sort(rng_for(config.seed, "arrivals").integers(first, config.days, late))
    return arrival


def _twins(n: int, share: float, leaves: int, rng: np.random.Generator) -> NDArray[np.int64]:
    rows = np.arange(n)
    chosen = (rng.random(n) < share) & (rows >= leaves)
    original = (rng.random(n) * rows).astype(np.int64)
    return np.where(chosen & ~chosen[original], original, -1)


def _shown(schema: Schema, modality: str, codes: Codes, rng: np.random.Generator) -> Codes:
    shown = np.full_like(codes, HIDDEN)
    for name, clarity in schema.visibility[modality].items():
        column, size = schema.column(name), len(schema.values(name))
        draw, other = rng.random(len(codes)), rng.integers(1, size, len(codes))
        # an unclear medium shows nothing or a wrong value equally often: both happen in catalogues
        wrong = (codes[:, column] + other) % size
        unclear = np.where(draw < (1 + clarity) / 2, HIDDEN, wrong)
        shown[:, column] = np.where(draw < clarity, codes[:, column], unclear)
    if modality in ALWAYS_SHOWN:
        return _fill(schema, modality, shown, codes, rng)
    return shown


ALWAYS_SHOWN = ("image", "audio")
"""A picture or a sound cannot leave out a colour or a mood, unlike a text."""


def _fill(schema: Schema, modality: str, shown: Codes, codes: Codes, rng: np.random.Generator) -> Codes:
    for name in schema.visibility[modality]:
        column, size = schema.column(name), len(schema.values(name))
        other = (codes[:, column] + rng.integers(1, size, len(codes))) % size
        shown[:, column] = np.where(shown[:, column] == HIDDEN, other, shown[:, column])
    return shown


def _present(
    config: WorldConfig, modality: str, cheap: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    absent = config.missing.get(modality, 0.0) + np.where(cheap, config.missing_cheap.get(modality, 0.0), 0.0)
    return np.asarray(rng.random(len(cheap)) >= absent)
