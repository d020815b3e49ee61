"""Unified-IO 2 (Lu et al., CVPR 2024): one encoder-decoder reads and writes words, pictures and sounds.

All that is written comes from one vocabulary: word pieces, codes of pictures, codes of sounds, sentinels, and the
tokens that open the encoder's input and say what is wanted ([Text], [Image], [Audio]; [R], [S], [X]). A batch has one
target modality and one denoiser, L = -sum_t log P(y_t | y_<t, encoder) over all tokens of the vocabulary:

- [R]: text without short spans, which are written; a map without a share of its cells, whose codes are written.
- [S]: a text is cut and its rest written; a picture or a sound is written from the other modalities alone.
- [X] (texts): long spans, half of the words.
- Dynamic masking: of a map under [R], all codes go through the decoder, but those that the encoder was not shown are
  hidden from later positions, so that they cannot be copied. Under [S] attention is causal.

Places turn queries and keys (2D rotary, also of attention to the encoder), which are normalised (QK-norm).

Our choices. Small convolutions, trained with the rest, stand for the frozen ViT and AST and their resamplers; a log-mel
map is read as a picture is. Code books are learnt first, by an autoencoder of single cells. The other modalities of the
item accompany the target, each left out by chance (``alone``), since exported encoders read one alone: the mean of the
encoder's states. One task a batch replaces packing. A prefix that is switched off says [MASK].
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Phase, Pretrainer, pretrainers
from palate.core.batch import ExampleBatch, IntArray
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.core.seeding import rng_for, torch_stream
from palate.features.encoders.tower import Tower
from palate.features.vocabulary import SPECIAL
from palate.modules.seq2seq import PositionedTokens
from palate.modules.unified import ModalityEmbedding, Rotary, UnifiedModel

from ._chance import held_chance
from ._codes import CodeConfig, MapCodes
from ._denoise import MASK, OPEN, Layout, Target, map_target, text_target
from ._inputs import ItemInputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.views import TrainView

HEADS, JUDGED = 4, 200
Head = Literal["text", "image", "audio"]
Denoiser = Literal["R", "S", "X"]


@pretrainers.register("unified_io2")
class UnifiedIO2(Pretrainer):
    """A mixture of denoisers over one vocabulary of words, picture codes and sound codes."""

    name = "unified_io2"
    paper = "Lu et al., Unified-IO 2: Scaling Autoregressive Multimodal Models, CVPR 2024"

    class Config(CodeConfig):
        """Settings.

        Attributes:
            heads: modalities that are written; all are read. denoisers: drawn from evenly, with the head.
            dynamic, prefix, qk_norm, rotary: see the module; each can be switched off at equal parameters.
            hidden: share of cells hidden under [R]. alone: chance that another modality is left out.
            layers: of the encoder and of the decoder. held: share of items kept out to judge.
        """

        dim: int = Field(128, ge=16, multiple_of=4 * HEADS)
        layers: int = Field(2, ge=1)
        heads: tuple[Head, ...] = Field(("text", "image", "audio"), min_length=1)
        denoisers: tuple[Denoiser, ...] = Field(("R", "S", "X"), min_length=1)
        dynamic: bool = True
        prefix: bool = True
        qk_norm: bool = True
        rotary: Rotary = "2d"
        hidden: float = Field(0.5, gt=0, lt=1)
        alone: float = Field(0.5, ge=0, le=1)
        held: float = Field(0.1, ge=0, lt=1)
        lr: float = Field(1e-3, gt=0)
        batch_size: int = Field(64, ge=2)
        epochs: int = Field(60, ge=0)
        patience: int = Field(8, ge=1)

    config: Config

    def setup(self, train: TrainView) -> None:
        c, self.inputs = self.config, ItemInputs(train.features)
        self.modalities = tuple(self.inputs.features)
        self.tasks = [(h, d) for h in c.heads if h in self.modalities for d in c.denoisers if self.possible(h, d)]
        useful = np.flatnonzero(np.any([np.zeros(train.n_items, bool), *map(self.inputs.present, self.modalities)], 0))
        if not self.tasks or len(useful) < 2:
            found = ", ".join(self.modalities) or "nothing"
            raise ConfigError(f"{self.name} can write nothing that it was asked to: items have {found}", key="heads")
        order = rng_for(train.seed, "held", self.name).permutation(useful)
        count = min(int(c.held * len(useful)), JUDGED)
        self.kept, self.trained = np.sort(order[:count]), np.sort(order[count:])
        maps = [m for m in self.modalities if m != "text"]
        words = (
            self.inputs.network("text", c.dim, c.layers) if "text" in self.inputs else {"vocabulary": 0, "length": 0}
        )
        self.layout = Layout(max(words["vocabulary"], len(SPECIAL) + 1), words["length"], maps, c.codes)
        self.codes = MapCodes(self.inputs, maps, self.trained, c.codes, torch_stream(train.seed, "codes", self.name))
        senses = ModalityEmbedding(len(self.layout), c.dim, self.modalities, c.rotary)
        self.net = UnifiedModel(senses, c.layers, HEADS, c.qk_norm)
        self.draws = np.random.default_rng(train.seed)

    def possible(self, head: str, denoiser: str) -> bool:
        """Whether the data at hand have such a task."""
        return head == "text" or denoiser == "R" or (denoiser == "S" and len(self.modalities) > 1)

    def examples(self, view: TrainView) -> IntArray:
        return self.trained[:, None]

    def phases(self) -> list[Phase]:
        c, own = self.config, [*self.net.parameters()]
        return [
            *self.codes.phases(c),
            self.phase("denoise", groups=own),
        ]

    def on_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        # every process draws the same tasks, else their gradients would not average
        self.draws = np.random.default_rng(rng.integers(2**62))

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        total, count = self.denoise(batch.rows[:, 0], *self.tasks[self.draws.integers(len(self.tasks))])
        return {"loss": total / max(count, 1)}

    def has(self, modality: str, rows: Tensor) -> Tensor:
        """Bool [B]: which of ``rows`` have the modality."""
        return torch.from_numpy(self.inputs.present(modality)).to(rows.device)[rows]

    def asked(self, head: str, denoiser: str) -> list[int]:
        """Ids of the two tokens that open the encoder's input."""
        return self.layout.asked(head, denoiser) if self.config.prefix else [MASK, MASK]

    def denoise(self, rows: Tensor, head: str, denoiser: str) -> tuple[Tensor, int]:
        """Sum of -log P of what is to be written for those of ``rows`` that have the target, and how many tokens."""
        rows = rows[self.has(head, rows)]
        if denoiser == "S" and head != "text":
            rows = rows[torch.stack([self.has(m, rows) for m in self.modalities if m != head]).any(0)]
        if not len(rows):
            return self.net.head.bias.sum() * 0, 0
        target = self.target(rows, head, denoiser)
        read = self.net.encode(self.parts(rows, head, denoiser, target.shown))
        logits = self.net.decode(read, target.ids, target.places, target.tells, OPEN)[target.counts]
        return F.cross_entropy(logits, target.ids[target.counts], reduction="sum"), len(logits)

    def target(self, rows: Tensor, head: str, denoiser: str) -> Target:
        """The task for items that have what is to be written."""
        c, senses, inputs = self.config, self.net.senses, self.inputs.read(head, rows)
        if head == "text":
            return text_target(senses, inputs.long(), denoiser, self.layout.sentinel)
        codes = self.codes.ids(head, rows) + self.layout.first(head)
        return map_target(senses, head, inputs, codes, denoiser, c.hidden, c.dynamic)

    def parts(self, rows: Tensor, head: str, denoiser: str, own: PositionedTokens | None) -> list[PositionedTokens]:
        """The encoder's input: prefix, what is shown of the target, other modalities; without ``own`` at least one."""
        senses, others = self.net.senses, [m for m in self.modalities if m != head]
        asked = torch.tensor(self.asked(head, denoiser), device=rows.device)
        parts = [senses.prefix(asked.expand(len(rows), -1))] + ([] if own is None else [own])
        if not others:
            return parts
        there = torch.stack([self.has(m, rows) for m in others])
        left = there & (torch.rand(there.shape, device=rows.device) >= self.config.alone)
        left = torch.where(left.any(0), left, there) if own is None else left
        for modality, keep in zip(others, left):
            inputs = self.inputs.read(modality, rows)
            made = senses.text(inputs.long()) if modality == "text" else senses.maps(modality, inputs)
            parts.append((made[0], made[1] & keep[:, None], made[2]))
        return parts

    def validation_score(self) -> float:
        """Geometric mean of P(right token) over all tasks on held-out items."""
        rows = torch.from_numpy(self.kept).to(self.device)
        return held_chance([partial(self.denoise, rows, *task) for task in self.tasks])

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        c, sizes = self.config, {"heads": HEADS, "rotary": self.config.rotary, "qk_norm": self.config.qk_norm}
        weights = nn.ModuleDict({"senses": self.net.senses, "encoder": self.net.encoder}).state_dict()
        out: dict[str, Encoder] = {}
        for modality in self.modalities:
            task = next((task for task in self.tasks if task[0] == modality), self.tasks[0])
            network: dict[str, Any] = {"kind": "unified", "modality": modality, "prefix": self.asked(*task), **sizes}
            network |= {"vocabulary": len(self.layout), "pieces": self.layout.pieces, "dim": c.dim, "layers": c.layers}
            others = tuple(
                f"senses.{kind}.{m}" for m in self.modalities if m != modality for kind in ("marks", "cells")
            )
            own = {f"tower.{name}": tensor for name, tensor in weights.items() if not name.startswith(others)}
            own |= {"head.weight": torch.eye(c.dim), "head.bias": torch.zeros(c.dim)}
            out[modality] = Tower(readers[modality], network, c.dim).take_weights(own, fitted_on)
        return out
