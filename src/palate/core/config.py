"""Settings: frozen, typed, unknown keys refused with the closest known one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import ConfigError, did_you_mean


class ModelConfig(BaseModel):
    """Base of every model's ``Config``."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ContentConfig(ModelConfig):
    """Settings of models that read content.

    Attributes:
        modality_dropout: chance that an item is trained without one of its modalities, so that gaps are nothing new to
            the model; an item keeps at least one. Models that do not train in epochs say what they do instead.
        impute: what stands in for a missing modality: nothing, or what the item's other modalities predict, by ridge
            regression or by a small network fitted to vectors (``mlp``) or to tell them apart (``infonce``).
    """

    modality_dropout: float = Field(0.0, ge=0, lt=1)
    impute: Literal["none", "ridge", "mlp", "infonce"] = "none"


class TrainedConfig(ModelConfig):
    """Settings of models trained by the loop.

    Attributes:
        dim: width of embeddings.
        lr: learning rate of Adam. weight_decay: its decoupled-free L2.
        batch_size: positives a step; 0 lets it grow with the data, at most 64 steps an epoch.
        epochs: at most this many. patience: stop after this many validations without gain.
        validate_every: epochs between validations.
    """

    dim: int = Field(64, ge=1)
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    batch_size: int = Field(2048, ge=0)
    epochs: int = Field(1000, ge=0)
    patience: int = Field(20, ge=1)
    validate_every: int = Field(1, ge=1)


class TrainedContentConfig(TrainedConfig, ContentConfig):
    """Settings of models that read content and are trained by the loop."""


C = TypeVar("C", bound=BaseModel)


def parse_config(kind: type[C], settings: Mapping[str, Any], owner: str) -> C:
    """Build ``kind`` from ``settings``; a wrong key or value is a :class:`ConfigError` that names it."""
    for key in settings:
        if key not in kind.model_fields:
            raise ConfigError(f"{owner} has no such setting", key=key, hint=did_you_mean(key, kind.model_fields))
    try:
        return kind(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{owner}: {first['msg']} (got {first.get('input')!r})", key=key) from error
