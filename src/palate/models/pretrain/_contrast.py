"""Contrastive pairs of modalities: towers into one space, a symmetric softmax over the batch (CLIP and its kin)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Pretrainer
from palate.core.batch import ExampleBatch, IntArray
from palate.core.config import TrainedConfig
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.core.files import digest
from palate.core.seeding import rng_for
from palate.features.encoders.tower import Tower, tower_network, vectors_of
from palate.losses.contrastive import info_nce

from ._inputs import ItemInputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.views import TrainView

CHUNK = 256
MOST_SCALE = 100.0
JUDGED = 1000


class Contrastive(Pretrainer):
    """Every spoke is tied to the hub: L = mean over spokes of 1/2 [CE(rows) + CE(columns)] of exp(s) cos(hub, spoke).

    Subclasses say which modality is the hub and which are spokes.
    """

    pairs: ClassVar[tuple[tuple[str, str], ...]] = ()

    supports_init = True

    class Config(TrainedConfig):
        """Settings.

        Attributes:
            width: of the shared space. layers: of the text tower. tau: first temperature; it is learnt.
            shuffled: every trained item gets the partner of another one: what is left when pairs say nothing.
            held: share of the items kept out of training to judge retrieval.
        """

        dim: int = Field(128, ge=8)
        width: int = Field(128, ge=2)
        layers: int = Field(2, ge=1)
        tau: float = Field(0.07, gt=0)
        shuffled: bool = False
        held: float = Field(0.1, ge=0, lt=1)
        lr: float = Field(5e-4, gt=0)
        batch_size: int = Field(256, ge=2)
        epochs: int = Field(60, ge=0)
        patience: int = Field(8, ge=1)

    config: Config

    def wanted(self) -> tuple[tuple[str, str], ...]:
        """(hub, spoke) pairs of modalities."""
        return self.pairs

    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(modality for pair in self.wanted() for modality in pair))

    def setup(self, train: TrainView) -> None:
        c = self.config
        self.inputs = ItemInputs(train.features)
        there = {m: self.inputs.present(m) for m in self.inputs.features} | self.given(train)
        self.ties = [pair for pair in self.wanted() if pair[0] in there and pair[1] in there]
        if not self.ties:
            wanted = " or ".join(" with ".join(pair) for pair in self.wanted())
            raise ConfigError(f"{self.name} needs items with {wanted}", key="model", hint="see palate check DATA")
        used = dict.fromkeys(modality for pair in self.ties for modality in pair if modality in self.inputs)
        self.networks = {m: self.inputs.network(m, c.dim, c.layers) for m in used}
        self.parts = nn.ModuleDict({m: tower_network(self.networks[m], c.width) for m in used})
        self.scales = nn.ParameterList(nn.Parameter(torch.tensor(math.log(1 / c.tau))) for _ in self.ties)
        both = {pair: there[pair[0]] & there[pair[1]] for pair in self.ties}
        useful = np.flatnonzero(np.any([*both.values()], axis=0))
        if len(useful) < 2:
            raise ConfigError(f"{self.name} needs at least 2 items with both modalities of a pair", key="model")
        order = rng_for(train.seed, "held", self.name).permutation(useful)
        count = min(int(c.held * len(useful)), JUDGED)
        self.kept, self.trained = np.sort(order[:count]), np.sort(order[count:])
        self.both = both
        self.partners = {
            pair: self._partners(known, rng_for(train.seed, "partners", *pair)) for pair, known in both.items()
        }

    def given(self, train: TrainView) -> dict[str, NDArray[np.bool_]]:
        """What a pair may name beside modalities, with vectors of its own: which items have it, bool [n_items]."""
        return {}

    def _partners(self, known: NDArray[np.bool_], rng: np.random.Generator) -> Tensor:
        """Whose spoke each item is tied to, int64 [n_items]: its own, unless they are shuffled."""
        rows = np.arange(len(known))
        if self.config.shuffled:
            own = self.trained[known[self.trained]]
            rows[own] = rng.permutation(own)
        return torch.from_numpy(rows)

    def examples(self, view: TrainView) -> IntArray:
        return self.trained[:, None]

    def vectors(self, modality: str, rows: Tensor) -> Tensor:
        """Unit vectors float32 [B, width]."""
        part = self.parts[modality]
        assert isinstance(part, nn.ModuleDict)
        return vectors_of(part, self.inputs.read(modality, rows))

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        rows = batch.rows[:, 0]
        out: dict[str, Tensor] = {}
        for (hub, spoke), scale in zip(self.ties, self.scales):
            known = rows[torch.from_numpy(self.both[hub, spoke]).to(rows.device)[rows]]
            if len(known) > 1:
                # the scale is clipped, as in CLIP, so that a batch that is told apart cannot blow it up
                tau = 1 / scale.exp().clamp(max=MOST_SCALE)
                partners = self.partners[hub, spoke].to(rows.device)[known]
                found = info_nce(self.vectors(hub, known), self.vectors(spoke, partners), tau, symmetric=True)
                out[f"{hub}-{spoke}"] = found
        if not out:
            return {"loss": torch.stack([*self.scales]).sum() * 0}
        return {"loss": torch.stack([*out.values()]).mean(), **out}

    def validation_score(self) -> float:
        """Mean reciprocal rank of an item's other modality among the held-out items, both ways, over all ties."""
        found = []
        with torch.inference_mode():
            for hub, spoke in self.ties:
                rows = torch.from_numpy(self.kept[self.both[hub, spoke][self.kept]]).to(self.device)
                if len(rows) < 2:
                    continue
                a, b = (torch.cat([self.vectors(m, part) for part in rows.split(CHUNK)]) for m in (hub, spoke))
                logits = a @ b.T
                for scores in (logits, logits.T):
                    ranks = (scores >= scores.diagonal()[:, None]).sum(1)
                    found.append(float((1 / ranks).mean()))
        return float(np.mean(found)) if found else float("nan")

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        space = digest(
            *(np.ascontiguousarray(t.detach().cpu().numpy()).tobytes() for t in self.parts.state_dict().values())
        )
        return {
            m: Tower(readers[m], self.networks[m], self.config.width).load_weights(part.state_dict(), fitted_on, space)
            for m, part in self.parts.items()
        }
