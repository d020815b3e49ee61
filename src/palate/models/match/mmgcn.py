"""MMGCN (Wei et al., ACM MM 2019): one graph convolution for each modality, with weights, meeting in shared IDs.

Users have a preference vector in each modality, items their content; rows are brought to unit length. A layer:
h = leaky(mean over neighbours W x), x^ = leaky(V x) + id, x' = leaky(G [h; x^]). A node is the mean of its modalities'
last layers; score = dot product; BPR.

``faithful`` is what the public multimodal code trains: IDs and preferences stay at their random start, only the
weights learn. It also leaves out an epoch's short last batch: the public code judges the vectors that entered the last
step, so that a step of full size from a few pairs (149 on TikTok) is never judged. ``paper`` learns all. Our choices:
a modality that an item lacks sends nothing to users and does not count in the item's mean; the ID of an item nobody
took is zero, which also lets a new item score by its content (better than chance, no more: no node without neighbours
is ever in the loss).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.batch import PairBatch
from palate.core.config import AdaptedConfig
from palate.core.context import RunContext
from palate.core.tuning import FUSIONS
from palate.features.item_content import ItemContent
from palate.losses.ranking import bpr
from palate.models.match.shared.cold import FromContent
from palate.models.match.shared.content_matcher import ContentMatcher
from palate.models.match.shared.node_tables import node_rows
from palate.modules.graph import Graph
from palate.modules.modal_convolution import ModalConvolution

if TYPE_CHECKING:
    from palate.data.views import TrainView


@models.register("mmgcn")
class MMGCN(ContentMatcher):
    """Graph convolution by modality."""

    name = "mmgcn"
    paper = "Wei et al., MMGCN: Multi-modal Graph Convolution Network for Micro-video Recommendation, ACM MM 2019"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, tuning=True, fusion=FUSIONS)
    requirements = Requirements(content=True, dense=True)
    user_parameters = ("ids",)
    training_only = ("ids", "branches.*.preference", "branches.*.convolve.*")
    presets = {
        "faithful": {"learn_ids": False, "reg": 0.0, "whole_batches": True},
        "paper": {"learn_ids": True, "reg": 1e-3},
    }

    class Config(AdaptedConfig):
        """Settings of MMGCN."""

        layers: int = Field(
            3, ge=1, description="graph convolutions of each modality", json_schema_extra={"search": "1,2,3"}
        )
        learn_ids: bool = Field(
            False, description="train IDs and preferences; otherwise they stay at their random start"
        )
        reg: float = Field(
            0.0,
            ge=0,
            description="weight of the mean squares of IDs and preferences",
            json_schema_extra={"search": "1e-6..1e-1:log"},
        )
        first: dict[str, int] = Field(
            default_factory=lambda: {"image": 256, "video": 256},
            description="modality -> width its content is first mapped to; others enter as they are",
        )
        standardise: bool = Field(False, description="standardise the columns of features")

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c, nodes = self.config, shape.n_users + shape.n_items
        self.n_users = shape.n_users
        ids = nn.init.xavier_normal_(torch.empty(nodes, c.dim))
        self.ids = nn.Parameter(ids, requires_grad=c.learn_ids)
        widths = ((width, c.first.get(name.partition(".")[0])) for name, width in shape.features.items())
        self.branches = nn.ModuleList(
            ModalConvolution(shape.n_users, width, first, c.dim, c.layers, c.learn_ids) for width, first in widths
        )
        self.content = ItemContent(shape.features, c.standardise, c.modality_dropout)
        self.cold = FromContent()

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        self.read_content(train)
        self.ids.data[train.n_users :] *= self.get_buffer("warm")[:, None]
        self._positives = train.users, train.items
        self.derive()

    def derive(self) -> None:
        (users, items), n_users, n = self._positives, self.n_users, len(self.ids)
        self.seen: list[tuple[Tensor, Tensor, Graph]] = []
        for name in self.content.names:
            values, present = self.content.rows(name)
            sends = present.cpu().numpy()[items]
            rows = torch.cat([torch.from_numpy(users[sends]), torch.from_numpy(items) + n_users])
            cols = torch.cat([torch.from_numpy(items[sends]) + n_users, torch.from_numpy(users)])
            graph = Graph.from_pairs(rows.numpy(), cols.numpy(), (n, n)).normalised("row")
            self.seen.append((values, present, graph))

    def user_tensors(self) -> dict[str, slice]:
        own = super().user_tensors()
        return own | {f"branches.{place}.preference": own["ids"] for place in range(len(self.branches))}

    def vectors(self) -> tuple[Tensor, Tensor]:
        final = self._nodes()
        return final[: self.n_users], self.complete(final[self.n_users :])

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        rows = torch.cat([batch.users, batch.items + self.n_users, batch.negatives[:, 0] + self.n_users])
        u, pos, neg = self._nodes(rows).chunk(3)
        rank = bpr((u * pos).sum(-1), (u * neg).sum(-1))
        if not self.config.learn_ids:
            return {"loss": rank, "bpr": rank}
        squares = [part.square().mean() for part in node_rows(self.ids, batch, self.n_users)]
        squares += [branch.preference.square().mean() for branch in self.convolutions()]
        reg = self.config.reg * torch.stack(squares).sum()
        return {"loss": rank + reg, "bpr": rank, "reg": reg}

    def _nodes(self, rows: Tensor | None = None) -> Tensor:
        """Vectors of all nodes [n_users + n_items, d], or of ``rows`` int64 [b]."""
        n = len(self.ids) if rows is None else len(rows)
        total, count = self.ids.new_zeros(n, self.config.dim), self.ids.new_zeros(n, 1)
        users = torch.ones(self.n_users, dtype=torch.bool, device=self.ids.device)
        described = self._described()
        for name, branch, (values, present, graph) in zip(self.content.names, self.convolutions(), self.seen):
            values = self.content.all_rows(name, values)
            has = torch.cat([users, present])
            # an item without any content still has a vector, from its users
            counts = torch.cat([users, present | ~described])[:, None]
            counts = counts if rows is None else counts[rows]
            total = total + branch(values, has, self.ids, graph, rows) * counts
            count = count + counts
        return total / count.clamp(min=1)

    def _described(self) -> Tensor:
        return torch.stack([present for _, present, _ in self.seen]).any(0)

    def describe(self, rows: Tensor) -> Tensor:
        total = torch.zeros(len(rows), self.config.dim, device=self.device)
        count = torch.zeros(len(rows), 1, device=self.device)
        for branch, name in zip(self.convolutions(), self.content.names):
            values, present = self.content.rows(name, rows)
            total = total + branch.from_content(values) * present[:, None]
            count = count + present[:, None]
        return total / count.clamp(min=1)

    def convolutions(self) -> Iterator[ModalConvolution]:
        """One for each modality."""
        return (branch for branch in self.branches if isinstance(branch, ModalConvolution))
