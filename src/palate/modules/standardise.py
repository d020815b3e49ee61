"""Columns of content brought to zero mean and unit deviation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from palate.core.content import Features

CONSTANT = 1e-6
"""Columns with a smaller deviation carry nothing and are only centred."""


class Standardiser(nn.Module):
    """Mean and scale of each column of several features.

    Both are saved with the model, so that a restored model reads new items as it read the old ones. Without
    standardising, an offset that all items have in common dominates cosines and projections.

    Args:
        dims: feature name -> width.
    """

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__()
        self._place = {name: place for place, name in enumerate(dims)}
        for place, width in enumerate(dims.values()):
            self.register_buffer(f"mean_{place}", torch.zeros(width))
            self.register_buffer(f"scale_{place}", torch.ones(width))

    def fit(self, features: Mapping[str, Features]) -> None:
        """Take the statistics over present rows; a feature without any keeps mean 0 and scale 1.

        Args:
            features: feature name -> vectors of the items that are visible in fitting.
        """
        for name in self._place:
            seen = features[name].values[features[name].present].astype(np.float32)
            if len(seen):
                mean, scale = self._statistics(name)
                deviation = seen.std(0)
                mean.copy_(torch.from_numpy(seen.mean(0)))
                scale.copy_(torch.from_numpy(1 / np.where(deviation > CONSTANT, deviation, 1)))

    def forward(self, name: str, values: Tensor) -> Tensor:
        """Standardised vectors.

        Args:
            name: of the feature.
            values: float32 [n, d].
        """
        mean, scale = (statistic.to(values.device) for statistic in self._statistics(name))
        standardised: Tensor = (values - mean) * scale
        return standardised

    def centre(self, name: str, values: Tensor) -> Tensor:
        """Vectors with zero mean, columns on their own scale.

        Args:
            name: of the feature.
            values: float32 [n, d].
        """
        centred: Tensor = values - self._statistics(name)[0].to(values.device)
        return centred

    def fold(self, name: str, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """A linear map of raw vectors that equals the map ``weight x + bias`` of standardised ones.

        Args:
            name: of the feature.
            weight: float32 [out, d].
            bias: float32 [out], or None.

        Returns:
            Weight [out, d] and bias [out].
        """
        mean, scale = self._statistics(name)
        weight = weight * scale
        shift = -(weight @ mean)
        return weight, shift if bias is None else bias + shift

    def _statistics(self, name: str) -> tuple[Tensor, Tensor]:
        place = self._place[name]
        return self.get_buffer(f"mean_{place}"), self.get_buffer(f"scale_{place}")
