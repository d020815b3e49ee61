"""Vectors of users, from their histories or from a table, and the relevance of items to them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.core.batch import RaggedArray


class HistoryUserEncoder(nn.Module):
    """Two layers on the mean vector of a user's history (after Covington et al., RecSys 2016).

    The target item is left out of the mean of its own users. Users with nothing left have a mean of zero, and share the
    image of it under the norm's learnt shift.

    Args:
        history: of each user.
        n_items: rows of the item table.
        dim: of the item table.
        width: of the vectors.
    """

    def __init__(self, history: RaggedArray, n_items: int, dim: int, width: int) -> None:
        super().__init__()
        self.history = history
        self.items = nn.Parameter(torch.randn(n_items, dim))
        # means of long histories are short, and differ little before training: the norm brings them to one scale
        self.layers = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, width))

    def forward(self, users: Tensor, exclude: Tensor | None = None) -> Tensor:
        """Encode users.

        Args:
            users: int64 [B].
            exclude: int64 [B], the item left out of each history.

        Returns:
            Vectors [B, width].
        """
        lists = self.history.take(users.cpu().numpy())
        entries, starts, lengths = (
            torch.from_numpy(a).to(users.device) for a in (lists.items, lists.indptr[:-1], lists.lengths)
        )
        total = F.embedding_bag(entries, self.items, starts, mode="sum")
        if exclude is not None:
            owners = torch.arange(len(users), device=users.device).repeat_interleave(lengths)
            inside = torch.zeros_like(lengths).index_add(0, owners, (entries == exclude[owners]).long())
            total = total - self.items[exclude] * inside[:, None]
            lengths = lengths - inside
        # the remainder of a sum that was subtracted again is rounding, which the norm would amplify
        mean = torch.where(lengths[:, None] > 0, total, 0) / lengths.clamp(min=1)[:, None]
        out: Tensor = self.layers(mean)
        return out


class UserTable(nn.Module):
    """A free vector for each user.

    Args:
        n_users: rows.
        width: of the vectors.
    """

    def __init__(self, n_users: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(n_users, width) * width**-0.5)

    def forward(self, users: Tensor, exclude: Tensor | None = None) -> Tensor:
        """Look up users.

        Args:
            users: int64 [B].
            exclude: ignored; for the interface of :class:`HistoryUserEncoder`.

        Returns:
            Vectors [B, width].
        """
        return self.table[users]


class CosineRelevance(nn.Module):
    """Relevance as the cosine of user and item."""

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores [B, n] of users float32 [B, d] and items [B, n, d]."""
        return F.cosine_similarity(users[:, None], items, dim=2)


class RelevanceNetwork(nn.Module):
    """A two-layer net on user, item and their product; without the product, taste is hard to tell from popularity.

    Args:
        width: d.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.user, self.item = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width, bias=False)
        self.product = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(2 * width, 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores [B, n] of users float32 [B, d] and items [B, n, d]."""
        # a linear map of a concatenation is a sum of linear maps
        hidden = F.gelu(self.user(users)[:, None] + self.item(items) + self.product(users[:, None] * items))
        out: Tensor = self.out(hidden).squeeze(2)
        return out
