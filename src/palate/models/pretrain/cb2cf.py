"""CB2CF (Barkan et al., RecSys 2019): an item's content predicts its collaborative vector.

L = mean_i ||f(content_i) - v_i||^2, f a net over the concatenation of one view a modality.

Our choices: v are factors of a weighted factorisation of the training positives (the paper's are of item2vec); views
are the small towers. A modality that an item lacks is left out of the first layer's sum, which is rescaled to those
that are present; modalities are dropped at random in training so that each can be exported as an encoder of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field

from palate.contracts import pretrainers
from palate.core.context import RunContext
from palate.core.seeding import rng_for
from palate.models.pretrain.shared.factors import FactorRegression

if TYPE_CHECKING:
    from palate.data.views import TrainView


@pretrainers.register("cb2cf")
class CB2CF(FactorRegression):
    """From content to collaborative vectors."""

    name = "cb2cf"
    paper = "Barkan et al., CB2CF: A Neural Multiview Content-to-Collaborative Filtering Model, RecSys 2019"

    class Config(FactorRegression.Config):
        """Settings of the views."""

        views: tuple[Literal["text", "image", "audio"], ...] = Field(
            (), description="modalities that items show, all if empty; the net has parts for the others nevertheless"
        )
        shuffled: bool = Field(False, description="ablation: every item predicts the vector of a random other one")

    config: Config

    def query_only(self) -> tuple[str, ...]:
        views = self.config.views
        return tuple(m for m in ("text", "image", "audio") if views and m not in views)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        if self.config.shuffled:
            items = self.held_out.train_items
            other = rng_for(run.seed, "partners", self.name).permutation(items)
            self.targets[torch.from_numpy(items)] = self.targets[torch.from_numpy(other)]

    def fusion_config(self) -> dict[str, Any]:
        return {"kind": "perceptron", "dim": self.config.dim, "width": self.config.width}
