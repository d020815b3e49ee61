"""EBNR (Okura et al., KDD 2017): articles by a denoising autoencoder that knows categories, readers by a GRU.

An article is the set x of its words; some are hidden, x', and h = sigma(W x' + b) - sigma(b) reconstructs all of them
(binary cross-entropy). A triplet term, log(1 + exp(h0 . h2 - h0 . h1)), pulls articles of a category (h1) together and
others (h2) apart. The reader is the last state of a GRU over clicked articles; score = user . article. It contributes
article vectors that are alike where words and category are, without clicks (``autoencoder=0``, ``triplet=0``). Our
choices: both losses are minimised together with the clicks instead of before them, and clicks are compared with K
articles of their impression. The category is the first attribute; other tokens than words join the set.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import InputSpec, models
from palate.core.batch import ImpressionBatch
from palate.data.schema import FIRST, PADDING
from palate.models.rank.shared.news_ranker import NewsConfig, NewsRanker, View
from palate.modules.article_parts import run_recurrent


@models.register("ebnr")
class EBNR(NewsRanker):
    """News recommendation with denoising article vectors and a recurrent reader."""

    name = "ebnr"
    paper = "Okura et al., Embedding-based News Recommendation for Millions of Users, KDD 2017"

    class Config(NewsConfig):
        """Settings."""

        views: tuple[View, ...] = Field(("title", "body"), description="what is read of an article: title, body, "
                                        "attributes, content, id; what the data lack is left out")  # fmt: skip
        hidden_share: float = Field(0.3, ge=0, lt=1, description="share of words that the autoencoder does not see")
        autoencoder: float = Field(0.3, ge=0, description="weight of the reconstruction")
        triplet: float = Field(0.1, ge=0, description="weight of the triplets of categories")

    config: Config

    def build_parts(self, shape: InputSpec) -> None:
        c = self.config
        self.bias = nn.Parameter(torch.zeros(c.dim))
        self.recurrent = nn.GRU(c.dim, c.dim, batch_first=True)
        self.reads_words = "title" in self.views or "body" in self.views
        if self.reads_words and c.autoencoder:
            self.decoder = nn.Linear(c.dim, self.vocabulary.size)

    def hidden(self, rows: Tensor, shown: float = 1.0) -> Tensor:
        """sigma(W x + b) - sigma(b), float32 [n, dim], where each token of x is seen with probability ``shown``."""
        vectors, there = self.tokens(rows, self.views)
        if shown < 1:
            there = there & (torch.rand(there.shape, device=there.device) < shown)
        total = (vectors * there[..., None]).sum(1)
        return torch.sigmoid(total + self.bias) - torch.sigmoid(self.bias)

    def encode(self, rows: Tensor) -> Tensor:
        return self.hidden(rows)

    def score(self, candidates: Tensor, clicked: Tensor, there: Tensor, batch: ImpressionBatch) -> Tensor:
        reader = self.known_user(run_recurrent(self.recurrent, clicked, there)[:, -1], there)
        return (reader[batch.groups] * candidates).sum(-1)

    def loss(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        c, terms = self.config, dict(super().loss(batch))
        rows = torch.unique(batch.items)
        if c.autoencoder and self.reads_words:
            terms["autoencoder"] = self.reconstruction(rows)
            terms["loss"] = terms["loss"] + c.autoencoder * terms["autoencoder"]
        if c.triplet and self.attributes and len(rows) > 2:
            category = self.tables.rows(self.attributes[0].name, rows)
            category = category if category.ndim == 1 else category[:, 0]
            terms["triplet"] = category_triplets(self.hidden(rows), category)
            terms["loss"] = terms["loss"] + c.triplet * terms["triplet"]
        return terms

    def reconstruction(self, rows: Tensor) -> Tensor:
        """Cross-entropy of all words of articles given some of them, the mean over articles and the vocabulary."""
        logits = self.decoder(self.hidden(rows, 1 - self.config.hidden_share))
        ids = torch.cat([self.words.rows(view, rows) for view in self.views if view in ("title", "body")], 1)
        truth = torch.zeros_like(logits).scatter_(1, ids, 1.0)
        # the mean, so that the loss does not grow with the vocabulary and drown the clicks
        return F.binary_cross_entropy_with_logits(logits[:, FIRST:], truth[:, FIRST:])


def category_triplets(vectors: Tensor, category: Tensor) -> Tensor:
    """Mean of log(1 + exp(h0 . h2 - h0 . h1)) over articles; h1 is the next of its category, h2 of another one.

    Args:
        vectors: float32 [n, dim].
        category: int64 [n], 0 where unknown.
    """
    n = len(vectors)
    order = category.argsort(stable=True)
    sizes = torch.bincount(category)
    start, size = (sizes.cumsum(0) - sizes)[category[order]], sizes[category[order]]
    place = torch.arange(n, device=order.device)
    alike = order[start + (place - start + 1) % size]
    # the article as far behind the end of the category as this one is behind its beginning
    other = order[(start + size + (place - start)) % n]
    able = (size > 1) & (size < n) & (category[order] != PADDING) & (category[other] != category[order])
    gap = (vectors[order] * (vectors[other] - vectors[alike])).sum(-1)
    return (F.softplus(gap) * able).sum() / able.sum().clamp(min=1)
