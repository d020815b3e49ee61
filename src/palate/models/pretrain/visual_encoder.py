"""VisualEncoder (Chen et al., CIKM 2022): pictures for click prediction, learnt in three stages.

1. views: two random views v, v' of a picture; L = 1 - cos(q(g(f(v))), sg(g'(f'(v')))), averaged with v and v' swapped;
   f', g' are a moving average of f, g (BYOL; ``momentum`` 0 is SimSiam). No behaviour is read, so exposure cannot bias
   it.
2. clicks: L = -log exp(s_p) / (exp(s_p) + sum_n exp(s_n)), s = cos(f(anchor), f(.)) / tau: p was taken by a user who
   took the anchor; the n are of the same class (hard), and those of the batch, without what that user took.
3. exposure: on top of the frozen f a residual net D, f' = f + D(f); L = clicks + weight * NCE(f'(head), f'(tail)): much
   exposed items are drawn to the most similar little exposed ones of their class, against those of other heads.

Our choices, as no formulas were published. A small tower stands for the backbone. There is no query picture: the anchor
is an item, p another of its class. Negatives of the batch count along with those of the class (``pool``). Exposure is
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
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.core.seeding import rng_for
from palate.features.encoders.tower import Tower, tower_network
from palate.features.fields import plan_fields
from palate.losses.contrastive import bootstrap_cosine, info_nce
from palate.losses.ranking import sampled_softmax
from palate.models.pretrain.shared.clicks import CoClicks, ExposureGroups
from palate.models.pretrain.shared.held_out import HeldOut, reciprocal_rank
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.models.pretrain.shared.properties import Properties
from palate.models.pretrain.shared.streams import identity_weights
from palate.modules.augment import random_view
from palate.modules.momentum_encoder import MomentumEncoder
from palate.modules.towers import pooled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

CHUNK = 256
Stage = Literal["views", "clicks", "exposure"]


@pretrainers.register("visual_encoder")
class VisualEncoder(Pretrainer):
    """Self-supervision, then clicks against a class-aware pool, then debiasing of exposure."""

    name = "visual_encoder"
    paper = "Chen et al., Visual Encoding and Debiasing for CTR Prediction, CIKM 2022"
    presets = {"pictures": {"stages": ("views",)}}

    class Config(TrainedConfig):
        """Settings of the three stages."""

        stages: tuple[Stage, ...] = Field(
            ("views", "clicks", "exposure"), min_length=1, description="stages that are run"
        )
        dim: int = Field(128, ge=8, description="width of the tower and of the vectors")
        hidden: int = Field(256, ge=2, description="width of projector g and predictor q")
        crop: float = Field(0.2, gt=0, le=1, description="smallest area of a view, as a share of the picture")
        colour: float = Field(0.6, ge=0, le=1, description="strength of the colour jitter of views")
        momentum: float = Field(0.95, ge=0, lt=1, description="momentum of the averages f', g'")
        category: str = Field("", description="property that holds an item's class; the first one if empty")
        pool: Literal["class", "both", "all"] = Field(
            "both",
            description="negatives: of the class, of class and batch, or from all items",
        )
        negatives: int = Field(1, ge=1, description="negatives drawn for each anchor and shared by the batch")
        tau: float = Field(
            0.1, gt=0, description="temperature of stages 2 and 3", json_schema_extra={"search": "0.03..0.5:log"}
        )
        debias: float = Field(0.5, ge=0, description="weight of the exposure term in stage 3")
        held: float = Field(0.1, ge=0, lt=1, description="share of the pictures held out for validation")
        lr: float = Field(
            1e-3, gt=0, description="learning rate of stage 1", json_schema_extra={"search": "1e-4..1e-2:log"}
        )
        click_lr: float = Field(
            1e-3, gt=0, description="learning rate of stages 2 and 3", json_schema_extra={"search": "1e-4..1e-2:log"}
        )
        batch_size: int = Field(64, ge=2, description="pictures a step")
        epochs: int = Field(30, ge=0, description="epochs of each stage at most")

    config: Config

    def reads(self) -> tuple[str, ...]:
        return ("image",)

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        return plan_fields(items, {"attributes"}) if set(self.config.stages) - {"views"} else {}

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build the tower, hold out pictures, and collect pairs of clicks if a stage needs them.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if fewer than 2 items have a picture; with stage 2 or 3 also if ``category`` does not exist,
                or no user took two pictured items of a class.
        """
        c = self.config
        self.inputs = ItemInputs(train.features)
        items = self.inputs.with_image(self.name)
        self.network = self.inputs.network("image", c.dim, 0)
        self.fusion = {"kind": "residual", "dim": c.dim, "width": c.dim}
        self.part = tower_network(self.network, c.dim, self.fusion)
        # the vector that is exported is the one the projector reads
        self.part["head"].requires_grad_(False).load_state_dict(identity_weights(c.dim))
        self.bootstrap = MomentumEncoder(self.part["tower"], c.dim, c.hidden, c.momentum)
        self.held_out = HeldOut(train, items, c.held, self.name, run.seed)
        self.frozen: Tensor | None = None
        self.eval_pairs = np.zeros((0, 2), np.int64)
        if set(c.stages) - {"views"}:
            self._setup_clicks(train, run)

    def _setup_clicks(self, train: TrainView, run: RunContext) -> None:
        c, held_out = self.config, self.held_out
        classes = Properties.from_view(train).classes(c.category)
        self.co_clicks = CoClicks(train, held_out.train_items, classes)
        if not self.co_clicks.has_pairs:
            raise ConfigError(f"{self.name} needs users who took several pictured items of a class", key="stages")
        self.exposure = ExposureGroups(train.popularity, held_out.train_items, classes)
        rng = rng_for(run.seed, "asked", self.name)
        self.eval_pairs = self.co_clicks.sample_eval_pairs(held_out.eval_items, train, rng)

    def phases(self) -> list[Phase]:
        c = self.config
        tower, residual = ([*self.part[name].parameters()] for name in ("tower", "combine"))
        phases = (
            self.phase("views", groups=self.bootstrap.trainable_parameters(), validate=False),
            self.phase("clicks", loss=self.clicks_loss, groups=tower, lr=c.click_lr),
            self.phase("exposure", loss=self.exposure_loss, groups=residual, lr=c.click_lr),
        )
        return [phase for phase in phases if phase.name in c.stages]

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        return self.held_out.train_items[:, None]

    def base(self, rows: Tensor) -> Tensor:
        """Vectors float32 [B, d] of the tower, before the residual net."""
        return pooled(self.part["tower"](self.inputs.read("image", rows)))

    def corrected(self, vectors: Tensor) -> Tensor:
        """Unit vectors [B, d] after the residual net, as exported."""
        mask = vectors.new_ones(len(vectors), 1, dtype=torch.bool)
        return F.normalize(self.part["combine"](vectors[:, None], mask), dim=1)

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Loss of stage 1."""
        c = self.config
        if len(batch) < 2:
            return {"loss": self.bootstrap.trainable_parameters()[0].sum() * 0}
        pictures = self.inputs.read("image", batch.rows[:, 0])
        one, other = (random_view(pictures, crop=c.crop, colour=c.colour) for _ in range(2))
        return {"loss": bootstrap_cosine(*self.bootstrap(one, other))}

    def clicks_loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Loss of stage 2."""
        return {"loss": self._clicks(batch.rows[:, 0], lambda rows: self.corrected(self.base(rows)))}

    def exposure_loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Loss of stage 3."""
        c, rows, frozen = self.config, batch.rows[:, 0], self.before_exposure()
        clicks = self._clicks(rows, lambda items: self.corrected(frozen[items]))
        heads, tails = self.exposure.nearest_tail(rows, frozen)
        debias = clicks * 0
        if len(heads):
            debias = info_nce(self.corrected(frozen[heads]), self.corrected(frozen[tails]), c.tau, ids=tails)
        return {"loss": clicks + c.debias * debias, "clicks": clicks, "debias": debias}

    def before_exposure(self) -> Tensor:
        """Base vectors float32 [n_items, d] of the training items, computed once; stage 3 does not change them."""
        if self.frozen is None:
            self.frozen = torch.zeros(len(self.co_clicks.classes), self.config.dim, device=self.device)
            self.frozen[self.held_out.train_items] = self._base_all(self.held_out.train_items)
        return self.frozen

    @torch.no_grad()
    def _base_all(self, rows: IntArray) -> Tensor:
        return torch.cat([self.base(part) for part in torch.from_numpy(rows).to(self.device).split(CHUNK)])

    def _clicks(self, rows: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
        anchors, candidates, negative = self.co_clicks.sample(rows, self.config.negatives, self.config.pool)
        if not len(anchors):
            return self.bootstrap.trainable_parameters()[0].sum() * 0
        items, place = torch.cat([anchors, candidates]).unique(return_inverse=True)
        a, b = encode(items)[place].split([len(anchors), len(candidates)])
        scores = a @ b.T
        return sampled_softmax(scores.diagonal(), scores, mask=negative, tau=self.config.tau)

    @torch.no_grad()
    def vectors(self, rows: IntArray) -> Tensor:
        """Unit vectors float32 [n, d] of many pictures as exported, without gradients."""
        return self.corrected(self._base_all(rows))

    def validation_score(self) -> float:
        """Mean reciprocal rank of a held-out picture among all of them, given a partner."""
        items = self.held_out.eval_items
        target = torch.from_numpy(np.searchsorted(items, self.eval_pairs[:, 1])).to(self.device)
        return reciprocal_rank(self.vectors(self.eval_pairs[:, 0]), self.vectors(items), target)

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        encoder = Tower(readers["image"], self.network, self.config.dim, self.fusion)
        return {"image": encoder.load_weights(self.part.state_dict(), fitted_on)}
