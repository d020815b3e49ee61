"""FREEDOM (Zhou & Shen, ACM MM 2023): a frozen item graph from content, and a user-item graph thinned every epoch.

final_u = mean of layers 0..L over the thinned graph; final_i = the same + S e_i, S the mean over an item's nearest
neighbours in content (itself included). BPR + ``modal_weight`` x BPR between users and each projected modality.

Our choices: the modal terms, whose raw feature matrices the public code trains although no score reads them, are in the
``faithful`` preset only (for features of a few hundred columns); a given ``knn_<modality>`` relation takes the place of
vectors. A new item is S over its nearest fitted items, so it needs vectors. Where content is trained, S stays that of
the vectors it began with (frozen, as the paper has it), and new items find their neighbours among the trained ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.batch import PairBatch
from palate.core.context import RunContext
from palate.core.tuning import FUSIONS
from palate.features.item_content import ItemContent
from palate.losses.ranking import bpr
from palate.models.match.shared.cold import FromNeighbours
from palate.models.match.shared.content_matcher import ContentMatcher, NeighbourConfig, TrainableFeaturesConfig
from palate.models.match.shared.item_graph import item_graph
from palate.models.match.shared.node_tables import node_rows, xavier_tables
from palate.modules.edges import EdgeSampler
from palate.modules.graph import Graph, bipartite
from palate.modules.propagate import light_propagate, propagate

if TYPE_CHECKING:
    from palate.data.views import TrainView


@models.register("freedom")
class FREEDOM(ContentMatcher):
    """LightGCN on a denoised graph + one hop over content neighbours."""

    name = "freedom"
    paper = "Zhou & Shen, A Tale of Two Graphs: Freezing and Denoising Graph Structures, ACM MM 2023"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, tuning=True, fusion=FUSIONS)
    requirements = Requirements(content=True)
    user_parameters = ("table",)
    training_only = ("table", "maps.*")
    graph_of_initial_content = True
    presets = {
        "faithful": {"modal_weight": 1e-3, "train_content": True, "standardise": False},
        "tuned": {"standardise": True},
    }

    class Config(TrainableFeaturesConfig, NeighbourConfig):
        """Settings of FREEDOM."""

        layers: int = Field(2, ge=0, description="propagations", json_schema_extra={"search": "1,2,3"})
        edge_dropout: float = Field(0.8, ge=0, lt=1, description="share of edges left out of an epoch")
        hop: float = Field(1.0, ge=0, description="weight of the content hop")
        modal_weight: float | None = Field(
            None,
            ge=0,
            description="weight of the modal terms; None is 0 for frozen content, else .001, as they alone train it",
        )
        standardise: bool = Field(False, description="standardise the columns of features")

        @property
        def modal(self) -> float:
            """Weight of the modal terms."""
            return (1e-3 if self.trains_content else 0.0) if self.modal_weight is None else self.modal_weight

        @model_validator(mode="after")
        def _content_has_a_gradient(self) -> Self:
            if self.trains_content and not self.modal:
                raise ValueError("FREEDOM trains content through its modal terms: modal_weight above 0")
            return self

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        self.n_users = shape.n_users
        self.table = xavier_tables(shape.n_users, shape.n_items, self.config.dim)
        judged = shape.features.values() if self.config.modal else ()
        self.maps = nn.ModuleList(nn.Linear(width, self.config.dim) for width in judged)
        self.content = ItemContent(shape.features, self.config.standardise, self.config.modality_dropout)
        self.cold = FromNeighbours(self.config.k, self.config.weights)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        c, n_users, n_items = self.config, train.n_users, train.n_items
        self.read_content(train, c.train_content and c.modal > 0)
        hop = item_graph(train, self.content, c.k, c.weights, dropout=c.modality_dropout)
        described = torch.zeros(n_items, dtype=torch.bool) if hop is None else hop.degrees > 0
        self.hop = None if hop is None else _among_nodes(hop, n_users, c.hop)
        described |= torch.from_numpy(train.warm_items)
        self.register_buffer("described", described)
        self.register_buffer("known", described.clone())
        self.graph: Graph = bipartite(train.users, train.items, n_users, n_items)
        self.edges = EdgeSampler(train.users, train.items, n_users, n_items)
        self.thinned = self.graph

    def on_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        self.thinned = self.edges.draw(1 - self.config.edge_dropout, rng)

    def _nodes(self, graph: Graph) -> Tensor:
        final = light_propagate(graph, self.table, self.config.layers)
        return final if self.hop is None else final + propagate(self.hop, self.table)

    def vectors(self) -> tuple[Tensor, Tensor]:
        final = self._nodes(self.graph)
        return final[: self.n_users], self.complete(final[self.n_users :])

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        u, pos, neg = node_rows(self._nodes(self.thinned), batch, self.n_users)
        rank = bpr((u * pos).sum(-1), (u * neg).sum(-1))
        out = {"bpr": rank}
        if self.config.modal:
            rows = torch.cat([batch.items, batch.negatives[:, 0]])
            for name, z, present in self.content.projected(self.maps, rows):
                high, low = (u.repeat(2, 1) * z).sum(-1).chunk(2)
                out[name] = bpr(high, low, present.view(2, -1).all(0).to(u.dtype))
        modal = sum(out[name] for name in self.content.names if name in out)
        return {"loss": rank + self.config.modal * modal, **out}


def _among_nodes(graph: Graph, n_users: int, weight: float) -> Graph:
    """The item graph on users + items, without users: one sparse product and one gather serve both."""
    indptr = torch.cat([graph.indptr.new_zeros(n_users), graph.indptr])
    return Graph(indptr, graph.indices + n_users, graph.weights * weight, n_users + graph.shape[1])
