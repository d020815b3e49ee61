"""Presets: frozen, versioned settings. A changed preset is a new version, never an edit.

``shop``, version 2, is calibrated on seeds 10 and 11 so that every kind of information is worth something. A picky
click (``click_bias``) says much about taste; ten events a person, who share few of their kind's favourites, leave IDs
alone short of knowing it; and most importance lies on attributes that a single modality shows, so that no modality
stands for the others. ``benchmarks/world_table.py`` measures it on other seeds.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from palate.core.errors import ConfigError, did_you_mean
from palate.core.files import digest
from palate.simulation.schema import Schema
from palate.simulation.shop import SHOP

FORMAT = 1


class WorldConfig(BaseModel):
    """Every setting of a world; together with ``seed`` it decides every bit.

    Attributes:
        preset, version: which frozen settings these are (or were changed from).
        seed: names all random streams. n_items, n_users: sizes.
        interactions_per_user: events (clicks, saves, carts, purchases) per user, on average; met approximately.
        media: render pictures, texts and sounds. no_effect: shuffle content over items, behaviour unchanged.
        image_size: pixels a side. audio_seconds, audio_rate: clip length and Hz. views: pictures an item.
        days, start: length of the log and its first second (Unix time, UTC).
        new_items: share that arrives in the last ``new_from`` of the log. new_users: share that joins after day 0.
        near_duplicates: share of items with the attributes of an earlier one.
        missing: modality -> share missing at random. missing_cheap: extra share among the cheaper half (not at random).
        archetypes: kinds of taste in a category. archetype_share: probability that a favourite is the kind's.
        attention: spread of how much each attribute matters to one person.
        signal: spread of the click logit due to taste. interest_gap: penalty of a category outside one's interests.
        click_bias: intercept. price_weight, appeal_weight: click logit per unit of price surprise and of appeal.
        drift: spread of the change in interest strength over the whole log.
        policy: probabilities of the logging policy's parts: uniform, fresh, popular, personal.
        popularity: exponent of appeal in exposure. fresh_days: how long an item is fresh.
        slate: positions in one impression. examine: exponent of the fall of attention with position.
        trust: probability to click without liking at position 1, falling like attention.
        searches: share of clicks that came from a search.
        impression_share: share of sessions whose impressions are kept.
        given_features: without media, write a feature matrix for each modality instead.
        feature_dim, feature_noise: width and noise of given feature matrices. block: users simulated at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    preset: str = "shop"
    version: int = 2
    seed: int = Field(0, ge=0)
    n_items: int = Field(1500, ge=48, le=50_000_000)
    n_users: int = Field(2000, ge=2)
    interactions_per_user: float = Field(10.0, gt=0)
    media: bool = True
    no_effect: bool = False
    image_size: int = Field(96, ge=64, le=256)
    audio_seconds: float = Field(1.0, ge=0.25, le=60)
    audio_rate: Literal[8000, 16000] = 8000
    views: int = Field(1, ge=1, le=4)
    days: int = Field(120, ge=10)
    start: int = 1_704_067_200
    new_items: float = Field(0.25, ge=0, lt=1)
    new_from: float = Field(0.25, gt=0, lt=1)
    new_users: float = Field(0.3, ge=0, lt=1)
    near_duplicates: float = Field(0.03, ge=0, lt=0.5)
    missing: dict[str, float] = {"image": 0.04, "text": 0.04, "audio": 0.15}
    missing_cheap: dict[str, float] = {"image": 0.06, "text": 0.04, "audio": 0.1}
    archetypes: int = Field(8, ge=1)
    archetype_share: float = Field(0.2, ge=0, le=1)
    attention: float = Field(0.5, ge=0)
    signal: float = Field(8.0, ge=0)
    interest_gap: float = 3.0
    click_bias: float = -6.0
    price_weight: float = 0.4
    appeal_weight: float = 0.2
    drift: float = Field(0.8, ge=0)
    policy: tuple[float, float, float, float] = (0.35, 0.1, 0.2, 0.35)
    popularity: float = 0.35
    fresh_days: int = Field(10, ge=1)
    slate: int = Field(8, ge=1, le=100)
    examine: float = Field(0.5, ge=0)
    trust: float = Field(0.03, ge=0, lt=1)
    searches: float = Field(0.05, ge=0, le=1)
    impression_share: float = Field(1.0, ge=0, le=1)
    given_features: bool = False
    feature_dim: int = Field(64, ge=1)
    feature_noise: float = Field(0.3, ge=0)
    block: int = Field(8192, ge=1)

    @property
    def schema_(self) -> Schema:
        """The tree, attributes and visibility of the preset."""
        return SCHEMAS[self.preset]

    @property
    def hash(self) -> str:
        """Hash of all settings."""
        return digest(self.model_dump_json())


SCHEMAS: dict[str, Schema] = {"shop": SHOP}
PRESETS: dict[str, WorldConfig] = {"shop": WorldConfig()}


def configure(preset: str, overrides: dict[str, Any]) -> WorldConfig:
    """The settings of ``preset`` with ``overrides``; ``n_interactions`` stands for ``interactions_per_user``.

    Raises:
        ConfigError: an unknown preset, an unknown setting or a value out of range, by name.
    """
    if preset not in PRESETS:
        raise ConfigError("unknown preset", key=preset, hint=did_you_mean(preset, PRESETS))
    settings = PRESETS[preset].model_dump() | overrides
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
    if abs(sum(config.policy) - 1) > 1e-9 or min(config.policy) < 0:
        raise ConfigError("the parts of the logging policy must be at least 0 and sum to 1", key="policy")
    if config.policy[0] == 0:
        raise ConfigError("the uniform part must be above 0", key="policy", hint="else some propensities are 0")
    return config
