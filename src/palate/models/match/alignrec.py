"""AlignRec (Liu et al., CIKM 2024): ID and content branches of a graph model, tied by three alignments.

ID branch: mean of LightGCN layers. Content branch: q_i = e_i * sigmoid(G W LN(x_i)), spread once over the item graph
(cosine k-NN), users sum their items' symmetrically normalised. final = both added, BPR, and:
content-category alignment (CCA): InfoNCE between both branches of items and of users; user-item alignment (UIA):
1 - cos(u, i+); similarity preservation: ||q q^T - cos(x, x)|| on the batch's items. Each has a weight.

CCA reads "category" as the paper does: the item's ID. The other reading, items of one category drawn together, needs
no behaviour and is a setting of the pretrainer ``alignrec_content`` (``category``).

``faithful`` is the public code in three places where ``tuned``, which is also the default, is ours: similarity
preservation is on the items' content branch after the item graph (ours: on q), that graph is symmetrically normalised
(ours: by rows), and the L2 penalty is on final vectors (ours: on IDs). Features stay as they are and the learning rate
is constant in both; the public code trains the former and lets the latter decay.

Our choices: the first, inter-content step (BEiT-3 with mask-then-predict) is that pretrainer's; here the features are
given. Each modality has its own W LN(x), averaged over those present. An item without content has no content branch. A
new item is the mean of its content neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.batch import PairBatch
from palate.core.context import RunContext
from palate.core.tuning import FUSIONS
from palate.features.item_content import ItemContent
from palate.losses.contrastive import info_nce, similarity_preserving
from palate.losses.ranking import bpr
from palate.losses.regularise import l2_rows
from palate.models.match.shared.cold import FromNeighbours
from palate.models.match.shared.content_matcher import ContentMatcher, NeighbourConfig
from palate.models.match.shared.item_graph import item_graph
from palate.models.match.shared.node_tables import node_rows, xavier_tables
from palate.modules.graph import Graph, bipartite, user_item
from palate.modules.propagate import light_propagate, propagate

if TYPE_CHECKING:
    from palate.data.views import TrainView


@models.register("alignrec")
class AlignRec(ContentMatcher):
    """Aligned ID and content representations."""

    name = "alignrec"
    paper = "Liu et al., AlignRec: Aligning and Training in Multimodal Recommendations, CIKM 2024"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, tuning=True, fusion=FUSIONS)
    requirements = Requirements(content=True, dense=True)
    user_parameters = ("table",)
    training_only = ("table", "norms.*", "maps.*", "gate.*")
    graph_of_initial_content = True
    presets = {
        "faithful": {"similarity_after": True, "graph_norm": "sym", "reg_final": True},
        "tuned": {"similarity_after": False, "graph_norm": "row", "reg_final": False},
    }

    class Config(NeighbourConfig):
        """Settings of AlignRec."""

        layers: int = Field(2, ge=0, description="propagations of LightGCN", json_schema_extra={"search": "1,2,3"})
        cca: float = Field(0.01, ge=0, description="weight of content-category alignment")
        uia: float = Field(0.1, ge=0, description="weight of user-item alignment")
        similarity: float = Field(0.1, ge=0, description="weight of similarity preservation")
        tau: float = Field(0.2, gt=0, description="temperature of content-category alignment")
        reg: float = Field(
            1e-4, ge=0, description="weight of the half squares", json_schema_extra={"search": "1e-6..1e-1:log"}
        )
        similarity_after: bool = Field(
            False, description="similarity preservation reads content branches after the item graph; otherwise q"
        )
        graph_norm: Literal["row", "sym"] = Field("row", description="normalisation of the item graph")
        reg_final: bool = Field(False, description="the half squares are of final vectors; otherwise of the IDs")
        standardise: bool = Field(True, description="standardise the columns of features")

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        dim = self.config.dim
        self.n_users = shape.n_users
        self.table = xavier_tables(shape.n_users, shape.n_items, dim)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in shape.features.values())
        self.maps = nn.ModuleList(nn.Linear(width, dim) for width in shape.features.values())
        self.gate = nn.Linear(dim, dim)
        self.content = ItemContent(shape.features, self.config.standardise, self.config.modality_dropout)
        self.cold = FromNeighbours(self.config.k, self.config.weights)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        c, n_users, n_items = self.config, train.n_users, train.n_items
        self.read_content(train)
        near = item_graph(train, self.content, c.k, c.weights, "cosine", c.modality_dropout, c.graph_norm)
        empty = Graph.from_pairs([0], [0], (n_items, n_items), [0.0])
        self.near: Graph = empty if near is None else near
        self.derive()
        described = torch.from_numpy(train.warm_items) | self.content.any_present(n_items)
        self.register_buffer("described", described)
        self.register_buffer("known", described.clone())
        self.graph: Graph = bipartite(train.users, train.items, n_users, n_items)
        self.taken: Graph = user_item(train.users, train.items, n_users, n_items, norm="sym")

    def derive(self) -> None:
        self.seen = {name: self.content.rows(name) for name in self.content.names}

    def gated(self) -> Tensor:
        """q [n_items, d] of all fitted items, zero where there is no content."""
        ids = self.table[self.n_users :]
        total, count = torch.zeros_like(ids), ids.new_zeros(len(ids), 1)
        for (name, (values, present)), norm, layer in zip(self.seen.items(), self.norms, self.maps):
            values = self.content.all_rows(name, values)
            total = total + layer(norm(values.to(ids.device))) * present[:, None]
            count = count + present[:, None]
        return ids * torch.sigmoid(self.gate(total / count.clamp(min=1))) * (count > 0)

    def branches(self) -> tuple[Tensor, Tensor, Tensor]:
        """(ID branch, content branch) of all nodes [n, d], and q [n_items, d]."""
        q = self.gated()
        items = propagate(self.near, q)
        content = torch.cat([propagate(self.taken, items), items])
        return light_propagate(self.graph, self.table, self.config.layers), content, q

    def vectors(self) -> tuple[Tensor, Tensor]:
        ids, content, _ = self.branches()
        final = ids + content
        return final[: self.n_users], self.complete(final[self.n_users :])

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        c = self.config
        ids, content, q = self.branches()
        u_id, pos_id, neg_id = node_rows(ids, batch, self.n_users)
        u_content, pos_content, neg_content = node_rows(content, batch, self.n_users)
        u, pos, neg = u_id + u_content, pos_id + pos_content, neg_id + neg_content
        out = {"bpr": bpr((u * pos).sum(-1), (u * neg).sum(-1))}
        out["reg"] = c.reg * l2_rows(*((u, pos, neg) if c.reg_final else node_rows(self.table, batch, self.n_users)))
        if c.cca:
            out["cca"] = c.cca * (self._cca(batch.items, pos_content, pos_id) + self._cca(batch.users, u_content, u_id))
        if c.uia:
            out["uia"] = c.uia * (1 - F.cosine_similarity(u, pos, dim=1)).mean()
        if c.similarity:
            items = batch.items.unique()
            branch = content[self.n_users :] if c.similarity_after else q
            terms = []
            for name, (values, present) in self.seen.items():
                values = self.content.all_rows(name, values).detach()
                terms.append(similarity_preserving(branch[items], values[items.to(values.device)], present[items]))
            out["similarity"] = c.similarity * torch.stack(terms).mean()
        return {"loss": torch.stack([*out.values()]).sum(), **out}

    def _cca(self, entities: Tensor, content: Tensor, ids: Tensor) -> Tensor:
        """InfoNCE of both branches; other rows of the same entity, and rows without content, do not count."""
        has = content.detach().abs().amax(1) > 0
        if not bool(has.any()):
            return content.sum() * 0
        return info_nce(content[has], ids[has], self.config.tau, ids=entities[has])
