"""A trained tower as an encoder: what pretraining leaves behind."""

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
from palate.modules.adapters import merge_low_rank
from palate.modules.combine import make_combine
from palate.modules.network import Network
from palate.modules.towers import Tokens, make_head, make_tower, pooled

from ._base import ContentEncoder

BATCH = 64
READERS = {"text": "pieces", "image": "pixels", "audio": "mel"}
"""The reader whose vectors a tower of the modality takes in."""


@encoders.register("tower")
class Tower(ContentEncoder):
    """Mean of a tower's tokens, projected and of unit length; ``of`` reads the raw content.

    Args:
        of: encoder whose vectors the tower takes in (``pieces``, ``pixels``, ``mel``).
        network: arguments of :func:`palate.modules.towers.make_tower`. width: of the vectors.
        combine: arguments of :func:`palate.modules.combine.make_combine` where the system learnt with several
            modalities; an item then counts as one that has this modality alone.
        unit: scale to unit length; else a vector's length is part of what was learnt.

    Attributes:
        folder: where it was read from, if it was.
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
        return np.concatenate([self._through(np.asarray(self.of.embed(part), np.float32)) for part in parts])

    def refine(self, found: Features) -> Features:
        """What :meth:`encode` gives, from what ``of`` gave for the same entities."""
        values = np.zeros((len(found.present), self.dim), np.float32)
        rows = np.flatnonzero(found.present)
        for part in np.split(rows, range(BATCH, len(rows), BATCH)) if len(rows) else ():
            values[part] = self._through(found.values[part])
        return Features(values, found.present, self.kind, None, self.identity, self.fitted_on)

    def _through(self, values: NDArray[np.generic]) -> NDArray[np.float32]:
        if self._network is None:
            raise NotFittedError("the encoder tower has no weights", hint="pretrain it, or load_encoder(folder)")
        with torch.inference_mode():
            found = torch.from_numpy(np.array(values, np.float32))
            return vectors_of(self._network, found, self.options["unit"]).numpy()

    @property
    def reader(self) -> ContentEncoder:
        assert isinstance(self.of, ContentEncoder)
        return self.of

    def network(self) -> Network:
        if self._network is None:
            raise NotFittedError("the encoder tower has no weights", hint="pretrain it, or load_encoder(folder)")
        parts = deepcopy(self._network)
        about = json.dumps([self.options["network"], self.of.identity], sort_keys=True)
        return Network(parts["tower"], _Head(parts, self.options["unit"]), about)

    def take_weights(self, tensors: Mapping[str, Tensor], fitted_on: str, space: str | None = None) -> Tower:
        """Become the encoder with these weights, learnt from the content that ``fitted_on`` names.

        Args:
            space: see :attr:`Encoder.shared_space`.
        """
        network = tower_network(self.options["network"], self.dim, self.options["combine"])
        network.load_state_dict({name: tensor.detach().cpu() for name, tensor in merge_low_rank(tensors).items()})
        self._network = network.eval()
        arrays = [np.ascontiguousarray(tensor.numpy()).tobytes() for tensor in network.state_dict().values()]
        self._key, self.fitted_on, self._space = digest(*arrays), fitted_on, space
        return self

    def state(self) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
        """Arrays and facts from which :meth:`load_state` restores the weights."""
        if self._network is None:
            raise NotFittedError("the encoder tower has no weights", hint="pretrain it first")
        arrays = {name: tensor.numpy() for name, tensor in self._network.state_dict().items()}
        return arrays, {"on": self.fitted_on, "space": self._space}

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        self.take_weights(tensors, str(facts["on"]), facts.get("space"))


def tower_network(
    network: Mapping[str, Any], width: int, combine: Mapping[str, Any] | None = None
) -> torch.nn.ModuleDict:
    """``tower``, ``head`` and, if given, ``combine``: what maps an input to a vector of ``width``."""
    inner = width if combine is None else int(combine["dim"])
    tower = make_tower(**network)
    whole = getattr(tower, "final", False) and inner == network["dim"]
    parts = {"tower": tower, "head": torch.nn.Identity() if whole else make_head(network, inner)}
    return torch.nn.ModuleDict(parts if combine is None else {**parts, "combine": make_combine(**combine)})


def vectors_of(network: torch.nn.ModuleDict, inputs: Tensor, unit: bool = True) -> Tensor:
    """Vectors float32 [B, width], of length 1 if ``unit``."""
    found: Tensor = _Head(network, unit)(network["tower"](inputs))
    return found


class _Head(torch.nn.Module):
    """What :func:`tower_network` puts behind the tower: tokens -> vectors."""

    def __init__(self, parts: torch.nn.ModuleDict, unit: bool) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleDict({name: part for name, part in parts.items() if name != "tower"})
        self.unit = unit

    def forward(self, tokens: Tokens) -> Tensor:
        found: Tensor = self.parts["head"](pooled(tokens))
        if "combine" in self.parts:
            found = self.parts["combine"](found[:, None], found.new_ones(len(found), 1, dtype=torch.bool))
        return torch.nn.functional.normalize(found, dim=1) if self.unit else found
