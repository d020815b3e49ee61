"""BPR-MF (Rendle et al., UAI 2009): matrix factorisation trained to put what was taken above what was not.

score = e_u . e_i; mean of -log sigmoid(s_pos - s_neg) + a penalty on the batch's rows. No item bias, as in the public
multimodal code, whose unsquared norm is the default penalty; the paper's half squares are ``penalty="squares"``.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.core.batch import PairBatch
from palate.core.config import TrainedConfig
from palate.core.model import Abilities, Needs, Shape, models
from palate.losses.ranking import bpr
from palate.losses.regularise import l2_rows, norm_rows

from ._vectors import VectorMatcher


@models.register("bpr")
class BPR(VectorMatcher):
    """Two embedding tables and a pairwise loss."""

    name = "bpr"
    paper = "Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009"
    abilities = Abilities(new_users=True)
    needs = Needs(batch="pairs", negatives=1)
    presets = {"faithful": {}, "tuned": {"penalty": "squares", "reg": 0.03}}

    class Config(TrainedConfig):
        """reg: weight of the penalty. penalty: ``norm`` or ``squares``."""

        reg: float = Field(1e-2, ge=0)
        penalty: Literal["norm", "squares"] = "norm"

    def build(self, shape: Shape) -> None:
        super().build(shape)
        self.users = nn.Parameter(torch.empty(shape.n_users, self.config.dim))
        self.items = nn.Parameter(torch.empty(shape.n_items, self.config.dim))
        nn.init.xavier_normal_(self.users)
        nn.init.xavier_normal_(self.items)

    def vectors(self) -> tuple[Tensor, Tensor]:
        return self.users, self.items

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        u = F.embedding(batch.users, self.users)
        pos, neg = F.embedding(torch.cat([batch.items, batch.negatives[:, 0]]), self.items).chunk(2)
        rank = bpr((u * pos).sum(-1), (u * neg).sum(-1))
        penalty = norm_rows if self.config.penalty == "norm" else l2_rows
        reg = self.config.reg * penalty(u, pos, neg)
        return {"loss": rank + reg, "bpr": rank, "reg": reg}
