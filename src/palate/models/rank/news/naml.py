"""NAML (Wu et al., IJCAI 2019): an article is several views, weighed by attention; so is a reader's history.

Title and body: words -> convolution -> additive attention. Category, subcategory and other attributes: embedding ->
dense layer -> relu. The views of an article, and the articles that a reader clicked, are pooled by additive attention;
score = user . article. It contributes attention over views (``view_attention=false`` takes their mean).
Encoded content, where ``views`` asks for it, is one view for each modality.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import InputSpec, models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.news_ranker import NewsConfig, NewsRanker, View
from palate.modules.article_parts import AttentivePool, WordConvolution


@models.register("naml")
class NAML(NewsRanker):
    """News recommendation with attentive multi-view learning."""

    name = "naml"
    paper = "Wu et al., Neural News Recommendation with Attentive Multi-View Learning, IJCAI 2019"

    class Config(NewsConfig):
        """Settings."""

        views: tuple[View, ...] = Field(("title", "body", "attributes"), description="views of an article: title, "
                                        "body, attributes, content, id; what the data lack is left out")  # fmt: skip
        window: int = Field(3, ge=1, description="words that a filter sees")
        view_attention: bool = Field(True, description="views are weighed by attention; else their mean")

    config: Config

    def build_parts(self, shape: InputSpec) -> None:
        c = self.config
        texts = [view for view in self.views if view in ("title", "body")]
        self.filters = nn.ModuleDict({view: WordConvolution(c.dim, c.dim, c.window) for view in texts})
        self.pools = nn.ModuleDict({view: AttentivePool(c.dim) for view in texts})
        self.dense = nn.ModuleList(nn.Linear(c.dim, c.dim) for _ in self.several)
        # one view alone has no weight to learn
        self.weighed = c.view_attention and len(texts) + len(self.several) + len(self.content.names) > 1
        if self.weighed:
            self.pool_views = AttentivePool(c.dim)
        self.pool_clicks = AttentivePool(c.dim)

    def encode(self, rows: Tensor) -> Tensor:
        vectors, masks = [], []
        for view in self.views:
            values, there = self.tokens(rows, [view])
            if view in ("title", "body"):
                filtered = self.dropout(self.filters[view](values, there))
                values, there = self.pools[view](filtered, there)[:, None], there.any(1, keepdim=True)
            vectors.append(values)
            masks.append(there)
        views, there = torch.cat(vectors, 1), torch.cat(masks, 1)
        if len(self.dense):
            first = sum(one.shape[1] for view, one in zip(self.views, vectors) if view in ("title", "body"))
            facts = views[:, first : first + len(self.dense)]
            mapped = torch.stack([F.relu(dense(facts[:, at])) for at, dense in enumerate(self.dense)], 1)
            views = torch.cat([views[:, :first], mapped, views[:, first + len(self.dense) :]], 1)
        if self.weighed:
            pooled: Tensor = self.pool_views(views, there)
            return pooled
        return (views * there[..., None]).sum(1) / there.sum(1, keepdim=True).clamp(min=1)

    def score(self, candidates: Tensor, clicked: Tensor, there: Tensor, batch: ImpressionBatch) -> Tensor:
        reader = self.known_user(self.pool_clicks(clicked, there), there)
        return (reader[batch.groups] * candidates).sum(-1)
