"""What readers made of a catalogue, handed to towers row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.content import Features
from palate.core.errors import ConfigError
from palate.features.encoders.tower import READERS

KINDS = ("text", "image", "audio")
AS_IDS = ("", READERS["text"])
"""Names of readers whose rows are ids of a text's tokens, not a vector."""


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

    def pictured(self, who: str) -> NDArray[np.int64]:
        """Rows of items with a picture.

        Raises:
            ConfigError: when ``who``, a system, has fewer than 2 to learn from.
        """
        found = np.flatnonzero(self.present("image")) if "image" in self else np.zeros(0, np.int64)
        if len(found) < 2:
            raise ConfigError(f"{who} needs at least 2 items with a picture", key="model", hint="see palate check DATA")
        return found

    def known(self, modality: str) -> Tensor:
        """Inputs float32 of all rows that have the modality."""
        return self.read(modality, torch.from_numpy(np.flatnonzero(self.present(modality))))

    def frozen(self, modality: str) -> bool:
        """Whether what reads the modality makes vectors already, and not what a tower of the modality takes in."""
        found = self.features[modality]
        return found.kind == "pooled" and found.network is None and found.identity.partition("@")[0] not in AS_IDS

    def network(self, modality: str, dim: int, layers: int) -> dict[str, Any]:
        """Arguments of :func:`palate.modules.towers.make_tower` that fit the inputs.

        Raises:
            ConfigError: where the reader makes vectors.
        """
        found = self.features[modality]
        if found.network is not None:
            return dict(found.network)
        if self.frozen(modality):
            raise ConfigError(
                "this system reads content, not vectors",
                key=f"{modality}={found.identity.partition('@')[0]}",
                hint=f"read it as {READERS[modality]}; systems that learn from pairs of items read vectors as well",
            )
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
