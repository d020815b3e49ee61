"""Settings: frozen, typed, described; unknown keys are refused with the closest known one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .errors import ConfigError, did_you_mean
from .tuning import Fusion, parse_tuning

ScheduleName = Literal["constant", "linear", "cosine"]


class ModelConfig(BaseModel):
    """Base of every model's ``Config``."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainedConfig(ModelConfig):
    """Settings of models trained by the loop: the size of the model, and how it is optimised."""

    dim: int = Field(64, ge=1, description="width of embeddings", json_schema_extra={"search": "32,64,128"})
    lr: float = Field(1e-3, gt=0, description="learning rate", json_schema_extra={"search": "0.0003..0.01:log"})
    weight_decay: float = Field(
        0.0,
        ge=0,
        description="L2 penalty: coupled with adam and sgd, decoupled with adamw",
        json_schema_extra={"search": "1e-7..1e-3:log"},
    )
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="optimiser of the loop")
    schedule: ScheduleName = Field("constant", description="decay of the learning rate over the steps of a phase")
    warmup_steps: int = Field(0, ge=0, description="steps in which the learning rate rises linearly")
    clip: float | None = Field(None, gt=0, description="largest L2 norm of all gradients together; None does not clip")
    accumulate: int = Field(1, ge=1, description="batches whose gradients are averaged into one step")
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="of the forward pass; bf16 is used where the device supports it"
    )
    batch_size: int = Field(
        2048, ge=0, description="rows of a batch; 0 lets it grow with the data, at most 64 batches an epoch"
    )
    whole_batches: bool = Field(
        False, description="leave out an epoch's last batch where it is shorter than the others"
    )
    epochs: int = Field(1000, ge=0, description="epochs at most")
    max_steps: int | None = Field(None, ge=1, description="optimiser steps at most; None is unlimited")
    patience: int = Field(20, ge=1, description="validations without gain after which training stops")
    validate_every: int = Field(1, ge=1, description="epochs between two validations")
    validate_every_steps: int | None = Field(
        None, ge=1, description="also validate inside an epoch, after each such number of steps"
    )


class ContentConfig(ModelConfig):
    """Settings of models that read content; a model says in its ``capabilities`` which values it takes."""

    tuning: str = Field(
        "frozen",
        description="what of the encoders is trained with the model: frozen, partial:N, full, lora:RANK, adapter:WIDTH "
        "or prompt:LENGTH",
    )
    fusion: Fusion = Field("late", description="where the modalities of an item are fused")
    modality_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="probability that an item is trained without one of its modalities; an item keeps at least one, "
        "and models that do not train in epochs say what they do instead",
    )
    impute: Literal["none", "ridge", "mlp", "infonce"] = Field(
        "none",
        description="prediction of a missing modality from the item's others: by ridge regression, or by a small "
        "network fitted to vectors (mlp) or to tell them apart (infonce); needs tuning frozen, and fusion "
        "late or intermediate",
    )

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
    """Settings of content models trained by the loop; the last three have an effect only where content is trained."""

    fused_dim: int = Field(
        64, ge=4, multiple_of=4, description="width of an item's fused vector (fusion intermediate and early)"
    )
    encode_rows: int = Field(
        512,
        ge=0,
        description="items of a batch whose content is encoded with gradients, drawn again each step; the others are "
        "read as they were encoded after the last epoch, and 0 encodes all",
    )
    pretrained_lr: float = Field(
        0.1, gt=0, description="factor on lr for weights that come pretrained (tuning partial and full)"
    )

    @property
    def trains_content(self) -> bool:
        """Whether the vectors that a trained model reads are made by networks that are trained along."""
        return self.tuning != "frozen" or self.fusion != "late"


C = TypeVar("C", bound=BaseModel)


def search_space(kind: type[BaseModel]) -> dict[str, str]:
    """Ranges that a search tries unless told otherwise: setting -> ``a,b,c`` or ``low..high`` or ``low..high:log``.

    Args:
        kind: a ``Config``, whose fields carry their range as ``json_schema_extra={"search": ...}``.
    """
    ranges = {}
    for name, setting in kind.model_fields.items():
        extra = setting.json_schema_extra
        if isinstance(extra, dict) and "search" in extra:
            ranges[name] = str(extra["search"])
    return ranges


def parse_config(kind: type[C], settings: Mapping[str, Any], owner: str) -> C:
    """Build ``kind`` from ``settings``.

    Args:
        kind: the class of the settings.
        settings: setting -> value.
        owner: whose settings they are, for error messages.

    Raises:
        ConfigError: for an unknown key or a wrong value, naming it.
    """
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
