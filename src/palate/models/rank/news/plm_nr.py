"""PLM-NR (Wu et al., SIGIR 2021): NRMS whose article encoder is a pretrained language model, finetuned at the top.

A Transformer learns the language of the articles first, by masked words of titles and bodies (BERT, NAACL 2019); then
its embeddings and lower blocks stay as they are, and its last ``finetuned`` blocks are trained with the clicks. An
article is additive attention over the states of its title, a reader NRMS's. It contributes language learnt before
clicks (``language_epochs=0`` starts from nothing and trains all blocks; ``finetuned=0`` keeps all of them).
Our choices: nothing is downloaded, so the language model is small and learnt from the data's own articles, drawn as
impressions show them. Without titles there is no language, and the Transformer reads attributes and content.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import InputSpec, models
from palate.contracts.phase import Phase
from palate.core.batch import ImpressionBatch
from palate.data.schema import FIRST, OUT_OF_VOCABULARY, PADDING
from palate.models.rank.news.nrms import NRMSConfig
from palate.models.rank.shared.news_ranker import NewsRanker, View
from palate.modules.article_parts import AttentivePool, SelfAttention
from palate.modules.masking import mask_words


@models.register("plm_nr")
class PLMNR(NewsRanker):
    """News recommendation with a language model that is finetuned."""

    name = "plm_nr"
    paper = "Wu et al., Empowering News Recommendation with Pre-trained Language Models, SIGIR 2021"

    class Config(NRMSConfig):
        """Settings."""

        blocks: int = Field(3, ge=1, description="blocks of the Transformer")
        finetuned: int = Field(2, ge=0, description="last blocks that are trained with the clicks")
        language_epochs: int = Field(3, ge=0, description="epochs in which masked words are learnt first")
        masked: float = Field(0.15, gt=0, lt=1, description="share of words that are masked")

    config: Config

    def build_parts(self, shape: InputSpec) -> None:
        c = self.config
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(c.dim, c.heads, 4 * c.dim, c.dropout, "gelu", batch_first=True, norm_first=True)
            for _ in range(c.blocks)
        )
        self.norm = nn.LayerNorm(c.dim)
        self.has_language = "title" in self.views and c.language_epochs > 0
        if "title" in self.views or "body" in self.views:
            self.places = nn.Parameter(torch.randn(max(c.title_words, c.body_words), c.dim) * 0.1)
        if self.has_language:
            self.guess = nn.Parameter(torch.zeros(self.vocabulary.size))
        self.pool_words, self.pool_clicks = AttentivePool(c.dim), AttentivePool(c.dim)
        self.among_clicks = SelfAttention(c.dim, c.heads)

    def read(self, tokens: Tensor, there: Tensor) -> Tensor:
        """States of tokens, float32 [n, tokens, dim].

        Args:
            tokens: float32 [n, tokens, dim], with positions.
            there: bool [n, tokens].
        """
        hidden = ~there & there.any(1, keepdim=True)
        for block in self.blocks:
            tokens = block(tokens, src_key_padding_mask=hidden)
        out: Tensor = self.norm(tokens)
        return out

    def encode(self, rows: Tensor) -> Tensor:
        states, masks = [], []
        for view in self.views:
            tokens, there = self.tokens(rows, [view])
            placed = tokens + self.places[: tokens.shape[1]] if view in ("title", "body") else tokens
            states.append(placed)
            masks.append(there)
        there = torch.cat(masks, 1)
        pooled: Tensor = self.pool_words(self.read(torch.cat(states, 1), there), there)
        return pooled

    def score(self, candidates: Tensor, clicked: Tensor, there: Tensor, batch: ImpressionBatch) -> Tensor:
        mixed = self.dropout(self.among_clicks(clicked, there))
        reader = self.known_user(self.pool_clicks(mixed, there), there)
        return (reader[batch.groups] * candidates).sum(-1)

    def phases(self) -> list[Phase]:
        """Language first, then clicks; what was learnt as language and is not finetuned stays."""
        if not self.has_language:
            return super().phases()
        below = [*self.word.parameters(), self.places, *self.blocks[: self.fixed].parameters()]
        language = [*self.word.parameters(), self.places, *self.blocks.parameters(), *self.norm.parameters()]
        fixed = {id(parameter) for parameter in (*below, self.guess)}
        clicks = [one for one in self.parameters() if id(one) not in fixed]
        first = self.phase("language", loss=self.language_loss, groups=[*language, self.guess], validate=False,
                           epochs=self.config.language_epochs, patience=self.config.language_epochs)  # fmt: skip
        return [first, self.phase("clicks", groups=clicks)]

    @property
    def fixed(self) -> int:
        """Lower blocks that stay as the language left them."""
        return max(self.config.blocks - self.config.finetuned, 0)

    def language_loss(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        """Mean cross-entropy of masked words of the articles of a batch.

        Args:
            batch: shown articles; labels and histories are not read.
        """
        rows = torch.unique(batch.items)
        views: list[View] = ["title", "body"] if self.vocabulary.bodies else ["title"]
        total, count = self.guess.sum() * 0, 0
        for view in views:
            ids = self.words.rows(view, rows)
            ids = ids[(ids >= FIRST).any(1)]
            if not len(ids):
                continue
            # the id of words outside the vocabulary stands for a mask as well: both mean "some word"
            shown, chosen = mask_words(ids, self.config.masked, OUT_OF_VOCABULARY, (FIRST, self.vocabulary.size))
            states = self.read(self.word(shown) + self.places[: ids.shape[1]], ids != PADDING)
            logits = states[chosen] @ self.word.weight.T + self.guess
            total = total + F.cross_entropy(logits, ids[chosen], reduction="sum")
            count += int(chosen.sum())
        return {"loss": total / max(count, 1)}
