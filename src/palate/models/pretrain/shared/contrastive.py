"""Contrast between modalities: towers into one space, a symmetric softmax over the batch (CLIP and its relatives)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Pretrainer
from palate.core.batch import ExampleBatch, IntArray
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.core.files import digest
from palate.core.seeding import rng_for
from palate.features.encoders.tower import Tower, tower_network, vectors_of
from palate.losses.contrastive import info_nce
from palate.models.pretrain.shared.inputs import ItemInputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.views import TrainView

CHUNK = 256
MAX_SCALE = 100.0


def clipped_scale(log_scale: Tensor) -> Tensor:
    """exp(log_scale), at most 100, so that an easy batch cannot blow it up.

    The parameter itself is clipped, as in CLIP: clipping its use would leave it without a gradient, and so for ever,
    once a step had taken it above.

    Args:
        log_scale: a parameter, logarithms of scales; changed in place where it is too large.
    """
    with torch.no_grad():
        log_scale.clamp_(max=math.log(MAX_SCALE))
    return log_scale.exp()


MAX_EVAL_ITEMS = 1000


class ContrastConfig(TrainedConfig):
    """Settings of contrast between modalities."""

    dim: int = Field(128, ge=8, description="width of the towers")
    width: int = Field(128, ge=2, description="width of the shared space")
    tau: float = Field(0.07, gt=0, description="initial temperature; it is learnt")
    shuffled: bool = Field(
        False, description="ablation: pair every trained item with the other modality of a random one"
    )
    held: float = Field(0.1, ge=0, lt=1, description="share of the items held out to validate retrieval")
    lr: float = Field(5e-4, gt=0, description="learning rate", json_schema_extra={"search": "1e-4..1e-2:log"})
    batch_size: int = Field(256, ge=2, description="items a step")
    epochs: int = Field(60, ge=0, description="epochs at most")
    patience: int = Field(8, ge=1, description="validations without gain after which training stops")


class ContrastivePretrainer(Pretrainer):
    """Align pairs of modalities: L = mean over pairs (a, p) of 1/2 [CE(rows) + CE(columns)] of exp(s) cos(a, p).

    Subclasses name the pairs.

    Attributes:
        pairs: (anchor, partner) modalities that are aligned where the items have them.
        used_pairs: those of them that the items have.
        positives: pair -> int64 [n_items], the item whose partner modality belongs to each item's anchor modality.
    """

    pairs: ClassVar[tuple[tuple[str, str], ...]] = ()

    supports_init = True

    class Config(ContrastConfig):
        """Settings of contrast between towers."""

        layers: int = Field(2, ge=1, description="layers of the text tower")

    config: ContrastConfig

    def modality_pairs(self) -> tuple[tuple[str, str], ...]:
        """(anchor, partner) pairs of modalities to align."""
        return self.pairs

    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(modality for pair in self.modality_pairs() for modality in pair))

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build a tower for each modality of a pair, and hold out items.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if no pair has two modalities, or fewer than 2 items have both modalities of a pair.
        """
        c = self.config
        self.inputs = ItemInputs(train.features)
        present = {m: self.inputs.present(m) for m in self.inputs.features} | self.extra_modalities(train, run)
        self.used_pairs = [pair for pair in self.modality_pairs() if pair[0] in present and pair[1] in present]
        if not self.used_pairs:
            needed = " or ".join(" with ".join(pair) for pair in self.modality_pairs())
            raise ConfigError(f"{self.name} needs items with {needed}", key="model", hint="see palate check DATA")
        used = dict.fromkeys(modality for pair in self.used_pairs for modality in pair if modality in self.inputs)
        self.networks = {m: self.tower_of(m) for m in used}
        self.parts = nn.ModuleDict({m: tower_network(self.networks[m], c.width) for m in used})
        self.scales = nn.ParameterList(nn.Parameter(torch.tensor(math.log(1 / c.tau))) for _ in self.used_pairs)
        self.has_both = {pair: present[pair[0]] & present[pair[1]] for pair in self.used_pairs}
        items = np.flatnonzero(np.any([*self.has_both.values()], axis=0))
        if len(items) < 2:
            raise ConfigError(f"{self.name} needs at least 2 items with both modalities of a pair", key="model")
        order = rng_for(run.seed, "held", self.name).permutation(items)
        count = min(int(c.held * len(items)), MAX_EVAL_ITEMS)
        self.eval_items, self.train_items = np.sort(order[:count]), np.sort(order[count:])
        self.positives = {
            pair: self._positive_rows(has_both, rng_for(run.seed, "partners", *pair))
            for pair, has_both in self.has_both.items()
        }

    def tower_of(self, modality: str) -> dict[str, Any]:
        """Arguments of :func:`palate.modules.towers.make_tower` for a modality."""
        assert isinstance(self.config, ContrastivePretrainer.Config)
        return self.inputs.network(modality, self.config.dim, self.config.layers)

    def twins(self, modality: str) -> Tensor | None:
        """Items whose content is equal are not each other's negatives: int64 [n_items], equal where it is.

        Args:
            modality: partner of a pair.

        Returns:
            None where nothing is compared.
        """
        return None

    def extra_modalities(self, train: TrainView, run: RunContext) -> dict[str, NDArray[np.bool_]]:
        """Anchors other than modalities, with vectors of their own: name -> bool [n_items], the items that have it."""
        return {}

    def _positive_rows(self, has_both: NDArray[np.bool_], rng: np.random.Generator) -> Tensor:
        rows = np.arange(len(has_both))
        if self.config.shuffled:
            own = self.train_items[has_both[self.train_items]]
            rows[own] = rng.permutation(own)
        return torch.from_numpy(rows)

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        return self.train_items[:, None]

    def vectors(self, modality: str, rows: Tensor) -> Tensor:
        """Unit vectors float32 [B, width]."""
        part = self.parts[modality]
        assert isinstance(part, nn.ModuleDict)
        return vectors_of(part, self.inputs.read(modality, rows))

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        rows = batch.rows[:, 0]
        out: dict[str, Tensor] = {}
        for (anchor, partner), scale in zip(self.used_pairs, self.scales):
            present = rows[torch.from_numpy(self.has_both[anchor, partner]).to(rows.device)[rows]]
            if len(present) > 1:
                tau = 1 / clipped_scale(scale)
                positives = self.positives[anchor, partner].to(rows.device)[present]
                twins = self.twins(partner)
                ids = None if twins is None else twins.to(rows.device)[positives]
                out[f"{anchor}-{partner}"] = info_nce(
                    self.vectors(anchor, present), self.vectors(partner, positives), tau, symmetric=True, ids=ids
                )
        if not out:
            return {"loss": torch.stack([*self.scales]).sum() * 0}
        return {"loss": torch.stack([*out.values()]).mean(), **out}

    def validation_score(self) -> float:
        """Mean reciprocal rank of an item's other modality among the held-out items, both ways, over all pairs."""
        scores = []
        with torch.inference_mode():
            for anchor, partner in self.used_pairs:
                mask = self.has_both[anchor, partner][self.eval_items]
                rows = torch.from_numpy(self.eval_items[mask]).to(self.device)
                if len(rows) < 2:
                    continue
                a, b = (torch.cat([self.vectors(m, part) for part in rows.split(CHUNK)]) for m in (anchor, partner))
                logits = a @ b.T
                for matrix in (logits, logits.T):
                    ranks = (matrix >= matrix.diagonal()[:, None]).sum(1)
                    scores.append(float((1 / ranks).mean()))
        return float(np.mean(scores)) if scores else float("nan")

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        space = digest(
            *(np.ascontiguousarray(t.detach().cpu().numpy()).tobytes() for t in self.parts.state_dict().values())
        )
        return {
            m: Tower(readers[m], self.networks[m], self.config.width).load_weights(part.state_dict(), fitted_on, space)
            for m, part in self.parts.items()
        }
