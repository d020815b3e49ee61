"""Inputs of a catalogue's items, read row by row for towers."""

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

MODALITIES = ("text", "image", "audio")
TOKEN_READERS = ("", READERS["text"])
"""Names of readers whose rows are token ids of a text, not a vector."""


class ItemInputs:
    """Inputs of all items.

    Args:
        features: modality -> output of its reader; rows that training may not see are absent.
        frames: frames of a sound that are read; 0 is all.
    """

    def __init__(self, features: Mapping[str, Features], frames: int = 0) -> None:
        self.frames = frames
        self.features = {modality: features[modality] for modality in MODALITIES if modality in features}

    def __contains__(self, modality: str) -> bool:
        return modality in self.features

    def present(self, modality: str) -> NDArray[np.bool_]:
        """Items that have the modality, bool [n_items]."""
        return self.features[modality].present

    def read(self, modality: str, rows: Tensor) -> Tensor:
        """Inputs float32 of these rows, on the device of ``rows``."""
        return read_rows(self.features[modality], rows)

    def with_image(self, owner: str) -> NDArray[np.int64]:
        """Rows of items with a picture.

        Args:
            owner: name of the system, for the error.

        Returns:
            int64 [n].

        Raises:
            ConfigError: if fewer than 2 items have a picture.
        """
        rows = np.flatnonzero(self.present("image")) if "image" in self else np.zeros(0, np.int64)
        if len(rows) < 2:
            raise ConfigError(
                f"{owner} needs at least 2 items with a picture", key="model", hint="see palate check DATA"
            )
        return rows

    def read_present(self, modality: str) -> Tensor:
        """Inputs float32 of all rows that have the modality."""
        return self.read(modality, torch.from_numpy(np.flatnonzero(self.present(modality))))

    def frozen(self, modality: str) -> bool:
        """Whether the modality's reader returns ready vectors, not the inputs of a tower."""
        features = self.features[modality]
        name = features.identity.partition("@")[0]
        return features.kind == "pooled" and features.network is None and name not in TOKEN_READERS

    def network(self, modality: str, dim: int, layers: int) -> dict[str, Any]:
        """Arguments of :func:`palate.modules.towers.make_tower` that fit the inputs.

        Args:
            modality: one of the modalities at hand.
            dim: width of the tower.
            layers: layers of a text tower; 0 is a bag of words.

        Returns:
            Keyword arguments.

        Raises:
            ConfigError: if the reader returns ready vectors.
        """
        features = self.features[modality]
        if features.network is not None:
            return dict(features.network)
        if self.frozen(modality):
            raise ConfigError(
                "this system reads content, not vectors",
                key=f"{modality}={features.identity.partition('@')[0]}",
                hint=f"read it as {READERS[modality]}; systems that learn from pairs of items read vectors as well",
            )
        if modality == "text":
            words = int(features.values[features.present].max(initial=0)) + 1
            if not layers:
                return {"kind": "bag", "vocabulary": words, "dim": dim}
            return {"kind": "text", "vocabulary": words, "dim": dim, "layers": layers, "length": features.dim}
        if modality == "audio":
            cut = {"frames": self.frames} if self.frames else {}
            return {"kind": "audio", "bands": int(features.values.shape[2]), "dim": dim, **cut}
        return {"kind": "image", "dim": dim}


def read_rows(features: Features, rows: Tensor) -> Tensor:
    """Values float32 of these rows, zero where absent, on the device of ``rows``."""
    index = rows.cpu().numpy()
    values = np.array(features.values[index], np.float32)
    # a batch needs numbers for absent rows too; ``present`` says which these are
    values[~features.present[index]] = 0
    return torch.from_numpy(values).to(rows.device)
