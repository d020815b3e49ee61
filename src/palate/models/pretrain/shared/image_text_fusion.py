"""A picture and a text, encoded apart and read together: contrast, matching, masked words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.core.batch import ExampleBatch, IntArray
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.features.encoders.tower import Tower, tower_network
from palate.losses.contrastive import info_nce
from palate.models.pretrain.shared.contrastive import clipped_scale
from palate.models.pretrain.shared.image_text import ImageTextPretrainer
from palate.models.pretrain.shared.queries import false_negatives
from palate.models.pretrain.shared.streams import FIRST_WORD, HEADS, MASK
from palate.modules.masking import apply_mask, sample_hard_negatives, sample_mask
from palate.modules.pair_reader import PairReader, take_tokens
from palate.modules.towers import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from palate.data.views import TrainView

CHUNK = 256
Objective = Literal["itc", "itm", "mlm"]


class ImageTextFusionPretrainer(ImageTextPretrainer):
    """Train ``base``, which reads pictures with texts; its towers are exported.

    Attributes:
        base: two towers and a layer that fuses them.
    """

    class Config(ImageTextPretrainer.Config):
        """Settings of the pairs' objectives."""

        objectives: tuple[Objective, ...] = Field(
            ("itc", "itm", "mlm"),
            min_length=1,
            description="objectives that are summed: contrast (itc), matching (itm), masked words (mlm)",
        )
        width: int = Field(64, ge=2, description="width of the shared space")
        tau: float = Field(0.07, gt=0, description="initial temperature; it is learnt")
        masked: float = Field(0.15, gt=0, lt=1, description="share of the words masked in mlm")

    config: Config

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        c = self.config
        self.networks = {m: self.inputs.network(m, c.dim, c.layers) for m in ("text", "image")}
        towers = {m: tower_network(network, c.width) for m, network in self.networks.items()}
        self.base = PairReader(towers, c.dim, HEADS, self.vocabulary)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / c.tau)))

    @property
    def temperature(self) -> Tensor:
        """1 / exp(s), s clipped as in CLIP."""
        return 1 / clipped_scale(self.scale)

    def base_loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Objectives of the base, and ``loss``, their sum, over the batch's items that have both picture and text."""
        items = batch.rows[:, 1].unique()
        items = items[self.has("text", items)]
        if len(items) < 2:
            return {"loss": self.scale * 0}
        ids = self.ids(items)
        excluded = false_negatives(ids, items)
        words, regions = self.base.read("text", ids), self.base.read("image", self.inputs.read("image", items))
        a, b = self.base.vector("text", words), self.base.vector("image", regions)
        terms = {
            "itc": lambda: info_nce(a, b, self.temperature, symmetric=True, false_negatives=excluded),
            "itm": lambda: self.itm(words, regions, (a @ b.T / self.temperature).detach(), excluded),
            "mlm": lambda: self.mlm(ids, regions),
        }
        out: dict[str, Tensor] = {name: terms[name]() for name in self.config.objectives}
        return {"loss": torch.stack([*out.values()]).sum(), **out}

    def itm(self, words: Tokens, regions: Tokens, scores: Tensor, excluded: Tensor) -> Tensor:
        """Cross-entropy of matching: each pair, each text with a wrong picture, each picture with a wrong text.

        Args:
            words: states of the texts [B, T, d] and their mask.
            regions: states of the pictures [B, R, d] and their mask.
            scores: float [B, B], similarities by which wrong partners are drawn.
            excluded: bool [B, B], pairs that are never drawn as wrong partners.

        Returns:
            A scalar.
        """
        own = torch.arange(len(scores), device=scores.device)
        (a, wrong_image), (b, wrong_text) = (
            sample_hard_negatives(scores, excluded),
            sample_hard_negatives(scores.T, excluded),
        )
        texts, images = torch.cat([own, a, wrong_text]), torch.cat([own, wrong_image, b])
        return matching_loss(self.base.match_logits(take_tokens(words, texts), take_tokens(regions, images)), len(own))

    def mlm(self, ids: Tensor, regions: Tokens) -> Tensor:
        """Mean cross-entropy of masked words, given the other words and the picture.

        Args:
            ids: int64 [B, T].
            regions: states of the pictures [B, R, d] and their mask.

        Returns:
            A scalar.
        """
        hidden = sample_mask(ids >= FIRST_WORD, self.config.masked)
        masked = apply_mask(ids, hidden, MASK, (FIRST_WORD, self.vocabulary))
        logits = self.base.word_logits(self.base.read("text", masked), regions)[hidden]
        return F.cross_entropy(logits, ids[hidden], reduction="sum") / max(len(logits), 1)

    def vectors(self, modality: str, rows: IntArray, read: Callable[[Tensor], Tensor]) -> Tensor:
        """Encode many rows in one modality.

        Args:
            modality: ``text`` or ``image``.
            rows: int64 [n].
            read: rows -> inputs of the tower.

        Returns:
            Unit vectors float32 [n, width].
        """
        parts = torch.from_numpy(rows).to(self.device).split(CHUNK)
        return torch.cat([self.base.vector(modality, self.base.read(modality, read(part))) for part in parts])

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        return {
            m: Tower(readers[m], network, self.config.width).load_weights(self.base.part(m).state_dict(), fitted_on)
            for m, network in self.networks.items()
        }


def matching_loss(logits: Tensor, n: int) -> Tensor:
    """Cross-entropy of logits [B] of which the first ``n`` are of true pairs."""
    return F.binary_cross_entropy_with_logits(logits, (torch.arange(len(logits), device=logits.device) < n).float())
