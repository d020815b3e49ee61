"""What the contract of pretrainers is tried on: a tiny simulated shop with every modality, clicks, relations, times."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import palate
from palate.contracts import Pretrainer, pretrainers
from palate.core.batch import ExampleBatch
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.core.seeding import seed_torch
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.features.encoders.tower import READERS
from palate.features.plan import ContentPlan
from palate.features.store import FeatureStore
from palate.simulation.world import World
from palate.training.pretrain import pretrain

TINY = {
    "text": "pieces?size=300&length=12",
    "image": "pixels?side=32",
    "audio": "mel?bands=8&seconds=0.25",
}
VECTORS = {"text": "tfidf", "image": "image_stats", "audio": "logmel?bands=8&seconds=0.25"}
"""For systems that learn from vectors."""
SMALL = {
    "dim": 16, "width": 8, "layers": 1, "epochs": 1, "batch_size": 16, "lr": 3e-3, "patience": 50, "region_encoder": "",
}  # fmt: skip


def readers(name: str) -> dict[str, str]:
    """What reads the shop for a system."""
    return VECTORS if pretrainers.get(name).default_readers else TINY


@dataclass
class Ground:
    """The shop, and what has been trained on it."""

    folder: Path
    store: FeatureStore
    _made: dict[tuple[str, int], tuple[Pretrainer, dict[str, Encoder], Path]] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> Ground:
        """Write the shop."""
        World.make("shop", seed=3, n_items=64, n_users=60, image_size=64, audio_seconds=0.25).write(folder / "shop")
        return cls(folder, FeatureStore(folder / "store"))

    def data(self) -> Dataset:
        """Item-cold, so that some items are hidden from training."""
        return palate.load(self.folder / "shop", split="item_cold:seed=0")

    def new(self, name: str, **changes: Any) -> Pretrainer:
        """An untrained model with small settings."""
        kind = pretrainers.get(name)
        settings = {key: value for key, value in SMALL.items() if key in kind.Config.model_fields}
        return kind(**{**settings, **changes})

    def trained(self, name: str, seed: int = 0) -> tuple[Pretrainer, dict[str, Encoder], Path]:
        """A shared training: model, encoders, their folder; tests must not change it."""
        if (name, seed) not in self._made:
            model, out = self.new(name), self.folder / f"{name}-{seed}"
            made = pretrain(model, self.data(), out, seed=seed, readers=readers(name), store=self.store)
            self._made[name, seed] = model, made, out
        return self._made[name, seed]

    def view(self, model: Pretrainer, data: Dataset | None = None) -> TrainView:
        """What ``model`` would be set up with."""
        found = self.data() if data is None else data
        plan = {
            m: (m, spec, None) for m, spec in {**READERS, **readers(model.name)}.items() if m in found.items.modalities
        }
        content = ContentPlan(plan, self.store, model.columns(found.items))
        return content.view(found.select_view(), found, fields=True, queries=model.requirements.queries)

    def ready(self, name: str, view: TrainView | None = None, **changes: Any) -> tuple[Pretrainer, np.ndarray]:
        """A model that is set up but not trained, and its examples."""
        model = self.new(name, **changes)
        seed_torch(0, "init", name)
        given = self.view(model) if view is None else view
        model.setup(given, RunContext())
        return model, model.examples(given, RunContext())


def poisoned(view: TrainView) -> TrainView:
    """The same view with NaN wherever content is absent: whoever reads it is found out."""

    def bad(found: Features) -> Features:
        values = np.array(found.values, np.float32)
        values[~found.present] = np.nan
        return replace(found, values=values)

    content = {
        kind: {name: bad(found) for name, found in getattr(view, kind).items()} for kind in ("features", "fields")
    }
    return replace(view, **content)


def batches(examples: np.ndarray, size: int) -> list[ExampleBatch]:
    """All examples in order."""
    import torch

    return [ExampleBatch(torch.from_numpy(examples[at : at + size])) for at in range(0, len(examples), size)]
