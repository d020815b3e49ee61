"""Unified-IO 2 (Lu et al., CVPR 2024): one encoder-decoder reads and writes words, pictures and sounds.

Outputs come from one vocabulary: word pieces, codes of pictures, codes of sounds, sentinels, and the tokens that open
the encoder's input and name the task ([Text], [Image], [Audio]; [R], [S], [X]). A batch has one target modality and one
denoiser, L = -sum_t log P(y_t | y_<t, encoder) over all tokens of the vocabulary:

- [R]: short spans of a text are removed and written; a share of the cells of a map is hidden, and their codes written.
- [S]: a text is cut and its rest written; a picture or a sound is written from the other modalities alone.
- [X] (texts): long spans, half of the words.
- Dynamic masking: of a map under [R], all codes go through the decoder, but those that the encoder did not read are
  hidden from later positions, so that they cannot be copied. Under [S] attention is causal.

Positions rotate queries and keys (2D rotary, also of attention to the encoder), which are normalised (QK-norm).

Our choices. Small convolutions, trained with the rest, stand for the frozen ViT and AST and their resamplers; a log-mel
map is read as a picture is. Code books are learnt first, by an autoencoder of single cells. The other modalities of the
item accompany the target, each dropped at random (``alone``), since exported encoders read one alone: the mean of the
encoder's states. One task a batch replaces packing. A prefix that is switched off is [MASK].
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
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.core.seeding import rng_for, torch_stream
from palate.features.vocabulary import SPECIAL
from palate.models.pretrain.shared.codebooks import CodebookConfig, Codebooks
from palate.models.pretrain.shared.denoising import (
    CLS,
    MASK,
    DenoisingTarget,
    UnifiedVocabulary,
    map_target,
    text_target,
)
from palate.models.pretrain.shared.held_out import token_likelihood
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.models.pretrain.shared.streams import mean_state_encoder
from palate.modules.seq2seq import PositionedTokens
from palate.modules.unified import ModalityEmbedding, Rotary, UnifiedModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.views import TrainView

HEADS, MAX_EVAL_ITEMS = 4, 200
Head = Literal["text", "image", "audio"]
Denoiser = Literal["R", "S", "X"]


@pretrainers.register("unified_io2")
class UnifiedIO2(Pretrainer):
    """A mixture of denoisers over one vocabulary of words, picture codes and sound codes.

    Attributes:
        tasks: (target modality, denoiser), drawn from uniformly.
    """

    name = "unified_io2"
    paper = "Lu et al., Unified-IO 2: Scaling Autoregressive Multimodal Models, CVPR 2024"
    caution = "training from scratch did not help where measured: it lowered recall of new items from .282 to .172"

    class Config(CodebookConfig):
        """Settings of the denoisers and of the network."""

        dim: int = Field(128, ge=16, multiple_of=4 * HEADS, description="width of all layers")
        layers: int = Field(2, ge=1, description="layers of the encoder, and of the decoder")
        heads: tuple[Head, ...] = Field(
            ("text", "image", "audio"), min_length=1, description="modalities that are written; all are read"
        )
        denoisers: tuple[Denoiser, ...] = Field(
            ("R", "S", "X"), min_length=1, description="denoisers, drawn uniformly together with the target modality"
        )
        dynamic: bool = Field(True, description="dynamic masking")
        prefix: bool = Field(True, description="open the encoder's input with tokens that name the task")
        qk_norm: bool = Field(True, description="normalise queries and keys of attention")
        rotary: Rotary = Field("2d", description="rotary positions of attention")
        hidden: float = Field(0.5, gt=0, lt=1, description="share of the cells hidden under [R]")
        alone: float = Field(0.5, ge=0, le=1, description="probability that another modality of the item is dropped")
        held: float = Field(0.1, ge=0, lt=1, description="share of the items held out for validation")
        lr: float = Field(1e-3, gt=0, description="learning rate", json_schema_extra={"search": "1e-4..1e-2:log"})
        batch_size: int = Field(64, ge=2, description="items a step")
        epochs: int = Field(60, ge=0, description="epochs at most")
        patience: int = Field(8, ge=1, description="validations without gain after which training stops")

    config: Config

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build codebooks, encoder and decoder, and hold out items.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if the items have none of the modalities that are to be written.
        """
        c, self.inputs = self.config, ItemInputs(train.features)
        self.modalities = tuple(self.inputs.features)
        self.tasks = [(h, d) for h in c.heads if h in self.modalities for d in c.denoisers if self.possible(h, d)]
        present = [np.zeros(train.n_items, bool), *map(self.inputs.present, self.modalities)]
        items = np.flatnonzero(np.any(present, 0))
        if not self.tasks or len(items) < 2:
            found = ", ".join(self.modalities) or "nothing"
            raise ConfigError(
                f"{self.name} cannot write {', '.join(c.heads)}: the items have {found}", key="heads",
                hint="see palate check DATA",
            )  # fmt: skip
        order = rng_for(run.seed, "held", self.name).permutation(items)
        count = min(int(c.held * len(items)), MAX_EVAL_ITEMS)
        self.eval_items, self.train_items = np.sort(order[:count]), np.sort(order[count:])
        maps = [m for m in self.modalities if m != "text"]
        words = (
            self.inputs.network("text", c.dim, c.layers) if "text" in self.inputs else {"vocabulary": 0, "length": 0}
        )
        self.vocabulary = UnifiedVocabulary(max(words["vocabulary"], len(SPECIAL) + 1), words["length"], maps, c.codes)
        generator = torch_stream(run.seed, "codes", self.name)
        self.codes = Codebooks(self.inputs, maps, self.train_items, c.codes, generator)
        senses = ModalityEmbedding(len(self.vocabulary), c.dim, self.modalities, c.rotary)
        self.net = UnifiedModel(senses, c.layers, HEADS, c.qk_norm)
        self.draws = np.random.default_rng(run.seed)

    def possible(self, head: str, denoiser: str) -> bool:
        """Whether the modalities at hand allow a task."""
        return head == "text" or denoiser == "R" or (denoiser == "S" and len(self.modalities) > 1)

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        return self.train_items[:, None]

    def phases(self) -> list[Phase]:
        return [*self.codes.phases(self.config), self.phase("denoise", groups=[*self.net.parameters()])]

    def on_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        # every process draws the same tasks, else their gradients would not average
        self.draws = np.random.default_rng(rng.integers(2**62))

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        total, count = self.denoise(batch.rows[:, 0], *self.tasks[self.draws.integers(len(self.tasks))])
        return {"loss": total / max(count, 1)}

    def has(self, modality: str, rows: Tensor) -> Tensor:
        """Bool [B]: which of ``rows`` have the modality."""
        return torch.from_numpy(self.inputs.present(modality)).to(rows.device)[rows]

    def task_prefix(self, head: str, denoiser: str) -> list[int]:
        """Ids of the two tokens that open the encoder's input."""
        return self.vocabulary.task_prefix(head, denoiser) if self.config.prefix else [MASK, MASK]

    def denoise(self, rows: Tensor, head: str, denoiser: str) -> tuple[Tensor, int]:
        """Loss of one task on the items that have its target.

        Args:
            rows: int64 [B].
            head: target modality.
            denoiser: ``R``, ``S`` or ``X``.

        Returns:
            Sum of -log P of the scored tokens, and their number.
        """
        rows = rows[self.has(head, rows)]
        if denoiser == "S" and head != "text":
            rows = rows[torch.stack([self.has(m, rows) for m in self.modalities if m != head]).any(0)]
        if not len(rows):
            return self.net.head.bias.sum() * 0, 0
        target = self.target(rows, head, denoiser)
        memory = self.net.encode(self.encoder_parts(rows, head, denoiser, target.visible))
        logits = self.net.decode(memory, target.ids, target.positions, target.readable, CLS)[target.scored]
        return F.cross_entropy(logits, target.ids[target.scored], reduction="sum"), len(logits)

    def target(self, rows: Tensor, head: str, denoiser: str) -> DenoisingTarget:
        """Task of items that have the target modality; arguments as in :meth:`denoise`."""
        c, senses, inputs = self.config, self.net.senses, self.inputs.read(head, rows)
        if head == "text":
            return text_target(senses, inputs.long(), denoiser, self.vocabulary.first_sentinel)
        codes = self.codes.ids(head, rows) + self.vocabulary.first_code(head)
        return map_target(senses, head, inputs, codes, denoiser, c.hidden, c.dynamic)

    def encoder_parts(
        self, rows: Tensor, head: str, denoiser: str, visible: PositionedTokens | None
    ) -> list[PositionedTokens]:
        """Input of the encoder: prefix, the visible part of the target, other modalities.

        Args:
            rows: int64 [B].
            head: target modality.
            denoiser: ``R``, ``S`` or ``X``.
            visible: part of the target that is read; without it at least one other modality is kept.

        Returns:
            Parts to be read in a row.
        """
        senses, others = self.net.senses, [m for m in self.modalities if m != head]
        prefix = torch.tensor(self.task_prefix(head, denoiser), device=rows.device)
        parts = [senses.prefix(prefix.expand(len(rows), -1))] + ([] if visible is None else [visible])
        if not others:
            return parts
        present = torch.stack([self.has(m, rows) for m in others])
        mask = present & (torch.rand(present.shape, device=rows.device) >= self.config.alone)
        mask = torch.where(mask.any(0), mask, present) if visible is None else mask
        for modality, keep in zip(others, mask):
            inputs = self.inputs.read(modality, rows)
            part = senses.text(inputs.long()) if modality == "text" else senses.maps(modality, inputs)
            parts.append((part[0], part[1] & keep[:, None], part[2]))
        return parts

    def validation_score(self) -> float:
        """Geometric mean of P(true token) over all tasks on held-out items."""
        rows = torch.from_numpy(self.eval_items).to(self.device)
        return token_likelihood([partial(self.denoise, rows, *task) for task in self.tasks])

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        c, sizes = self.config, {"heads": HEADS, "rotary": self.config.rotary, "qk_norm": self.config.qk_norm}
        tower = nn.ModuleDict({"senses": self.net.senses, "encoder": self.net.encoder})
        out: dict[str, Encoder] = {}
        for modality in self.modalities:
            task = next((task for task in self.tasks if task[0] == modality), self.tasks[0])
            prefix = self.task_prefix(*task)
            network: dict[str, Any] = {"kind": "unified", "modality": modality, "prefix": prefix, **sizes}
            network |= {"vocabulary": len(self.vocabulary), "pieces": self.vocabulary.pieces}
            network |= {"dim": c.dim, "layers": c.layers}
            others = [f"senses.{kind}.{m}" for m in self.modalities if m != modality for kind in ("marks", "cells")]
            out[modality] = mean_state_encoder(readers[modality], network, tower, fitted_on, without=others)
        return out
