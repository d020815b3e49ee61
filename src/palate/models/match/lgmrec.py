"""LGMRec (Guo et al., AAAI 2024): local graph views of behaviour and content + global hyperedges of each modality.

Local: mean of LightGCN layers + sum_m unit(A^L [mean of own items; item content] W_m). Global: hyperedges softly hold
items (content H_m) and users (sum over their items); latents = H_i^T E, vectors H latents, summed over modalities,
brought to length ``alpha``. BPR + contrast of the modalities' global views over all users and all items.

Our choices: A^L of frozen content is computed once and only a batch's rows are projected; the contrast runs in the
space of hyperedges, with the same value as in that of vectors; a plain softmax in evaluation (the public code draws
Gumbel noise there too). New items, and those nobody took, have their own content in place of their neighbours'; in
``faithful`` items nobody took keep what training makes of their IDs, as in the public code.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.batch import PairBatch
from palate.core.config import AdaptedConfig
from palate.core.context import RunContext
from palate.core.tuning import FUSIONS
from palate.features.item_content import ItemContent
from palate.losses.blocked import factored_info_nce
from palate.losses.ranking import bpr
from palate.losses.regularise import norm_rows
from palate.models.match.shared.cold import FromContent
from palate.models.match.shared.content_matcher import ContentMatcher
from palate.models.match.shared.node_tables import xavier_tables
from palate.modules.graph import Graph, bipartite, user_item
from palate.modules.propagate import light_propagate, propagate

if TYPE_CHECKING:
    from palate.data.views import TrainView

Hyper = list[tuple[Tensor, Tensor]]
"""For each modality: share of each hyperedge in a node [nodes, edges], and the hyperedges' vectors [edges, d]."""


@models.register("lgmrec")
class LGMRec(ContentMatcher):
    """Local and global graph learning."""

    name = "lgmrec"
    paper = "Guo et al., LGMRec: Local and Global Graph Learning for Multimodal Recommendation, AAAI 2024"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, tuning=True, fusion=FUSIONS)
    requirements = Requirements(content=True, dense=True)
    user_parameters = ("table",)
    training_only = ("table",)
    presets = {"faithful": {"standardise": False, "describe_untaken": False}, "tuned": {"standardise": True}}

    class Config(AdaptedConfig):
        """Settings of LGMRec."""

        layers: int = Field(2, ge=0, description="propagations of IDs", json_schema_extra={"search": "1,2,3"})
        modal_layers: int = Field(2, ge=0, description="propagations of content")
        hyper_layers: int = Field(1, ge=1, description="propagations over hyperedges")
        hyperedges: int = Field(4, ge=1, description="hyperedges of each modality")
        keep: float = Field(0.5, gt=0, le=1, description="share of assignments to hyperedges kept in training")
        alpha: float = Field(0.3, ge=0, description="length of the global part")
        tau: float = Field(0.2, gt=0, description="temperature of the assignments and of the contrast")
        contrast: float = Field(1e-4, ge=0, description="weight of the contrast, a sum over the batch")
        reg: float = Field(
            1e-6, ge=0, description="weight of the norm penalty", json_schema_extra={"search": "1e-6..1e-1:log"}
        )
        describe_untaken: bool = Field(
            True,
            description="items that nobody took score by their content; otherwise by the vectors they have in training",
        )
        standardise: bool = Field(False, description="standardise the columns of features")

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        self.n_users, self.n_fitted = shape.n_users, shape.n_items
        self.table = xavier_tables(shape.n_users, shape.n_items, self.config.dim)
        self.maps = nn.ParameterList(self._matrix(self.config.dim, width) for width in shape.features.values())
        self.edges = nn.ParameterList(self._matrix(self.config.hyperedges, width) for width in shape.features.values())
        self.content = ItemContent(shape.features, self.config.standardise, self.config.modality_dropout)
        self.cold = FromContent(untaken=self.config.describe_untaken)
        for place in range(len(shape.features)):
            self.register_buffer(f"latent_{place}", torch.zeros(self.config.hyperedges, self.config.dim))

    @staticmethod
    def _matrix(out: int, width: int) -> nn.Parameter:
        return nn.Parameter(nn.init.xavier_uniform_(torch.empty(out, width)))

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        n_users, n_items = train.n_users, train.n_items
        self.read_content(train)
        self.graph: Graph = bipartite(train.users, train.items, n_users, n_items)
        self._positives = train.users, train.items
        self.derive()

    def derive(self) -> None:
        users, items = self._positives
        self.seen: list[tuple[Tensor, Graph]] = []
        self.smooth: list[Tensor] = []
        for name in self.content.names:
            values, present = (part.cpu() for part in self.content.rows(name))
            kept = present.numpy()[items]
            taken = user_item(users[kept], items[kept], self.n_users, self.n_fitted, norm="none")
            self.smooth.append(self._smoothed(values, taken))
            self.seen.append((present, taken))

    def _smoothed(self, values: Tensor, taken: Graph) -> Tensor:
        """``A^L [mean of own items; item content]``."""
        nodes = torch.cat([propagate(taken.normalised("row"), values), values])
        return light_propagate(self.graph, nodes, self.config.modal_layers, "last")

    def _smooth_content(self) -> list[Tensor]:
        """``A^L [mean of own items; item content]`` of each modality, at every step again where content is trained."""
        if self.content.network is None:
            return self.smooth
        smooth = []
        for name, (present, taken) in zip(self.content.names, self.seen):
            values = torch.where(present[:, None], self.content.rows(name)[0], 0)
            smooth.append(self._smoothed(values, taken))
        return smooth

    def vectors(self) -> tuple[Tensor, Tensor]:
        nodes = light_propagate(self.graph, self.table, self.config.layers)
        hyper = self._hyper(nodes)
        for place, (_, latent) in enumerate(hyper):
            self.get_buffer(f"latent_{place}").copy_(latent.detach())
        final = self._fused(nodes, torch.arange(len(nodes), device=nodes.device), hyper)
        return final[: self.n_users], self.complete(final[self.n_users :])

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        nodes = light_propagate(self.graph, self.table, self.config.layers)
        hyper = self._hyper(nodes)
        rows = torch.cat([batch.users, batch.items + self.n_users, batch.negatives[:, 0] + self.n_users])
        u, pos, neg = self._fused(nodes, rows, hyper).chunk(3)
        rank = bpr((u * pos).sum(-1), (u * neg).sum(-1))
        reg = self.config.reg * norm_rows(u, pos, neg)
        contrast = rank.new_zeros(())
        for first, second in combinations(range(len(hyper)) if self.config.contrast else (), 2):
            both = self.seen[first][0] & self.seen[second][0]
            nodes_with_both = torch.cat([both.new_ones(self.n_users), both])
            for part, rows in ((slice(None, self.n_users), batch.users), (slice(self.n_users, None), batch.items)):
                a, b = ((held[part], latent) for held, latent in (hyper[first], hyper[second]))
                contrast = contrast + factored_info_nce(a, b, rows, nodes_with_both[part], self.config.tau)
        loss = rank + self.config.contrast * contrast + reg
        return {"loss": loss, "bpr": rank, "contrast": contrast / len(batch), "reg": reg}

    def _hyper(self, nodes: Tensor) -> Hyper:
        items, out = nodes[self.n_users :], []
        for name, weight, (present, taken) in zip(self.content.names, self.edges, self.seen):
            logits = self.content.linear(name, torch.arange(self.n_fitted, device=nodes.device), weight)[0]
            logits = logits * present[:, None]
            both = torch.cat([propagate(taken, logits), logits])
            # a node without a modality is in none of its hyperedges
            has = torch.cat([(taken.degrees > 0).to(present.device), present])
            held = self._assign(both) * has[:, None]
            mine = held[self.n_users :]
            latent = mine.T @ items
            for _ in range(self.config.hyper_layers - 1):
                latent = mine.T @ (mine @ latent)
            out.append((held, latent))
        return out

    def _assign(self, logits: Tensor) -> Tensor:
        if not self.training:
            return F.softmax(logits / self.config.tau, dim=1)
        return F.dropout(F.gumbel_softmax(logits, self.config.tau), 1 - self.config.keep)

    def _fused(self, nodes: Tensor, rows: Tensor, hyper: Hyper) -> Tensor:
        final = F.embedding(rows, nodes)
        for smooth, weight in zip(self._smooth_content(), self.maps):
            final = final + F.normalize(F.linear(F.embedding(rows, smooth.to(rows.device)), weight), dim=1)
        overall = torch.zeros_like(final)
        for held, latent in hyper:
            overall = overall + F.embedding(rows, held) @ latent
        alpha: float = self.config.alpha
        return final + alpha * F.normalize(overall, dim=1)

    def describe(self, rows: Tensor) -> Tensor:
        local = overall = torch.zeros(len(rows), self.config.dim, device=self.device)
        for place, name in enumerate(self.content.names):
            z, present = self.content.linear(name, rows, self.maps[place])
            held = F.softmax(self.content.linear(name, rows, self.edges[place])[0] / self.config.tau, dim=1)
            local = local + F.normalize(z, dim=1) * present[:, None]
            overall = overall + (held @ self.get_buffer(f"latent_{place}")) * present[:, None]
        alpha: float = self.config.alpha
        return local + alpha * F.normalize(overall, dim=1)
