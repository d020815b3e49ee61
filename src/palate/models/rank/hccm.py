"""HCCM (Chen et al., SIGIR 2022): the lower half of the image network is fixed, the upper half learns from clicks.

The maps of all pictures are computed once by the lower layers and stored; convolutions above them are trained, each
followed by SE whose squeezed vector is joined by an embedding of the category before the excitation; target attention
of the candidate's picture over the clicked pictures; logit = MLP([fields ; picture ; interest ; counters]). It
contributes a network that adapts to clicks at the cost of a small one, and keeps only vectors once it is trained.
``prior=false`` leaves the category out. Our choices: any stored maps
(``image=efficientnet_lite0?output=map``, ``image=pixels``) are the lower half; the exact sizes were not published.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.picture_ranker import PictureRanker, PictureRankerConfig
from palate.modules.interactions import multilayer
from palate.modules.picture_attention import AttentionKind
from palate.modules.target_attention import TargetAttention


@models.register("hccm")
class HCCM(PictureRanker):
    """Click-through prediction from stored maps, a trained upper half and the pictures of behaviour."""

    name = "hccm"
    paper = "Chen et al., Hybrid CNN Based Attention with Category Prior for User Image Behavior Modeling, SIGIR 2022"

    class Config(PictureRankerConfig):
        """Settings."""

        widths: tuple[int, ...] = Field((32,), description="channels of the trained convolutions over stored maps")
        prior: bool = Field(True, description="the category joins the squeezed vector of the channel attention")
        behaviour: bool = Field(True, description="target attention over the pictures of the history")
        weigh: int = Field(32, ge=1, description="hidden width of the target attention")

    config: Config

    @property
    def attention(self) -> AttentionKind:
        return "se_category" if self.config.prior else "se"

    def build_parts(self, slots: int, dim: int, counters: int) -> None:
        c = self.config
        behind = self.reader is not None and c.behaviour
        self.attend = TargetAttention(c.picture_dim, c.weigh) if behind else None
        width = slots * dim + counters + self.picture_width * (1 + behind)
        self.score = multilayer(width, c.hidden, c.dropout, activation=nn.PReLU)

    def combine(self, slots: Tensor, counters: Tensor, batch: ImpressionBatch) -> Tensor:
        history = batch.padded_history(self.config.longest if self.attend is not None else 0)
        picture, before = self.pictures_of_batch(batch.items, history)
        parts = [slots.flatten(1), counters, picture]
        if self.attend is not None:
            there = self.has_picture(history)
            parts.append(self.attend(picture, before[batch.groups], there[batch.groups]))
        return torch.as_tensor(self.score(torch.cat(parts, 1))[:, 0])
