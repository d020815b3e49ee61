"""DAN (Zhu et al., AAAI 2019): parallel convolutions over words and entities; interest and sequence of the reader.

An article is [max-pooled convolution over words; the same over entities] through a dense layer. The reader's interest
is attention over clicked articles by the candidate, softmax(v . A tanh(B [v_j; v])); the reader's sequence is the same
kind of attention over the states of an LSTM. score = W [interest; sequence] . v. It contributes the sequence beside the
interest (``sequence=false`` leaves it out). Values of attributes are entities (see the shared reader of entities).
Our choices: the dot product instead of a cosine, and K articles of the same impression as negatives.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import InputSpec, models
from palate.core.batch import ImpressionBatch
from palate.data.schema import PADDING
from palate.models.rank.shared.entities import EntityReader
from palate.models.rank.shared.news_ranker import NewsConfig
from palate.modules.article_parts import WordConvolution, candidate_pool, run_recurrent
from palate.modules.interactions import multilayer


@models.register("dan")
class DAN(EntityReader):
    """News recommendation with attention over clicked articles and over their sequence."""

    name = "dan"
    paper = "Zhu et al., DAN: Deep Attention Neural Network for News Recommendation, AAAI 2019"

    class Config(NewsConfig):
        """Settings."""

        window: int = Field(3, ge=1, description="positions that a filter sees")
        sequence: bool = Field(True, description="an LSTM over clicked articles joins the attention over them")

    config: Config

    def build_parts(self, shape: InputSpec) -> None:
        c = self.config
        self.build_entities()
        parts = 0
        if self.word_views or self.n_entities == 1:
            self.word_filters = WordConvolution(c.dim, c.dim, c.window)
            parts += 1
        if self.n_entities > 1:
            self.entity_filters = WordConvolution(c.dim, c.dim, c.window)
            parts += 1
        else:
            self.entity.weight.requires_grad_(False)
        self.merge = nn.Linear(parts * c.dim, c.dim)
        self.interest = multilayer(2 * c.dim, (c.dim,), 0.0)
        if c.sequence:
            self.recurrent = nn.LSTM(c.dim, c.dim, batch_first=True)
            self.moment = multilayer(2 * c.dim, (c.dim,), 0.0)
        self.join = nn.Linear((1 + c.sequence) * c.dim, c.dim)

    def encode(self, rows: Tensor) -> Tensor:
        parts = []
        if self.word_views or self.n_entities == 1:
            words, there = self.tokens(rows, self.word_views or self.views)
            parts.append(self.word_filters(words, there).amax(1))
        if self.n_entities > 1:
            ids = self.entity_ids(rows)
            parts.append(self.entity_filters(self.dropout(self.entity(ids)), ids != PADDING).amax(1))
        out: Tensor = self.dropout(self.merge(torch.cat(parts, -1))) * (rows >= 0)[:, None]
        return out

    def score(self, candidates: Tensor, clicked: Tensor, there: Tensor, batch: ImpressionBatch) -> Tensor:
        seen = there[batch.groups]
        parts = [self.pool(self.interest, candidates, clicked[batch.groups], seen)]
        if self.config.sequence:
            states = run_recurrent(self.recurrent, clicked, there)[batch.groups]
            parts.append(self.pool(self.moment, candidates, states, seen))
        reader = self.known_user(self.join(torch.cat(parts, -1)), seen)
        return (reader * candidates).sum(-1)

    def pool(self, network: nn.Module, candidates: Tensor, vectors: Tensor, there: Tensor) -> Tensor:
        """Vectors [n, length, dim] pooled by how much each bears on the candidate, float32 [n, dim]."""
        weights = network(torch.cat([vectors, candidates[:, None].expand_as(vectors)], -1))[..., 0]
        return candidate_pool(weights, vectors, there)
