"""Item encoders learnt from behaviour: towers, one vector an item, held-out items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Pretrainer
from palate.core.batch import IntArray
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.features.encoders.logmel import HOP, RATE
from palate.features.encoders.tower import Tower
from palate.models.pretrain.shared.held_out import HeldOut
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.modules.combine import make_combine
from palate.modules.towers import VectorTower, make_head, make_tower, pooled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from palate.data.views import TrainView

CHUNK = 256


class ItemTowers(nn.Module):
    """Fuse the modalities that an item has into one vector.

    Args:
        inputs: inputs of the items.
        modalities: those to use.
        dim: width of the towers.
        layers: layers of the text tower; 0 is a bag of words.
        fusion: arguments of :func:`palate.modules.combine.make_combine`.
        modality_dropout: probability that a modality is dropped in training, so that each works alone too; at least one
            modality is kept.
        query_only: modalities that queries have and items do not show.

    Attributes:
        presence: bool [n_items, m], the modalities of each item.
    """

    presence: Tensor

    def __init__(
        self,
        inputs: ItemInputs,
        modalities: Sequence[str],
        dim: int,
        layers: int,
        fusion: Mapping[str, Any],
        modality_dropout: float,
        query_only: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.modalities, self.modality_dropout, self.query_only = tuple(modalities), modality_dropout, tuple(query_only)
        self.networks = {
            m: {"kind": "vector", "inputs": inputs.features[m].dim, "dim": dim}
            if inputs.frozen(m)
            else inputs.network(m, dim, layers)
            for m in self.modalities
        }
        self.token_dim = int(fusion["dim"])
        self.towers = nn.ModuleDict({m: make_tower(**network) for m, network in self.networks.items()})
        self.heads = nn.ModuleDict({m: make_head(network, self.token_dim) for m, network in self.networks.items()})
        self.combine = make_combine(**fusion)
        for modality, tower in self.towers.items():
            if isinstance(tower, VectorTower):
                tower.fit(inputs.read_present(modality))
        self.set_inputs(inputs)

    def set_inputs(self, inputs: ItemInputs) -> None:
        """Read items from another table."""
        presence = np.stack([inputs.present(m) & (m not in self.query_only) for m in self.modalities], axis=1)
        self.inputs = inputs
        self.register_buffer("presence", torch.from_numpy(presence), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Vectors float32 [B, width] of items that have at least one of the modalities."""
        mask = self.presence[rows]
        if self.training and self.modality_dropout:
            draws = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, -1)
            mask = (draws >= self.modality_dropout) | (draws == draws.amax(1, keepdim=True)) & mask
        tokens = torch.zeros(len(rows), len(self.modalities), self.token_dim, device=rows.device)
        for column, modality in enumerate(self.modalities):
            used = mask[:, column].nonzero().squeeze(1)
            if len(used):
                states = self.towers[modality](self.inputs.read(modality, rows[used]))
                tokens[used, column] = self.heads[modality](pooled(states))
        out: Tensor = self.combine(tokens, mask)
        return out

    def part(self, modality: str) -> nn.ModuleDict:
        """Modules that turn one modality alone into the vector."""
        parts = {"tower": self.towers[modality], "head": self.heads[modality], "combine": self.combine}
        return nn.ModuleDict(parts)


class ItemPretrainer(Pretrainer):
    """Learn item encoders from behaviour; subclasses choose the modalities, their fusion and the objective."""

    supports_init = True

    class Config(TrainedConfig):
        """Settings of item encoders."""

        dim: int = Field(128, ge=8, description="width of the towers")
        width: int = Field(64, ge=2, description="width of the vectors")
        layers: int = Field(2, ge=0, description="layers of the text tower; 0 is a bag of words")
        modality_dropout: float = Field(
            0.2,
            ge=0,
            le=1,
            description="probability that a modality is dropped in training; at 1 every item keeps a single one",
            json_schema_extra={"search": "0.0..0.5"},
        )
        held: float = Field(0.1, ge=0, lt=1, description="share of the items held out for validation")
        seconds: float = Field(
            0.0, ge=0, description="seconds of a sound that are read, at most as many as its reader gives; 0 is all"
        )
        lr: float = Field(5e-4, gt=0, description="learning rate", json_schema_extra={"search": "1e-4..1e-2:log"})
        batch_size: int = Field(256, ge=2, description="examples a step")
        epochs: int = Field(60, ge=0, description="epochs at most")
        patience: int = Field(8, ge=1, description="validations without gain after which training stops")

    config: Config

    def select_modalities(self, inputs: ItemInputs) -> tuple[str, ...]:
        """Modalities to learn from; all by default."""
        return tuple(inputs.features)

    def query_only(self) -> tuple[str, ...]:
        """Modalities that queries have and items do not show."""
        return ()

    def fusion_config(self) -> dict[str, Any]:
        """Arguments of :func:`palate.modules.combine.make_combine`."""
        return {"kind": "mean", "dim": self.config.width, "width": self.config.width}

    @property
    def normalize(self) -> bool:
        """Whether vectors have length 1, so that only their direction is learnt."""
        return True

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build the towers, and hold out items.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if the items have none of the modalities, or fewer than 2 items with content have positives.
        """
        c = self.config
        inputs = ItemInputs(train.features, int(c.seconds * RATE / HOP))
        modalities = self.select_modalities(inputs)
        if not modalities:
            raise ConfigError(
                f"{self.name} needs items with content that it reads, found {', '.join(inputs.features) or 'none'}",
                key="model",
                hint="see palate check DATA",
            )
        self.views = ItemTowers(
            inputs, modalities, c.dim, c.layers, self.fusion_config(), c.modality_dropout, self.query_only()
        )
        items = np.flatnonzero(train.warm_items & self.views.presence.numpy().any(1))
        if len(items) < 2:
            raise ConfigError(f"{self.name} needs at least 2 items with content that users took", key="model")
        self.held_out = HeldOut(train, items, c.held, self.name, run.seed)

    def encode(self, rows: Tensor) -> Tensor:
        """Vectors float32 [B, width]; of length 1 if ``normalize``."""
        vectors: Tensor = self.views(rows)
        return nn.functional.normalize(vectors, dim=1) if self.normalize else vectors

    def encode_all(self, rows: IntArray) -> Tensor:
        """Vectors float32 [n, width] of many items, without gradients."""
        with torch.inference_mode():
            parts = torch.from_numpy(rows).to(self.device).split(CHUNK)
            vectors = [self.encode(part) for part in parts if len(part)]
        return torch.cat(vectors) if vectors else torch.zeros(0, self.config.width, device=self.device)

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        views, fusion = self.views, self.fusion_config()
        return {
            m: Tower(readers[m], views.networks[m], self.config.width, fusion, self.normalize).load_weights(
                views.part(m).state_dict(), fitted_on
            )
            for m in views.modalities
        }
