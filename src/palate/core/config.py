"""Settings: frozen, typed, unknown keys refused with the closest known one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .errors import ConfigError, did_you_mean
from .tuning import Fusion, parse_tuning


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
    """Settings of models that read content; a model says in its ``capabilities`` which values it takes.

    Attributes:
        tuning: what of the encoders is trained with the model, see :mod:`palate.core.tuning`.
        fusion: where the modalities of an item meet.
        modality_dropout: chance that an item is trained without one of its modalities, so that gaps are nothing new to
            the model; an item keeps at least one. Models that do not train in epochs say what they do instead.
        impute: what stands in for a missing modality: nothing, or what the item's other modalities predict, by ridge
            regression or by a small network fitted to vectors (``mlp``) or to tell them apart (``infonce``). It needs
            vectors that stay what they are: ``tuning`` frozen, and ``fusion`` late or intermediate.
    """

    tuning: str = "frozen"
    fusion: Fusion = "late"
    modality_dropout: float = Field(0.0, ge=0, lt=1)
    impute: Literal["none", "ridge", "mlp", "infonce"] = "none"

    @field_validator("tuning")
    @classmethod
    def _known_plan(cls, value: str) -> str:
        return str(parse_tuning(value))

    @model_validator(mode="after")
    def _vectors_to_predict(self) -> Self:
        if self.impute != "none" and self.tuning != "frozen":
            raise ValueError("vectors cannot be imputed while what makes them is trained: impute with tuning=frozen")
        if self.impute != "none" and self.fusion == "early":
            raise ValueError(
                "where tokens meet there are no vectors to impute: impute with fusion late or intermediate"
            )
        return self


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
        got = f" (got {first.get('input')!r})" if key else ""
        raise ConfigError(f"{owner}: {first['msg']}{got}", key=key or None) from error
