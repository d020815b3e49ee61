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
    """Args: features: modality -> what its reader made; rows that may not be seen are absent.

    frames: of sounds that are heard; 0 is all.
    """

    def __init__(self, features: Mapping[str, Features], frames: int = 0) -> None:
        self.frames = frames
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
            if not layers:
                return {"kind": "bag", "vocabulary": words, "dim": dim}
            return {"kind": "text", "vocabulary": words, "dim": dim, "layers": layers, "length": found.dim}
        if modality == "audio":
            cut = {"frames": self.frames} if self.frames else {}
            return {"kind": "audio", "bands": int(found.values.shape[2]), "dim": dim, **cut}
        return {"kind": "image", "dim": dim}


def read_rows(features: Features, rows: Tensor) -> Tensor:
    """Values float32 of these rows, on the device of ``rows``."""
    at = rows.cpu().numpy()
    values = np.array(features.values[at], np.float32)
    # a batch needs numbers for what is absent too; whoever reads them is told by ``present``
    values[~features.present[at]] = 0
    return torch.from_numpy(values).to(rows.device)
