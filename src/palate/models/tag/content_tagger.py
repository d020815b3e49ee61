"""Content tagger: a multi-label head over the content of items, on frozen encoders or on encoders trained along.

logits = b + sum over the modalities m of an item of W_m x_m / sqrt(d_m), x_m standardised by column; with ``hidden``
the sum goes through one hidden layer. A modality that an item lacks adds nothing, which is what an average one adds.
Several labels: sigmoids and binary cross-entropy; exactly one label: a softmax and cross-entropy. Thresholds have the
best F1 of each label on held-out items (Lipton et al., ECML PKDD 2014). Frozen encoders make it a linear probe. Where
encoders are trained, the head is trained first on what they give untrained, then both together at a lower rate, so that
a head that knows nothing does not spoil them (Kumar et al., ICLR 2022).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from palate.batches.examples import ExampleBatches
from palate.contracts import Capabilities, InputSpec, Phase, Requirements, models
from palate.core.batch import BatchSource, ExampleBatch, IntArray
from palate.core.config import AdaptedConfig
from palate.core.item_features import ItemFeatures
from palate.core.tuning import FUSIONS
from palate.features.item_content import ItemContent
from palate.models.tag.shared.tagging_model import TaggingModel, ThresholdConfig

if TYPE_CHECKING:
    from palate.core.context import RunContext
    from palate.data.views import TrainView
    from palate.features.trainable import TrainableContent


@models.register("content_tagger")
class ContentTagger(TaggingModel):
    """Labels of items by a head on their content."""

    name = "content_tagger"
    paper = "Alain & Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, ICLR Workshop 2017"
    capabilities = Capabilities(new_items=True, content=True, tuning=True, fusion=FUSIONS)
    requirements = Requirements(content=True, dense=True)

    class Config(ThresholdConfig, AdaptedConfig):
        """Settings of the content tagger."""

        hidden: int = Field(0, ge=0, description="width of the hidden layer; 0 is a linear head")
        dropout: float = Field(
            0.2, ge=0, lt=1, description="dropout on vectors", json_schema_extra={"search": "0.0..0.6"}
        )
        lr: float = Field(1e-2, gt=0, description="learning rate", json_schema_extra={"search": "0.001..0.05:log"})
        optimizer: Literal["adam", "adamw", "sgd"] = Field("adamw", description="optimiser of the loop")
        weight_decay: float = Field(
            0.1, ge=0, description="decoupled L2 penalty", json_schema_extra={"search": "0.01..3:log"}
        )
        batch_size: int = Field(64, ge=1, description="items of a batch")
        epochs: int = Field(40, ge=0, description="epochs at most")
        patience: int = Field(5, ge=1, description="validations without gain after which training stops")
        head_epochs: int = Field(20, ge=0, description="epochs of the head alone, before encoders are trained with it")
        tuning_lr: float = Field(
            0.1,
            gt=0,
            description="factor on lr while encoders are trained; weights that come pretrained learn at "
            "pretrained_lr of that",
        )

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c, labels = self.config, len(self.names)
        out = c.hidden or labels
        self.maps = nn.ParameterList(
            torch.randn(out, d) if c.hidden else torch.zeros(out, d) for d in shape.features.values()
        )
        self.inner = nn.Parameter(torch.zeros(c.hidden))
        self.outer = nn.Parameter(0.1 * torch.randn(labels if c.hidden else 0, c.hidden))
        shares = torch.from_numpy(self.shares).clamp(1e-4, 1 - 1e-4)
        self.bias = nn.Parameter(shares.log() if self.single else shares.logit())
        self.content = ItemContent(shape.features, standardise=True, dropout=c.modality_dropout)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        features = {name: train.features[name] for name in self.content.names}
        self.content.fit(ItemFeatures.of(features, train.n_items))

    def attach_encoders(self, source: TrainableContent) -> None:
        self.content.attach_encoders(source, self.config.encode_rows)

    def phases(self) -> list[Phase]:
        c, network = self.config, self.content.network
        if network is None:
            return super().phases()
        head = [self.maps, self.inner, self.outer, self.bias]
        parameters = [p for part in head for p in (part if isinstance(part, nn.ParameterList) else [part])]
        first = self.phase("head", loss=self.head_loss, groups=parameters, epochs=c.head_epochs, validate=False)
        both = self.phase("encoders and head", lr=c.lr * c.tuning_lr)
        return [first, replace(both, groups=both.slowed(network.pretrained(), c.pretrained_lr))]

    def batches(self, train: TrainView, run: RunContext) -> BatchSource:
        return ExampleBatches(self.train_rows[:, None])

    def head(self, vectors: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
        """Logits float32 [b, labels].

        Args:
            vectors: feature -> standardised vectors [b, d], zero where absent, and the mask [b].
        """
        c = self.config
        total: Tensor = self.inner if c.hidden else self.bias
        for name, weight in zip(self.content.names, self.maps):
            x = F.dropout(vectors[name][0], c.dropout, self.training)
            total = total + F.linear(x, weight) / weight.shape[1] ** 0.5
        return F.linear(F.gelu(total), self.outer, self.bias) if c.hidden else total

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        self.content.encode_batch(batch.rows[:, 0])
        return self.head_loss(batch)

    def head_loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Cross-entropy of the labels by vectors as they are.

        Args:
            batch: rows int64 [b, 1] of labelled items.
        """
        assert self.train_labels is not None
        rows = batch.rows[:, 0]
        logits = self.head({name: self.content.rows(name, rows) for name in self.content.names})
        truth = torch.from_numpy(self.train_labels.matrix(rows.cpu().numpy())).to(logits)
        if self.single:
            return {"loss": F.cross_entropy(logits, truth / truth.sum(1, keepdim=True))}
        return {"loss": F.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(1).mean()}

    def tag(self, content: ItemFeatures) -> NDArray[np.float32]:
        found = self.content.rows_of(content, np.arange(content.n_items))
        return self._probabilities({name: (x.to(self.device), there) for name, (x, there) in found.items()})

    def tag_rows(self, content: ItemFeatures, rows: IntArray) -> NDArray[np.float32]:
        if self.content.network is None:
            return super().tag_rows(content, rows)
        # what is hidden from fitting may be loaded: the loss reads labelled rows alone
        self.content.load(content)
        at = torch.from_numpy(rows).to(self.device)
        return self._probabilities({name: self.content.rows(name, at) for name in self.content.names})

    def _probabilities(self, vectors: dict[str, tuple[Tensor, Tensor]]) -> NDArray[np.float32]:
        with torch.no_grad():
            logits = self.head(vectors)
            shares: NDArray[np.float32] = (logits.softmax(1) if self.single else logits.sigmoid()).cpu().numpy()
        return shares

    def on_fit_end(self) -> None:
        super().on_fit_end()
        self.content.freeze()
