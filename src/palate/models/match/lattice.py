"""LATTICE (Zhang et al., ACM MM 2021): LightGCN + convolution over item graphs that are learnt from content.

S_m: edges cos(f_i, f_j)+ to the ``k`` nearest items of modality m (itself included), D^-1/2 . D^-1/2. A_m: the same of
z = W_m f + b_m. Graph = sum_m a_m (initial S_m + (1 - initial) A_m), a = softmax over modalities; h = Graph^L e_i.
final_u, final_i = mean of LightGCN layers; final_i += ``latent`` h / |h|. BPR + an L2 penalty on final vectors.

Our choices: neighbours in A_m are chosen before each epoch, and their cosines carry gradients at every step (the public
code: at the first of an epoch); a is scaled up over the modalities that an item has; vectors that nothing trains stay
as they are, where the public code trains raw features. S_m is that of the content of the moment: made anew where
modalities drop out, or before each epoch where content is trained. New items are the mean of their content neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.batch import PairBatch
from palate.core.context import RunContext
from palate.core.tuning import FUSIONS
from palate.features.item_content import ItemContent
from palate.losses.ranking import bpr
from palate.losses.regularise import l2_rows
from palate.models.match.shared.cold import FromNeighbours
from palate.models.match.shared.content_matcher import ContentMatcher, NeighbourConfig
from palate.models.match.shared.node_tables import node_rows, xavier_tables
from palate.modules.graph import Graph, bipartite
from palate.modules.knn import nearest_neighbours
from palate.modules.propagate import light_propagate

if TYPE_CHECKING:
    from palate.data.views import TrainView


@models.register("lattice")
class LATTICE(ContentMatcher):
    """LightGCN + latent item graphs."""

    name = "lattice"
    paper = "Zhang et al., Mining Latent Structures for Multimedia Recommendation, ACM MM 2021"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, tuning=True, fusion=FUSIONS)
    requirements = Requirements(content=True, dense=True)
    user_parameters = ("table",)
    training_only = ("table", "maps.*", "mixture")
    graph_of_trained_content = True
    presets = {"faithful": {"lr": 5e-4, "batch_size": 1024, "standardise": False}, "tuned": {"standardise": True}}

    class Config(NeighbourConfig):
        """Settings of LATTICE."""

        layers: int = Field(
            2, ge=0, description="propagations over users and items", json_schema_extra={"search": "1,2,3"}
        )
        item_layers: int = Field(1, ge=1, description="propagations over the item graph")
        latent: float = Field(1.0, ge=0, description="length of the item graph's part; 0 leaves LightGCN")
        initial: float = Field(
            0.9,
            ge=0,
            le=1,
            description="share of the graph of the vectors as they are; 1 learns none",
            json_schema_extra={"search": "0.5,0.7,0.9"},
        )
        projected_dim: int = Field(
            64, ge=1, description="width of projected content, among which neighbours are learnt"
        )
        reg: float = Field(
            1e-5, ge=0, description="weight of the L2 penalty", json_schema_extra={"search": "1e-6..1e-1:log"}
        )
        standardise: bool = Field(False, description="standardise the columns of features")

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c = self.config
        self.n_users = shape.n_users
        self.table = xavier_tables(shape.n_users, shape.n_items, c.dim)
        self.learns = c.latent > 0 and c.initial < 1
        widths = shape.features.values() if self.learns else ()
        self.maps = nn.ModuleList(nn.Linear(width, c.projected_dim) for width in widths)
        self.mixture = nn.Parameter(torch.zeros(len(shape.features)), requires_grad=c.latent > 0)
        self.content = ItemContent(shape.features, c.standardise, c.modality_dropout)
        self.cold = FromNeighbours(c.k, c.weights)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        self.read_content(train)
        self.graph: Graph = bipartite(train.users, train.items, train.n_users, train.n_items)
        self.derive()
        described = torch.from_numpy(train.warm_items)
        for near, _ in self.given:
            described = described | (near >= 0).any(1)
        self.register_buffer("described", described)
        self.register_buffer("known", described.clone())

    def derive(self) -> None:
        self.raw = [self.content.rows(name) for name in self.content.names]
        self.given = [_nearest(values, present, self.config.k) for values, present in self.raw]
        self.learnt = self._search()

    def on_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        self.learnt = self._search()

    def _projected(self, place: int) -> Tensor:
        values = self.content.all_rows(self.content.names[place], self.raw[place][0])
        projected: Tensor = self.maps[place](values.to(self.device))
        return projected

    @torch.no_grad()
    def _search(self) -> list[Tensor]:
        """Neighbours of each modality in the space that is learnt, by the present weights."""
        k: int = self.config.k
        return [_nearest(self._projected(place), self.raw[place][1], k)[0] for place in range(len(self.maps))]

    def _smooth(self, learnt: list[Tensor]) -> Tensor:
        """``Graph^L e_i``."""
        items, share = self.table[self.n_users :], self.config.initial if self.learns else 1.0
        has = torch.stack([(near >= 0).any(1) for near, _ in self.given], 1).to(items.device)
        mixture = F.softmax(self.mixture, 0) * has
        mixture = mixture / mixture.sum(1, keepdim=True).clamp(min=1e-12)
        nodes, weights = [], []
        for place, (near, cosine) in enumerate(self.given):
            parts = [(share, near.to(items.device), cosine.to(items.device))]
            if self.learns:
                near, unit = learnt[place].to(items.device), F.normalize(self._projected(place), dim=1)
                parts.append((1 - share, near, torch.einsum("nd,nkd->nk", unit, F.embedding(near.clamp(min=0), unit))))
            for part, near, cosine in parts:
                nodes.append(near.clamp(min=0))
                weights.append(part * mixture[:, place, None] * normalised(near, cosine))
        columns, weight = torch.cat(nodes, 1), torch.cat(weights, 1)
        for _ in range(self.config.item_layers):
            items = F.embedding_bag(columns, items, mode="sum", per_sample_weights=weight)
        return items

    def _nodes(self, learnt: list[Tensor]) -> Tensor:
        final = light_propagate(self.graph, self.table, self.config.layers)
        if not self.config.latent or not self.given:
            return final
        users, items = final.split([self.n_users, len(final) - self.n_users])
        return torch.cat([users, items + self.config.latent * F.normalize(self._smooth(learnt), dim=1)])

    def vectors(self) -> tuple[Tensor, Tensor]:
        final = self._nodes(self._search())
        return final[: self.n_users], self.complete(final[self.n_users :])

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        u, pos, neg = node_rows(self._nodes(self.learnt), batch, self.n_users)
        rank = bpr((u * pos).sum(-1), (u * neg).sum(-1))
        reg = self.config.reg * l2_rows(u, pos, neg)
        return {"loss": rank + reg, "bpr": rank, "reg": reg}


def _nearest(values: Tensor, present: Tensor, k: int) -> tuple[Tensor, Tensor]:
    near, cosine = nearest_neighbours(values, present.cpu().numpy(), k)
    return torch.from_numpy(near), torch.from_numpy(cosine)


def normalised(near: Tensor, cosine: Tensor) -> Tensor:
    """Weights D^-1/2 A D^-1/2 of the edges to given neighbours, with gradients to their cosines.

    Args:
        near: int64 [n, k], -1 where there is none.
        cosine: float32 [n, k]; below zero is no edge.

    Returns:
        float32 [n, k].
    """
    edges = cosine.clamp(min=0) * (near >= 0)
    scale = edges.sum(1, keepdim=True).clamp(min=1e-12).rsqrt()
    return edges * scale * F.embedding(near.clamp(min=0), scale).squeeze(-1)
