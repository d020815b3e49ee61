"""DICM (Ge et al., CIKM 2018): pictures of the candidate and of what the user clicked, embedded by one trained network.

e = E(picture), E trained with the clicks on top of fixed features; behaviour = aggregate_j(e_j):
concat | sum | max | attentive (softmax attention, the query is e of the candidate) | multi_query (a second attention,
whose query is the candidate's ids); logit = MLP([fields ; e ; behaviour ; counters]). It contributes user behaviour
seen as pictures. Our choices: E reads pooled vectors, stored maps or pixels; attention scores are MLP([e_j ; q]) under
a softmax; a first-order term joins the output, as in all our click models.
Starting from an earlier run (``init_from``), ``warm_start=partial`` takes all weights but those of ids, which the paper
found better than all and than none: ids are what a network overfits first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.picture_ranker import PictureRanker, PictureRankerConfig
from palate.modules.interactions import multilayer
from palate.modules.picture_interest import Aggregator, PictureInterest

ID_TABLES = ("slots.table", "weights.table")


@models.register("dicm")
class DICM(PictureRanker):
    """Click-through prediction from the pictures of candidates and of behaviour."""

    name = "dicm"
    paper = "Ge et al., Image Matters: Visually Modeling User Behaviors Using Advanced Model Server, CIKM 2018"

    class Config(PictureRankerConfig):
        """Settings."""

        aggregator: Aggregator = Field("multi_query", description="how pictures of the history become one vector")
        pictures_of: Literal["ad", "behaviour", "joint"] = Field(
            "joint", description="whose pictures are read: the candidate's, the history's, or both"
        )
        warm_start: Literal["partial", "full"] = Field(
            "partial", description="what init_from takes of another run: all but the embeddings of ids, or all"
        )

    config: Config

    def build_parts(self, slots: int, dim: int, counters: int) -> None:
        c, width = self.config, slots * dim + counters
        self.interest: PictureInterest | None = None
        if self.reader is not None and c.pictures_of != "behaviour":
            width += c.picture_dim
        if self.reader is not None and c.pictures_of != "ad":
            self.interest = PictureInterest(c.aggregator, c.picture_dim, dim, c.longest)
            width += self.interest.width
        self.score = multilayer(width, c.hidden, c.dropout, activation=torch.nn.PReLU)

    def combine(self, slots: Tensor, counters: Tensor, batch: ImpressionBatch) -> Tensor:
        parts = [slots.flatten(1), counters]
        if self.reader is not None:
            parts += self.visual(batch)
        return torch.as_tensor(self.score(torch.cat(parts, 1))[:, 0])

    def visual(self, batch: ImpressionBatch) -> list[Tensor]:
        """Vectors of the candidate's picture and of the history's, those that are read.

        Args:
            batch: n events.
        """
        behind = self.interest is not None
        history = batch.padded_history(self.config.longest if behind else 0)
        picture, before = self.pictures_of_batch(batch.items, history)
        parts = [picture] if self.config.pictures_of != "behaviour" else []
        if self.interest is not None:
            there = self.has_picture(history)
            ids = self.slots.entities("item", batch.items).mean(1)
            parts.append(self.interest(before[batch.groups], there[batch.groups], picture, ids))
        return parts

    def initialize(self, tensors: Mapping[str, Tensor]) -> list[str]:
        if self.config.warm_start == "partial":
            tensors = {name: tensor for name, tensor in tensors.items() if name not in ID_TABLES}
        return super().initialize(tensors)
