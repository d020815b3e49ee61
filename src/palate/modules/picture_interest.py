"""Pictures that a user clicked, aggregated into one vector (DICM: Ge et al., CIKM 2018)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Aggregator = Literal["concat", "sum", "max", "attentive", "multi_query"]


class AttentivePooling(nn.Module):
    """sum_j a_j v_j, a = softmax over j of MLP([v_j ; q]); zero where nothing is there.

    Args:
        dim: width of v.
        query: width of q.
        hidden: width of the hidden layer.
    """

    def __init__(self, dim: int, query: int, hidden: int = 32) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim + query, hidden), nn.PReLU(), nn.Linear(hidden, 1, bias=False))

    def forward(self, values: Tensor, there: Tensor, query: Tensor) -> Tensor:
        """Pooled vectors float32 [n, dim].

        Args:
            values: float32 [n, length, dim].
            there: bool [n, length].
            query: float32 [n, query].
        """
        asked = query[:, None].expand(*values.shape[:2], query.shape[1])
        scores = self.score(torch.cat([values, asked], -1))[..., 0]
        some = there.any(1, keepdim=True)
        weights = scores.masked_fill(~there & some, -torch.inf).softmax(1) * some
        pooled: Tensor = (weights[..., None] * values).sum(1)
        return pooled


class PictureInterest(nn.Module):
    """One of DICM's aggregators over the pictures of a history.

    ``multi_query`` has two attentions, asked by the candidate's picture and by its ids, side by side.

    Args:
        kind: which.
        dim: width of a picture's vector.
        ids: width of the vector of the candidate's ids.
        longest: length of a history.
    """

    def __init__(self, kind: Aggregator, dim: int, ids: int, longest: int) -> None:
        super().__init__()
        self.kind = kind
        queries = {"attentive": [dim], "multi_query": [dim, ids]}.get(kind, [])
        self.attend = nn.ModuleList(AttentivePooling(dim, query) for query in queries)
        self.width = dim * {"concat": longest, "multi_query": 2}.get(kind, 1)

    def forward(self, values: Tensor, there: Tensor, picture: Tensor, ids: Tensor) -> Tensor:
        """Vector of the history, float32 [n, width]; zero without pictures.

        Args:
            values: float32 [n, length, dim], zero where nothing is there.
            there: bool [n, length].
            picture: float32 [n, dim], of the candidate.
            ids: float32 [n, ids], of the candidate.
        """
        if self.kind == "concat":
            return values.flatten(1)
        if self.kind == "sum":
            return values.sum(1)
        if self.kind == "max":
            lowest = values.masked_fill(~there[..., None], -torch.inf).amax(1)
            return torch.where(there.any(1, keepdim=True), lowest, 0.0)
        queries = (picture, ids)
        return torch.cat([attend(values, there, query) for attend, query in zip(self.attend, queries)], 1)
