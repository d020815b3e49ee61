"""Encoded content of items as slots of a click model: one vector for each modality."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from palate.core.errors import NotFittedError
from palate.core.item_features import ItemFeatures
from palate.modules.bank import ContentBank


class ContentSlots(nn.Module):
    """A linear map of each modality; absent content is zero.

    Args:
        dims: feature -> width.
        dim: width of a slot.
    """

    def __init__(self, dims: Mapping[str, int], dim: int) -> None:
        super().__init__()
        self.names, self.dim = list(dims), dim
        self.maps = nn.ModuleList(nn.Linear(width, dim, bias=False) for width in dims.values())
        self.bank: ContentBank | None = None

    def use(self, features: ItemFeatures, device: torch.device) -> None:
        """Take the features of all items.

        Args:
            features: those that the maps were made for, others are left.
            device: where they are looked up.
        """
        self.bank = ContentBank(features.select(self.names)).to(device) if self.names else None

    def there(self, items: Tensor) -> Tensor:
        """Which content items have, bool [n, modalities].

        Args:
            items: int64 [n]; -1 has none.
        """
        if not self.names or self.bank is None:
            return torch.zeros(len(items), len(self.names), dtype=torch.bool, device=items.device)
        rows = items.clamp(min=0)
        return torch.stack([self.bank.present(name)[rows] for name in self.names], 1) & (items >= 0)[:, None]

    def forward(self, items: Tensor) -> Tensor:
        """Slots float32 [n, modalities, dim].

        Args:
            items: int64 [n]; -1 has no content.
        """
        if not self.names or self.bank is None:
            return torch.zeros(len(items), len(self.names), self.dim, device=items.device)
        parts = []
        for name, linear in zip(self.names, self.maps):
            parts.append(linear(self.unit(name, items)))
        return torch.stack(parts, 1)

    def unit(self, name: str, items: Tensor) -> Tensor:
        """Content of one modality at unit length, float32 [n, width]; zero where it is absent.

        Args:
            name: a modality of :attr:`names`.
            items: int64 [n]; -1 has no content.

        Raises:
            NotFittedError: before :meth:`use`.
        """
        if self.bank is None:
            raise NotFittedError("content is read before it was given", key=name)
        values, present = self.bank.rows(name, items.clamp(min=0))
        return nn.functional.normalize(values, dim=1) * (present & (items >= 0))[:, None]

    def present(self, items: Tensor) -> Tensor:
        """Which modalities items have, bool [n, modalities].

        Args:
            items: int64 [n]; -1 has none.
        """
        if not self.names or self.bank is None:
            return torch.zeros(len(items), len(self.names), dtype=torch.bool, device=items.device)
        rows = items.clamp(min=0)
        return torch.stack([self.bank.present(name)[rows] for name in self.names], 1) & (items >= 0)[:, None]
