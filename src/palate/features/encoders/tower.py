"""A trained tower as an encoder, the result of pretraining."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.content import Features
from palate.core.encoder import Encoder, Raw, encoders
from palate.core.errors import ConfigError, NotFittedError
from palate.core.files import digest
from palate.features.encoders.base import ContentEncoder
from palate.modules.adapters import merge_low_rank
from palate.modules.combine import make_combine
from palate.modules.network import Network
from palate.modules.towers import Tokens, make_head, make_tower, pooled

BATCH = 64
READERS = {"text": "pieces", "image": "pixels", "audio": "mel"}
"""Modality -> encoder whose vectors are the inputs of its towers."""


@encoders.register("tower")
class Tower(ContentEncoder):
    """Mean of a tower's tokens, projected and of unit length.

    Args:
        of: encoder whose vectors are the tower's inputs (``pieces``, ``pixels``, ``mel``).
        network: arguments of :func:`palate.modules.towers.make_tower`.
        width: of the vectors.
        combine: arguments of :func:`palate.modules.combine.make_combine` where the system learnt with several
            modalities; an item then counts as one that has this modality alone.
        unit: scale to unit length; otherwise the length of a vector has a meaning too.

    Attributes:
        folder: that it was read from, or None.

    Raises:
        ConfigError: for an inner encoder that does not read raw content.
    """

    name, version = "tower", 1
    folder: Path | None = None

    def __init__(
        self,
        of: Encoder,
        network: Mapping[str, Any],
        width: int,
        combine: Mapping[str, Any] | None = None,
        unit: bool = True,
    ) -> None:
        if not isinstance(of, ContentEncoder):
            raise ConfigError("a tower works on encoders of raw content", key=of.name)
        self.of, self.modality = of, of.modality
        kept = {key: value for key, value in network.items() if key != "start"}
        self.options: dict[str, Any] = {"network": kept, "width": width}
        self.options |= {"combine": None if combine is None else dict(combine), "unit": unit}
        self._network: torch.nn.ModuleDict | None = None
        self._key = ""
        self._space: str | None = None

    @property
    def shared_space(self) -> str | None:
        return self._space

    @property
    def settings(self) -> dict[str, Any]:
        return {**self.options, "of": self.of.identity, "weights": self._key}

    @property
    def dim(self) -> int:
        return int(self.options["width"])

    def read(self, raw: Raw) -> Any:
        return self.of.read(raw) if isinstance(self.of, ContentEncoder) else None

    def embed(self, contents: list[Any]) -> NDArray[np.float32]:
        parts = (contents[start : start + BATCH] for start in range(0, len(contents), BATCH))
        return np.concatenate([self._forward(np.asarray(self.of.embed(part), np.float32)) for part in parts])

    def encode_inputs(self, inputs: Features) -> Features:
        """The vectors that :meth:`encode` gives, from those of ``of`` for the same entities.

        Raises:
            NotFittedError: without weights.
        """
        values = np.zeros((len(inputs.present), self.dim), np.float32)
        rows = np.flatnonzero(inputs.present)
        for part in np.split(rows, range(BATCH, len(rows), BATCH)) if len(rows) else ():
            values[part] = self._forward(inputs.values[part])
        return Features(values, inputs.present, self.kind, None, self.identity, self.fitted_on)

    def _forward(self, values: NDArray[np.generic]) -> NDArray[np.float32]:
        if self._network is None:
            raise NotFittedError("the encoder tower has no weights", hint="pretrain it, or load_encoder(folder)")
        with torch.inference_mode():
            inputs = torch.from_numpy(np.array(values, np.float32))
            return vectors_of(self._network, inputs, self.options["unit"]).numpy()

    @property
    def preprocessor(self) -> ContentEncoder:
        assert isinstance(self.of, ContentEncoder)
        return self.of

    def network(self) -> Network:
        if self._network is None:
            raise NotFittedError("the encoder tower has no weights", hint="pretrain it, or load_encoder(folder)")
        parts = deepcopy(self._network)
        about = json.dumps([self.options["network"], self.of.identity], sort_keys=True)
        return Network(parts["tower"], _Head(parts, self.options["unit"]), about)

    def load_weights(self, tensors: Mapping[str, Tensor], fitted_on: str, space: str | None = None) -> Tower:
        """Take trained weights.

        Args:
            tensors: of :func:`tower_network`.
            fitted_on: names the content that they were learnt from.
            space: see :attr:`Encoder.shared_space`.

        Returns:
            The encoder itself.
        """
        network = tower_network(self.options["network"], self.dim, self.options["combine"])
        network.load_state_dict({name: tensor.detach().cpu() for name, tensor in merge_low_rank(tensors).items()})
        self._network = network.eval()
        arrays = [np.ascontiguousarray(tensor.numpy()).tobytes() for tensor in network.state_dict().values()]
        self._key, self.fitted_on, self._space = digest(*arrays), fitted_on, space
        return self

    def state(self) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
        """Arrays and facts from which :meth:`load_state` restores the weights.

        Raises:
            NotFittedError: without weights.
        """
        if self._network is None:
            raise NotFittedError("the encoder tower has no weights", hint="pretrain it first")
        arrays = {name: tensor.numpy() for name, tensor in self._network.state_dict().items()}
        return arrays, {"on": self.fitted_on, "space": self._space}

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        self.load_weights(tensors, str(facts["on"]), facts.get("space"))


def tower_network(
    network: Mapping[str, Any], width: int, combine: Mapping[str, Any] | None = None
) -> torch.nn.ModuleDict:
    """The network that maps an input to a vector: ``tower``, ``head`` and, if given, ``combine``.

    Args:
        network: arguments of :func:`palate.modules.towers.make_tower`.
        width: of the vector.
        combine: arguments of :func:`palate.modules.combine.make_combine`.
    """
    inner = width if combine is None else int(combine["dim"])
    tower = make_tower(**network)
    complete = getattr(tower, "final", False) and inner == network["dim"]
    parts = {"tower": tower, "head": torch.nn.Identity() if complete else make_head(network, inner)}
    return torch.nn.ModuleDict(parts if combine is None else {**parts, "combine": make_combine(**combine)})


def vectors_of(network: torch.nn.ModuleDict, inputs: Tensor, unit: bool = True) -> Tensor:
    """Vectors of inputs.

    Args:
        network: of :func:`tower_network`.
        inputs: float32 [B, ...].
        unit: scale to unit length.

    Returns:
        float32 [B, width].
    """
    vectors: Tensor = _Head(network, unit)(network["tower"](inputs))
    return vectors


class _Head(torch.nn.Module):
    """The part of :func:`tower_network` behind the tower: tokens -> vectors."""

    def __init__(self, parts: torch.nn.ModuleDict, unit: bool) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleDict({name: part for name, part in parts.items() if name != "tower"})
        self.unit = unit

    def forward(self, tokens: Tokens) -> Tensor:
        vectors: Tensor = self.parts["head"](pooled(tokens))
        if "combine" in self.parts:
            present = vectors.new_ones(len(vectors), 1, dtype=torch.bool)
            vectors = self.parts["combine"](vectors[:, None], present)
        return torch.nn.functional.normalize(vectors, dim=1) if self.unit else vectors
