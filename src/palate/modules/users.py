"""Users as vectors, from what they took or from a table."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.core.batch import RaggedArray


class HistoryUsers(nn.Module):
    """Two layers on the mean vector of what a user took (after Covington et al., RecSys 2016).

    The item in question never speaks for its own taker: it is left out of the mean. Users with nothing left have a mean
    of zero, and share what the norm's learnt shift makes of it.

    Args:
        history: of each user. n_items: rows of the table. dim: of the table. width: of the vectors.
    """

    def __init__(self, history: RaggedArray, n_items: int, dim: int, width: int) -> None:
        super().__init__()
        self.history = history
        self.items = nn.Parameter(torch.randn(n_items, dim))
        # means of long histories are short, and differ little before training: the norm brings them to one scale
        self.layers = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, width))

    def forward(self, users: Tensor, without: Tensor | None = None) -> Tensor:
        """Vectors [B, width].

        Args:
            users: int64 [B]. without: int64 [B], the item that each history is read without.
        """
        lists = self.history.take(users.cpu().numpy())
        entries, starts, lengths = (
            torch.from_numpy(a).to(users.device) for a in (lists.items, lists.indptr[:-1], lists.lengths)
        )
        total = F.embedding_bag(entries, self.items, starts, mode="sum")
        if without is not None:
            owners = torch.arange(len(users), device=users.device).repeat_interleave(lengths)
            inside = torch.zeros_like(lengths).index_add(0, owners, (entries == without[owners]).long())
            total = total - self.items[without] * inside[:, None]
            lengths = lengths - inside
        # what is left of a sum that was taken away again is rounding, which the norm would blow up
        mean = torch.where(lengths[:, None] > 0, total, 0) / lengths.clamp(min=1)[:, None]
        out: Tensor = self.layers(mean)
        return out


class TableUsers(nn.Module):
    """A free vector for each user.

    Args:
        n_users: rows. width: of the vectors.
    """

    def __init__(self, n_users: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(n_users, width) * width**-0.5)

    def forward(self, users: Tensor, without: Tensor | None = None) -> Tensor:
        """Vectors [B, width]; ``without`` changes nothing."""
        return self.table[users]
