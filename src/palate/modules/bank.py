"""Frozen content of all items, read by row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ..core.content import Features
from ..core.errors import FeatureError, did_you_mean


class ContentBank(nn.Module):
    """Frozen pooled features of all items, one matrix for each modality, with presence masks.

    Held as non-persistent buffers: they move with the model, are never trained and never saved with the weights (the
    feature store has them). float16 stays float16 in memory; :meth:`rows` returns float32.

    Args:
        features: name -> :class:`Features` of kind ``pooled``, all with the same number of rows.
    """

    def __init__(self, features: Mapping[str, Features]) -> None:
        super().__init__()
        self.names: tuple[str, ...] = tuple(features)
        self._place = {name: place for place, name in enumerate(self.names)}
        self._load(features, like=None)

    def __len__(self) -> int:
        return len(self.present(self.names[0])) if self.names else 0

    def dim(self, name: str) -> int:
        """Width of modality ``name``."""
        return int(self._values(name).shape[1])

    def present(self, name: str) -> Tensor:
        """bool [n]: which items have modality ``name``."""
        return self.get_buffer(f"present_{self._at(name)}")

    def rows(self, name: str, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Vectors float32 [b, d] (zero where absent) and mask bool [b] of ``rows`` int64 [b], or of all items."""
        values, present = self._values(name), self.present(name)
        if rows is None:
            return values.float(), present
        return values.index_select(0, rows).float(), present.index_select(0, rows)

    def replace(self, features: Mapping[str, Features]) -> None:
        """Take new content for all items (another catalogue): same names and widths, any number of rows."""
        self._load(features, like=self)

    def extend(self, features: Mapping[str, Features]) -> None:
        """Append new items; a modality that is not given is absent for them."""
        unknown = [name for name in features if name not in self._place]
        if unknown:
            raise FeatureError("unknown modality", key=unknown[0], hint=did_you_mean(unknown[0], self.names))
        count = _common_length(features)
        joined = {}
        for name in self.names:
            old, here = self._values(name), self.present(name)
            added = features.get(name)
            values = old.new_zeros(count, old.shape[1])
            mask = here.new_zeros(count)
            if added is not None:
                values, mask = _tensors(name, added, self.dim(name))
                values, mask = values.to(old), mask.to(here)
            joined[name] = (torch.cat([old, values]), torch.cat([here, mask]))
        self._set(joined)

    def _at(self, name: str) -> int:
        if name not in self._place:
            raise FeatureError("unknown modality", key=name, hint=did_you_mean(name, self.names))
        return self._place[name]

    def _values(self, name: str) -> Tensor:
        return self.get_buffer(f"values_{self._at(name)}")

    def _load(self, features: Mapping[str, Features], like: ContentBank | None) -> None:
        if set(features) != set(self.names):
            raise FeatureError(f"expected the modalities {sorted(self.names)}, got {sorted(features)}")
        _common_length(features)
        fresh = {}
        for name in self.names:
            values, mask = _tensors(name, features[name], None if like is None else like.dim(name))
            fresh[name] = (values, mask) if like is None else (values.to(like._values(name).device), mask)
        self._set(fresh)

    def _set(self, fresh: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        for name, (values, mask) in fresh.items():
            place = self._place[name]
            self.register_buffer(f"values_{place}", values, persistent=False)
            self.register_buffer(f"present_{place}", mask.to(values.device), persistent=False)


def _common_length(features: Mapping[str, Features]) -> int:
    lengths = {name: len(found) for name, found in features.items()}
    if len(set(lengths.values())) > 1:
        raise FeatureError(f"modalities describe different numbers of items: {lengths}")
    return next(iter(lengths.values()), 0)


def _tensors(name: str, found: Features, dim: int | None) -> tuple[Tensor, Tensor]:
    if found.kind != "pooled" or found.values.ndim != 2:
        raise FeatureError(f"one vector per item is needed, got {found.kind} {found.values.shape}", key=name)
    if dim is not None and found.dim != dim:
        raise FeatureError(f"vectors have {found.dim} columns, the model was built for {dim}", key=name)
    mask = np.asarray(found.present, bool)
    # a zero row with a mask, whatever filler the file had: a stray NaN must not reach a product with the mask
    values = np.where(mask[:, None], found.values, np.zeros((), found.values.dtype))
    broken = np.flatnonzero(~np.isfinite(values).all(1))
    if len(broken):
        raise FeatureError("a feature vector is not finite", key=name, row=int(broken[0]) + 1)
    return torch.from_numpy(values), torch.from_numpy(mask.copy())
