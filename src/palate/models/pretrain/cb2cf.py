"""CB2CF (Barkan et al., RecSys 2019): all that is known of an item's content predicts its collaborative vector.

L = mean_i ||f(content_i) - v_i||^2, f a net over the concatenation of one view a modality.

Our choices: v are factors of a weighted factorisation of the training positives (the paper's are of item2vec); views
are the small towers. A modality that an item lacks is left out of the first layer's sum, which is scaled to what is
there; modalities are hidden at random in training so that each can be exported as an encoder of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch

from palate.core.model import pretrainers
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
        """Settings.

        Attributes:
            views: modalities that items show; all if empty. The net has parts for the others nevertheless.
            shuffled: every item is to predict the vector of another one: what is left when content says nothing of it.
        """

        views: tuple[Literal["text", "image", "audio"], ...] = ()
        shuffled: bool = False

    def unshown(self) -> tuple[str, ...]:
        shown = self.config.views
        return tuple(m for m in ("text", "image", "audio") if shown and m not in shown)

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        if self.config.shuffled:
            trained = self.held.trained
            other = rng_for(train.seed, "partners", self.name).permutation(trained)
            self.goals[torch.from_numpy(trained)] = self.goals[torch.from_numpy(other)]

    def combination(self) -> dict[str, Any]:
        return {"kind": "perceptron", "dim": self.config.dim, "width": self.config.width}
