"""A user's interests out of the titles the user took: genuine, sequential and flash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from palate.modules.text_generation.copying import clip_unknown, masked_attention, source_mask

Interest = Literal["genuine", "sequential", "flash"]


class AttentivePooling(nn.Module):
    """Additive attention: sum of softmax(q^T tanh(W x + b)) x; zero where nothing is present.

    Args:
        dim: width.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden, self.query = nn.Linear(dim, dim), nn.Linear(dim, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Pool [..., T, d] with a mask bool [..., T] to [..., d]."""
        weights = masked_attention(self.query(self.hidden(x).tanh()).squeeze(-1), mask)
        return (weights[..., None, :] @ x).squeeze(-2)


class TitleEncoder(nn.Module):
    """A vector of a title and of the entities that it is about, here the attribute values of the item.

    Args:
        vocabulary: number of words.
        dim: width.
        entities: False reads titles alone.
    """

    def __init__(self, vocabulary: int, dim: int, entities: bool = True) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim, padding_idx=0)
        self.title, self.entity = AttentivePooling(dim), AttentivePooling(dim) if entities else None
        self.out = nn.Linear(2 * dim if entities else dim, dim)

    def forward(self, title: Tensor, entities: Tensor) -> Tensor:
        """Vectors [..., d] of titles int64 [..., T] with entities int64 [..., A]."""
        parts = [self._pool(self.title, title)]
        parts += [] if self.entity is None else [self._pool(self.entity, entities)]
        out: Tensor = self.out(torch.cat(parts, -1))
        return out

    def _pool(self, pooling: nn.Module, ids: Tensor) -> Tensor:
        out: Tensor = pooling(self.words(clip_unknown(ids, self.words.num_embeddings)), source_mask(ids))
        return out


class InterestEncoder(nn.Module):
    """A vector of a user.

    Genuine interest is attention over all titles taken, sequential interest the last state of a GRU over them, flash
    interest the attention of the newest title over the last few. A user without a history has the vector of zeros
    under the last layer.

    Args:
        dim: width.
        interests: which of them there are.
        flash: titles that flash interest looks at.
    """

    def __init__(self, dim: int, interests: Sequence[Interest], flash: int = 3) -> None:
        super().__init__()
        self.interests, self.flash = tuple(interests), flash
        self.genuine, self.sequential = AttentivePooling(dim), nn.GRUCell(dim, dim)
        self.query = nn.Linear(dim, dim)
        self.out = nn.Linear(len(self.interests) * dim, dim)

    def forward(self, taken: Tensor, mask: Tensor) -> Tensor:
        """Vectors [B, d] of users.

        Args:
            taken: vectors of titles [B, N, d], oldest first.
            mask: bool [B, N].
        """
        parts = {"genuine": self._genuine, "sequential": self._sequential, "flash": self._flash}
        out: Tensor = self.out(torch.cat([parts[name](taken, mask) for name in self.interests], 1))
        return out

    def _genuine(self, taken: Tensor, mask: Tensor) -> Tensor:
        out: Tensor = self.genuine(taken, mask)
        return out

    def _sequential(self, taken: Tensor, mask: Tensor) -> Tensor:
        state = taken.new_zeros(len(taken), taken.shape[2])
        for at in range(taken.shape[1]):
            state = torch.where(mask[:, at : at + 1], self.sequential(taken[:, at], state), state)
        return state

    def _flash(self, taken: Tensor, mask: Tensor) -> Tensor:
        if not taken.shape[1]:
            return taken.new_zeros(len(taken), taken.shape[2])
        place = torch.arange(taken.shape[1], device=taken.device)
        newest = torch.where(mask, place, -1).amax(1)
        query = taken[torch.arange(len(taken), device=taken.device), newest.clamp(min=0)]
        left = mask.flip(1).cumsum(1).flip(1)
        recent = mask & (left <= self.flash)
        scores = (taken @ self.query(query)[..., None]).squeeze(2) / taken.shape[2] ** 0.5
        return (masked_attention(scores, recent)[:, None] @ taken).squeeze(1)
