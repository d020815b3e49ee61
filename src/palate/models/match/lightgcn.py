"""LightGCN (He et al., SIGIR 2020): embeddings smoothed over the user-item graph, no weights, no nonlinearity.

x_(l+1) = D^-1/2 A D^-1/2 x_l; the final vector is the mean of all layers; BPR + a penalty on the batch's layer-0 rows.
The penalty is the unsquared norm of the public multimodal code (``penalty="norm"``), or the paper's half squares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field
from torch import Tensor

from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.batch import PairBatch
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.losses.ranking import bpr
from palate.losses.regularise import l2_rows, norm_rows
from palate.models.match.shared.node_tables import node_rows, xavier_tables
from palate.models.match.shared.vectors import VectorMatcher
from palate.modules.graph import Graph, bipartite
from palate.modules.propagate import light_propagate

if TYPE_CHECKING:
    from palate.data.views import TrainView


@models.register("lightgcn")
class LightGCN(VectorMatcher):
    """Linear graph convolution over user-item interactions."""

    name = "lightgcn"
    paper = "He et al., LightGCN, SIGIR 2020"
    capabilities = Capabilities(new_users=True)
    requirements = Requirements()
    user_parameters = ("table",)
    training_only = ("table",)
    presets = {"faithful": {}, "paper": {"penalty": "squares"}}

    class Config(TrainedConfig):
        """Settings of LightGCN."""

        layers: int = Field(3, ge=0, description="propagations", json_schema_extra={"search": "1,2,3"})
        reg: float = Field(
            1e-4, ge=0, description="weight of the penalty", json_schema_extra={"search": "1e-6..1e-1:log"}
        )
        penalty: Literal["norm", "squares"] = Field(
            "norm", description="norms of the public code, or half squares of the paper"
        )

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        self.table = xavier_tables(shape.n_users, shape.n_items, self.config.dim)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        self.n_users = train.n_users
        self.graph: Graph = bipartite(train.users, train.items, train.n_users, train.n_items)

    def vectors(self) -> tuple[Tensor, Tensor]:
        final = light_propagate(self.graph, self.table, self.config.layers)
        return final[: self.n_users], final[self.n_users :]

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        # the sum over layers is made a mean on the batch's rows only: two passes over the whole table less
        final = light_propagate(self.graph, self.table, self.config.layers, "sum")
        u, pos, neg = (rows / (self.config.layers + 1) for rows in node_rows(final, batch, self.n_users))
        rank = bpr((u * pos).sum(-1), (u * neg).sum(-1))
        penalty = norm_rows if self.config.penalty == "norm" else l2_rows
        reg = self.config.reg * penalty(*node_rows(self.table, batch, self.n_users))
        return {"loss": rank + reg, "bpr": rank, "reg": reg}
