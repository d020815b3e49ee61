"""Learnt queries that attend to a picture, and to a text through shared self-attention (Q-Former)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from palate.modules.attention import Attention
from palate.modules.stream import TokenEmbedding
from palate.modules.towers import Tokens, make_tower, towers

AttentionPattern = Literal["apart", "together", "causal"]


def attention_mask(pattern: AttentionPattern, queries: int, words: Tensor) -> Tensor:
    """Attention mask of queries followed by words, True where a token attends to another.

    ``apart``: queries attend to queries, words to words. ``together``: all attend to all. ``causal``: queries attend to
    queries, a word to the queries, itself and earlier words. Padding attends only to itself, and nothing else to it.

    Args:
        pattern: one of the three.
        queries: their number Q.
        words: bool [B, T], False for padding.

    Returns:
        bool [B, Q + T, Q + T].
    """
    length = words.shape[1]
    is_query = torch.arange(queries + length, device=words.device) < queries
    own = is_query[:, None] == is_query[None, :]
    if pattern == "together":
        own = torch.ones_like(own)
    elif pattern == "causal":
        order = torch.ones_like(own).tril()
        own = torch.where(is_query[:, None], is_query[None, :], order)
    present = torch.cat([words.new_ones(len(words), queries), words], 1)
    itself = torch.eye(queries + length, dtype=torch.bool, device=words.device)
    return (own & present[:, None, :]) | itself


class QFormer(nn.Module):
    """Pre-norm blocks over queries and words.

    Self-attention of queries and words, in every second block cross-attention of the queries to the picture, then a
    feed-forward net of the queries' own and one of the words' own.

    Args:
        dim: width.
        queries: their number.
        layers: number of blocks.
        heads: of the attention.
        dropout: while training.
    """

    def __init__(self, dim: int, queries: int = 8, layers: int = 2, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, dim) * 0.02)
        self.blocks = nn.ModuleList(_Block(dim, heads, dropout, i % 2 == 0) for i in range(layers))
        self.query_norm, self.word_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(
        self, picture: Tensor | None, words: Tokens | None, pattern: AttentionPattern = "together"
    ) -> tuple[Tensor, Tensor]:
        """States of the queries [B, Q, d] and of the words [B, T, d].

        Args:
            picture: tokens [B, R, d]; without it there are no queries (Q = 0).
            words: embedded words and their mask; without them T = 0.
            pattern: see :func:`attention_mask`.

        Raises:
            ValueError: neither a picture nor words are given.
        """
        if words is not None:
            text, mask = words
        elif picture is not None:
            text, mask = picture[:, :0], picture.new_ones(len(picture), 0, dtype=torch.bool)
        else:
            raise ValueError("a picture, words, or both are needed")
        queries = text[:, :0] if picture is None else self.queries.expand(len(picture), -1, -1)
        allowed = attention_mask(pattern, queries.shape[1], mask)
        for block in self.blocks:
            queries, text = block(queries, text, picture, allowed)
        return self.query_norm(queries), self.word_norm(text)


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int, dropout: float, crosses: bool) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(dim), Attention(dim, heads)
        self.cross_norm = nn.LayerNorm(dim) if crosses else None
        self.cross = Attention(dim, heads) if crosses else None
        self.query_net, self.word_net = (
            nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
            for _ in range(2)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, queries: Tensor, words: Tensor, picture: Tensor | None, allowed: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([queries, words], 1)
        normed = self.norm(both)
        both = both + self.drop(self.attention(normed, normed, allowed))
        queries, words = both.split([queries.shape[1], words.shape[1]], 1)
        if self.cross is not None and self.cross_norm is not None and picture is not None:
            queries = queries + self.drop(self.cross(self.cross_norm(queries), picture))
        return queries + self.drop(self.query_net(queries)), words + self.drop(self.word_net(words))


@towers.register("qformer-image")
class QFormerImageTower(nn.Module):
    """States of the queries after attention to a picture.

    Args:
        dim: width.
        former: further arguments of :class:`QFormer`.
        reader: arguments of :func:`palate.modules.towers.make_tower` for the tower that encodes pictures.
    """

    def __init__(self, dim: int, former: Mapping[str, Any], reader: Mapping[str, Any]) -> None:
        super().__init__()
        self.reader, self.former = make_tower(**reader), QFormer(dim, **former)

    def forward(self, pictures: Tensor) -> Tokens:
        """Tokens [B, Q, d] and their mask."""
        states, _ = self.former(self.reader(pictures)[0], None)
        return states, states.new_ones(states.shape[:2], dtype=torch.bool)


@towers.register("qformer-text")
class QFormerTextTower(nn.Module):
    """State of a text's first token, which represents the text.

    Args:
        dim: width.
        vocabulary: of :class:`palate.modules.stream.TokenEmbedding`.
        length: of :class:`palate.modules.stream.TokenEmbedding`.
        former: further arguments of :class:`QFormer`.
    """

    def __init__(self, dim: int, vocabulary: int, length: int, former: Mapping[str, Any]) -> None:
        super().__init__()
        self.reader, self.former = TokenEmbedding(vocabulary, dim, length), QFormer(dim, **former)

    def forward(self, ids: Tensor) -> Tokens:
        """One token [B, 1, d] of ids [B, T], and its mask."""
        tokens = self.reader(ids)
        _, states = self.former(None, tokens)
        return states[:, :1], tokens[1][:, :1]
