"""A vector, and beside it what a linear map tells of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.towers import Tokens, towers


@towers.register("taught")
class Taught(nn.Module):
    """``[u, w v]``: u = (x - mean) / scale, of length 1, and v = A u, of length 1. One token.

    Untrained, A is random, and cosines of v are about those of u (Johnson & Lindenstrauss 1984).

    Args:
        inputs: width of x [B, inputs]. dim: of both together. weight: w.
    """

    final = True

    def __init__(self, inputs: int, dim: int, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.map = nn.Parameter(torch.randn(dim - inputs, inputs) / (dim - inputs) ** 0.5)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))

    def level(self, values: Tensor) -> Tensor:
        """u [B, inputs] of x."""
        return F.normalize((values - self.get_buffer("mean")) / self.get_buffer("scale"), dim=1)

    def forward(self, values: Tensor) -> Tokens:
        u = self.level(values.float())
        told = F.normalize(u @ self.map.T, dim=1)
        return torch.cat([u, self.weight * told], 1)[:, None], torch.ones(len(u), 1, dtype=torch.bool, device=u.device)
