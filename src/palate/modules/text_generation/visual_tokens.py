"""Vectors of pictures as tokens of a language model."""

from __future__ import annotations

from torch import Tensor, nn


class VisualTokens(nn.Module):
    """norm(W_2 tanh(W_1 v)): n tokens of a vector (VIP5).

    Args:
        width: of the vectors.
        dim: of the tokens.
        n: tokens of a vector.
    """

    def __init__(self, width: int, dim: int, n: int) -> None:
        super().__init__()
        hidden = max(dim * n // 2, 1)
        self.n, self.norm = n, nn.LayerNorm(dim)
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, dim * n))

    def forward(self, vectors: Tensor) -> Tensor:
        """Tokens [..., n, dim] of vectors [..., width]."""
        out: Tensor = self.norm(self.layers(vectors).unflatten(-1, (self.n, -1)))
        return out
