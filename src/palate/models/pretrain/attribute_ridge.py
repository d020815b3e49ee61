"""Attribute ridge: attributes of items teach linear maps of their content vectors; ours, in closed form.

For every modality alone, x is an item's vector, u = (x - mean) / scale of length 1, and y_t whether the item has
attribute value t, minus its mean m_t and divided by (m_t (1 - m_t))^(1/4), halfway between weighting values by their
frequency and weighting them equally. A = argmin |U A' - Y|^2 + r |A|^2 (Hoerl & Kennard, Technometrics 1970). The
encoder gives [u, A u / |A u|]: the content, and next to it the attributes predicted from it, since few items teach
little about rare words. The attributes themselves are never read by the encoder.

``r``, and whether x is divided by its standard deviations, are those that best predict the attributes of left-out
items, each item left out in turn without refitting (Allen, Technometrics 1974). ``epochs`` 0 leaves A random.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Phase, Pretrainer, pretrainers
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.features.encoders.tower import Tower, tower_network
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.models.pretrain.shared.topics import item_labels, label_columns
from palate.modules.towers import AttributeProjection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.core.batch import ExampleBatch, IntArray
    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
MAX_LEFT_OUT = 8000
"""Items at most that are left out in turn."""
CHUNK = 4096


@pretrainers.register("attribute_ridge")
class AttributeRidge(Pretrainer):
    """Add attribute predictions to existing vectors."""

    name = "attribute_ridge"
    paper = "after Hoerl & Kennard, Ridge Regression, Technometrics 1970"
    deterministic = True
    default_readers = {"text": "tfidf", "image": "image_stats", "audio": "logmel"}

    class Config(TrainedConfig):
        """Settings of the labels and of the exported vector."""

        least: int = Field(8, ge=1, description="items that must have an attribute value for it to be a target")
        ranges: int = Field(
            10, ge=0, description="ranges of equal counts into which numeric attributes are cut; 0 leaves them out"
        )
        weight: float = Field(1.0, gt=0, description="weight of the predictions relative to the content vector")
        epochs: int = Field(1, ge=0, description="0 leaves the maps random; they are solved in one epoch")

    config: Config

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        return label_columns(items, self.config.ranges)

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Take vectors and labels, and make the maps.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if a modality is not read as vectors, or fewer than 2 items have both content and attributes.
        """
        self.inputs = ItemInputs(train.features)
        for modality in self.inputs.features:
            if not self.inputs.frozen(modality):
                hint = f"read it as {self.default_readers[modality]}, or by an encoder that was pretrained before"
                raise ConfigError(f"{self.name} learns from vectors", key=modality, hint=hint)
        labels = item_labels(train.fields, train.n_items, self.config.ranges)
        self.labels = labels[:, labels.sum(0) >= self.config.least]
        rows = {m: np.flatnonzero(self.inputs.present(m) & self.labels.any(1).numpy()) for m in self.inputs.features}
        self.rows = {modality: items for modality, items in rows.items() if len(items) > 1}
        if not self.rows:
            raise ConfigError(
                f"{self.name} needs content of items with attributes", key="model", hint="see palate check DATA"
            )
        self.explained = dict.fromkeys(self.rows, 0.0)
        self.parts = nn.ModuleDict({m: tower_network(self.network(m), self.width(m)) for m in self.rows})

    def width(self, modality: str) -> int:
        """Width of a modality's vectors."""
        return self.inputs.features[modality].dim + self.labels.shape[1]

    def network(self, modality: str) -> dict[str, str | int | float]:
        """Arguments of :func:`palate.modules.towers.make_tower` for a modality."""
        inputs = self.inputs.features[modality].dim
        return {"kind": "taught", "inputs": inputs, "dim": self.width(modality), "weight": self.config.weight}

    def tower(self, modality: str) -> AttributeProjection:
        """Module that holds the map of a modality."""
        tower = self.parts.get_submodule(f"{modality}.tower")
        assert isinstance(tower, AttributeProjection)
        return tower

    def phases(self) -> list[Phase]:
        maps = [self.tower(modality).map for modality in self.rows]
        epochs = self.config.epochs
        return [
            Phase("ridge", self.loss, maps, self.config.lr, epochs=epochs, validate=False, train_epoch=self.solve_all)
        ]

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        return np.unique(np.concatenate(list(self.rows.values())))[:, None]

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Share of the attributes' variance that is not explained, over the items of a batch with content."""
        shares = []
        for modality, rows in self.rows.items():
            present = batch.rows[:, 0][torch.from_numpy(np.isin(batch.rows[:, 0].cpu().numpy(), rows))]
            targets = self.targets(modality)[present.cpu()].to(present.device)
            level = self.tower(modality).standardize(self.inputs.read(modality, present))
            residual = targets - level @ self.tower(modality).map.T
            shares.append(residual.square().sum() / targets.square().sum().clamp(min=1e-12))
        return {"loss": torch.stack(shares).mean()}

    def targets(self, modality: str) -> Tensor:
        """y float32 [n_items, T]; means are over the items that have the modality."""
        share = self.labels[self.rows[modality]].float().mean(0)
        return (self.labels.float() - share) / (share * (1 - share)).clamp(min=1e-6) ** 0.25

    @torch.no_grad()
    def solve_all(self, lr: float, rng: np.random.Generator) -> dict[str, float]:
        """Solve every map; the loss is the unexplained share of the attributes' variance of left-out items."""
        self.explained = {modality: self.solve_map(modality) for modality in self.rows}
        return {"loss": 1 - self.validation_score()}

    def solve_map(self, modality: str) -> float:
        """Solve the map of a modality for the best ridge and scale.

        Time O(n d (d + T) + d^3), memory O(d (d + T)) besides the vectors, for T attribute values.

        Args:
            modality: one of those with content and attributes.

        Returns:
            Share of the attributes' variance that is explained for left-out items.
        """
        tower, targets, rows = self.tower(modality), self.targets(modality), torch.from_numpy(self.rows[modality])
        values = self.inputs.read(modality, rows).double()
        sample = torch.arange(0, len(rows), -(-len(rows) // MAX_LEFT_OUT))
        tower.get_buffer("mean").copy_(values.mean(0))
        spread = values.std(0)
        best, lowest = tower.map.new_zeros(tower.map.shape), float("inf")
        for scale in (torch.ones_like(spread), spread + 1e-6):
            tower.get_buffer("scale").copy_(scale)
            gram = values.new_zeros(values.shape[1], values.shape[1])
            cross = values.new_zeros(values.shape[1], targets.shape[1])
            for part in torch.arange(len(rows)).split(CHUNK):
                u = tower.standardize(values[part].to(tower.map)).double().cpu()
                gram += u.T @ u
                cross += u.T @ targets[rows[part]].double()
            eigenvalues, eigenvectors = torch.linalg.eigh(gram)
            u = tower.standardize(values[sample].to(tower.map)).double().cpu() @ eigenvectors
            y = targets[rows[sample]].double()
            for ridge in RIDGES:
                shrunk = 1 / (eigenvalues.clamp(min=0) + ridge)
                leverage = (u.square() * shrunk).sum(1, keepdim=True)
                residual = (y - u @ (shrunk[:, None] * (eigenvectors.T @ cross))) / (1 - leverage)
                unexplained = float(residual.square().sum() / y.square().sum())
                if unexplained < lowest:
                    best, lowest = (eigenvectors @ (shrunk[:, None] * (eigenvectors.T @ cross))).T, unexplained
                    chosen = scale
        tower.get_buffer("scale").copy_(chosen)
        tower.map.copy_(best)
        return 1 - lowest

    def validation_score(self) -> float:
        """Share of the attributes' variance explained for left-out items, mean over modalities; 0 untrained."""
        return float(np.mean(list(self.explained.values())))

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        return {
            modality: Tower(readers[modality], self.network(modality), self.width(modality)).load_weights(
                self.parts.get_submodule(modality).state_dict(), fitted_on
            )
            for modality in self.rows
        }
