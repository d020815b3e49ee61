"""Settings: frozen, typed, unknown keys refused with the closest known one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .errors import ConfigError, did_you_mean
from .tuning import Fusion, parse_plan


class ModelConfig(BaseModel):
    """Base of every model's ``Config``."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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


class ContentConfig(ModelConfig):
    """Settings of models that read content; a model says in its ``abilities`` which values it takes.

    Attributes:
        tuning: what of the encoders is trained with the model, see :mod:`palate.core.tuning`.
        fusion: where the modalities of an item meet.
    """

    tuning: str = "frozen"
    fusion: Fusion = "late"

    @field_validator("tuning")
    @classmethod
    def _known_plan(cls, value: str) -> str:
        return str(parse_plan(value))


class AdaptedConfig(TrainedConfig, ContentConfig):
    """Settings of content models trained by the loop; the last three mean something only where content is trained.

    Attributes:
        fused_dim: width of the vector in which modalities meet (``fusion`` intermediate and early).
        encode_rows: items of a batch whose content is encoded with gradients, drawn anew each step; the others are
            read as they were encoded after the last epoch. 0 encodes all.
        pretrained_lr: factor on ``lr`` for weights that come pretrained (``tuning`` partial and full).
    """

    fused_dim: int = Field(64, ge=4, multiple_of=4)
    encode_rows: int = Field(512, ge=0)
    pretrained_lr: float = Field(0.1, gt=0)

    @property
    def trains_content(self) -> bool:
        """Whether the vectors that a trained model reads are made by networks that are trained along."""
        return self.tuning != "frozen" or self.fusion != "late"


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
