"""Neighbourhoods of items that share a value, such as the advertiser."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NeighbourHubs(nn.Module):
    """h_i = W mean over fields f of mean_{j != i, f(j) = f(i)} x_j; zero where nothing is shared.

    Items and the values that they share are a bipartite graph, of which these are neighbours at two steps (GraphSAGE's
    mean: Hamilton et al., NeurIPS 2017). O(items fields dim) a step.

    Args:
        ids: number of ids of items; 0 and 1 are no item that training knows.
        dim: width of x.
    """

    def __init__(self, ids: int, dim: int) -> None:
        super().__init__()
        self.nodes = nn.Parameter(torch.randn(ids, dim) * 0.1)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, rows: Tensor, items: Tensor, values: list[Tensor]) -> Tensor:
        """Vectors of neighbourhoods, float32 [n, dim].

        Args:
            rows: int64 [n], items.
            items: int64 [n_items], the id of each item.
            values: for each field int64 [n_items], the value of each item; 0 and 1 are unknown.
        """
        fitted = (items > 1).nonzero()[:, 0]
        x = self.nodes[items[fitted]]
        own = self.nodes[items[rows]] * (items[rows] > 1)[:, None]
        total = own * 0
        shared = total[:, :1]
        for column in values:
            size, place = int(column.max()) + 1, column[fitted]
            sums = x.new_zeros(size, x.shape[1]).index_add(0, place, x)
            counts = x.new_zeros(size).index_add(0, place, x.new_ones(len(place)))
            value = column[rows]
            count = (counts[value] - (items[rows] > 1).float())[:, None]
            there = (count > 0) & (value > 1)[:, None]
            total = total + torch.where(there, (sums[value] - own) / count.clamp(min=1), 0.0)
            shared = shared + there
        return torch.as_tensor(self.out(total / shared.clamp(min=1)))
