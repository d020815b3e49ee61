"""SCALE of M5Product (Dong et al., CVPR 2022): any modalities of a product, some of them missing.

Each modality has a Transformer E_m of its own; all their states meet in a joint one, with an embedding of their
modality. L = sum_m w_m L_m + sum_(a<b) w_ab NCE(a, b):

- L_m, masked modelling on joint states: cross-entropy of words, squared error of the features of regions and of
  stretches of sound;
- NCE(a, b), symmetric softmax of cos(f_a, f_b) / tau over the items that have both, f_m the projected mean of E_m;
- w, self-harmonised: one importance s_m, learnt, serves both kinds, w_m = M softmax_m(s_m), w_ab = P softmax_ab(s_a +
  s_b) with M modalities and P pairs.

Our choices. Text, picture and sound; a table or a video has no encoder here that could be exported. A missing modality
has no tokens (the paper fills in zeros). One pass over masked input serves both kinds of terms. The features to guess
are those of the small towers as they were before training, see ``uniter``. How the paper forms w is not known to the
letter; ours keeps one vector for both kinds.
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
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.core.seeding import rng_for, torch_stream
from palate.features.encoders.tower import Tower
from palate.losses.contrastive import info_nce
from palate.losses.pointwise import harmonised
from palate.modules.masked_modelling import MaskedFeatures, MaskedInput, MaskedWords
from palate.modules.regions import PositionedTower
from palate.modules.stream import SingleModalityStream, SingleStream, TokenEmbedding
from palate.modules.towers import Tokens, pooled

from ._held import reciprocal_rank
from ._inputs import ItemInputs
from ._streams import FIRST_WORD, HEADS, MASK, stream_reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.views import TrainView

SEEN, CHUNK, JUDGED = 256, 256, 1000
Terms = dict[tuple[str, ...], Tensor]


@pretrainers.register("scale")
class SCALE(Pretrainer):
    """Masked modelling of each modality and contrast of each pair, harmonised."""

    name = "scale"
    paper = "Dong et al., M5Product: Self-harmonized Contrastive Learning for E-commercial Pretraining, CVPR 2022"

    has: Tensor

    class Config(TrainedConfig):
        """Settings.

        Attributes:
            objectives: which are summed. harmonised: learn the weights, else all are 1.
            width: of exported vectors. layers: of each Transformer. masked: share of tokens hidden. tau: temperature.
            held: share of the items with several modalities kept out to judge retrieval.
        """

        objectives: tuple[Literal["masked", "contrast"], ...] = Field(("masked", "contrast"), min_length=1)
        harmonised: bool = True
        dim: int = Field(128, ge=8, multiple_of=HEADS)
        width: int = Field(128, ge=2)
        layers: int = Field(1, ge=1)
        masked: float = Field(0.15, gt=0, lt=1)
        tau: float = Field(0.2, gt=0)
        held: float = Field(0.1, ge=0, lt=1)
        lr: float = Field(2e-3, gt=0)
        batch_size: int = Field(128, ge=2)
        epochs: int = Field(60, ge=0)

    config: Config

    def setup(self, train: TrainView) -> None:
        c, d = self.config, self.config.dim
        self.inputs = ItemInputs(train.features)
        self.modalities = tuple(self.inputs.features)
        if len(self.modalities) < 2:
            raise ConfigError(f"{self.name} needs two of text, image and audio, found {self.modalities}", key="model")
        has = np.stack([self.inputs.present(m) for m in self.modalities], axis=1)
        self.register_buffer("has", torch.from_numpy(has), persistent=False)
        several = np.flatnonzero(has.sum(1) > 1)
        if len(several) < 2:
            raise ConfigError(f"{self.name} needs at least 2 items with several modalities", key="model")
        order = rng_for(train.seed, "held", self.name).permutation(several)
        self.kept = np.sort(order[: min(int(c.held * len(several)), JUDGED)])
        self.trained = np.setdiff1d(np.flatnonzero(has.any(1)), self.kept)
        self.readers, self.sides, self.tasks = dict[str, dict[str, Any]](), nn.ModuleDict(), nn.ModuleDict()
        for modality in self.modalities:
            self._add(modality, train.seed)
        self.heads = nn.ModuleDict({m: nn.Linear(d, c.width) for m in self.modalities})
        self.kinds = nn.ParameterDict({m: nn.Parameter(torch.randn(d) * 0.02) for m in self.modalities})
        self.importance = nn.ParameterDict({m: nn.Parameter(torch.zeros(())) for m in self.modalities})
        self.joint = SingleStream(d, c.layers, HEADS)

    def _add(self, modality: str, seed: int) -> None:
        c, d = self.config, self.config.dim
        reader = stream_reader(self.inputs, modality, d)
        side = SingleModalityStream(reader, d, c.layers, HEADS)
        if isinstance(side.reader, TokenEmbedding):
            task: nn.Module = MaskedWords(side.reader, d, MASK, FIRST_WORD)
        else:
            assert isinstance(side.reader, PositionedTower)
            present = self.trained[self.inputs.present(modality)[self.trained]]
            sample = self.inputs.read(modality, torch.from_numpy(present[:SEEN]))
            task = MaskedFeatures(side.reader, d, sample, torch_stream(seed, "detector", self.name, modality))
        self.readers[modality], self.sides[modality], self.tasks[modality] = reader, side, task

    def examples(self, view: TrainView) -> IntArray:
        return self.trained[:, None]

    def phases(self) -> list[Phase]:
        (phase,) = super().phases()
        # what was never trained cannot say when to stop
        return [replace(phase, validate="contrast" in self.config.objectives)]

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        c, rows = self.config, batch.rows[:, 0]
        has = self.has[rows]
        read = [self.read(m, rows, has[:, i]) for i, m in enumerate(self.modalities)]
        importance = {m: s if c.harmonised else s.detach() for m, s in self.importance.items()}
        out: dict[str, Tensor] = {}
        if "masked" in c.objectives:
            terms: Terms = {(m,): loss for m, loss in zip(self.modalities, self.masked(read))}
            out |= {"-".join(m): loss for m, loss in terms.items()} | {"masked": harmonised(importance, terms)}
        if "contrast" in c.objectives:
            terms = self.contrast([states for states, _, _ in read], has)
            out |= {"-".join(pair): loss for pair, loss in terms.items()}
            out["contrast"] = harmonised(importance, terms) if terms else self.joint.norm.weight.sum() * 0
        return {"loss": torch.stack([out[name] for name in c.objectives]).sum(), **out}

    def read(self, modality: str, rows: Tensor, present: Tensor) -> MaskedInput:
        """A modality's own states and their mask, what is hidden in them and what that is."""
        side, inputs = self.sides[modality], self.inputs.read(modality, rows)
        assert isinstance(side, SingleModalityStream)
        if "masked" in self.config.objectives:
            task = self.tasks[modality]
            assert isinstance(task, MaskedWords | MaskedFeatures)
            (tokens, mask), where, truth = task.mask_inputs(inputs, present, self.config.masked)
        else:
            tokens, mask = side.reader(inputs)
            where = truth = torch.zeros_like(mask)
        mask = mask & present[:, None]
        return (side.stream([(tokens, mask)])[0], mask), where, truth

    def masked(self, read: list[MaskedInput]) -> list[Tensor]:
        """How well each modality's hidden tokens are guessed from all that is shown of all modalities."""
        parts = [(states + self.kinds[m], mask) for m, ((states, mask), _, _) in zip(self.modalities, read)]
        joint = self.joint(parts)
        hidden = zip(self.modalities, joint, read)
        return [self.tasks[m](states[where], truth) for m, states, (_, where, truth) in hidden]

    def contrast(self, states: list[Tokens], has: Tensor) -> Terms:
        """InfoNCE of each pair of modalities over the items that have both. has: bool [B, M]."""
        vectors = {m: self.heads[m](pooled(tokens)) for m, tokens in zip(self.modalities, states)}
        out: Terms = {}
        for (i, a), (j, b) in combinations(enumerate(self.modalities), 2):
            both = has[:, i] & has[:, j]
            if int(both.sum()) > 1:
                out[a, b] = info_nce(vectors[a][both], vectors[b][both], self.config.tau, symmetric=True)
        return out

    def vectors(self, modality: str, rows: Tensor) -> Tensor:
        """Unit vectors float32 [B, width], as exported."""
        side, parts = self.sides[modality], rows.split(CHUNK)
        states = torch.cat([pooled(side(self.inputs.read(modality, part))) for part in parts])
        return F.normalize(self.heads[modality](states), dim=1)

    def validation_score(self) -> float:
        """Mean reciprocal rank of a held-out item's other modality, over all pairs, both ways."""
        found, kept = [], torch.from_numpy(self.kept).to(self.device)
        with torch.inference_mode():
            for (i, a), (j, b) in combinations(enumerate(self.modalities), 2):
                rows = kept[self.has[kept][:, [i, j]].all(1)]
                if len(rows) > 1:
                    one, other, own = self.vectors(a, rows), self.vectors(b, rows), torch.arange(len(rows))
                    found += [reciprocal_rank(x, y, own.to(rows.device)) for x, y in ((one, other), (other, one))]
        return float(np.mean(found)) if found else 0.0

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        c, out = self.config, dict[str, Encoder]()
        for m, reader in self.readers.items():
            network = {"kind": "stream", "reader": reader, "dim": c.dim, "layers": c.layers, "heads": HEADS}
            weights = nn.ModuleDict({"tower": self.sides[m], "head": self.heads[m]}).state_dict()
            out[m] = Tower(readers[m], network, c.width).take_weights(weights, fitted_on)
        return out
