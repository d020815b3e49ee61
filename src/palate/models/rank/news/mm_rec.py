"""MM-Rec (Wu et al., SIGIR 2022): titles and pictures read together; both decide which clicked articles matter.

Words and regions of the picture attend to each other (co-attention, ViLBERT), and each stream is pooled by additive
attention: r_t and r_p. A candidate c weighs clicked articles by four relatednesses, a^{xy}_i = softmax_i(r_y^c W_xy
r_x^i / sqrt(dim)) for x, y in {text, picture}: u_t = sum_i (a^{tt}_i + a^{tp}_i) r_t^i, u_p = sum_i (a^{pt}_i +
a^{pp}_i) r_p^i; score = (u_t + u_p) . (r_t^c + r_p^c). It contributes attention across modalities by the candidate
(``crossmodal=false`` leaves a^{tp} and a^{pt} out, ``pictures=false`` all of the picture). Our choices: regions are the
cells of a grid over a picture's map (an encoder with ``output=map``), or the whole picture where it is one vector;
their encoder stays as it is, and the co-attention is trained from the start. What is absent weighs nothing.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import InputSpec, models
from palate.core.batch import ImpressionBatch
from palate.core.content import Features
from palate.core.item_features import ItemFeatures
from palate.data.dataset import Dataset
from palate.features.plan import ContentPlan
from palate.models.rank.news.nrms import NRMSConfig
from palate.models.rank.shared.news_ranker import NewsRanker
from palate.modules.article_parts import AttentivePool, SelfAttention, candidate_pool
from palate.modules.interactive import CoAttention
from palate.modules.regions import grid_boxes

Stream = Literal["text", "picture"]


@models.register("mm_rec")
class MMRec(NewsRanker):
    """News recommendation with attention across modalities by the candidate."""

    name = "mm_rec"
    paper = "Wu et al., MM-Rec: Visiolinguistic Model Empowered Multimodal News Recommendation, SIGIR 2022"

    class Config(NRMSConfig):
        """Settings."""

        pictures: bool = Field(True, description="pictures are read beside titles")
        crossmodal: bool = Field(True, description="texts weigh pictures and pictures weigh texts")
        grid: int = Field(3, ge=1, description="regions along each side of a picture's map")

    config: Config
    regions: Tensor

    def readable_content(self, plan: ContentPlan, data: Dataset) -> ContentPlan:
        """Pictures, beside what the views ask for."""
        views = super().readable_content(plan, data)
        shown = [name for name in plan.names if name.partition(".")[0] == "image" and self.config.pictures]
        return views if views.names or not shown else plan.only(shown)

    def build_parts(self, shape: InputSpec) -> None:
        c = self.config
        sizes = {name: (size[0], c.grid**2) for name, size in self.maps.items()}
        sizes |= {name: (width, 1) for name, width in shape.features.items()}
        shown = [name for name in sizes if name.partition(".")[0] == "image"]
        # maps come first: they have regions
        self.picture = shown[0] if shown and c.pictures else None
        self.streams: list[Stream] = ["text", "picture"] if self.picture else ["text"]
        width, count = sizes[self.picture] if self.picture else (0, 0)
        self.register_buffer("regions", torch.zeros(0, count, width, dtype=torch.float16), persistent=False)
        self.among_words, self.pool_words = SelfAttention(c.dim, c.heads), AttentivePool(c.dim)
        if self.picture:
            self.look, self.place = nn.Linear(width, c.dim), nn.Linear(7, c.dim, bias=False)
            self.register_buffer("boxes", grid_boxes(count), persistent=False)
            self.to_picture, self.to_text = (CoAttention(c.dim, c.heads, c.dropout) for _ in range(2))
            self.pool_regions = AttentivePool(c.dim)
        pairs = [(x, y) for x in self.streams for y in self.streams if x == y or c.crossmodal]
        self.related = nn.ModuleDict({f"{x}_{y}": nn.Linear(c.dim, c.dim, bias=False) for x, y in pairs})

    def update_items(self, features: ItemFeatures) -> None:
        super().update_items(features)
        if self.picture is not None and self.picture in features:
            self.regions = regions_of(features[self.picture], self.config.grid).to(self.device)

    def encode(self, rows: Tensor) -> Tensor:
        """r_t and r_p of articles, float32 [n, streams, dim]; zero where absent."""
        words, there = self.tokens(rows, self.views)
        words = words + self.dropout(self.among_words(words, there))
        if self.picture is None:
            pooled: Tensor = self.pool_words(words, there)
            return pooled[:, None]
        cells = self.regions[rows.clamp(min=0)].float()
        shown = (cells.abs().sum(-1) > 0) & (rows >= 0)[:, None]
        regions = self.dropout(self.look(cells) + self.place(self.boxes)) * shown[..., None]
        text = self.pool_words(self.to_picture(words, (regions, shown)), there)
        picture = self.pool_regions(self.to_text(regions, (words, there)), shown)
        return torch.stack([text, picture], 1)

    def score(self, candidates: Tensor, clicked: Tensor, there: Tensor, batch: ImpressionBatch) -> Tensor:
        before, seen = clicked[batch.groups], there[batch.groups]
        reader = torch.zeros_like(candidates[:, 0])
        for x, stream in enumerate(self.streams):
            vectors = before[:, :, x]
            able = seen & (vectors.abs().sum(-1) > 0)
            for y, asked in enumerate(self.streams):
                if f"{stream}_{asked}" not in self.related:
                    continue
                query = self.related[f"{stream}_{asked}"](candidates[:, y])
                weights = torch.einsum("nd,nld->nl", query, vectors) / query.shape[-1] ** 0.5
                asks = (candidates[:, y].abs().sum(-1) > 0)[:, None]
                reader = reader + candidate_pool(weights, vectors, able) * asks
        return (self.known_user(reader, seen) * candidates.sum(1)).sum(-1)


def regions_of(features: Features, grid: int) -> Tensor:
    """Unit vectors of regions, float16 [n, regions, width]; zero where an item has no picture.

    Args:
        features: maps [n, width, height, width], cut into ``grid`` x ``grid`` cells; or vectors, one region each.
        grid: cells along each side.
    """
    values = torch.from_numpy(features.values)
    parts = []
    for part in values.split(256):
        cells = part.float()[:, None]
        if part.ndim == 4:
            cells = F.adaptive_avg_pool2d(part.float(), grid).flatten(2).mT
        parts.append(F.normalize(cells, dim=-1).half())
    regions = torch.cat(parts) if parts else torch.zeros(0, 1, 1, dtype=torch.float16)
    return regions * torch.from_numpy(features.present)[:, None, None]
