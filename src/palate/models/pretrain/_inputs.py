"""What readers made of a catalogue, handed to towers row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.content import Features

KINDS = ("text", "image", "audio")


class ItemInputs:
    """Args: features: modality -> what its reader made; rows that may not be seen are absent."""

    def __init__(self, features: Mapping[str, Features]) -> None:
        self.features = {kind: features[kind] for kind in KINDS if kind in features}

    def __contains__(self, modality: str) -> bool:
        return modality in self.features

    def present(self, modality: str) -> NDArray[np.bool_]:
        """bool [n_items]."""
        return self.features[modality].present

    def read(self, modality: str, rows: Tensor) -> Tensor:
        """Inputs float32 of these rows, on the device of ``rows``."""
        return read_rows(self.features[modality], rows)

    def network(self, modality: str, dim: int, layers: int) -> dict[str, Any]:
        """Arguments of :func:`palate.modules.towers.make_tower` that fit the inputs."""
        found = self.features[modality]
        if found.network is not None:
            return dict(found.network)
        if modality == "text":
            words = int(found.values[found.present].max(initial=0)) + 1
            return {"kind": "text", "vocabulary": words, "dim": dim, "layers": layers, "length": found.dim}
        if modality == "audio":
            return {"kind": "audio", "bands": int(found.values.shape[2]), "dim": dim}
        return {"kind": "image", "dim": dim}


def read_rows(features: Features, rows: Tensor) -> Tensor:
    """Values float32 of these rows, on the device of ``rows``."""
    values = features.values[rows.cpu().numpy()]
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(rows.device)
