"""Frozen content of all items, looked up by row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from palate.core.content import Features
from palate.core.errors import FeatureError, did_you_mean


class ContentBank(nn.Module):
    """Frozen pooled features of all items, one matrix for each modality, with presence masks.

    They are non-persistent buffers: they move with the model, are never trained and never saved with the weights (the
    feature store has them). float16 stays float16 in memory; :meth:`rows` returns float32.

    Args:
        features: name -> :class:`Features` of kind ``pooled``, all with the same number of rows.

    Raises:
        FeatureError: a feature is not pooled or not finite, or the numbers of rows differ.
    """

    def __init__(self, features: Mapping[str, Features]) -> None:
        super().__init__()
        self.names: tuple[str, ...] = tuple(features)
        self._index = {name: index for index, name in enumerate(self.names)}
        _check_lengths(features)
        for index, (name, content) in enumerate(features.items()):
            values, present = _tensors(name, content)
            self.register_buffer(f"values_{index}", values, persistent=False)
            self.register_buffer(f"present_{index}", present, persistent=False)

    def __len__(self) -> int:
        return len(self.present(self.names[0])) if self.names else 0

    def present(self, name: str) -> Tensor:
        """bool [n], True for items that have modality ``name``.

        Raises:
            FeatureError: the modality is unknown.
        """
        return self.get_buffer(f"present_{self._at(name)}")

    def rows(self, name: str, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Look up vectors.

        Args:
            name: modality.
            rows: int64 [b], all items by default.

        Returns:
            float32 [b, d], zero where absent, and the mask bool [b].

        Raises:
            FeatureError: the modality is unknown.
        """
        values, present = self._values(name), self.present(name)
        if rows is None:
            return values.float(), present
        return values.index_select(0, rows).float(), present.index_select(0, rows)

    def _at(self, name: str) -> int:
        if name not in self._index:
            raise FeatureError("unknown modality", key=name, hint=did_you_mean(name, self.names))
        return self._index[name]

    def _values(self, name: str) -> Tensor:
        return self.get_buffer(f"values_{self._at(name)}")


def _check_lengths(features: Mapping[str, Features]) -> None:
    lengths = {name: len(content) for name, content in features.items()}
    if len(set(lengths.values())) > 1:
        raise FeatureError(f"modalities describe different numbers of items: {lengths}")


def _tensors(name: str, features: Features) -> tuple[Tensor, Tensor]:
    if features.kind != "pooled" or features.values.ndim != 2:
        raise FeatureError(f"one vector per item is needed, got {features.kind} {features.values.shape}", key=name)
    mask = np.asarray(features.present, bool)
    # a zero row with a mask, whatever filler the file had: a stray NaN must not reach a product with the mask
    values = np.where(mask[:, None], features.values, np.zeros((), features.values.dtype))
    broken = np.flatnonzero(~np.isfinite(values).all(1))
    if len(broken):
        raise FeatureError("a feature vector is not finite", key=name, row=int(broken[0]) + 1)
    return torch.from_numpy(values), torch.from_numpy(mask.copy())
