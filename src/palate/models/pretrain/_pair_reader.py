"""A text and a picture of one item, compared apart and read together: contrast, matching, masked words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.core.batch import ExampleBatch, IntArray
from palate.core.encoder import Encoder
from palate.features.encoders.tower import Tower, tower_network
from palate.losses.contrastive import info_nce
from palate.modules.masking import apply_mask, sample_hard_negatives, sample_mask
from palate.modules.pair_reader import PairReader, take_tokens
from palate.modules.towers import Tokens

from ._contrast import MOST_SCALE
from ._picture_text import PictureText
from ._queries import alike
from ._streams import FIRST_WORD, HEADS, MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from palate.data.views import TrainView

CHUNK = 256
Task = Literal["itc", "itm", "mlm"]


class PairPretrainer(PictureText):
    """``base`` reads pairs; subclasses say what else is learnt of it. Its towers are what is exported."""

    class Config(PictureText.Config):
        """Settings.

        Attributes:
            objectives: of pairs. width: of the shared space. tau: first temperature; it is learnt.
            masked: share of words hidden in mlm.
        """

        objectives: tuple[Task, ...] = Field(("itc", "itm", "mlm"), min_length=1)
        width: int = Field(64, ge=2)
        tau: float = Field(0.07, gt=0)
        masked: float = Field(0.15, gt=0, lt=1)

    config: Config

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        c = self.config
        self.networks = {m: self.inputs.network(m, c.dim, c.layers) for m in ("text", "image")}
        towers = {m: tower_network(network, c.width) for m, network in self.networks.items()}
        self.base = PairReader(towers, c.dim, HEADS, self.vocabulary)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / c.tau)))

    @property
    def temperature(self) -> Tensor:
        """1 / exp(s), s clipped as in CLIP."""
        return 1 / self.scale.exp().clamp(max=MOST_SCALE)

    def base_loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """The sum of the base's objectives over the batch's items that have both picture and text."""
        items = batch.rows[:, 1].unique()
        items = items[self.has("text", items)]
        if len(items) < 2:
            return {"loss": self.scale * 0}
        ids, twins = self.ids(items), alike(self.ids(items), items)
        words, regions = self.base.read("text", ids), self.base.read("image", self.inputs.read("image", items))
        a, b = self.base.vector("text", words), self.base.vector("image", regions)
        parts = {
            "itc": lambda: info_nce(a, b, self.temperature, symmetric=True, false_negatives=twins),
            "itm": lambda: self.itm(words, regions, (a @ b.T / self.temperature).detach(), twins),
            "mlm": lambda: self.mlm(ids, regions),
        }
        out: dict[str, Tensor] = {name: parts[name]() for name in self.config.objectives}
        return {"loss": torch.stack([*out.values()]).sum(), **out}

    def itm(self, words: Tokens, regions: Tokens, scores: Tensor, twins: Tensor) -> Tensor:
        """Cross-entropy of fits: each pair, each text with a wrong picture, each picture with a wrong text."""
        own = torch.arange(len(scores), device=scores.device)
        (a, wrong_picture), (b, wrong_text) = (
            sample_hard_negatives(scores, twins),
            sample_hard_negatives(scores.T, twins),
        )
        texts, pictures = torch.cat([own, a, wrong_text]), torch.cat([own, wrong_picture, b])
        return first_fit(self.base.match_logits(take_tokens(words, texts), take_tokens(regions, pictures)), len(own))

    def mlm(self, ids: Tensor, regions: Tokens) -> Tensor:
        """Cross-entropy of masked words."""
        chosen = sample_mask(ids >= FIRST_WORD, self.config.masked)
        shown = apply_mask(ids, chosen, MASK, (FIRST_WORD, self.vocabulary))
        logits = self.base.word_logits(self.base.read("text", shown), regions)[chosen]
        return F.cross_entropy(logits, ids[chosen], reduction="sum") / max(len(logits), 1)

    def vectors(self, modality: str, rows: IntArray, read: Callable[[Tensor], Tensor]) -> Tensor:
        """Unit vectors float32 [n, width] of what ``read`` gives for ``rows``."""
        parts = torch.from_numpy(rows).to(self.device).split(CHUNK)
        return torch.cat([self.base.vector(modality, self.base.read(modality, read(part))) for part in parts])

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        return {
            m: Tower(readers[m], network, self.config.width).take_weights(self.base.part(m).state_dict(), fitted_on)
            for m, network in self.networks.items()
        }


def first_fit(logits: Tensor, n: int) -> Tensor:
    """Cross-entropy of logits [B] of which the first ``n`` are of pairs that fit."""
    return F.binary_cross_entropy_with_logits(logits, (torch.arange(len(logits), device=logits.device) < n).float())
