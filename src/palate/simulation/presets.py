"""Presets: frozen, versioned settings. A changed preset is a new version, never an edit; ``news@1`` names an older one.

``shop``, version 2, is calibrated on seeds 10 and 11 so that every kind of information is useful. A rare click
(``click_bias``) is informative about taste; with ten events a user, and few favourites shared within a kind, IDs alone
do not suffice to learn it; and most importance lies on attributes that a single modality shows, so that no modality
replaces the others. ``benchmarks/world_table.py`` measures it on other seeds.

``news``, version 2, has headlines that say what an article is about, cover pictures, and reading times, which dwell
follows; version 1 is text alone, with titles that name a source. ``ads``, version 1, has campaigns of sponsored
creatives, pages, queries and devices, and examination that depends on the position alone.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from palate.core.errors import ConfigError, did_you_mean
from palate.core.files import digest
from palate.simulation.ads import ADS
from palate.simulation.news import NEWS, NEWS_1
from palate.simulation.schema import Schema
from palate.simulation.shop import SHOP
from palate.simulation.sponsored import SponsoredConfig

FORMAT = 1


class WorldConfig(BaseModel):
    """All settings of a world; together with ``seed`` they determine every bit."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    preset: str = Field("shop", description="frozen settings that these are, or were changed from")
    version: int = Field(2, description="of the preset")
    seed: int = Field(0, ge=0, description="of all random streams")
    n_items: int = Field(1500, ge=48, le=50_000_000, description="number of items")
    n_users: int = Field(2000, ge=2, description="number of users")
    interactions_per_user: float = Field(
        10.0, gt=0, description="mean number of events (clicks, saves, carts, purchases) of a user; met approximately"
    )
    media: bool = Field(True, description="render pictures, texts and sounds")
    no_effect: bool = Field(False, description="shuffle content over items, behaviour unchanged")
    image_size: int = Field(96, ge=64, le=256, description="height and width of a picture in pixels")
    audio_seconds: float = Field(1.0, ge=0.25, le=60, description="length of a clip")
    audio_rate: Literal[8000, 16000] = Field(8000, description="samples of a clip a second")
    views: int = Field(1, ge=1, le=4, description="pictures of an item")
    days: int = Field(120, ge=10, description="length of the log")
    start: int = Field(1_704_067_200, description="first second of the log (Unix time, UTC)")
    new_items: float = Field(
        0.25, ge=0, lt=1, description="share of items that arrives in the last `new_from` of the log"
    )
    new_from: float = Field(0.25, gt=0, lt=1, description="last share of the log, in which new items arrive")
    new_users: float = Field(0.3, ge=0, lt=1, description="share of users that joins after day 0")
    near_duplicates: float = Field(
        0.03, ge=0, lt=0.5, description="share of items with the attributes of an earlier one"
    )
    missing: dict[str, float] = Field(
        {"image": 0.04, "text": 0.04, "audio": 0.15}, description="modality -> share missing at random"
    )
    missing_cheap: dict[str, float] = Field(
        {"image": 0.06, "text": 0.04, "audio": 0.1},
        description="modality -> extra share missing among the cheaper half (not at random)",
    )
    archetypes: int = Field(8, ge=1, description="kinds of taste in a category")
    archetype_share: float = Field(
        0.2, ge=0, le=1, description="probability that a favourite is that of the user's kind"
    )
    attention: float = Field(0.5, ge=0, description="spread of the weight of each attribute over users")
    signal: float = Field(8.0, ge=0, description="spread of the click logit due to taste")
    interest_gap: float = Field(3.0, description="penalty of a category outside a user's interests")
    click_bias: float = Field(-6.0, description="intercept of the click logit")
    price_weight: float = Field(0.4, description="click logit per unit of price surprise")
    appeal_weight: float = Field(0.2, description="click logit per unit of appeal")
    drift: float = Field(0.8, ge=0, description="spread of the change in interest strength over the full log")
    policy: tuple[float, float, float, float] = Field(
        (0.35, 0.1, 0.2, 0.35),
        description="probabilities of the logging policy's components: uniform, fresh, popular, personal",
    )
    popularity: float = Field(0.35, description="exponent of appeal in exposure")
    fresh_days: int = Field(10, ge=1, description="days that an item counts as fresh")
    slate: int = Field(8, ge=1, le=100, description="positions in one impression")
    examine: float = Field(0.5, ge=0, description="exponent of the decay of examination with position")
    trust: float = Field(
        0.03, ge=0, lt=1, description="probability to click without liking at position 1, falling like examination"
    )
    searches: float = Field(0.05, ge=0, le=1, description="share of clicks that came from a search")
    impression_share: float = Field(1.0, ge=0, le=1, description="share of sessions whose impressions are stored")
    given_features: bool = Field(False, description="without media, write a feature matrix for each modality instead")
    feature_dim: int = Field(64, ge=1, description="width of given feature matrices")
    feature_noise: float = Field(0.3, ge=0, description="noise of given feature matrices")
    block: int = Field(8192, ge=1, description="users simulated at once")
    reading_seconds: float | None = Field(
        None, gt=0, description="median reading time of an item, which dwell follows; none if not set"
    )
    sponsored: SponsoredConfig | None = Field(None, description="campaigns, pages and queries; none if not set")

    @property
    def schema_(self) -> Schema:
        """The tree, attributes and visibility of the preset.

        Raises:
            ConfigError: there is no such preset, or not of this version.
        """
        if (self.preset, self.version) not in SCHEMAS:
            known = ", ".join(f"{name}@{version}" for name, version in SCHEMAS)
            raise ConfigError("unknown preset or version", key=f"{self.preset}@{self.version}", hint=f"known: {known}")
        return SCHEMAS[self.preset, self.version]

    @property
    def hash(self) -> str:
        """Hash of all settings."""
        return digest(self.model_dump_json(exclude_none=True))

    def stored(self) -> dict[str, Any]:
        """All settings that are set, for files: a world keeps its bytes when other worlds get settings of their own."""
        return self.model_dump(exclude_none=True)


SCHEMAS: dict[tuple[str, int], Schema] = {("shop", 2): SHOP, ("news", 1): NEWS_1, ("news", 2): NEWS, ("ads", 1): ADS}
PRESETS: dict[str, WorldConfig] = {
    "shop": WorldConfig(),
    "news": WorldConfig(
        preset="news", version=2, n_items=1200, n_users=1500, interactions_per_user=15.0, days=30, new_items=0.5,
        new_from=0.6, new_users=0.1, near_duplicates=0.0, missing={"text": 0.02, "image": 0.1}, missing_cheap={},
        price_weight=0.0, policy=(0.3, 0.3, 0.2, 0.2), fresh_days=4, slate=10, searches=0.0, reading_seconds=90.0,
    ),
    "ads": WorldConfig(
        preset="ads", version=1, n_items=1500, n_users=3000, interactions_per_user=4.0, days=14, new_items=0.3,
        new_from=0.5, new_users=0.2, near_duplicates=0.0, image_size=128,
        missing={"image": 0.03, "text": 0.03, "detail": 0.5, "sitelinks": 0.5}, missing_cheap={}, archetypes=2,
        archetype_share=0.5, price_weight=0.3, appeal_weight=0.35, policy=(0.1, 0.1, 0.3, 0.5), fresh_days=3, slate=6,
        examine=0.7, trust=0.0, searches=0.0, click_bias=-5.1, signal=3.0, interest_gap=1.0,
        sponsored=SponsoredConfig(),
    ),
}  # fmt: skip
"""Name -> settings of its newest version."""
EARLIER: dict[str, WorldConfig] = {
    "news@1": WorldConfig(
        preset="news", version=1, n_items=1200, n_users=1500, interactions_per_user=15.0, days=30, new_items=0.5,
        new_from=0.6, new_users=0.1, near_duplicates=0.0, missing={"text": 0.02}, missing_cheap={}, price_weight=0.0,
        policy=(0.3, 0.3, 0.2, 0.2), fresh_days=4, slate=10, searches=0.0,
    ),
}  # fmt: skip
"""``name@version`` -> settings of older versions."""


def configure(preset: str, overrides: dict[str, Any]) -> WorldConfig:
    """Make the settings of ``preset`` with changes.

    Args:
        preset: its name, or ``name@version``.
        overrides: setting -> value; ``n_interactions`` sets ``interactions_per_user`` by the total.

    Raises:
        ConfigError: an unknown preset, an unknown setting or a value out of range.
    """
    known = {f"{name}@{config.version}": config for name, config in PRESETS.items()} | PRESETS | EARLIER
    if preset not in known:
        raise ConfigError("unknown preset", key=preset, hint=did_you_mean(preset, known))
    for key in ("preset", "version"):
        if key in overrides:
            raise ConfigError("cannot be changed", key=key, hint=f"name another preset: {', '.join(known)}")
    settings = known[preset].model_dump() | overrides
    total = settings.pop("n_interactions", None)
    if total is not None:
        settings["interactions_per_user"] = total / max(int(settings["n_users"]), 1)
    for key in settings:
        if key not in WorldConfig.model_fields:
            raise ConfigError("unknown setting", key=key, hint=did_you_mean(key, WorldConfig.model_fields))
    try:
        config = WorldConfig(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(str(first["msg"]), key=".".join(map(str, first["loc"])), hint="see WorldConfig") from error
    _check_policy("policy", config.policy)
    if config.sponsored is not None:
        _check_policy("sponsored.policy_last", config.sponsored.policy_last)
    return config


def _check_policy(key: str, parts: tuple[float, ...]) -> None:
    if abs(sum(parts) - 1) > 1e-9 or min(parts) < 0:
        raise ConfigError("the components of the logging policy must be at least 0 and sum to 1", key=key)
    if parts[0] == 0:
        raise ConfigError("the uniform component must be above 0", key=key, hint="else some propensities are 0")
