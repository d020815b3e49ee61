"""NRMS (Wu et al., EMNLP 2019): articles and readers by multi-head self-attention, pooled by additive attention.

score = user . article. An article is self-attention over the words of its title, a reader self-attention over the
vectors of clicked articles; both are pooled by softmax(q^T tanh(W x + b)). Learnt by a softmax over one click and K
articles of the same impression that were not clicked. It contributes: words, and clicks, are read in the light of each
other. ``self_attention=false`` pools them as they are. Where there are no titles, attributes and encoded content take
the place of words.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from palate.contracts import InputSpec, models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.news_ranker import NewsConfig, NewsRanker
from palate.modules.article_parts import AttentivePool, SelfAttention


class NRMSConfig(NewsConfig):
    """Settings."""

    heads: int = Field(4, ge=1, description="attention heads; they divide dim")
    self_attention: bool = Field(True, description="words and clicked articles attend to each other")


@models.register("nrms")
class NRMS(NewsRanker):
    """News recommendation with self-attention over words and over clicked articles."""

    name = "nrms"
    paper = "Wu et al., Neural News Recommendation with Multi-Head Self-Attention, EMNLP 2019"
    Config = NRMSConfig
    config: NRMSConfig

    def build_parts(self, shape: InputSpec) -> None:
        c = self.config
        if c.self_attention:
            self.among_words, self.among_clicks = SelfAttention(c.dim, c.heads), SelfAttention(c.dim, c.heads)
        self.pool_words, self.pool_clicks = AttentivePool(c.dim), AttentivePool(c.dim)

    def encode(self, rows: Tensor) -> Tensor:
        vectors, there = self.tokens(rows, self.views)
        mixed = self.dropout(self.among_words(vectors, there)) if self.config.self_attention else vectors
        pooled: Tensor = self.pool_words(mixed, there)
        return pooled

    def reader(self, clicked: Tensor, there: Tensor) -> Tensor:
        """Vectors of readers, float32 [groups, dim].

        Args:
            clicked: float32 [groups, length, dim].
            there: bool [groups, length].
        """
        mixed = self.dropout(self.among_clicks(clicked, there)) if self.config.self_attention else clicked
        return self.known_user(self.pool_clicks(mixed, there), there)

    def score(self, candidates: Tensor, clicked: Tensor, there: Tensor, batch: ImpressionBatch) -> Tensor:
        return (self.reader(clicked, there)[batch.groups] * candidates).sum(-1)
