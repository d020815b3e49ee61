"""CLCRec (Wei et al., ACM MM 2021): contrast ties an item's ID to its content, so content can stand in for the ID.

L1: an item's unit ID against the unit content vectors of candidates. L2: a user against the candidates' ID vectors, a
random share of which give way to content vectors (dot products). loss = share L1 + (1 - share) L2 + a norm penalty.
An item nobody took scores by its content vector, warm ones by their IDs.

Our choices: candidates are shared by a batch (its own items + a uniform draw of warm items; the paper draws for each
row), and other items a user took are no negatives. A missing modality is left out of the first layer's sum, which is
scaled to the full number; an item without any content keeps its ID and takes no part in L1. The public code differs in
three more: one temperature for L1 and L2 (here L2 has its own, ``tau_user`` 1), the norm penalty is on all sampled IDs
(here on users and positives), and candidates that give way to content are drawn with replacement, so that 39 % do (here
each with chance ``replaced``).
"""

from __future__ import annotations

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
from palate.models.match.shared.cold import FromContent
from palate.models.match.shared.content_matcher import ContentMatcher
from palate.modules.graph import Graph, user_item

if TYPE_CHECKING:
    from palate.data.views import TrainView


@models.register("clcrec")
class CLCRec(ContentMatcher):
    """Contrastive learning for cold-start recommendation."""

    name = "clcrec"
    paper = "Wei et al., Contrastive Learning for Cold-Start Recommendation, ACM MM 2021"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, tuning=True, fusion=FUSIONS)
    requirements = Requirements(content=True, dense=True)
    negatives = 0
    user_parameters = ("users",)
    training_only = ("users", "items")
    presets = {"paper": {"batch_size": 256, "standardise": False}, "tuned": {"batch_size": 256, "standardise": True}}

    class Config(AdaptedConfig):
        """Settings of CLCRec."""

        batch_size: int = Field(
            256, ge=0, description="positives of a batch; 0 lets it grow with the data, at most 64 batches an epoch"
        )
        hidden: int = Field(256, ge=1, description="width of the content encoder's hidden layer")
        candidates: int = Field(512, ge=0, description="warm items drawn for each batch")
        share: float = Field(0.5, ge=0, le=1, description="weight of L1; the rest is the weight of L2")
        replaced: float = Field(0.5, ge=0, le=1, description="share of candidates whose ID gives way to content in L2")
        tau: float = Field(0.2, gt=0, description="temperature of L1")
        tau_user: float = Field(1.0, gt=0, description="temperature of L2")
        reg: float = Field(
            0.1, ge=0, description="weight of the mean norms", json_schema_extra={"search": "1e-6..1e-1:log"}
        )
        standardise: bool = Field(True, description="standardise the columns of features")

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c = self.config
        self.users = nn.Parameter(nn.init.xavier_normal_(torch.empty(shape.n_users, c.dim)))
        self.items = nn.Parameter(nn.init.xavier_normal_(torch.empty(shape.n_items, c.dim)))
        weight = nn.init.xavier_normal_(torch.empty(c.hidden, max(sum(shape.features.values()), 1)))
        self.maps = nn.ParameterList(part.contiguous() for part in weight.split([*shape.features.values()], 1))
        self.bias = nn.Parameter(torch.zeros(c.hidden))
        self.out = nn.Linear(c.hidden, c.dim)
        nn.init.xavier_normal_(self.out.weight)
        self.content = ItemContent(shape.features, c.standardise, c.modality_dropout)
        self.cold = FromContent()

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        self.read_content(train)
        self.warm_rows = torch.from_numpy(train.warm_items).nonzero().squeeze(1)
        self.taken: Graph = user_item(train.users, train.items, train.n_users, train.n_items, norm="none")

    def encode(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Content vectors.

        Args:
            rows: int64 [b], items.

        Returns:
            float32 [b, dim], and bool [b], whether an item has any content.
        """
        total, count = self.bias.new_zeros(len(rows), len(self.bias)), self.bias.new_zeros(len(rows), 1)
        for name, weight in zip(self.content.names, self.maps):
            values, present = self.content.rows(name, rows)
            total = total + F.linear(F.normalize(values, dim=1), weight) * present[:, None]
            count = count + present[:, None]
        hidden = F.leaky_relu(total * (len(self.maps) / count.clamp(min=1)) + self.bias)
        return self.out(hidden), count.squeeze(1) > 0

    def vectors(self) -> tuple[Tensor, Tensor]:
        return self.users, self.complete(self.items)

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        c, pool = self.config, self.warm_rows.to(batch.items.device)
        drawn = pool[torch.randint(len(pool), (c.candidates,), device=pool.device)]
        candidates, place = torch.cat([batch.items, drawn]).unique(return_inverse=True)
        place = place[: len(batch)]
        ids, (content, has) = F.embedding(candidates, self.items), self.encode(candidates)
        own = has[place]
        logits = F.normalize(ids[place[own]], dim=1) @ F.normalize(content, dim=1).T / c.tau
        logits = logits.masked_fill(~has, -torch.inf)
        to_content = F.cross_entropy(logits, place[own]) if bool(own.any()) else logits.sum()
        swapped = (torch.rand(len(candidates), device=has.device) < c.replaced) & has
        users = F.embedding(batch.users, self.users)
        scores = users @ torch.where(swapped[:, None], content, ids).T / c.tau_user
        scores = scores.masked_fill(self._others(batch.users, candidates, place), -torch.inf)
        to_users = F.cross_entropy(scores, place)
        reg = c.reg * (users.norm(dim=1).mean() + ids[place].norm(dim=1).mean()) / 2
        loss = c.share * to_content + (1 - c.share) * to_users + reg
        return {"loss": loss, "content": to_content, "users": to_users, "reg": reg}

    def _others(self, users: Tensor, candidates: Tensor, place: Tensor) -> Tensor:
        """bool [B, C]: candidates that a user took, except the positive of the row."""
        graph = self.taken.on(users.device)
        start, lengths = graph.indptr[users], graph.degrees[users]
        rows = torch.arange(len(users), device=users.device).repeat_interleave(lengths)
        first = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
        items = graph.indices[torch.arange(len(rows), device=users.device) - first + start[rows]].long()
        column = torch.searchsorted(candidates, items).clamp(max=len(candidates) - 1)
        mask = torch.zeros(len(users), len(candidates), dtype=torch.bool, device=users.device)
        matched = candidates[column] == items
        mask[rows[matched], column[matched]] = True
        mask[torch.arange(len(users), device=users.device), place] = False
        return mask

    def describe(self, rows: Tensor) -> Tensor:
        content, has = self.encode(rows)
        return content * has[:, None]
