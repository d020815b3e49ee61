"""The third stage of VisualEncoder (Chen et al., CIKM 2022): vectors of pictures are debiased inside the click model.

e' = e + D(e), e the embedding of a picture and D a small network; logit = MLP([fields ; e' ; counters]);
loss = clicks + debias * NCE(e'(head), e'(tail)): items that were shown much are drawn to the picture most like theirs
among items of their category that were shown little, against those of other heads. What is learnt from the pictures of
popular items then holds for new ones. ``debias=0`` leaves the term out. Stages 1 and 2 are the pretrainer
``visual_encoder``, whose vectors this reads. Our choices, as no formulas were published: head is the upper fifth by
impressions, tail the lower half; likeness is the cosine of the vectors as they are stored.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.core.context import RunContext
from palate.data.views import TrainView
from palate.losses.contrastive import info_nce
from palate.models.pretrain.shared.clicks import ExposureGroups
from palate.models.rank.shared.picture_ranker import PictureRanker, PictureRankerConfig
from palate.modules.interactions import multilayer

CHUNK = 1024


@models.register("visual_debias")
class VisualDebias(PictureRanker):
    """Click-through prediction whose pictures of much and of little exposure are aligned."""

    name = "visual_debias"
    paper = "Chen et al., Visual Encoding and Debiasing for CTR Prediction, CIKM 2022"

    class Config(PictureRankerConfig):
        """Settings."""

        debias: float = Field(
            0.1, ge=0, description="weight of the exposure term", json_schema_extra={"search": "0.01..1:log"}
        )
        tau: float = Field(0.1, gt=0, description="temperature of the exposure term")
        residual: int = Field(16, ge=1, description="hidden width of D")

    config: Config
    partners: Tensor | None

    @property
    def reads_category(self) -> bool:
        return self.config.debias > 0 and (self.config.category is not None or bool(self.category_fields))

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        if self.reader is not None and self.config.debias:
            self.partners = self.pair_exposure(np.bincount(train.events.item, minlength=train.n_items))

    def build_parts(self, slots: int, dim: int, counters: int) -> None:
        c = self.config
        self.partners = None
        self.debias: nn.Module | None = None
        if self.reader is not None:
            self.debias = multilayer(c.picture_dim, (c.residual,), out=c.picture_dim)
        self.score = multilayer(slots * dim + counters + self.picture_width, c.hidden, c.dropout)

    def pair_exposure(self, exposure: np.ndarray) -> Tensor:
        """The most similar little exposed item of each much exposed one, int64 [n_items]; -1 for others.

        Args:
            exposure: int64 [n_items], how often each was shown.
        """
        partners = torch.full((len(exposure),), -1)
        reader = self.reader
        if reader is None or not reader.present.any():
            return partners
        items = reader.present.nonzero()[:, 0]
        pooled = torch.cat([_pooled(reader.inputs(part)) for part in items.split(CHUNK)])
        vectors = pooled.new_zeros(len(exposure), pooled.shape[1]).index_copy(0, items, pooled).cpu()
        categories = self.categories().cpu()
        classes = torch.where(categories.any(1), categories.argmax(1), -1) if categories.shape[1] else partners
        groups = ExposureGroups(exposure, items.cpu().numpy(), classes.numpy())
        for part in items.cpu().split(CHUNK):
            heads, tails = groups.nearest_tail(part, vectors)
            partners[heads] = tails
        return partners

    def pictures_of(self, rows: Tensor) -> Tensor:
        vectors = super().pictures_of(rows)
        if self.debias is None:
            return vectors
        moved: Tensor = vectors + self.debias(vectors) * self.has_picture(rows)[..., None]
        return moved

    def combine(self, slots: Tensor, counters: Tensor, batch: ImpressionBatch) -> Tensor:
        x = torch.cat([slots.flatten(1), counters, self.pictures_of(batch.items)], 1)
        return torch.as_tensor(self.score(x)[:, 0])

    def loss(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        clicks = super().loss(batch)["loss"]
        if self.partners is None:
            return {"loss": clicks}
        items = torch.unique(batch.items)
        tails = self.partners.to(items.device)[items]
        heads, tails = items[tails >= 0], tails[tails >= 0]
        debias = clicks * 0
        if len(heads):
            a, b = self.pictures_of(torch.cat([heads, tails])).chunk(2)
            debias = info_nce(a, b, self.config.tau, ids=tails)
        return {"loss": clicks + self.config.debias * debias, "clicks": clicks, "debias": debias}


def _pooled(x: Tensor) -> Tensor:
    return x.mean((2, 3)) if x.ndim == 4 else x
