"""The frozen lower part of a network as an encoder, so that the store keeps its states."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from palate.core.encoder import Raw
from palate.features.encoders.base import ContentEncoder
from palate.modules.network import Network

BATCH = 64


class PartialEncoder(ContentEncoder):
    """States at the split point of a network: ``tokens`` or ``map``.

    Its identity is that of the frozen weights below the split point, whatever lies above.

    Args:
        preprocessor: makes the network's inputs.
        network: prepared with a split point.
        shape: of one entity's inputs.
    """

    name, version = "lower", 1

    def __init__(self, preprocessor: ContentEncoder, network: Network, shape: tuple[int, ...]) -> None:
        self.of, self.lower_part, self.modality = preprocessor, network, preprocessor.modality
        self.options: dict[str, Any] = {"of": preprocessor.identity, "weights": network.lower_key()}
        self.fitted_on = preprocessor.fitted_on
        with torch.inference_mode():
            state = network.eval().lower(torch.zeros(1, *shape))[0]
        self.kind = "tokens" if state.ndim == 3 else "map"
        self._dim = int(state.shape[2 if state.ndim == 3 else 1])

    @property
    def dim(self) -> int:
        return self._dim

    def read(self, raw: Raw) -> Any:
        return self.of.read(raw)

    def embed(self, contents: list[Any]) -> list[NDArray[np.float32]]:
        out: list[NDArray[np.float32]] = []
        inputs = torch.from_numpy(np.asarray(self.of.embed(contents), np.float32))
        with torch.inference_mode():
            for part in inputs.split(BATCH):
                values, mask = self.lower_part.eval().lower(part)
                out += [one.numpy() if mask is None else one[mask[row]].numpy() for row, one in enumerate(values)]
        return out
