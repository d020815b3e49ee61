"""Learned queries that read a picture and talk to a text through self-attention that both share (Q-Former)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from palate.modules.attention import Attention
from palate.modules.stream import Words
from palate.modules.towers import Tokens, make_tower, towers

Rule = Literal["apart", "together", "causal"]


def attention_rule(rule: Rule, queries: int, words: Tensor) -> Tensor:
    """Who sees whom: bool [B, Q + T, Q + T], True where the token of a row sees that of a column.

    ``apart``: queries see queries, words see words. ``together``: all see all. ``causal``: queries see queries, a word
    sees the queries, itself and earlier words. Padding is seen by nobody but itself.

    Args:
        rule: one of the three. queries: their number Q. words: bool [B, T], words that are there.
    """
    length = words.shape[1]
    is_query = torch.arange(queries + length, device=words.device) < queries
    own = is_query[:, None] == is_query[None, :]
    if rule == "together":
        own = torch.ones_like(own)
    elif rule == "causal":
        order = torch.ones_like(own).tril()
        own = torch.where(is_query[:, None], is_query[None, :], order)
    there = torch.cat([words.new_ones(len(words), queries), words], 1)
    itself = torch.eye(queries + length, dtype=torch.bool, device=words.device)
    return (own & there[:, None, :]) | itself


class QFormer(nn.Module):
    """Pre-norm blocks: self-attention of queries and words, in every second block cross-attention of the queries to the
    picture, then a feed-forward net of the queries' own and one of the words' own.

    Args:
        dim, queries, layers, heads: sizes. dropout: while training.
    """

    def __init__(self, dim: int, queries: int = 8, layers: int = 2, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, dim) * 0.02)
        self.blocks = nn.ModuleList(_Block(dim, heads, dropout, i % 2 == 0) for i in range(layers))
        self.query_norm, self.word_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, picture: Tensor | None, words: Tokens | None, rule: Rule = "together") -> tuple[Tensor, Tensor]:
        """States of the queries [B, Q, d] and of the words [B, T, d].

        Args:
            picture: tokens [B, R, d]; without it there are no queries (Q = 0).
            words: embedded words and their mask; without them T = 0. rule: see :func:`attention_rule`.

        Raises:
            ValueError: when there is neither.
        """
        if words is not None:
            asked, there = words
        elif picture is not None:
            asked, there = picture[:, :0], picture.new_ones(len(picture), 0, dtype=torch.bool)
        else:
            raise ValueError("a picture, words, or both")
        queries = asked[:, :0] if picture is None else self.queries.expand(len(picture), -1, -1)
        allowed = attention_rule(rule, queries.shape[1], there)
        for block in self.blocks:
            queries, asked = block(queries, asked, picture, allowed)
        return self.query_norm(queries), self.word_norm(asked)


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
class QueriedPictures(nn.Module):
    """Pictures as what the queries found in them.

    Args:
        dim: width. former: further arguments of :class:`QFormer`. reader: of the tower that takes pictures in.
    """

    def __init__(self, dim: int, former: Mapping[str, Any], reader: Mapping[str, Any]) -> None:
        super().__init__()
        self.reader, self.former = make_tower(**reader), QFormer(dim, **former)

    def forward(self, pictures: Tensor) -> Tokens:
        found, _ = self.former(self.reader(pictures)[0], None)
        return found, found.new_ones(found.shape[:2], dtype=torch.bool)


@towers.register("qformer-text")
class SpokenWords(nn.Module):
    """Token ids [B, T] as their first token's state, which speaks for the text.

    Args:
        dim: width. vocabulary, length: of :class:`Words`. former: further arguments of :class:`QFormer`.
    """

    def __init__(self, dim: int, vocabulary: int, length: int, former: Mapping[str, Any]) -> None:
        super().__init__()
        self.reader, self.former = Words(vocabulary, dim, length), QFormer(dim, **former)

    def forward(self, ids: Tensor) -> Tokens:
        tokens = self.reader(ids)
        _, found = self.former(None, tokens)
        return found[:, :1], tokens[1][:, :1]
