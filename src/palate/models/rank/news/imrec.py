"""IMRec (Xun et al., ACM MM 2021): NRMS with what a reader sees of an article in a list, its impression card.

A card shows category, title and picture. Local: each word has the pixels at its place on the card, v_j = relu(W p_j);
a word x attends to all v of its title, m = sum_j softmax_j(x . v_j / sqrt(dim)) v_j, and x' = g x + (1 - g) m with
a gate g = sigmoid(G [x; m]). Global: the whole card by an encoder of pictures, joined with the article's vector by such
a gate. The rest is NRMS. It contributes impressions (``local=false``, ``whole=false``).
Our choices: cards are drawn by us
(``palate.features.impression_cards``), words by their pixels instead of a middle layer of a ResNet, cards by the
encoder of pictures that is installed. Both are kept as tables in the run, so that serving draws nothing.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import InputSpec, models
from palate.core.item_features import ItemFeatures
from palate.data.catalog import Catalog
from palate.features.impression_cards import CROP, card_width, impressions
from palate.models.rank.news.nrms import NRMS, NRMSConfig
from palate.models.rank.shared.news_ranker import View


@models.register("imrec")
class IMRec(NRMS):
    """News recommendation with visual impressions."""

    name = "imrec"
    paper = "Xun et al., Why Do We Click: Visual Impression-aware News Recommendation, ACM MM 2021"

    class Config(NRMSConfig):
        """Settings."""

        local: bool = Field(True, description="words are seen at their place on the card")
        whole: bool = Field(True, description="the whole card is seen")

    config: Config
    cards: Tensor
    crops: Tensor

    def build_parts(self, shape: InputSpec) -> None:
        super().build_parts(shape)
        c = self.config
        self.local = c.local and "title" in self.views
        self.category = self.attributes[0].column if self.attributes else None
        width = CROP[0] * CROP[1]
        if self.local:
            self.see_words, self.gate_words = nn.Linear(width, c.dim), Gate(c.dim)
        if c.whole:
            self.see_card, self.gate_card = nn.Linear(card_width(), c.dim), Gate(c.dim)
        self.register_buffer("cards", torch.zeros(0, card_width() if c.whole else 0, dtype=torch.float16))
        self.register_buffer("crops", torch.zeros(0, c.title_words if self.local else 0, width, dtype=torch.float16))

    def read_catalog(self, items: Catalog) -> None:
        whole, words = impressions(items, self.vocabulary, self.config.title_words, self.category)
        device, kept = self.device, self.crops.shape[1]
        self.cards = torch.from_numpy(whole[:, : self.cards.shape[1]]).half().to(device)
        self.crops = torch.from_numpy(words[:, :kept]).to(device)

    def update_items(self, features: ItemFeatures) -> None:
        super().update_items(features)
        extra = features.n_items - len(self.cards)
        if extra > 0:
            self.cards = torch.cat([self.cards, self.cards.new_zeros(extra, self.cards.shape[1])])
            self.crops = torch.cat([self.crops, self.crops.new_zeros(extra, *self.crops.shape[1:])])

    def tokens(self, rows: Tensor, views: list[View]) -> tuple[Tensor, Tensor]:
        """Tokens, the words of titles joined with how they look."""
        vectors, there = super().tokens(rows, views)
        if not self.local or views[0] != "title":
            return vectors, there
        width = self.crops.shape[1]
        words, mask = vectors[:, :width], there[:, :width]
        seen = torch.relu(self.see_words(self.crops[rows.clamp(min=0)].float()))
        scores = (words @ seen.mT / words.shape[-1] ** 0.5).masked_fill(~mask[:, None], torch.finfo(words.dtype).min)
        joined = self.gate_words(words, scores.softmax(-1) @ seen) * mask[..., None]
        return torch.cat([joined, vectors[:, width:]], 1), there

    def encode(self, rows: Tensor) -> Tensor:
        vectors = super().encode(rows)
        if not self.config.whole:
            return vectors
        cards = self.cards[rows.clamp(min=0)].float()
        shown = (cards.abs().sum(1, keepdim=True) > 0) & (rows >= 0)[:, None]
        joined = self.gate_card(vectors, self.see_card(nn.functional.normalize(cards, dim=1)))
        return torch.where(shown, joined, vectors)


class Gate(nn.Module):
    """g x + (1 - g) y with g = sigmoid(G [x; y]), elementwise.

    Args:
        dim: width of both.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.open = nn.Linear(2 * dim, dim)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Both joined, float32 [..., dim].

        Args:
            first: float32 [..., dim].
            second: float32 [..., dim].
        """
        share = torch.sigmoid(self.open(torch.cat([first, second], -1)))
        return share * first + (1 - share) * second
