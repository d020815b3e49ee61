"""How well users and items go together: users float32 [B, d], items [B, n, d] -> scores [B, n]."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Cosine(nn.Module):
    """The cosine."""

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        return F.cosine_similarity(users[:, None], items, dim=2)


class Layers(nn.Module):
    """A two-layer net on both vectors and their product, without which likes are slow to be told from popularity.

    Args:
        width: d.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.user, self.item = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width, bias=False)
        self.product = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(2 * width, 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        # a linear map of a concatenation is a sum of linear maps
        hidden = F.gelu(self.user(users)[:, None] + self.item(items) + self.product(users[:, None] * items))
        out: Tensor = self.out(hidden).squeeze(2)
        return out
