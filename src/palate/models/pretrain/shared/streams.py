"""Transformers over tokens of texts, pictures and sounds: settings, token readers, and export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor

from palate.core.config import TrainedConfig
from palate.features.encoders.tower import Tower
from palate.features.vocabulary import SPECIAL
from palate.models.pretrain.shared.inputs import ItemInputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from palate.core.encoder import Encoder


HEADS = 4
FIRST_WORD = len(SPECIAL)
MASK = SPECIAL.index("[MASK]")


class StreamConfig(TrainedConfig):
    """Settings of Transformers over tokens."""

    dim: int = Field(128, ge=8, multiple_of=HEADS, description="width of all layers")
    layers: int = Field(2, ge=1, description="layers of each Transformer")
    held: float = Field(0.1, ge=0, lt=1, description="share of the items held out for validation")
    lr: float = Field(5e-4, gt=0, description="learning rate", json_schema_extra={"search": "1e-4..1e-2:log"})
    epochs: int = Field(60, ge=0, description="epochs at most")
    patience: int = Field(8, ge=1, description="validations without gain after which training stops")


def token_reader(inputs: ItemInputs, modality: str, dim: int) -> dict[str, Any]:
    """Arguments of :func:`palate.modules.towers.make_tower` for the module that embeds a modality's tokens.

    Args:
        inputs: inputs of the items.
        modality: ``text``, ``image`` or ``audio``.
        dim: width of the tokens.

    Returns:
        Keyword arguments.

    Raises:
        ConfigError: if the modality is read as ready vectors.
    """
    network = inputs.network(modality, dim, 1)
    if modality == "text":
        words = max(int(network["vocabulary"]), FIRST_WORD + 1)
        return {"kind": "words", "vocabulary": words, "dim": dim, "length": int(network["length"])}
    if modality == "audio":
        return {"kind": "frames", "bands": network["bands"], "dim": dim}
    return {"kind": "regions", "dim": dim}


def word_and_region_readers(vocabulary: int, length: int, dim: int) -> dict[str, dict[str, Any]]:
    """Modality -> arguments of :func:`palate.modules.towers.make_tower` for words of texts and regions of pictures.

    Args:
        vocabulary: number of token ids.
        length: length of a text at most.
        dim: width of the tokens.

    Returns:
        Keyword arguments for ``text`` and ``image``.
    """
    words = {"kind": "words", "vocabulary": vocabulary, "dim": dim, "length": length}
    return {"text": words, "image": {"kind": "regions", "dim": dim}}


def mean_state_encoder(
    reader: Encoder, network: dict[str, Any], tower: nn.Module, fitted_on: str, without: Sequence[str] = ()
) -> Tower:
    """Make an encoder whose vectors are the means of a tower's states, without a projection.

    Args:
        reader: encoder that reads the raw content.
        network: arguments of :func:`palate.modules.towers.make_tower`.
        tower: the trained tower.
        fitted_on: names the training data.
        without: parts of names of tensors that the encoder does not have.

    Returns:
        The encoder.
    """
    dim = int(network["dim"])
    state = {name: tensor for name, tensor in tower.state_dict().items() if not any(part in name for part in without)}
    weights = {f"tower.{name}": tensor for name, tensor in state.items()}
    weights |= {f"head.{name}": tensor for name, tensor in identity_weights(dim).items()}
    return Tower(reader, network, dim).load_weights(weights, fitted_on)


def identity_weights(dim: int) -> dict[str, Tensor]:
    """Weight and bias of a linear layer that is the identity."""
    return {"weight": torch.eye(dim), "bias": torch.zeros(dim)}
