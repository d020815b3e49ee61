"""Attribute ridge: what items are said to be teaches linear maps of what they show; ours, in closed form.

For every modality alone, x is what a reader of vectors makes of an item, u = (x - mean) / scale of length 1, and y_t
whether the item has attribute value t, minus its mean m_t and divided by (m_t (1 - m_t))^(1/4), halfway between all
values counting by how common they are and all counting the same. A = argmin |U A' - Y|^2 + r |A|^2 (Hoerl & Kennard,
Technometrics 1970). The encoder gives [u, A u / |A u|]: what an item shows, and beside it what that tells of its
attributes, for few items teach little of rare words. The attributes themselves are never read by the encoder.

``r``, and whether x is divided by its standard deviations, are those that guess the attributes of left-out items best,
each item left out in turn without fitting anew (Allen, Technometrics 1974). ``epochs`` 0 leaves A random.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Phase, Pretrainer, pretrainers
from palate.core.config import TrainedConfig
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.features.encoders.tower import Tower, tower_network
from palate.modules.towers import AttributeProjection

from ._inputs import ItemInputs
from ._topics import trait_columns, traits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.core.batch import ExampleBatch, IntArray
    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
MOST = 8000
"""Items at most that are left out in turn."""
CHUNK = 4096


@pretrainers.register("attribute_ridge")
class AttributeRidge(Pretrainer):
    """Attributes taught to vectors that exist already."""

    name = "attribute_ridge"
    paper = "after Hoerl & Kennard, Ridge Regression, Technometrics 1970"
    deterministic = True
    default_readers = {"text": "tfidf", "image": "image_stats", "audio": "logmel"}

    class Config(TrainedConfig):
        """Settings.

        Attributes:
            least: items that must have a value for it to be taught. ranges: into how many equal shares the values of a
                numeric attribute are cut; 0 leaves numbers out. weight: of what is told beside what is shown.
        """

        least: int = Field(8, ge=1)
        ranges: int = Field(10, ge=0)
        weight: float = Field(1.0, gt=0)
        epochs: int = Field(1, ge=0)

    config: Config

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        return trait_columns(items, self.config.ranges)

    def setup(self, train: TrainView) -> None:
        self.inputs = ItemInputs(train.features)
        for modality in self.inputs.features:
            if not self.inputs.frozen(modality):
                hint = f"read it as {self.default_readers[modality]}, or by an encoder that was pretrained before"
                raise ConfigError(f"{self.name} learns from vectors", key=modality, hint=hint)
        whole = traits(train.fields, train.n_items, self.config.ranges)
        self.traits = whole[:, whole.sum(0) >= self.config.least]
        rows = {m: np.flatnonzero(self.inputs.present(m) & self.traits.any(1).numpy()) for m in self.inputs.features}
        self.rows = {modality: found for modality, found in rows.items() if len(found) > 1}
        if not self.rows:
            raise ConfigError(
                f"{self.name} needs content of items with attributes", key="model", hint="see palate check DATA"
            )
        self.told = dict.fromkeys(self.rows, 0.0)
        self.parts = nn.ModuleDict({m: tower_network(self.network(m), self.width(m)) for m in self.rows})

    def width(self, modality: str) -> int:
        """Of a modality's vectors."""
        return self.inputs.features[modality].dim + self.traits.shape[1]

    def network(self, modality: str) -> dict[str, str | int | float]:
        """Arguments of its tower."""
        inputs = self.inputs.features[modality].dim
        return {"kind": "taught", "inputs": inputs, "dim": self.width(modality), "weight": self.config.weight}

    def tower(self, modality: str) -> AttributeProjection:
        """What is taught."""
        found = self.parts.get_submodule(f"{modality}.tower")
        assert isinstance(found, AttributeProjection)
        return found

    def phases(self) -> list[Phase]:
        maps = [self.tower(modality).map for modality in self.rows]
        epochs = self.config.epochs
        return [Phase("ridge", self.loss, maps, self.config.lr, epochs=epochs, validate=False, train_epoch=self.solved)]

    def examples(self, view: TrainView) -> IntArray:
        return np.unique(np.concatenate(list(self.rows.values())))[:, None]

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Share of the attributes' variance that is not told, over the items of a batch that show anything."""
        left = []
        for modality, rows in self.rows.items():
            mine = batch.rows[:, 0][torch.from_numpy(np.isin(batch.rows[:, 0].cpu().numpy(), rows))]
            truth = self.truth(modality)[mine.cpu()].to(mine.device)
            told = self.tower(modality).standardize(self.inputs.read(modality, mine)) @ self.tower(modality).map.T
            left.append((truth - told).square().sum() / truth.square().sum().clamp(min=1e-12))
        return {"loss": torch.stack(left).mean()}

    def truth(self, modality: str) -> Tensor:
        """y float32 [n_items, T]; means are over the items that show the modality."""
        share = self.traits[self.rows[modality]].float().mean(0)
        return (self.traits.float() - share) / (share * (1 - share)).clamp(min=1e-6) ** 0.25

    @torch.no_grad()
    def solved(self, lr: float, rng: np.random.Generator) -> dict[str, float]:
        """Find every map; the loss is the share of the attributes' variance that left-out items leave untold."""
        self.told = {modality: self.teach(modality) for modality in self.rows}
        return {"loss": 1 - self.validation_score()}

    def teach(self, modality: str) -> float:
        """Solve, and say which share of the attributes' variance is told of items left out.

        Time O(n d (d + T) + d^3), memory O(d (d + T)) beside the vectors, for T attribute values.
        """
        tower, truth, rows = self.tower(modality), self.truth(modality), torch.from_numpy(self.rows[modality])
        values = self.inputs.read(modality, rows).double()
        sample = torch.arange(0, len(rows), -(-len(rows) // MOST))
        tower.get_buffer("mean").copy_(values.mean(0))
        spread = values.std(0)
        best, untold = tower.map.new_zeros(tower.map.shape), float("inf")
        for scale in (torch.ones_like(spread), spread + 1e-6):
            tower.get_buffer("scale").copy_(scale)
            gram = values.new_zeros(values.shape[1], values.shape[1])
            cross = values.new_zeros(values.shape[1], truth.shape[1])
            for part in torch.arange(len(rows)).split(CHUNK):
                u = tower.standardize(values[part].to(tower.map)).double().cpu()
                gram += u.T @ u
                cross += u.T @ truth[rows[part]].double()
            strength, sides = torch.linalg.eigh(gram)
            u = tower.standardize(values[sample].to(tower.map)).double().cpu() @ sides
            asked = truth[rows[sample]].double()
            for ridge in RIDGES:
                shrunk = 1 / (strength.clamp(min=0) + ridge)
                own = (u.square() * shrunk).sum(1, keepdim=True)
                missed = (asked - u @ (shrunk[:, None] * (sides.T @ cross))) / (1 - own)
                found = float(missed.square().sum() / asked.square().sum())
                if found < untold:
                    best, untold = (sides @ (shrunk[:, None] * (sides.T @ cross))).T, found
                    chosen = scale
        tower.get_buffer("scale").copy_(chosen)
        tower.map.copy_(best)
        return 1 - untold

    def validation_score(self) -> float:
        """Share of the attributes' variance that is told of items left out, a mean over modalities; 0 untrained."""
        return float(np.mean(list(self.told.values())))

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        return {
            modality: Tower(readers[modality], self.network(modality), self.width(modality)).take_weights(
                self.parts.get_submodule(modality).state_dict(), fitted_on
            )
            for modality in self.rows
        }
