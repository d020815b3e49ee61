"""One vector of many tokens by learnt attention, and a tower that ends in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from palate.modules.towers import Tokens, make_tower, towers


class AdditiveAttention(nn.Module):
    """``sum_t a_t h_t`` with ``a = softmax_t(q . tanh(W h_t + b))`` over the present tokens (Yang et al., 2016).

    Args:
        dim: width of the tokens.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden, self.query = nn.Linear(dim, dim), nn.Linear(dim, 1, bias=False)

    def forward(self, tokens: Tokens) -> Tensor:
        """Vectors [B, d]; meaningless for a row without tokens."""
        values, mask = tokens
        scores = self.query(torch.tanh(self.hidden(values)))[:, :, 0]
        # the lowest number, not minus infinity: a row that hides all would be NaN
        weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(1)
        out: Tensor = (weights[:, :, None] * values).sum(1)
        return out


@towers.register("attended")
class Attended(nn.Module):
    """A tower whose tokens become a single one by attention.

    Args:
        reader: arguments of :func:`palate.modules.towers.make_tower` for the tower that makes the tokens.
        dim: width of the tokens.
    """

    def __init__(self, reader: Mapping[str, Any], dim: int) -> None:
        super().__init__()
        self.reader = make_tower(**reader)
        self.pool = AdditiveAttention(dim)

    def forward(self, inputs: Tensor) -> Tokens:
        """One token [B, 1, d] and its mask."""
        tokens: Tokens = self.reader(inputs)
        return self.pool(tokens)[:, None], tokens[1].any(1, keepdim=True)
