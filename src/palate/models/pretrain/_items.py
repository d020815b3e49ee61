"""What systems share that learn one encoder of items from what people did: towers, one vector, held-out items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Pretrainer
from palate.core.batch import IntArray
from palate.core.config import TrainedConfig
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.features.encoders.logmel import HOP, RATE
from palate.features.encoders.tower import Tower
from palate.modules.combine import make_combine
from palate.modules.towers import VectorTower, make_head, make_tower, pooled

from ._held import HeldOut
from ._inputs import ItemInputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from palate.data.views import TrainView

CHUNK = 256


class ItemViews(nn.Module):
    """One vector of an item from the modalities it has.

    Args:
        inputs: what readers made. modalities: which to use. dim, layers: of towers.
        combine: arguments of :func:`palate.modules.combine.make_combine`.
        hide: chance that a modality is hidden in training, so that each also works alone; one always stays.
        unshown: modalities in which no item is shown, only what is asked for.

    Attributes:
        known: bool [n_items, m], which modalities an item shows.
    """

    known: Tensor

    def __init__(
        self,
        inputs: ItemInputs,
        modalities: Sequence[str],
        dim: int,
        layers: int,
        combine: Mapping[str, Any],
        hide: float,
        unshown: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.modalities, self.hide, self.unshown = tuple(modalities), hide, tuple(unshown)
        self.networks = {
            m: {"kind": "vector", "inputs": inputs.features[m].dim, "dim": dim}
            if inputs.frozen(m)
            else inputs.network(m, dim, layers)
            for m in self.modalities
        }
        self.inner = int(combine["dim"])
        self.towers = nn.ModuleDict({m: make_tower(**network) for m, network in self.networks.items()})
        self.heads = nn.ModuleDict({m: make_head(network, self.inner) for m, network in self.networks.items()})
        self.combine = make_combine(**combine)
        for modality, tower in self.towers.items():
            if isinstance(tower, VectorTower):
                tower.fit(inputs.known(modality))
        self.take(inputs)

    def take(self, inputs: ItemInputs) -> None:
        """Read items from another table."""
        known = np.stack([inputs.present(m) & (m not in self.unshown) for m in self.modalities], axis=1)
        self.inputs = inputs
        self.register_buffer("known", torch.from_numpy(known), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Vectors float32 [B, width] of items that have at least one of the modalities."""
        mask = self.known[rows]
        if self.training and self.hide:
            draws = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, -1)
            mask = (draws >= self.hide) | (draws == draws.amax(1, keepdim=True)) & mask
        tokens = torch.zeros(len(rows), len(self.modalities), self.inner, device=rows.device)
        for column, modality in enumerate(self.modalities):
            there = mask[:, column].nonzero().squeeze(1)
            if len(there):
                found = self.towers[modality](self.inputs.read(modality, rows[there]))
                tokens[there, column] = self.heads[modality](pooled(found))
        out: Tensor = self.combine(tokens, mask)
        return out

    def part(self, modality: str) -> nn.ModuleDict:
        """What turns one modality alone into the vector."""
        parts = {"tower": self.towers[modality], "head": self.heads[modality], "combine": self.combine}
        return nn.ModuleDict(parts)


class ItemPretrainer(Pretrainer):
    """Subclasses say which modalities meet how, and what the vectors must predict."""

    supports_init = True

    class Config(TrainedConfig):
        """Settings.

        Attributes:
            dim: of the towers. width: of the vectors. layers: of the text tower, 0 for a bag of words.
            hide: chance that a modality is hidden in training; at 1 every item shows a single one.
            held: share of items kept out to judge.
            seconds: of a sound that are heard, at most what its reader gives; 0 is all.
        """

        dim: int = Field(128, ge=8)
        width: int = Field(64, ge=2)
        layers: int = Field(2, ge=0)
        hide: float = Field(0.2, ge=0, le=1)
        held: float = Field(0.1, ge=0, lt=1)
        seconds: float = Field(0.0, ge=0)
        lr: float = Field(5e-4, gt=0)
        batch_size: int = Field(256, ge=2)
        epochs: int = Field(60, ge=0)
        patience: int = Field(8, ge=1)

    config: Config

    def wanted(self, inputs: ItemInputs) -> tuple[str, ...]:
        """Modalities to learn from; all by default."""
        return tuple(inputs.features)

    def unshown(self) -> tuple[str, ...]:
        """Modalities in which no item is shown, only what is asked for."""
        return ()

    def combination(self) -> dict[str, Any]:
        """How modalities meet."""
        return {"kind": "mean", "dim": self.config.width, "width": self.config.width}

    @property
    def unit(self) -> bool:
        """Whether only the direction of a vector was learnt."""
        return True

    def setup(self, train: TrainView) -> None:
        c = self.config
        inputs = ItemInputs(train.features, int(c.seconds * RATE / HOP))
        found = self.wanted(inputs)
        if not found:
            raise ConfigError(
                f"{self.name} needs items with content that it reads, found {', '.join(inputs.features) or 'none'}",
                key="model",
                hint="see palate check DATA",
            )
        self.views = ItemViews(inputs, found, c.dim, c.layers, self.combination(), c.hide, self.unshown())
        useful = np.flatnonzero(train.warm_items & self.views.known.numpy().any(1))
        if len(useful) < 2:
            raise ConfigError(f"{self.name} needs at least 2 items with content that somebody took", key="model")
        self.held = HeldOut(train, useful, c.held, self.name)

    def encode(self, rows: Tensor) -> Tensor:
        """Vectors float32 [B, width]; of length 1 if ``unit``."""
        found: Tensor = self.views(rows)
        return nn.functional.normalize(found, dim=1) if self.unit else found

    def encode_all(self, rows: IntArray) -> Tensor:
        """Vectors of many items, without gradients."""
        with torch.inference_mode():
            parts = torch.from_numpy(rows).to(self.device).split(CHUNK)
            found = [self.encode(part) for part in parts if len(part)]
        return torch.cat(found) if found else torch.zeros(0, self.config.width, device=self.device)

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        views, combine = self.views, self.combination()
        return {
            m: Tower(readers[m], views.networks[m], self.config.width, combine, self.unit).load_weights(
                views.part(m).state_dict(), fitted_on
            )
            for m in views.modalities
        }
