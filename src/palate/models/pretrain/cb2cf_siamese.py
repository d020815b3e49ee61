"""CB2CF's siamese form (item embedding of SSD, Huang et al., KDD 2021): neighbours by behaviour are near by content.

v = f(content) of unit length, the same f for both items; L = BCE(sigmoid(a cos(v_i, v_j) + b), y), y = 1 for neighbours
of item-based collaborative filtering and 0 for drawn items; a, b are learnt.

Our choices: neighbours are the best cosines of who took the items; negatives are uniform (the paper mixes in hard
ones), a drawn neighbour or the item itself does not count; towers, missing modalities and their hiding as in ``cb2cf``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch, IntArray
from palate.core.errors import ConfigError
from palate.core.seeding import rng_for
from palate.losses.pointwise import calibrated_cosine

from ._held import reciprocal_rank
from ._items import ItemPretrainer
from ._pairs import among, neighbour_pairs

if TYPE_CHECKING:
    from palate.data.views import TrainView

JUDGED = 1000


@pretrainers.register("cb2cf_siamese")
class SiameseCB2CF(ItemPretrainer):
    """Item-to-item similarity from content."""

    name = "cb2cf_siamese"
    paper = "Huang et al., Sliding Spectrum Decomposition for Diversified Recommendation, KDD 2021"

    class Config(ItemPretrainer.Config):
        """Settings.

        Attributes:
            neighbours: of each item. negatives: drawn for each pair. scale, shift: first a and b.
            shuffled: every item gets the neighbours of another one: what is left when behaviour says nothing.
        """

        neighbours: int = Field(10, ge=1)
        negatives: int = Field(4, ge=1)
        scale: float = Field(5.0, gt=0)
        shift: float = 0.0
        shuffled: bool = False

    config: Config

    def combination(self) -> dict[str, Any]:
        return {"kind": "perceptron", "dim": self.config.dim, "width": self.config.width}

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        c, held = self.config, self.held
        self.scale, self.shift = nn.Parameter(torch.tensor(c.scale)), nn.Parameter(torch.tensor(c.shift))
        pairs = neighbour_pairs(train.matrix, c.neighbours)
        rows = np.arange(train.n_items)
        trained, kept = np.isin(rows, held.trained), np.isin(rows, held.kept)
        self.pairs = among(pairs, trained)
        if not len(self.pairs):
            raise ConfigError(f"{self.name} needs people who took several items with content", key="model")
        if c.shuffled:
            other = rows.copy()
            other[held.trained] = rng_for(train.seed, "partners", self.name).permutation(held.trained)
            self.pairs = np.stack([self.pairs[:, 0], other[self.pairs[:, 1]]], axis=1)
        self.asked = pairs[trained[pairs[:, 0]] & kept[pairs[:, 1]]][:JUDGED]
        # the cosine of two items has no direction: whichever has the other as a neighbour
        both = np.concatenate([self.pairs, self.pairs[:, ::-1]])
        self.together = np.unique(both[:, 0] * train.n_items + both[:, 1])
        self.n_items = train.n_items

    def examples(self, view: TrainView) -> IntArray:
        return self.pairs

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        pool = torch.from_numpy(self.held.trained)
        drawn = pool[torch.randint(len(pool), (len(batch), self.config.negatives))]
        anchors = batch.rows[:, 0].cpu()
        keys = anchors[:, None] * self.n_items + drawn
        counts = torch.from_numpy(~np.isin(keys.numpy(), self.together)) & (drawn != anchors[:, None])
        rows, place = torch.cat([batch.rows, drawn.to(batch.rows.device)], dim=1).unique(return_inverse=True)
        vectors = self.encode(rows)[place]
        cosines = (vectors[:, :1] * vectors[:, 1:]).sum(2)
        counts = counts.to(cosines.device)
        return {"loss": calibrated_cosine(cosines[:, 0], cosines[:, 1:], self.scale, self.shift, counts)}

    def validation_score(self) -> float:
        """Mean reciprocal rank of kept neighbours among the kept items."""
        place = torch.from_numpy(np.searchsorted(self.held.kept, self.asked[:, 1])).to(self.device)
        return reciprocal_rank(self.encode_all(self.asked[:, 0]), self.encode_all(self.held.kept), place)
