"""One vector of many tokens by learnt attention, and a tower that ends in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from palate.modules.towers import Tokens, make_tower, towers


class AdditiveAttention(nn.Module):
    """``sum_t a_t h_t`` with ``a = softmax_t(q . tanh(W h_t + b))`` over the tokens that are there (Yang et al., 2016).

    Args:
        dim: of the tokens.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden, self.query = nn.Linear(dim, dim), nn.Linear(dim, 1, bias=False)

    def forward(self, tokens: Tokens) -> Tensor:
        """Vectors [B, d]; of a row without tokens it says nothing."""
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
        reader: arguments of :func:`palate.modules.towers.make_tower` for what makes the tokens. dim: their width.
    """

    def __init__(self, reader: Mapping[str, Any], dim: int) -> None:
        super().__init__()
        self.reader = make_tower(**reader)
        self.pool = AdditiveAttention(dim)

    def forward(self, inputs: Tensor) -> Tokens:
        tokens: Tokens = self.reader(inputs)
        return self.pool(tokens)[:, None], tokens[1].any(1, keepdim=True)
