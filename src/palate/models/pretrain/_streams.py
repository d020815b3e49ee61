"""What systems of streams share: settings, readers that make their tokens, and a stream as an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor

from palate.core.config import TrainedConfig
from palate.features.encoders.tower import Tower
from palate.features.vocabulary import SPECIAL

from ._inputs import ItemInputs

if TYPE_CHECKING:
    from torch import nn

    from palate.core.encoder import Encoder


HEADS = 4
FIRST_WORD = len(SPECIAL)
MASK = SPECIAL.index("[MASK]")


class StreamConfig(TrainedConfig):
    """Settings.

    Attributes:
        dim: width of all parts. layers: of each Transformer. held: share of the items kept out of training to judge.
    """

    dim: int = Field(128, ge=8, multiple_of=HEADS)
    layers: int = Field(2, ge=1)
    held: float = Field(0.1, ge=0, lt=1)
    lr: float = Field(5e-4, gt=0)
    epochs: int = Field(60, ge=0)
    patience: int = Field(8, ge=1)


def stream_reader(inputs: ItemInputs, modality: str, dim: int) -> dict[str, Any]:
    """Arguments of :func:`palate.modules.towers.make_tower` for what makes the tokens of a modality."""
    found = inputs.network(modality, dim, 1)
    if modality == "text":
        words = max(int(found["vocabulary"]), FIRST_WORD + 1)
        return {"kind": "words", "vocabulary": words, "dim": dim, "length": int(found["length"])}
    if modality == "audio":
        return {"kind": "frames", "bands": found["bands"], "dim": dim}
    return {"kind": "regions", "dim": dim}


def headless(reader: Encoder, network: dict[str, Any], tower: nn.Module, fitted_on: str) -> Tower:
    """The encoder whose vectors are the means of a tower's tokens, as they are."""
    dim = int(network["dim"])
    weights = {f"tower.{name}": tensor for name, tensor in tower.state_dict().items()}
    weights |= {f"head.{name}": tensor for name, tensor in identity(dim).items()}
    return Tower(reader, network, dim).load_weights(weights, fitted_on)


def identity(dim: int) -> dict[str, Tensor]:
    """Weights of a linear layer that changes nothing."""
    return {"weight": torch.eye(dim), "bias": torch.zeros(dim)}
