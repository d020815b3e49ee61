"""SCALE of M5Product (Dong et al., CVPR 2022): any modalities of a product, some of them missing.

Each modality has a Transformer E_m of its own; all their states meet in a joint one, with an embedding of their
modality. L = sum_m w_m L_m + sum_(a<b) w_ab NCE(a, b):

- L_m, masked modelling on joint states: cross-entropy of words, squared error of the features of regions and of
  stretches of sound;
- NCE(a, b), symmetric softmax of cos(f_a, f_b) / tau over the items that have both, f_m the projected mean of E_m;
- w, self-harmonised: one importance s_m, learnt, serves both kinds, w_m = M softmax_m(s_m), w_ab = P softmax_ab(s_a +
  s_b) with M modalities and P pairs.

Our choices. Text, picture and sound; a table or a video has no encoder here that could be exported. A missing modality
has no tokens (the paper fills in zeros). One pass over masked input serves both kinds of terms. The features to predict
are those of an encoder that is not trained (``region_encoder``), or built-in descriptors, see ``uniter``. The paper
does not say exactly how it forms w; ours keeps one vector for both kinds.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Phase, Pretrainer, pretrainers
from palate.core.batch import ExampleBatch, IntArray
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.core.seeding import rng_for
from palate.features.encoders.tower import Tower
from palate.losses.contrastive import info_nce
from palate.losses.pointwise import harmonised
from palate.models.pretrain.shared.held_out import reciprocal_rank
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.models.pretrain.shared.region_targets import REGIONS, RegionConfig, RegionTargets, region_columns
from palate.models.pretrain.shared.streams import FIRST_WORD, HEADS, MASK, token_reader
from palate.modules.masked_modelling import MaskedFeatures, MaskedInput, MaskedWords
from palate.modules.regions import PositionedTower
from palate.modules.stream import SingleModalityStream, SingleStream, TokenEmbedding
from palate.modules.towers import Tokens, pooled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

CHUNK, MAX_EVAL_ITEMS = 256, 1000
Terms = dict[tuple[str, ...], Tensor]


@pretrainers.register("scale")
class SCALE(Pretrainer):
    """Masked modelling of each modality and contrast of each pair, harmonised.

    Attributes:
        has: bool [n_items, M], the modalities of each item.
    """

    name = "scale"
    paper = "Dong et al., M5Product: Self-harmonized Contrastive Learning for E-commercial Pretraining, CVPR 2022"

    has: Tensor

    class Config(RegionConfig, TrainedConfig):
        """Settings of the objectives."""

        objectives: tuple[Literal["masked", "contrast"], ...] = Field(
            ("masked", "contrast"), min_length=1, description="objectives that are summed"
        )
        harmonised: bool = Field(True, description="learn the weights of modalities and pairs; else all are 1")
        dim: int = Field(128, ge=8, multiple_of=HEADS, description="width of all layers")
        width: int = Field(128, ge=2, description="width of the exported vectors")
        layers: int = Field(1, ge=1, description="layers of each Transformer")
        masked: float = Field(0.15, gt=0, lt=1, description="share of the tokens masked")
        tau: float = Field(0.2, gt=0, description="temperature", json_schema_extra={"search": "0.05..0.5:log"})
        held: float = Field(
            0.1, ge=0, lt=1, description="share of the items with several modalities held out to validate retrieval"
        )
        lr: float = Field(2e-3, gt=0, description="learning rate", json_schema_extra={"search": "1e-4..1e-2:log"})
        batch_size: int = Field(128, ge=2, description="items a step")
        epochs: int = Field(60, ge=0, description="epochs at most")

    config: Config

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        return region_columns(items, self.config.region_encoder)

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build all Transformers, and hold out items.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if the items have fewer than two modalities, or fewer than 2 items have several.
        """
        c, d = self.config, self.config.dim
        self.inputs = ItemInputs(train.features)
        self.modalities = tuple(self.inputs.features)
        if len(self.modalities) < 2:
            raise ConfigError(
                f"{self.name} needs two of text, image and audio, found {', '.join(self.modalities) or 'none'}",
                key="model",
            )
        has = np.stack([self.inputs.present(m) for m in self.modalities], axis=1)
        self.register_buffer("has", torch.from_numpy(has), persistent=False)
        several = np.flatnonzero(has.sum(1) > 1)
        if len(several) < 2:
            raise ConfigError(f"{self.name} needs at least 2 items with several modalities", key="model")
        order = rng_for(run.seed, "held", self.name).permutation(several)
        self.eval_items = np.sort(order[: min(int(c.held * len(several)), MAX_EVAL_ITEMS)])
        self.train_items = np.setdiff1d(np.flatnonzero(has.any(1)), self.eval_items)
        self.readers, self.sides, self.tasks = dict[str, dict[str, Any]](), nn.ModuleDict(), nn.ModuleDict()
        self.targets = nn.ModuleDict()
        for modality in self.modalities:
            self._add(modality, train, run.seed)
        self.heads = nn.ModuleDict({m: nn.Linear(d, c.width) for m in self.modalities})
        self.kinds = nn.ParameterDict({m: nn.Parameter(torch.randn(d) * 0.02) for m in self.modalities})
        self.importance = nn.ParameterDict({m: nn.Parameter(torch.zeros(())) for m in self.modalities})
        self.joint = SingleStream(d, c.layers, HEADS)

    def _add(self, modality: str, train: TrainView, seed: int) -> None:
        c, d = self.config, self.config.dim
        reader = token_reader(self.inputs, modality, d)
        tower = SingleModalityStream(reader, d, c.layers, HEADS)
        if isinstance(tower.reader, TokenEmbedding):
            task: nn.Module = MaskedWords(tower.reader, d, MASK, FIRST_WORD)
        else:
            assert isinstance(tower.reader, PositionedTower)
            present = self.train_items[self.inputs.present(modality)[self.train_items]]
            length = tower.reader(self.inputs.read(modality, torch.from_numpy(present[:1])))[1].shape[1]
            encoded = train.fields.get(REGIONS) if modality == "image" else None
            targets = self.targets[modality] = RegionTargets(self.inputs, modality, present, length, 0, seed, encoded)
            task = MaskedFeatures(tower.reader, d, targets.width, length)
        self.readers[modality], self.sides[modality], self.tasks[modality] = reader, tower, task

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        return self.train_items[:, None]

    def phases(self) -> list[Phase]:
        (phase,) = super().phases()
        # an objective that is not trained cannot decide when to stop
        return [replace(phase, validate="contrast" in self.config.objectives)]

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        c, rows = self.config, batch.rows[:, 0]
        has = self.has[rows]
        encoded = [self.read(m, rows, has[:, i]) for i, m in enumerate(self.modalities)]
        importance = {m: s if c.harmonised else s.detach() for m, s in self.importance.items()}
        out: dict[str, Tensor] = {}
        if "masked" in c.objectives:
            terms: Terms = {(m,): loss for m, loss in zip(self.modalities, self.masked(encoded))}
            out |= {"-".join(m): loss for m, loss in terms.items()} | {"masked": harmonised(importance, terms)}
        if "contrast" in c.objectives:
            terms = self.contrast([states for states, _, _ in encoded], has)
            out |= {"-".join(pair): loss for pair, loss in terms.items()}
            out["contrast"] = harmonised(importance, terms) if terms else self.joint.norm.weight.sum() * 0
        return {"loss": torch.stack([out[name] for name in c.objectives]).sum(), **out}

    def read(self, modality: str, rows: Tensor, present: Tensor) -> MaskedInput:
        """Encode one modality, with tokens masked if masked modelling is an objective.

        Args:
            modality: one of those at hand.
            rows: int64 [B].
            present: bool [B], items that have the modality.

        Returns:
            States and their mask, the masked tokens (bool [B, T]), and the truth at these.
        """
        tower, inputs = self.sides[modality], self.inputs.read(modality, rows)
        assert isinstance(tower, SingleModalityStream)
        if "masked" in self.config.objectives:
            task = self.tasks[modality]
            assert isinstance(task, MaskedWords | MaskedFeatures)
            if isinstance(task, MaskedFeatures):
                (tokens, mask), where = task.mask_inputs(inputs, present, self.config.masked)
                truth = self.targets[modality](rows)[where]
            else:
                (tokens, mask), where, truth = task.mask_inputs(inputs, present, self.config.masked)
        else:
            tokens, mask = tower.reader(inputs)
            where = truth = torch.zeros_like(mask)
        mask = mask & present[:, None]
        return (tower.stream([(tokens, mask)])[0], mask), where, truth

    def masked(self, encoded: list[MaskedInput]) -> list[Tensor]:
        """Loss of each modality's masked tokens, predicted from the visible tokens of all modalities."""
        parts = [(states + self.kinds[m], mask) for m, ((states, mask), _, _) in zip(self.modalities, encoded)]
        joint = self.joint(parts)
        hidden = zip(self.modalities, joint, encoded)
        return [self.tasks[m](states[where], truth) for m, states, (_, where, truth) in hidden]

    def contrast(self, states: list[Tokens], has: Tensor) -> Terms:
        """InfoNCE of each pair of modalities over the items that have both.

        Args:
            states: states of each modality, and their mask.
            has: bool [B, M].

        Returns:
            Pair of modalities -> loss, for pairs that two items have.
        """
        vectors = {m: self.heads[m](pooled(tokens)) for m, tokens in zip(self.modalities, states)}
        out: Terms = {}
        for (i, a), (j, b) in combinations(enumerate(self.modalities), 2):
            both = has[:, i] & has[:, j]
            if int(both.sum()) > 1:
                out[a, b] = info_nce(vectors[a][both], vectors[b][both], self.config.tau, symmetric=True)
        return out

    def vectors(self, modality: str, rows: Tensor) -> Tensor:
        """Unit vectors float32 [B, width], as exported."""
        tower, parts = self.sides[modality], rows.split(CHUNK)
        states = torch.cat([pooled(tower(self.inputs.read(modality, part))) for part in parts])
        return F.normalize(self.heads[modality](states), dim=1)

    def validation_score(self) -> float:
        """Mean reciprocal rank of a held-out item's other modality, over all pairs, both ways."""
        scores, items = [], torch.from_numpy(self.eval_items).to(self.device)
        with torch.inference_mode():
            for (i, a), (j, b) in combinations(enumerate(self.modalities), 2):
                rows = items[self.has[items][:, [i, j]].all(1)]
                if len(rows) > 1:
                    one, other, own = self.vectors(a, rows), self.vectors(b, rows), torch.arange(len(rows))
                    scores += [reciprocal_rank(x, y, own.to(rows.device)) for x, y in ((one, other), (other, one))]
        return float(np.mean(scores)) if scores else 0.0

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        c, out = self.config, dict[str, Encoder]()
        for m, reader in self.readers.items():
            network = {"kind": "stream", "reader": reader, "dim": c.dim, "layers": c.layers, "heads": HEADS}
            weights = nn.ModuleDict({"tower": self.sides[m], "head": self.heads[m]}).state_dict()
            out[m] = Tower(readers[m], network, c.width).load_weights(weights, fitted_on)
        return out
