"""VisualEncoder (Chen et al., CIKM 2022): pictures for click prediction, learnt in three stages.

1. views: two random views v, v' of a picture; L = 1 - cos(q(g(f(v))), sg(g'(f'(v')))), averaged with v and v' swapped;
   f', g' are a moving average of f, g (BYOL; ``momentum`` 0 is SimSiam). Nobody's choice is read, so what was shown to
   whom cannot bend it.
2. clicks: L = -log exp(s_p) / (exp(s_p) + sum_n exp(s_n)), s = cos(f(anchor), f(.)) / tau: p was taken by a person who
   took the anchor; the n are of the same class (hard), beside the batch, without what that person took.
3. exposure: on top of the frozen f a residual net D, f' = f + D(f); L = clicks + weight * NCE(f'(head), f'(tail)): much
   exposed items are drawn to the most similar little exposed ones of their class, against those of other heads.

Our choices, as no formulas were published. A small tower stands for the backbone. There is no query picture: the anchor
is an item, p another of its class. Negatives of the batch count beside those of the class (``pool``). Exposure is
counted by positives: head is the upper fifth, tail the lower half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from palate.contracts import Phase, Pretrainer, pretrainers
from palate.core.batch import ExampleBatch, IntArray
from palate.core.config import TrainedConfig
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.core.seeding import rng_for
from palate.features.encoders.tower import Tower, tower_network
from palate.features.fields import plan_fields
from palate.losses.contrastive import bootstrap_cosine, info_nce
from palate.losses.ranking import sampled_softmax
from palate.modules.augment import random_view
from palate.modules.momentum_encoder import MomentumEncoder
from palate.modules.towers import pooled

from ._clicked import Clicked, Exposed
from ._held import HeldOut, reciprocal_rank
from ._inputs import ItemInputs
from ._properties import Properties
from ._streams import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

CHUNK = 256
Stage = Literal["views", "clicks", "exposure"]


@pretrainers.register("visual_encoder")
class VisualEncoder(Pretrainer):
    """Self-supervision, then clicks against a class-aware pool, then less of exposure."""

    name = "visual_encoder"
    paper = "Chen et al., Visual Encoding and Debiasing for CTR Prediction, CIKM 2022"
    presets = {"pictures": {"stages": ("views",)}}

    class Config(TrainedConfig):
        """Settings.

        Attributes:
            stages: which of the three are run. hidden: of projector g and predictor q.
            crop, colour: of views, see :func:`palate.modules.augment.random_view`. momentum: of f', g'.
            category: property that holds an item's class; empty: the first that is stated, if any. pool: of negatives.
            negatives: drawn for each anchor and shared by the batch. tau, click_lr: of stages 2 and 3. lr: of stage 1.
            debias: weight of the exposure term. epochs: of each stage. held: share of the pictures kept out to judge.
        """

        stages: tuple[Stage, ...] = Field(("views", "clicks", "exposure"), min_length=1)
        dim: int = Field(128, ge=8)
        hidden: int = Field(256, ge=2)
        crop: float = Field(0.2, gt=0, le=1)
        colour: float = Field(0.6, ge=0, le=1)
        momentum: float = Field(0.95, ge=0, lt=1)
        category: str = ""
        pool: Literal["class", "both", "all"] = "both"
        negatives: int = Field(1, ge=1)
        tau: float = Field(0.1, gt=0)
        debias: float = Field(0.5, ge=0)
        held: float = Field(0.1, ge=0, lt=1)
        lr: float = Field(1e-3, gt=0)
        click_lr: float = Field(1e-3, gt=0)
        batch_size: int = Field(64, ge=2)
        epochs: int = Field(30, ge=0)

    config: Config

    def reads(self) -> tuple[str, ...]:
        return ("image",)

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        return plan_fields(items, {"attributes"}) if set(self.config.stages) - {"views"} else {}

    def setup(self, train: TrainView) -> None:
        c = self.config
        self.inputs = ItemInputs(train.features)
        pictured = self.inputs.pictured(self.name)
        self.network = self.inputs.network("image", c.dim, 0)
        self.combine = {"kind": "residual", "dim": c.dim, "width": c.dim}
        self.part = tower_network(self.network, c.dim, self.combine)
        # the vector that is exported is the one the projector reads
        self.part["head"].requires_grad_(False).load_state_dict(identity(c.dim))
        self.bootstrap = MomentumEncoder(self.part["tower"], c.dim, c.hidden, c.momentum)
        self.held = HeldOut(train, pictured, c.held, self.name)
        self.frozen: Tensor | None = None
        self.asked = np.zeros((0, 2), np.int64)
        if set(c.stages) - {"views"}:
            self._setup_clicks(train)

    def _setup_clicks(self, train: TrainView) -> None:
        c, held = self.config, self.held
        classes = Properties.of(train).classes(c.category)
        self.clicked = Clicked(train, held.trained, classes)
        if not self.clicked.any:
            raise ConfigError(f"{self.name} needs people who took several pictured items of a class", key="stages")
        self.exposed = Exposed(train.popularity, held.trained, classes)
        self.asked = self.clicked.asking(held.kept, train, rng_for(train.seed, "asked", self.name))

    def phases(self) -> list[Phase]:
        c = self.config
        tower, net = ([*self.part[name].parameters()] for name in ("tower", "combine"))
        made = (
            Phase("views", self.loss, self.bootstrap.trainable_parameters(), c.lr, epochs=c.epochs, validate=False),
            Phase("clicks", self.clicks_loss, tower, c.click_lr, epochs=c.epochs, patience=c.patience),
            Phase("exposure", self.exposure_loss, net, c.click_lr, epochs=c.epochs, patience=c.patience),
        )
        return [phase for phase in made if phase.name in c.stages]

    def examples(self, view: TrainView) -> IntArray:
        return self.held.trained[:, None]

    def base(self, rows: Tensor) -> Tensor:
        """What the tower makes of pictures, float32 [B, d]."""
        return pooled(self.part["tower"](self.inputs.read("image", rows)))

    def corrected(self, vectors: Tensor) -> Tensor:
        """Unit vectors of base vectors, as exported."""
        mask = vectors.new_ones(len(vectors), 1, dtype=torch.bool)
        return F.normalize(self.part["combine"](vectors[:, None], mask), dim=1)

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Stage 1."""
        c = self.config
        if len(batch) < 2:
            return {"loss": self.bootstrap.trainable_parameters()[0].sum() * 0}
        pictures = self.inputs.read("image", batch.rows[:, 0])
        one, other = (random_view(pictures, crop=c.crop, colour=c.colour) for _ in range(2))
        return {"loss": bootstrap_cosine(*self.bootstrap(one, other))}

    def clicks_loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Stage 2."""
        return {"loss": self._clicks(batch.rows[:, 0], lambda found: self.corrected(self.base(found)))}

    def exposure_loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Stage 3."""
        c, rows, frozen = self.config, batch.rows[:, 0], self.before_exposure()
        clicks = self._clicks(rows, lambda found: self.corrected(frozen[found]))
        heads, tails = self.exposed.pairs(rows, frozen)
        debias = clicks * 0
        if len(heads):
            debias = info_nce(self.corrected(frozen[heads]), self.corrected(frozen[tails]), c.tau, ids=tails)
        return {"loss": clicks + c.debias * debias, "clicks": clicks, "debias": debias}

    def before_exposure(self) -> Tensor:
        """What the tower makes of all it was trained on, float32 [n_items, d]; stage 3 leaves it as it is."""
        if self.frozen is None:
            self.frozen = torch.zeros(len(self.clicked.classes), self.config.dim, device=self.device)
            self.frozen[self.held.trained] = self._many(self.held.trained)
        return self.frozen

    @torch.no_grad()
    def _many(self, rows: IntArray) -> Tensor:
        return torch.cat([self.base(part) for part in torch.from_numpy(rows).to(self.device).split(CHUNK)])

    def _clicks(self, rows: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
        anchors, candidates, counts = self.clicked.draw(rows, self.config.negatives, self.config.pool)
        if not len(anchors):
            return self.bootstrap.trainable_parameters()[0].sum() * 0
        whole, place = torch.cat([anchors, candidates]).unique(return_inverse=True)
        a, b = encode(whole)[place].split([len(anchors), len(candidates)])
        scores = a @ b.T
        return sampled_softmax(scores.diagonal(), scores, mask=counts, tau=self.config.tau)

    @torch.no_grad()
    def vectors(self, rows: IntArray) -> Tensor:
        """Unit vectors float32 [n, d] of many pictures as exported, without gradients."""
        return self.corrected(self._many(rows))

    def validation_score(self) -> float:
        """Mean reciprocal rank of a held-out picture among all of them, asked by a partner."""
        place = torch.from_numpy(np.searchsorted(self.held.kept, self.asked[:, 1])).to(self.device)
        return reciprocal_rank(self.vectors(self.asked[:, 0]), self.vectors(self.held.kept), place)

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        made = Tower(readers["image"], self.network, self.config.dim, self.combine)
        return {"image": made.take_weights(self.part.state_dict(), fitted_on)}
