"""CLCRec's alignment (Wei et al., ACM MM 2021) as pretraining: content learns to stand in for an item's ID.

L1: an item's unit ID against the unit content vectors of candidates. L2: a user against the candidates' ID vectors, a
random share of which give way to content vectors (dot products). L = share L1 + (1 - share) L2 + a norm penalty. IDs
and users are learnt beside the encoders and not exported.

Our choices: content is raw, read by small towers and joined as in ``cb2cf`` (the paper's is ready vectors); candidates
are shared by a batch (its own items and a uniform draw), other items a user took are no negatives. An item without
content keeps its ID and takes no part in L1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.core.batch import ExampleBatch, IntArray
from palate.core.model import pretrainers
from palate.losses.contrastive import info_nce
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.models.pretrain.shared.items import ItemPretrainer

if TYPE_CHECKING:
    from palate.data.views import TrainView


@pretrainers.register("clcrec_alignment")
class CLCRecAlignment(ItemPretrainer):
    """Contrast between items' IDs and their content."""

    name = "clcrec_alignment"
    paper = "Wei et al., Contrastive Learning for Cold-Start Recommendation, ACM MM 2021"

    class Config(ItemPretrainer.Config):
        """Settings.

        Attributes:
            candidates: items drawn for each batch. share: weight of L1, the rest is L2's.
            replaced: share of candidates whose ID gives way to content in L2.
            tau, tau_user: temperatures of L1 and L2. reg: of mean norms. modalities: to learn from; all if empty.
        """

        candidates: int = Field(256, ge=1)
        share: float = Field(0.5, ge=0, le=1)
        replaced: float = Field(0.5, ge=0, le=1)
        tau: float = Field(0.2, gt=0)
        tau_user: float = Field(1.0, gt=0)
        reg: float = Field(0.1, ge=0)
        modalities: tuple[Literal["text", "image", "audio"], ...] = ()

    def wanted(self, inputs: ItemInputs) -> tuple[str, ...]:
        return tuple(m for m in inputs.features if not self.config.modalities or m in self.config.modalities)

    @property
    def unit(self) -> bool:
        # L2 reads the length of content vectors
        return False

    def combination(self) -> dict[str, Any]:
        return {"kind": "perceptron", "dim": self.config.dim, "width": self.config.width}

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        width = self.config.width
        self.people = nn.Parameter(nn.init.xavier_normal_(torch.empty(train.n_users, width)))
        self.ids = nn.Parameter(nn.init.xavier_normal_(torch.empty(train.n_items, width)))
        self.taken = train.matrix
        self.pool = np.setdiff1d(np.flatnonzero(train.warm_items), self.held.kept)

    def examples(self, view: TrainView) -> IntArray:
        """(user, item)."""
        rows = np.stack([view.users, view.items], axis=1)
        return rows[self.held.positives(view)]

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        pool = torch.from_numpy(self.pool)
        drawn = pool[torch.randint(len(pool), (self.config.candidates,))].to(batch.rows.device)
        users, items = batch.rows.T
        candidates, place = torch.cat([items, drawn]).unique(return_inverse=True)
        has = self.views.known[candidates].any(1)
        ids = self.ids[candidates]
        content = ids.new_zeros(ids.shape).masked_scatter(has[:, None], self.encode(candidates[has]))
        swapped = has & (torch.rand(len(has), device=has.device) < self.config.replaced)
        taken = self.taken[users.cpu().numpy()][:, candidates.cpu().numpy()].toarray() > 0
        others = torch.from_numpy(taken).to(has.device)
        return self.terms(self.people[users], ids, content, place[: len(users)], has, swapped, others)

    def terms(
        self, users: Tensor, ids: Tensor, content: Tensor, place: Tensor, has: Tensor, swapped: Tensor, taken: Tensor
    ) -> dict[str, Tensor]:
        """The terms of the loss.

        Args:
            users: vectors [B, d]. ids, content: vectors [C, d] of candidates. place: int64 [B], each user's positive.
            has: bool [C], candidates with content. swapped: bool [C], those whose content replaces the ID.
            taken: bool [B, C], candidates that a user took.
        """
        c, own = self.config, place[has[place]]
        to_content = ids.new_zeros(())
        if len(own):
            to_content = info_nce(ids[own], content[own], c.tau, candidates=content[has])
        scores = users @ torch.where(swapped[:, None], content, ids).T / c.tau_user
        others = taken.scatter(1, place[:, None], False)
        to_users = F.cross_entropy(scores.masked_fill(others, -torch.inf), place)
        reg = c.reg * (users.norm(dim=1).mean() + ids[place].norm(dim=1).mean()) / 2
        loss = c.share * to_content + (1 - c.share) * to_users + reg
        return {"loss": loss, "content": to_content, "users": to_users, "reg": reg}

    def affinity(self, users: IntArray, items: Tensor) -> Tensor:
        """Dot products float32 [U, n] of users, given as rows, with items given as content vectors [n, width]."""
        return self.people.detach()[torch.from_numpy(users).to(items.device)] @ items.T

    def validation_score(self) -> float:
        """AUC over users of the kept items, by content alone."""
        return self.held.auc(self.affinity(self.held.users, self.encode_all(self.held.kept)))
