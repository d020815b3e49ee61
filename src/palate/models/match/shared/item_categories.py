"""Categories of items as a matcher reads them: the values of single columns of attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from palate.core.errors import ConfigError, did_you_mean
from palate.core.item_features import ItemFeatures

PREFIX = "values_"
"""Begins the names of features that are the values of one column, see :mod:`palate.features.fields`."""


def chosen_categories(named: Sequence[str], fields: Mapping[str, int]) -> dict[str, int]:
    """Levels of the tree of categories.

    Args:
        named: attributes, the root first; empty takes the one with the fewest values.
        fields: feature of a single column -> its width.

    Returns:
        Feature -> number of values; nothing where no attribute is known and none was named.

    Raises:
        ConfigError: for an attribute that is not there.
    """
    able = {name.removeprefix(PREFIX): width for name, width in fields.items() if name.startswith(PREFIX)}
    for name in named:
        if name not in able:
            raise ConfigError("items have no such attribute", key=f"categories={name}", hint=did_you_mean(name, able))
    names = named or sorted(able, key=lambda name: (able[name], name))[:1]
    return {f"{PREFIX}{name}": able[name] for name in names}


class ItemCategories(nn.Module):
    """Which values every item has, as shares that sum to one. It holds no weights and is not saved.

    Args:
        sizes: feature -> number of values.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.sizes = dict(sizes)
        self._tables: dict[str, Tensor] = {}

    def load(self, features: ItemFeatures, device: torch.device) -> None:
        """Take the categories of all items.

        Args:
            features: of all items.
            device: where they are looked up.
        """
        self._tables = {}
        for name, width in self.sizes.items():
            shares = np.zeros((features.n_items, width), np.float32)
            if name in features:
                values = np.where(features[name].present[:, None], features[name].values, 0) > 0
                shares = (values / np.maximum(values.sum(1, keepdims=True), 1)).astype(np.float32)
            self._tables[name] = torch.from_numpy(shares).to(device)

    def of(self, name: str, rows: Tensor | None = None) -> Tensor:
        """Shares float32 [n, values]; zero where the category is unknown.

        Args:
            name: of the level.
            rows: int64 [n], items; None for all.
        """
        table = self._tables[name]
        return table if rows is None else table[rows.to(table.device)]
