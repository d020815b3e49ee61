"""CB2CF's siamese form (item embedding of SSD, Huang et al., KDD 2021): neighbours by behaviour are near by content.

v = f(content) of unit length, the same f for both items; L = BCE(sigmoid(a cos(v_i, v_j) + b), y), y = 1 for neighbours
of item-based collaborative filtering and 0 for drawn items; a, b are learnt.

Our choices: neighbours have the best cosines of who took the items; negatives are uniform (the paper mixes in hard
ones), a drawn neighbour or the item itself does not count; towers, missing modalities and dropout are as in ``cb2cf``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch, IntArray
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.seeding import rng_for
from palate.losses.pointwise import calibrated_cosine
from palate.models.pretrain.shared.held_out import reciprocal_rank
from palate.models.pretrain.shared.interactions import neighbour_pairs, pairs_within
from palate.models.pretrain.shared.items import ItemPretrainer

if TYPE_CHECKING:
    from palate.data.views import TrainView

MAX_EVAL_PAIRS = 1000


@pretrainers.register("cb2cf_siamese")
class SiameseCB2CF(ItemPretrainer):
    """Item-to-item similarity from content."""

    name = "cb2cf_siamese"
    paper = "Huang et al., Sliding Spectrum Decomposition for Diversified Recommendation, KDD 2021"

    class Config(ItemPretrainer.Config):
        """Settings of the pairs."""

        neighbours: int = Field(10, ge=1, description="neighbours of each item by behaviour")
        negatives: int = Field(4, ge=1, description="negatives of each pair")
        scale: float = Field(5.0, gt=0, description="initial scale a of the cosine")
        shift: float = Field(0.0, description="initial shift b of the cosine")
        shuffled: bool = Field(False, description="ablation: every item gets the neighbours of a random other one")

    config: Config

    def fusion_config(self) -> dict[str, Any]:
        return {"kind": "perceptron", "dim": self.config.dim, "width": self.config.width}

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build the towers, and find the pairs.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if no user took two items with content, or as in :meth:`ItemPretrainer.setup`.
        """
        super().setup(train, run)
        c, held_out = self.config, self.held_out
        self.scale, self.shift = nn.Parameter(torch.tensor(c.scale)), nn.Parameter(torch.tensor(c.shift))
        pairs = neighbour_pairs(train.matrix, c.neighbours)
        rows = np.arange(train.n_items)
        trained, kept_out = np.isin(rows, held_out.train_items), np.isin(rows, held_out.eval_items)
        self.pairs = pairs_within(pairs, trained)
        if not len(self.pairs):
            raise ConfigError(f"{self.name} needs users who took several items with content", key="model")
        if c.shuffled:
            other = rows.copy()
            other[held_out.train_items] = rng_for(run.seed, "partners", self.name).permutation(held_out.train_items)
            self.pairs = np.stack([self.pairs[:, 0], other[self.pairs[:, 1]]], axis=1)
        self.eval_pairs = pairs[trained[pairs[:, 0]] & kept_out[pairs[:, 1]]][:MAX_EVAL_PAIRS]
        # the cosine of two items is symmetric: a pair counts whichever of them has the other as a neighbour
        both = np.concatenate([self.pairs, self.pairs[:, ::-1]])
        self.positive_keys = np.unique(both[:, 0] * train.n_items + both[:, 1])
        self.n_items = train.n_items

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        return self.pairs

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        pool = torch.from_numpy(self.held_out.train_items)
        drawn = pool[torch.randint(len(pool), (len(batch), self.config.negatives))]
        anchors = batch.rows[:, 0].cpu()
        keys = anchors[:, None] * self.n_items + drawn
        mask = torch.from_numpy(~np.isin(keys.numpy(), self.positive_keys)) & (drawn != anchors[:, None])
        rows, place = torch.cat([batch.rows, drawn.to(batch.rows.device)], dim=1).unique(return_inverse=True)
        vectors = self.encode(rows)[place]
        cosines = (vectors[:, :1] * vectors[:, 1:]).sum(2)
        mask = mask.to(cosines.device)
        return {"loss": calibrated_cosine(cosines[:, 0], cosines[:, 1:], self.scale, self.shift, mask)}

    def validation_score(self) -> float:
        """Mean reciprocal rank of held-out neighbours among the held-out items."""
        items = self.held_out.eval_items
        target = torch.from_numpy(np.searchsorted(items, self.eval_pairs[:, 1])).to(self.device)
        return reciprocal_rank(self.encode_all(self.eval_pairs[:, 0]), self.encode_all(items), target)
