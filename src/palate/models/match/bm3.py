"""BM3 (Zhou et al., WWW 2023): users, items and modalities pulled together without negatives.

One predictor P on the online side, dropout and stop-gradient on the target side:
[1 - cos(P(u), i')] + [1 - cos(P(i), u')] + w sum_m {[1 - cos(P(f_m), i')] + [1 - cos(P(f_m), f_m')]} + a penalty.
score = P(u) . P(i). Users are LightGCN means over layers, items the same + their layer 0 once more. A step draws one
dropout mask for each node, shared by all its rows; the penalty is on the norms of all users and of all items.

Our choices: content is frozen, except in the ``faithful`` preset (for features of a few hundred columns), which trains
the raw matrices as the public code does; items without a modality take no part in its terms. A new item is the mean of
P(f_m), brought to the usual length: the loss pulls exactly that to the item. So are items that nobody took, except in
``faithful``, where they keep their untrained IDs as in the public code: described items of the usual length can take
places in lists from items that people took.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.batch import PairBatch
from palate.core.context import RunContext
from palate.core.tuning import FUSIONS
from palate.features.item_content import ItemContent
from palate.losses.contrastive import bootstrap_cosine
from palate.losses.regularise import norm_rows
from palate.models.match.shared.cold import FromContent
from palate.models.match.shared.content_matcher import ContentMatcher, TrainableFeaturesConfig
from palate.models.match.shared.node_tables import byte_dropout, node_rows, xavier_tables
from palate.modules.graph import Graph, bipartite
from palate.modules.propagate import light_propagate

if TYPE_CHECKING:
    from palate.data.views import TrainView


@models.register("bm3")
class BM3(ContentMatcher):
    """Bootstrapped multimodal matching."""

    name = "bm3"
    paper = "Zhou et al., Bootstrap Latent Representations for Multi-modal Recommendation, WWW 2023"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, tuning=True, fusion=FUSIONS)
    requirements = Requirements(content=True, dense=True)
    negatives = 0
    user_parameters = ("table",)
    training_only = ("table",)
    presets = {
        "faithful": {"train_content": True, "standardise": False, "describe_untaken": False},
        "tuned": {"standardise": True},
    }

    class Config(TrainableFeaturesConfig):
        """Settings of BM3."""

        layers: int = Field(2, ge=0, description="propagations", json_schema_extra={"search": "1,2,3"})
        dropout: float = Field(
            0.5,
            ge=0,
            lt=1,
            description="share of entries dropped from targets",
            json_schema_extra={"search": "0.0..0.8"},
        )
        modal_weight: float = Field(2.0, ge=0, description="w, weight of the modal terms")
        reg: float = Field(
            1e-2, ge=0, description="weight of the norm penalty", json_schema_extra={"search": "1e-6..1e-1:log"}
        )
        describe_untaken: bool = Field(
            True,
            description="items that nobody took score by their content; otherwise by the vectors they have in training",
        )
        standardise: bool = Field(True, description="standardise the columns of features")

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        dim = self.config.dim
        self.n_users = shape.n_users
        self.table = xavier_tables(shape.n_users, shape.n_items, dim)
        self.predictor = nn.Linear(dim, dim)
        self.maps = nn.ModuleList(nn.Linear(width, dim) for width in shape.features.values())
        for layer in (self.predictor, *self.maps):
            nn.init.xavier_normal_(layer.weight)
        self.content = ItemContent(shape.features, self.config.standardise, self.config.modality_dropout)
        self.cold = FromContent(mean_length=True, untaken=self.config.describe_untaken)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        self.read_content(train, self.config.train_content)
        self.graph: Graph = bipartite(train.users, train.items, train.n_users, train.n_items)

    def vectors(self) -> tuple[Tensor, Tensor]:
        final, n = light_propagate(self.graph, self.table, self.config.layers), self.n_users
        return self.predictor(final[:n]), self.complete(self.predictor(final[n:] + self.table[n:]))

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        final, n = light_propagate(self.graph, self.table, self.config.layers), self.n_users
        final = torch.cat([final[:n], final[n:] + self.table[n:]])
        items = batch.items + n
        u, i = node_rows(final, batch, n)
        target = self._target(final)
        u_target, i_target = F.embedding(batch.users, target), F.embedding(items, target)
        match = bootstrap_cosine(self.predictor(u), i_target) + bootstrap_cosine(self.predictor(i), u_target)
        modal = match.new_zeros(())
        unique, place = batch.items.unique(return_inverse=True)
        for _, z, present in self.content.projected(self.maps, unique):
            online, z_target = (F.embedding(place, rows) for rows in (self.predictor(z), self._target(z)))
            modal = modal + bootstrap_cosine(online, i_target, present[place])
            modal = modal + bootstrap_cosine(online, z_target, present[place])
        reg = self.config.reg * norm_rows(final[:n], final[n:])
        return {"loss": match + self.config.modal_weight * modal + reg, "match": match, "modal": modal, "reg": reg}

    def on_fit_end(self) -> None:
        # new items are described by the vectors as they are, not by the copies that were trained
        self.content.freeze()
        super().on_fit_end()

    def _target(self, x: Tensor) -> Tensor:
        return byte_dropout(x.detach(), self.config.dropout) if self.training else x.detach()

    def describe(self, rows: Tensor) -> Tensor:
        total = torch.zeros(len(rows), self.config.dim, device=rows.device)
        for _, z, present in self.content.projected(self.maps, rows):
            total = total + F.normalize(self.predictor(z), dim=1) * present[:, None]
        return F.normalize(total, dim=1)
