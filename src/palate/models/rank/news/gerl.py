"""GERL (Ge et al., WWW 2020): articles and readers with their neighbours in the graph of clicks.

An article's text t is self-attention and additive attention over its title, and its topic. One hop: a reader's
clicked articles, pooled by attention over t. Two hops: readers who clicked the same articles, pooled over embeddings of
readers; articles that the same readers clicked, pooled over embeddings of articles and, apart, over their texts.
score = [clicked; own embedding; neighbour readers] . [text; neighbour articles' embeddings; neighbours' texts]. It
contributes the second hop (``neighbours=0`` leaves it out). Neighbours share most clicks in training, at most
``neighbours`` of each; articles and readers without training clicks have none, and are known by text and history.
Our choices: K articles of the same impression as negatives; embeddings instead of a graph attention with edge types.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import InputSpec, models
from palate.core.batch import ImpressionBatch
from palate.core.context import RunContext
from palate.data.views import TrainView
from palate.models.rank.news.nrms import NRMSConfig
from palate.models.rank.shared.news_ranker import NewsRanker, View
from palate.modules.article_parts import AttentivePool, SelfAttention

BLOCK = 1024
"""Rows whose neighbours are counted at once."""


@models.register("gerl")
class GERL(NewsRanker):
    """News recommendation with neighbours in the graph of clicks."""

    name = "gerl"
    paper = "Ge et al., Graph Enhanced Representation Learning for News Recommendation, WWW 2020"

    class Config(NRMSConfig):
        """Settings."""

        views: tuple[View, ...] = Field(("title", "attributes"), description="what is read of an article: title, "
                                        "body, attributes, content, id; what the data lack is left out")  # fmt: skip
        neighbours: int = Field(10, ge=0, description="neighbours of an article and of a reader; 0 leaves them out")

    config: Config
    near_readers: Tensor
    near_articles: Tensor

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        if self.config.neighbours:
            taken = sp.csr_array(train.matrix)
            self.near_readers.copy_(torch.from_numpy(nearest(taken, self.config.neighbours)))
            self.near_articles.copy_(torch.from_numpy(nearest(sp.csr_array(taken.T), self.config.neighbours)))

    def build_parts(self, shape: InputSpec) -> None:
        c, near = self.config, self.config.neighbours
        self.among_words, self.pool_words = SelfAttention(c.dim, c.heads), AttentivePool(c.dim)
        self.pool_clicks = AttentivePool(c.dim)
        self.n_fitted = shape.n_items
        self.readers = nn.Parameter(torch.randn(shape.n_users, c.dim) * 0.1, requires_grad=bool(near))
        self.register_buffer("near_readers", torch.zeros(shape.n_users, near, dtype=torch.int64))
        self.register_buffer("near_articles", torch.zeros(shape.n_items, near, dtype=torch.int64))
        if near:
            self.articles = nn.Parameter(torch.randn(shape.n_items, c.dim) * 0.1)
            self.pools = nn.ModuleList(AttentivePool(c.dim) for _ in range(3))

    def user_tensors(self) -> Mapping[str, slice]:  # type: ignore[override]
        """Embeddings and neighbours of readers."""
        rows = slice(0, len(self.readers))
        return {"readers": rows, "near_readers": rows}

    def text(self, rows: Tensor) -> Tensor:
        """What articles say, float32 [n, dim]."""
        vectors, there = self.tokens(rows, self.views)
        out: Tensor = self.pool_words(self.dropout(self.among_words(vectors, there)), there)
        return out

    def encode(self, rows: Tensor) -> Tensor:
        """Text, neighbours' embeddings and neighbours' texts, float32 [n, 3, dim]; the first alone without any."""
        text = self.text(rows)
        if not self.config.neighbours:
            return text[:, None]
        fitted = (rows >= 0) & (rows < self.n_fitted)
        near = self.near_articles[torch.where(fitted, rows, 0)] * fitted[:, None]
        there = near > 0
        named, place = torch.unique(near - 1, return_inverse=True)
        ids = self.pools[0](F.embedding(near.sub(1).clamp(min=0), self.articles), there)
        texts = self.pools[1](self.text(named)[place], there)
        return torch.stack([text, ids, texts], 1)

    def score(self, candidates: Tensor, clicked: Tensor, there: Tensor, batch: ImpressionBatch) -> Tensor:
        reader = self.known_user(self.pool_clicks(clicked[:, :, 0], there), there)[batch.groups]
        total: Tensor = (reader * candidates[:, 0]).sum(-1)
        if not self.config.neighbours:
            return total
        known = (batch.users >= 0)[:, None]
        rows = batch.users.clamp(min=0)
        near = self.near_readers[rows] * known
        own = F.embedding(rows, self.readers) * known
        others = self.pools[2](F.embedding(near.sub(1).clamp(min=0), self.readers), near > 0)
        total = total + (own * candidates[:, 1]).sum(-1) + (others * candidates[:, 2]).sum(-1)
        return total


def nearest(taken: sp.csr_array, count: int) -> np.ndarray:
    """Rows that share most columns with each row, as row + 1, padded with 0: int64 [n, count].

    Counted for a block of rows at a time; O(sum over columns of degree squared) altogether.

    Args:
        taken: [n, m], ones.
        count: rows kept of each.
    """
    out = np.zeros((taken.shape[0], count), np.int64)
    turned = sp.csr_array(taken.T)
    for start in range(0, taken.shape[0], BLOCK):
        shared = sp.coo_array(taken[start : start + BLOCK] @ turned)
        row, other, number = shared.row + start, shared.col, shared.data
        off = row != other
        row, other, number = row[off], other[off], number[off]
        order = np.lexsort((other, -number, row))
        row, other = row[order], other[order]
        rank = np.arange(len(row)) - np.searchsorted(row, row)
        kept = rank < count
        out[row[kept], rank[kept]] = other[kept] + 1
    return out
