"""Majority: every item gets the most frequent label, and every label that most items have.

The floor of tagging: probabilities are the shares of the training items with each label, whatever an item's content.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palate.contracts import Capabilities, models
from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.data.views import TrainView
from palate.models.tag.shared.tagging_model import LabelConfig, TaggingModel


@models.register("majority_tagger")
class MajorityTagger(TaggingModel):
    """The most frequent labels for all items."""

    name = "majority_tagger"
    paper = "counts; the floor"
    capabilities = Capabilities(new_items=True)
    deterministic = True

    class Config(LabelConfig):
        """Settings of the majority."""

    config: Config

    def solve(self, train: TrainView, run: RunContext) -> bool:
        return True

    def tag(self, content: ItemFeatures) -> NDArray[np.float32]:
        return np.tile(self.shares, (content.n_items, 1))
