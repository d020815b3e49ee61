"""VIP5 (Geng et al., Findings of EMNLP 2023): recommending and explaining as text, pictures as tokens, adapters.

An encoder-decoder reads prompts of three families. ``sequential``: the items of a history; it answers with the digits
of the next item. ``direct``: history and a candidate; it answers [YES] or [NO]. ``explanation``: history and an item
with its words; it answers with a text. Each item is its id, a word a digit, and n visual tokens
norm(W_2 tanh(W_1 v)) behind it; words of one item share a whole-word embedding, and words and visual tokens have a
category embedding each. The backbone learns the prompts without pictures first (``backbone_epochs``); then it is
frozen, and adapters h + W_up gelu(W_down h) (width / 8, after attention and feed-forward net, one set for all tasks),
norms and the visual map are trained.
Our choices: the backbone is small and trained here, and can copy words (the paper's is T5); negatives of ``direct`` are
items of the same batch; an item without a row has one word, [NEW], so that it is known by its words and picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from palate.contracts import GenerationRequest, InputSpec, Phase, generators
from palate.data.views import TrainView
from palate.models.generate.shared.columns import EXPLANATIONS
from palate.models.generate.shared.examples import TextBatch
from palate.models.generate.shared.request_images import catalog_rows
from palate.models.generate.shared.text_generator import IMAGE, TextConfig, TextGenerator
from palate.modules.text_generation.decoding import Decoder
from palate.modules.text_generation.item_ids import DIGITS, NEW, digit_words, taken
from palate.modules.text_generation.item_prompts import ItemTokens
from palate.modules.text_generation.text_transformer import Encoded, TextTransformer, sinusoids
from palate.modules.text_generation.token_losses import likelihood_loss, word_log_probabilities
from palate.modules.text_generation.words import END, PAD, START
from palate.modules.token_ids import compact

Family = Literal["sequential", "direct", "explanation"]
FAMILIES = {"sequential": "[SEQUENTIAL]", "direct": "[DIRECT]", "explanation": "[EXPLANATION]"}


@generators.register("vip5")
class VIP5(TextGenerator):
    """Prompts with pictures for recommendation and explanation."""

    name = "vip5"
    paper = "Geng et al., VIP5: Towards Multimodal Foundation Models for Recommendation, Findings of EMNLP 2023"
    kinds = ("explanation",)
    caution = "trained from scratch on 1,500 pairs behind a frozen backbone, the direct family is little above chance"
    reference_columns = EXPLANATIONS
    learns_titles, needs_targets = False, False
    presets = {"text": {"visual_tokens": 0}, "full": {"frozen": False}}

    class Config(TextConfig):
        """Settings of VIP5."""

        layers: int = Field(2, ge=1, description="layers of the encoder, and of the decoder")
        dropout: float = Field(0.1, ge=0, lt=1, description="dropout")
        families: tuple[Family, ...] = Field(
            ("sequential", "direct", "explanation"), min_length=1, description="families of prompts that are learnt"
        )
        visual_tokens: int = Field(2, ge=0, description="visual tokens of an item")
        reduction: int = Field(8, ge=1, description="width of the network over that of adapters")
        whole_words: bool = Field(True, description="words of one item share an embedding")
        categories: bool = Field(True, description="words and visual tokens have an embedding each")
        frozen: bool = Field(True, description="freeze the backbone in the second phase")
        backbone_epochs: int = Field(20, ge=0, description="epochs of the backbone, without pictures")

    config: Config

    def marks(self, train: TrainView) -> Sequence[str]:
        return (*FAMILIES.values(), "[YES]", "[NO]", NEW, *DIGITS)

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c, width = self.config, int(shape.features.get(IMAGE, 0))
        self.network = TextTransformer(len(self.vocabulary), c.dim, c.layers, dropout=c.dropout)
        self.network.add_adapters(c.reduction)
        self.tokens = ItemTokens(width, c.dim, c.visual_tokens, c.history + 1, c.whole_words, c.categories)
        self.n_items = shape.n_items

    def phases(self) -> list[Phase]:
        backbone, small = self.network.backbone(), [*self.network.adapted(), *self.tokens.parameters()]
        return [
            self.phase("backbone", loss=self.blind_loss, groups=backbone, epochs=self.config.backbone_epochs),
            self.phase("adapters", groups=small if self.config.frozen else [*self.parameters()]),
        ]

    def ids(self, rows: Tensor) -> Tensor:
        """Words int64 [..., digits] of items by their rows of the catalogue."""
        return digit_words(rows, self.n_items, self.vocabulary.mark(DIGITS[0]), self.vocabulary.mark(NEW))

    def items(self, rows: Tensor, image: Tensor, present: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, mask and ids of items: rows int64 [B, N], vectors [B, N, width], and bool [B, N]."""
        words = self.ids(rows)
        tokens, mask = self.tokens(self.network.lookup(words), words != PAD, image, present, first)
        return tokens, mask, torch.zeros_like(mask, dtype=torch.int64)

    def read(self, batch: TextBatch, family: Family, candidate: Tensor | None = None) -> Encoded:
        """Encode prompts.

        Args:
            batch: the examples.
            family: of the prompt.
            candidate: int64 [B], the rows of the batch whose items are asked about; each its own by default.
        """
        of = torch.arange(len(batch), device=self.device) if candidate is None else candidate
        mark = torch.full((len(batch), 1), self.vocabulary.mark(FAMILIES[family]), device=self.device)
        parts = [(self.network.lookup(mark), mark != PAD, torch.zeros_like(mark))]
        known = (batch["history_title"] != PAD).any(2) | (batch["history"] >= 0) | batch["history_has_image"]
        tokens, mask, ids = self.items(batch["history"], batch["history_image"], batch["history_has_image"], 0)
        each = mask.shape[1] // max(known.shape[1], 1)
        parts.append((tokens, mask & known.repeat_interleave(each, 1), ids))
        if family != "sequential":
            image, present = batch["image"][of][:, None], batch["has_image"][of][:, None]
            parts.append(self.items(batch["item"][of][:, None], image, present, self.config.history))
            words = torch.cat([*(batch[name][of] for name in self.copied), batch["persona"]], 1)
            words = compact(words, words != PAD)
            parts.append((self.network.lookup(words), words != PAD, words))
        tokens, mask, ids = (torch.cat(each, 1) for each in zip(*parts))
        return self.network.encode(tokens + sinusoids(*tokens.shape[1:]).to(ids.device), mask, ids, batch.extra)

    def loss(self, batch: TextBatch) -> Mapping[str, Tensor]:
        makers = {"sequential": self.next_loss, "direct": self.direct_loss, "explanation": self.text_loss}
        losses = {str(name): loss for name in self.config.families if (loss := makers[name](batch)) is not None}
        none = self.network.bias.sum() * 0
        return {"loss": (sum(losses.values(), none)) / max(len(losses), 1), **losses}

    def next_loss(self, batch: TextBatch) -> Tensor | None:
        """Likelihood of the digits of the next item; None without a history in the batch."""
        part = batch.take((batch["history"] >= 0).any(1).nonzero()[:, 0])
        if not len(part):
            return None
        target = F.pad(self.ids(part["item"]), (0, 1), value=END)
        return likelihood_loss(self.network.shifted(target, self.read(part, "sequential")), target)

    def direct_loss(self, batch: TextBatch) -> Tensor | None:
        """Likelihood of [YES] for own items, and of [NO] for those of the next row."""
        own, terms = torch.arange(len(batch), device=self.device), []
        for rows, word in ((own, "[YES]"), (own.roll(1), "[NO]")):
            target = torch.tensor([self.vocabulary.mark(word), END], device=self.device).repeat(len(batch), 1)
            # what was taken is no negative
            same = taken(batch["item"], batch["history"], batch["item"][rows][:, None])[:, 0] & (word == "[NO]")
            log_probs = self.network.shifted(target, self.read(batch, "direct", rows))
            terms.append(likelihood_loss(log_probs, target.masked_fill(same[:, None], PAD)))
        return torch.stack(terms).mean()

    def text_loss(self, batch: TextBatch) -> Tensor | None:
        """Likelihood of the texts; None where the batch has none."""
        part = batch.take(batch["target"].any(1).nonzero()[:, 0])
        if not len(part):
            return None
        return likelihood_loss(self.network.shifted(part["target"], self.read(part, "explanation")), part["target"])

    def blind_loss(self, batch: TextBatch) -> Mapping[str, Tensor]:
        """The loss without pictures."""
        self.tokens.seeing = False
        try:
            return self.loss(batch)
        finally:
            self.tokens.seeing = True

    def decoder(self, batch: TextBatch, times: int) -> Decoder:
        marks = tuple(self.vocabulary.mark(name) for name in self.vocabulary.marks)
        return self.network.writer(self.read(batch, "explanation").repeat(times), marks)

    def item_scores(self, requests: Sequence[GenerationRequest], items: Sequence[Any]) -> NDArray[np.float32]:
        """Log-probabilities that each item is the next one of each history.

        Args:
            requests: histories.
            items: ids of the catalogue; minus infinity for an item that was unknown in fitting.

        Returns:
            float32 [requests, items].
        """
        self.eval()
        rows = torch.from_numpy(catalog_rows(self, items)).to(self.device)
        with torch.inference_mode():
            encoded = self.read(self.encode(requests)[0], "sequential").repeat(len(rows))
            target = F.pad(self.ids(rows), (0, 1), value=END).repeat(len(requests), 1)
            own = word_log_probabilities(self.network.shifted(target, encoded), target) * (target != PAD)
        scores = own.sum(1).view(len(requests), len(rows))
        unknown = (rows < 0) | (rows >= self.n_items)
        return np.asarray(scores.masked_fill(unknown, -torch.inf).cpu().numpy(), np.float32)

    def would_take(self, requests: Sequence[GenerationRequest]) -> NDArray[np.float32]:
        """Probability that each user takes the item of the request, float32 [requests].

        Args:
            requests: histories and items; new items are known by their words and pictures.
        """
        self.eval()
        with torch.inference_mode():
            encoded = self.read(self.encode(requests)[0], "direct")
            opening = torch.full((len(requests), 1), START, device=self.device)
            both = self.network(opening, encoded)[:, 0, [self.vocabulary.mark(word) for word in ("[YES]", "[NO]")]]
        return np.asarray(both.softmax(1)[:, 0].cpu().numpy(), np.float32)
