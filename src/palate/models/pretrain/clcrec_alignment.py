"""CLCRec's alignment (Wei et al., ACM MM 2021) as pretraining: content learns to replace an item's ID.

L1: an item's unit ID against the unit content vectors of candidates. L2: a user against the candidates' ID vectors, a
random share of which is replaced by content vectors (dot products). L = share L1 + (1 - share) L2 + a norm penalty. IDs
and users are learnt with the encoders and not exported.

Our choices: content is raw, read by small towers and fused as in ``cb2cf`` (the paper's is ready vectors); candidates
are shared by a batch (its own items and a uniform draw), other items a user took are not negatives. An item without
content keeps its ID and takes no part in L1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch, IntArray
from palate.core.context import RunContext
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
        """Settings of the two terms."""

        candidates: int = Field(256, ge=1, description="items drawn for each batch")
        share: float = Field(
            0.5, ge=0, le=1, description="weight of L1; L2 has the rest", json_schema_extra={"search": "0.0..1.0"}
        )
        replaced: float = Field(0.5, ge=0, le=1, description="share of the candidates whose ID content replaces in L2")
        tau: float = Field(0.2, gt=0, description="temperature of L1", json_schema_extra={"search": "0.05..1.0:log"})
        tau_user: float = Field(1.0, gt=0, description="temperature of L2")
        reg: float = Field(
            0.1, ge=0, description="weight of the mean norms", json_schema_extra={"search": "1e-4..1e-1:log"}
        )
        modalities: tuple[Literal["text", "image", "audio"], ...] = Field(
            (), description="modalities to learn from; all if empty"
        )

    config: Config

    def select_modalities(self, inputs: ItemInputs) -> tuple[str, ...]:
        return tuple(m for m in inputs.features if not self.config.modalities or m in self.config.modalities)

    @property
    def normalize(self) -> bool:
        # L2 reads the length of content vectors
        return False

    def fusion_config(self) -> dict[str, Any]:
        return {"kind": "perceptron", "dim": self.config.dim, "width": self.config.width}

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        width = self.config.width
        self.people = nn.Parameter(nn.init.xavier_normal_(torch.empty(train.n_users, width)))
        self.ids = nn.Parameter(nn.init.xavier_normal_(torch.empty(train.n_items, width)))
        self.matrix = train.matrix
        self.pool = np.setdiff1d(np.flatnonzero(train.warm_items), self.held_out.eval_items)

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        """(user, item) int64 [n, 2]."""
        rows = np.stack([view.users, view.items], axis=1)
        return rows[self.held_out.training_mask(view)]

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        pool = torch.from_numpy(self.pool)
        drawn = pool[torch.randint(len(pool), (self.config.candidates,))].to(batch.rows.device)
        users, items = batch.rows.T
        candidates, place = torch.cat([items, drawn]).unique(return_inverse=True)
        has = self.views.presence[candidates].any(1)
        ids = self.ids[candidates]
        content = ids.new_zeros(ids.shape).masked_scatter(has[:, None], self.encode(candidates[has]))
        swapped = has & (torch.rand(len(has), device=has.device) < self.config.replaced)
        taken = self.matrix[users.cpu().numpy()][:, candidates.cpu().numpy()].toarray() > 0
        others = torch.from_numpy(taken).to(has.device)
        return self.terms(self.people[users], ids, content, place[: len(users)], has, swapped, others)

    def terms(
        self, users: Tensor, ids: Tensor, content: Tensor, place: Tensor, has: Tensor, swapped: Tensor, taken: Tensor
    ) -> dict[str, Tensor]:
        """Terms of the loss.

        Args:
            users: float [B, d], vectors of users.
            ids: float [C, d], ID vectors of candidates.
            content: float [C, d], content vectors of candidates.
            place: int64 [B], each user's positive.
            has: bool [C], candidates with content.
            swapped: bool [C], candidates whose content replaces the ID.
            taken: bool [B, C], candidates that a user took.

        Returns:
            ``loss``, ``content`` (L1), ``users`` (L2) and ``reg``.
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
        """Dot products of users with content vectors.

        Args:
            users: int64 [U], rows of users.
            items: float32 [n, width], content vectors.

        Returns:
            float32 [U, n].
        """
        return self.people.detach()[torch.from_numpy(users).to(items.device)] @ items.T

    def validation_score(self) -> float:
        """AUC over users of the held-out items, by content alone."""
        return self.held_out.auc(self.affinity(self.held_out.users, self.encode_all(self.held_out.eval_items)))
