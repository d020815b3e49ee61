"""A Transformer over the items of a history, in order."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BehaviourTransformer(nn.Module):
    """Self-attention over items with learnt embeddings of their places, counted from the newest.

    Args:
        dim: width of tokens.
        longest: tokens of a sequence at most.
        layers: number of layers.
        heads: attention heads; they divide ``dim``.
    """

    def __init__(self, dim: int, longest: int, layers: int, heads: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(longest, dim) * 0.02)
        layer = nn.TransformerEncoderLayer(dim, heads, 4 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """States float32 [n, T, dim]; zero at padding.

        Args:
            tokens: float32 [n, T, dim], oldest first.
            there: bool [n, T], False at padding, which is on the left.
        """
        # a sequence of nothing still attends to something, and is set to zero below
        hidden = ~there & there.any(1, keepdim=True)
        placed = tokens + self.places[-tokens.shape[1] :]
        states: Tensor = self.layers(placed, src_key_padding_mask=hidden)
        return states * there[..., None]
