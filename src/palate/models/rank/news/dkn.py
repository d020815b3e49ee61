"""DKN (Wang et al., WWW 2018): words, entities and their context are channels of one convolution over a title.

Position t of a title has a word w, the entity e that the word names, and e's context c (the mean over neighbours of e):
channels [w; tanh(M e + b); tanh(M c + b)]. Filters of several windows see all channels at once, max over positions. A
candidate v weighs clicked articles v_j by softmax(MLP([v; v_j])); click = MLP([user; v]). It contributes knowledge
aligned with words (``entities=false`` reads words alone), and a reader that depends on the candidate.
Our choices: no knowledge graph comes with the data, so neighbours of an entity are entities that share articles with
it, and embeddings of entities are learnt; values of attributes are entities (see the shared reader of entities).
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import InputSpec, models
from palate.core.batch import ImpressionBatch
from palate.core.context import RunContext
from palate.data.schema import PADDING
from palate.data.views import TrainView
from palate.models.rank.shared.entities import EntityReader
from palate.models.rank.shared.news_ranker import NewsConfig
from palate.modules.article_parts import WordConvolution, candidate_pool
from palate.modules.interactions import multilayer


@models.register("dkn")
class DKN(EntityReader):
    """News recommendation with a knowledge-aware convolution and attention by the candidate."""

    name = "dkn"
    paper = "Wang et al., DKN: Deep Knowledge-Aware Network for News Recommendation, WWW 2018"

    class Config(NewsConfig):
        """Settings."""

        windows: tuple[int, ...] = Field((1, 2, 3), description="positions that the filters of each kind see")
        entities: bool = Field(True, description="entities and their context are channels beside words")

    config: Config

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        if self.with_entities:
            self.link()

    def build_parts(self, shape: InputSpec) -> None:
        c = self.config
        self.build_entities()
        self.with_entities = self.n_entities > 1 and (c.entities or not self.word_views)
        if self.with_entities:
            self.into = nn.Linear(c.dim, c.dim)
        else:
            self.entity.weight.requires_grad_(False)
        channels = bool(self.word_views) + 2 * self.with_entities
        self.filters = nn.ModuleList(WordConvolution(max(channels, 1) * c.dim, c.dim, one) for one in c.windows)
        self.merge = nn.Linear(len(c.windows) * c.dim, c.dim)
        self.weigh = multilayer(2 * c.dim, (c.dim,), 0.0)
        self.click = multilayer(2 * c.dim, (c.dim,), c.dropout)

    def encode(self, rows: Tensor) -> Tensor:
        if not self.word_views and not self.with_entities:
            values, there = self.tokens(rows, self.views)
            channels = [values]
        else:
            words, ids, there = self.positions(rows)
            channels = [words] if self.word_views else []
            if self.with_entities:
                channels += [self.knowledge(self.entity(ids), ids), self.knowledge(self.around(ids), ids)]
        tokens = torch.cat(channels, -1)
        pooled = torch.cat([filters(tokens, there).amax(1) for filters in self.filters], -1)
        out: Tensor = self.dropout(self.merge(pooled)) * (rows >= 0)[:, None]
        return out

    def knowledge(self, vectors: Tensor, ids: Tensor) -> Tensor:
        """Entities in the space of words, tanh(M e + b); zero where there is none."""
        return torch.tanh(self.into(vectors)) * (ids != PADDING)[..., None]

    def around(self, ids: Tensor) -> Tensor:
        """Mean embedding of the neighbours of entities, float32 [..., dim]."""
        near = self.context[ids]
        count = (near != PADDING).sum(-1, keepdim=True).clamp(min=1)
        total: Tensor = self.entity(near).sum(-2)
        return total / count

    def score(self, candidates: Tensor, clicked: Tensor, there: Tensor, batch: ImpressionBatch) -> Tensor:
        before, seen = clicked[batch.groups], there[batch.groups]
        weights = self.weigh(torch.cat([candidates[:, None].expand_as(before), before], -1))[..., 0]
        reader = self.known_user(candidate_pool(weights, before, seen), seen)
        out: Tensor = self.click(torch.cat([reader, candidates], -1))[:, 0]
        return out
