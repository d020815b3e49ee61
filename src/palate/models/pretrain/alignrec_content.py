"""AlignRec's first step, inter-content alignment (Liu et al., CIKM 2024): one vector of an item's picture and text.

Mask-then-predict after BEiT-3: masked words are predicted with the whole picture in view, the codes of masked cells
with the whole text: L = -sum log P(word | other words, picture) - sum log P(code | other cells, text), a mean each.
The Transformer is multiway: attention is shared, each modality has its own feed-forward nets but in the last block. The
fused vector of an item is the mean of the states of all its tokens, of unit length (:meth:`AlignRecContent.fused`).

Content-category alignment, the second of the paper's three, has two readings. The paper's ties content to the item's
*ID embedding*, called categorical: it needs behaviour and is a term of the matcher ``alignrec`` (``cca``). The other
takes ``category`` as a *class*: items of one category are drawn together by the supervised contrastive loss on fused
vectors, with weight ``alignment``. It is switched on by naming a column.

Our choices. Small towers trained from scratch; the paper uses a pretrained BEiT-3. Visual tokens are codes of an
autoencoder of single cells, learnt first. ``alone``: this share of examples lacks the other modality, since exported
encoders read one alone; at 1 nothing aligns the two, which is the ablation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Phase, pretrainers
from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError, did_you_mean
from palate.core.seeding import torch_stream
from palate.losses.contrastive import supervised_contrastive
from palate.models.pretrain.shared.codebooks import CodebookConfig, Codebooks
from palate.models.pretrain.shared.held_out import token_likelihood
from palate.models.pretrain.shared.image_text import ImageTextPretrainer
from palate.models.pretrain.shared.streams import FIRST_WORD, HEADS, MASK, mean_state_encoder, word_and_region_readers
from palate.modules.masking import apply_mask, sample_mask
from palate.modules.multiway import Multiway
from palate.modules.regions import Regions
from palate.modules.stream import TokenEmbedding, WordHead
from palate.modules.towers import Tokens, pooled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

CLASSES, READER = "category", "tfidf_attributes?dim=4096"


@pretrainers.register("alignrec_content")
class AlignRecContent(ImageTextPretrainer):
    """Inter-content alignment by mask-then-predict, with categories as classes if wanted."""

    name = "alignrec_content"
    paper = "Liu et al., AlignRec: Aligning and Training in Multimodal Recommendations, CIKM 2024"
    caution = (
        "without a category training did not help where measured: it lowered recall of new items from .316 to .151; "
        "with one it rose from .241 to .506"
    )
    max_eval_items = 200

    class Config(ImageTextPretrainer.Config, CodebookConfig):
        """Settings of mask-then-predict and of the categories."""

        words: float = Field(0.5, gt=0, lt=1, description="share of the words masked")
        cells: float = Field(0.4, gt=0, lt=1, description="share of the cells of a picture masked")
        alone: float = Field(0.3, ge=0, le=1, description="share of the examples that lack the other modality")
        category: str = Field("", description="attribute column whose values are classes; empty for none")
        alignment: float = Field(0.5, ge=0, description="weight of the loss of the classes")
        tau: float = Field(0.1, gt=0, description="temperature of the loss of the classes")

    config: Config

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        """Read the category column, if one is named.

        Args:
            items: the catalogue.

        Returns:
            Name -> (modality, reader, columns).

        Raises:
            ConfigError: if there is no such column of attributes.
        """
        column = self.config.category
        if not column:
            return {}
        attributes = items.columns("attributes")
        if column not in attributes:
            raise ConfigError("no such column of attributes", key=column, hint=did_you_mean(column, attributes))
        return {CLASSES: ("attributes", READER, (column,))}

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        c, d = self.config, self.config.dim
        with_image = self.train_items[self.inputs.present("image")[self.train_items]]
        generator = torch_stream(run.seed, "codes", self.name)
        self.codes = Codebooks(self.inputs, ["image"], with_image, c.codes, generator)
        self.words, self.regions = TokenEmbedding(self.vocabulary, d, self.length), Regions(d)
        self.stream = Multiway(("text", "image"), d, c.layers, HEADS)
        self.guess_word, self.guess_code = WordHead(d, self.vocabulary), nn.Linear(d, c.codes)
        self.grid = self.codes.ids("image", torch.from_numpy(with_image[:1])).shape[1]
        self.classes = torch.full((train.n_items,), -1)
        if c.category:
            column = train.fields[CLASSES]
            _, codes = np.unique(column.values[column.present], axis=0, return_inverse=True)
            self.classes[torch.from_numpy(column.present)] = torch.from_numpy(codes.ravel())

    def trainable(self, text: NDArray[np.bool_], image: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return text | image

    def phases(self) -> list[Phase]:
        codes = {id(p) for p in self.codes.parameters()}
        own = [p for p in self.parameters() if id(p) not in codes]
        return [*self.codes.phases(self.config), self.phase("align", groups=own)]

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        c, rows = self.config, batch.rows[:, 0]
        terms = {"words": self.masked_words(rows), "cells": self.masked_cells(rows)}
        out = {name: total / max(count, 1) for name, (total, count) in terms.items()}
        if c.category and c.alignment:
            vectors = self.vectors(self.text(rows), self.picture(rows))
            out["category"] = c.alignment * supervised_contrastive(vectors, self.classes.to(rows.device)[rows], c.tau)
        return {"loss": torch.stack([*out.values()]).sum(), **out}

    def text(self, rows: Tensor, hidden: Tensor | None = None) -> Tokens:
        """Embedded words; those in ``hidden`` (bool [B, T]) are masked."""
        ids = self.ids(rows)
        masked = ids if hidden is None else apply_mask(ids, hidden, MASK, (FIRST_WORD, self.vocabulary))
        tokens: Tokens = self.words(masked)
        return tokens

    def picture(self, rows: Tensor, hidden: Tensor | None = None) -> Tokens:
        """Embedded cells without those in ``hidden`` (bool [B, R]); items without a picture have none."""
        tokens, mask = self.regions(self.inputs.read("image", rows), hidden)
        return tokens, mask & self.has("image", rows)[:, None]

    def drop_context(self, tokens: Tokens) -> Tokens:
        """Drop the tokens of the other modality from a share ``alone`` of the examples."""
        keep = torch.rand(len(tokens[1]), device=tokens[1].device) >= self.config.alone
        return tokens[0], tokens[1] & keep[:, None]

    def masked_words(self, rows: Tensor) -> tuple[Tensor, int]:
        """Sum of the cross-entropies of masked words, and their number."""
        ids = self.ids(rows)
        hidden = sample_mask(ids >= FIRST_WORD, self.config.words)
        states = self.stream({"text": self.text(rows, hidden), "image": self.drop_context(self.picture(rows))})
        logits = self.guess_word(states["text"][hidden], self.words.words.weight)
        return F.cross_entropy(logits, ids[hidden], reduction="sum"), len(logits)

    def masked_cells(self, rows: Tensor) -> tuple[Tensor, int]:
        """Sum of the cross-entropies of masked cells' codes, and their number."""
        hidden = sample_mask(self.has("image", rows)[:, None].expand(-1, self.grid), self.config.cells)
        states = self.stream({"text": self.drop_context(self.text(rows)), "image": self.picture(rows, hidden)})
        logits = self.guess_code(states["image"][hidden])
        return F.cross_entropy(logits, self.codes.ids("image", rows)[hidden], reduction="sum"), len(logits)

    def vectors(self, text: Tokens, picture: Tokens) -> Tensor:
        """Fused unit vectors float32 [B, d]."""
        states = self.stream({"text": text, "image": picture})
        mask = torch.cat([text[1], picture[1]], 1)
        return F.normalize(pooled((torch.cat([states["text"], states["image"]], 1), mask)), dim=1)

    def fused(self, ids: Tensor, pictures: Tensor, has_text: Tensor, has_picture: Tensor) -> Tensor:
        """Fused vectors of any items, also of items that training did not see.

        Args:
            ids: token ids [B, T].
            pictures: float [B, 3, S, S].
            has_text: bool [B]; absent text is not read.
            has_picture: bool [B]; absent pictures are not read.

        Returns:
            Unit vectors float32 [B, d].
        """
        with torch.inference_mode():
            (words, text_mask), (regions, image_mask) = self.words(ids), self.regions(pictures)
            text, image = text_mask & has_text[:, None], image_mask & has_picture[:, None]
            return self.vectors((words, text), (regions, image))

    def validation_score(self) -> float:
        """Geometric mean of P(masked token) over held-out items."""
        rows = torch.from_numpy(self.eval_items).to(self.device)
        return token_likelihood([lambda: self.masked_words(rows), lambda: self.masked_cells(rows)])

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        d, configs = self.config.dim, word_and_region_readers(self.vocabulary, self.length, self.config.dim)
        out: dict[str, Encoder] = {}
        for modality, module in (("text", self.words), ("image", self.regions)):
            network = {"kind": "multiway", "modality": modality, "reader": configs[modality], "dim": d}
            network |= {"layers": self.config.layers, "heads": HEADS}
            tower = nn.ModuleDict({"reader": module, "stream": self.stream})
            other = ".nets.image." if modality == "text" else ".nets.text."
            out[modality] = mean_state_encoder(readers[modality], network, tower, fitted_on, without=(other,))
        return out
