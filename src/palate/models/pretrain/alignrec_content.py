"""AlignRec's first step, inter-content alignment (Liu et al., CIKM 2024): one vector of an item's picture and text.

Mask-then-predict after BEiT-3: hidden words are guessed while the whole picture is shown, the codes of hidden cells
while the whole text is: L = -sum log P(word | other words, picture) - sum log P(code | other cells, text), a mean each.
The Transformer is multiway: attention is shared, feed-forward nets are of each modality but in the last block. The
fused vector of an item is the mean of the states of all its tokens, of unit length (:meth:`AlignRecContent.fused`).

Content-category alignment, the second of the paper's three, has two readings. The paper's ties content to the item's
*ID embedding*, called categorical: it needs behaviour and is a term of the matcher ``alignrec`` (``cca``). The other
takes ``category`` as a *class*: items of one category are drawn together by the supervised contrastive loss on fused
vectors, with weight ``alignment``. It is switched on by naming a column.

Our choices. Small towers trained from scratch; BEiT-3 is taken pretrained. Visual tokens are codes of an autoencoder of
single cells, learnt first. ``alone``: this share of examples lacks the other modality, since exported encoders read one
alone; at 1 nothing aligns the two, which is the ablation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Phase, pretrainers
from palate.core.batch import ExampleBatch
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError, did_you_mean
from palate.core.seeding import torch_stream
from palate.features.encoders.tower import Tower
from palate.losses.contrastive import supervised_contrastive
from palate.modules.masking import apply_mask, sample_mask
from palate.modules.multiway import Multiway
from palate.modules.regions import Regions
from palate.modules.stream import TokenEmbedding, WordHead
from palate.modules.towers import Tokens, pooled

from ._chance import held_chance
from ._codes import CodeConfig, MapCodes
from ._picture_text import PictureText
from ._streams import FIRST_WORD, HEADS, MASK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

CLASSES, READER = "category", "tfidf_attributes?dim=4096"


@pretrainers.register("alignrec_content")
class AlignRecContent(PictureText):
    """Inter-content alignment by mask-then-predict, with categories as classes if wanted."""

    name = "alignrec_content"
    paper = "Liu et al., AlignRec: Aligning and Training in Multimodal Recommendations, CIKM 2024"
    judged = 200

    class Config(PictureText.Config, CodeConfig):
        """Settings.

        Attributes:
            words, cells: share of each that is hidden. alone: see the module.
            category: attribute column whose values are classes, "" for none. alignment: weight of that loss.
            tau: its temperature.
        """

        words: float = Field(0.5, gt=0, lt=1)
        cells: float = Field(0.4, gt=0, lt=1)
        alone: float = Field(0.3, ge=0, le=1)
        category: str = ""
        alignment: float = Field(0.5, ge=0)
        tau: float = Field(0.1, gt=0)

    config: Config

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        column = self.config.category
        if not column:
            return {}
        known = items.columns("attributes")
        if column not in known:
            raise ConfigError("no such column of attributes", key=column, hint=did_you_mean(column, known))
        return {CLASSES: ("attributes", READER, (column,))}

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        c, d = self.config, self.config.dim
        pictured = self.trained[self.inputs.present("image")[self.trained]]
        draws = torch_stream(train.seed, "codes", self.name)
        self.codes = MapCodes(self.inputs, ["image"], pictured, c.codes, draws)
        self.words, self.regions = TokenEmbedding(self.vocabulary, d, self.length), Regions(d)
        self.stream = Multiway(("text", "image"), d, c.layers, HEADS)
        self.guess_word, self.guess_code = WordHead(d, self.vocabulary), nn.Linear(d, c.codes)
        self.grid = self.codes.ids("image", torch.from_numpy(pictured[:1])).shape[1]
        self.classes = torch.full((train.n_items,), -1)
        if c.category:
            found = train.fields[CLASSES]
            _, kinds = np.unique(found.values[found.present], axis=0, return_inverse=True)
            self.classes[torch.from_numpy(found.present)] = torch.from_numpy(kinds.ravel())

    def useful(self, text: NDArray[np.bool_], image: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return text | image

    def phases(self) -> list[Phase]:
        c, codes = self.config, {id(p) for p in self.codes.parameters()}
        own = [p for p in self.parameters() if id(p) not in codes]
        return [*self.codes.phases(c), self.phase("align", groups=own)]

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        c, rows = self.config, batch.rows[:, 0]
        parts = {"words": self.hidden_words(rows), "cells": self.hidden_cells(rows)}
        out = {name: total / max(count, 1) for name, (total, count) in parts.items()}
        if c.category and c.alignment:
            vectors = self.vectors(self.text(rows), self.picture(rows))
            out["category"] = c.alignment * supervised_contrastive(vectors, self.classes.to(rows.device)[rows], c.tau)
        return {"loss": torch.stack([*out.values()]).sum(), **out}

    def text(self, rows: Tensor, hidden: Tensor | None = None) -> Tokens:
        """Embedded words, those in ``hidden`` (bool [B, T]) corrupted."""
        ids = self.ids(rows)
        shown = ids if hidden is None else apply_mask(ids, hidden, MASK, (FIRST_WORD, self.vocabulary))
        tokens: Tokens = self.words(shown)
        return tokens

    def picture(self, rows: Tensor, hidden: Tensor | None = None) -> Tokens:
        """Embedded cells, without those in ``hidden`` (bool [B, R]); none of items without a picture."""
        tokens, mask = self.regions(self.inputs.read("image", rows), hidden)
        return tokens, mask & self.has("image", rows)[:, None]

    def accompanied(self, part: Tokens) -> Tokens:
        """``part``, taken away from some examples."""
        kept = torch.rand(len(part[1]), device=part[1].device) >= self.config.alone
        return part[0], part[1] & kept[:, None]

    def hidden_words(self, rows: Tensor) -> tuple[Tensor, int]:
        """Sum of cross-entropies of hidden words, and their number."""
        ids = self.ids(rows)
        hidden = sample_mask(ids >= FIRST_WORD, self.config.words)
        states = self.stream({"text": self.text(rows, hidden), "image": self.accompanied(self.picture(rows))})
        logits = self.guess_word(states["text"][hidden], self.words.words.weight)
        return F.cross_entropy(logits, ids[hidden], reduction="sum"), len(logits)

    def hidden_cells(self, rows: Tensor) -> tuple[Tensor, int]:
        """Sum of cross-entropies of hidden cells' codes, and their number."""
        hidden = sample_mask(self.has("image", rows)[:, None].expand(-1, self.grid), self.config.cells)
        states = self.stream({"text": self.accompanied(self.text(rows)), "image": self.picture(rows, hidden)})
        logits = self.guess_code(states["image"][hidden])
        return F.cross_entropy(logits, self.codes.ids("image", rows)[hidden], reduction="sum"), len(logits)

    def vectors(self, text: Tokens, picture: Tokens) -> Tensor:
        """Fused vectors float32 [B, d] of unit length."""
        states = self.stream({"text": text, "image": picture})
        mask = torch.cat([text[1], picture[1]], 1)
        return F.normalize(pooled((torch.cat([states["text"], states["image"]], 1), mask)), dim=1)

    def fused(self, ids: Tensor, pictures: Tensor, has_text: Tensor, has_picture: Tensor) -> Tensor:
        """Fused vectors float32 [B, d] of what the readers made of any items, also of items that training did not see.

        Args:
            ids: [B, T]. pictures: [B, 3, S, S]. has_text, has_picture: bool [B], what an item lacks is not read.
        """
        with torch.inference_mode():
            (words, said), (regions, shown) = self.words(ids), self.regions(pictures)
            return self.vectors((words, said & has_text[:, None]), (regions, shown & has_picture[:, None]))

    def validation_score(self) -> float:
        """Geometric mean of P(what was hidden) over held-out items."""
        rows = torch.from_numpy(self.kept).to(self.device)
        return held_chance([lambda: self.hidden_words(rows), lambda: self.hidden_cells(rows)])

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        d = self.config.dim
        kinds: dict[str, tuple[nn.Module, dict[str, Any]]] = {
            "text": (self.words, {"kind": "words", "vocabulary": self.vocabulary, "dim": d, "length": self.length}),
            "image": (self.regions, {"kind": "regions", "dim": d}),
        }
        out: dict[str, Encoder] = {}
        for modality, (reader, kind) in kinds.items():
            network = {"kind": "multiway", "modality": modality, "reader": kind, "dim": d}
            network |= {"layers": self.config.layers, "heads": HEADS}
            weights = nn.ModuleDict({"reader": reader, "stream": self.stream}).state_dict()
            other = ".nets.image." if modality == "text" else ".nets.text."
            own = {f"tower.{name}": tensor for name, tensor in weights.items() if other not in name}
            own |= {"head.weight": torch.eye(d), "head.bias": torch.zeros(d)}
            out[modality] = Tower(readers[modality], network, d).take_weights(own, fitted_on)
        return out
