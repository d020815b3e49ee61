"""Target attention: a history pooled by how much each of its items bears on a candidate (Zhou et al., KDD 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TargetAttention(nn.Module):
    """u = sum_j w_j v_j / sqrt(n) with w_j = MLP([v_j, q, v_j - q, v_j * q]), which is no softmax.

    The square root keeps long histories from drowning the rest; the paper sums.

    Args:
        dim: width of vectors.
        hidden: width of the hidden layer.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Linear(4 * dim, hidden), nn.PReLU(), nn.Linear(hidden, 1))

    def forward(self, target: Tensor, history: Tensor, there: Tensor) -> Tensor:
        """Pooled history float32 [n, dim]; zero where it is empty.

        Args:
            target: float32 [n, dim].
            history: float32 [n, length, dim].
            there: bool [n, length], False at padding.
        """
        query = target[:, None].expand_as(history)
        weights = self.weigh(torch.cat([history, query, history - query, history * query], -1))[..., 0] * there
        total: Tensor = (weights[..., None] * history).sum(1)
        return total / there.sum(1, keepdim=True).clamp(min=1).sqrt()
