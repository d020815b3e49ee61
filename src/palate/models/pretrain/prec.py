"""PREC (Liu, Zhu, Dai & Wu, COLING 2022): a news encoder that guesses words, categories and clicked news.

h = Transformer(words), v_i = W sum_t a_t h_t (additive attention); a user's clicks v_1 .. v_m go through a second
Transformer. L = L_token + a L_attribute + b L_item:

- token: -log P(w_t | the other words), 15 % of the words masked.
- attribute: -log P(category | v_i), once for each categorical attribute.
- item: some clicks are replaced by a learnt vector; -log softmax over candidates c of cos(state, v_c) / tau at i.

Our choices, where the published description leaves them open. No attribute is an input, so all are masked at all times
and the encoder reads text alone. An item with several values of an attribute has them as equal shares of the target.
Masked words are in a pass of their own, categories and clicks see whole texts. Candidates are the different items of
the batch; others of the same history do not count. Weights a and b are 1. A small Transformer from scratch stands for
BERT. The user encoder stays inside; what leaves is the news vector. A weight of 0 takes a task away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch, IntArray
from palate.core.errors import ConfigError
from palate.losses.labels import share_cross_entropy
from palate.modules.attended import Attended
from palate.modules.masking import sample_mask
from palate.modules.stream import SingleModalityStream, SingleStream

from ._documents import MaskedDocuments, weighted
from ._held import HeldOut
from ._histories import histories, pasts
from ._streams import HEADS
from ._topics import topic_columns, topics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.catalog import Catalog
    from palate.data.views import TrainView


@pretrainers.register("prec")
class PREC(MaskedDocuments):
    """Masked tokens, masked attributes and masked items."""

    name = "prec"
    paper = (
        "Liu et al., Boosting Deep CTR Prediction with a Plug-and-Play Pre-trainer for News Recommendation, COLING 2022"
    )

    class Config(MaskedDocuments.Config):
        """Settings.

        Attributes:
            width: of news vectors. clicks: in one example. hidden: share of the clicks replaced. tau: temperature.
            token, attribute, item: weights of the tasks, 0 for none.
        """

        width: int = Field(64, ge=8, multiple_of=HEADS)
        clicks: int = Field(10, ge=2)
        hidden: float = Field(0.2, gt=0, lt=1)
        tau: float = Field(0.1, gt=0)
        token: float = Field(1.0, ge=0)
        attribute: float = Field(1.0, ge=0)
        item: float = Field(1.0, ge=0)
        # clicks are not understood for many steps, then all at once: small steps or little patience end before that
        lr: float = Field(2e-3, gt=0)
        batch_size: int = Field(32, ge=2)
        patience: int = Field(20, ge=1)

    config: Config

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        return topic_columns(items)

    def network(self) -> dict[str, Any]:
        return {"kind": "attended", "reader": super().network(), "dim": self.config.dim}

    def head(self) -> nn.Linear:
        return nn.Linear(self.config.dim, self.config.width)

    @property
    def stream(self) -> SingleModalityStream:
        tower = self.part["tower"]
        assert isinstance(tower, Attended) and isinstance(tower.reader, SingleModalityStream)
        return tower.reader

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        c = self.config
        if not c.token + c.attribute + c.item:
            raise ConfigError("all weights are 0, nothing is left to learn", key="token, attribute, item")
        self.held = HeldOut(train, np.flatnonzero(train.warm_items & self.told), c.held, self.name)
        self.topics = topics(train.fields)
        if c.attribute and not self.topics:
            raise ConfigError(f"{self.name} needs items with categories", key="attribute", hint="0 leaves them out")
        self.guess_value = nn.ModuleList(nn.Linear(c.width, known.shape[1]) for known in self.topics.values())
        self.users = SingleStream(c.width, 1, HEADS)
        self.blank = nn.Parameter(torch.empty(c.width).normal_(std=0.02))
        self.places = nn.Parameter(torch.empty(c.clicks, c.width).normal_(std=0.02))
        trained = self.told.copy()
        trained[self.held.kept] = False
        self.rows = histories(train, trained, c.clicks, self.name)
        self.pasts = pasts(train, self.held.users, trained)
        if c.item and not self.rows[:, 0].any():
            raise ConfigError(f"{self.name} needs people who clicked several items", key="item", hint="0 does without")

    def examples(self, view: TrainView) -> IntArray:
        """[n, 1 + clicks]: 1 if one person's clicks in order follow, 0 if items without any; rows of items, or -1."""
        return self.rows

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        c, clicks = self.config, batch.rows[:, 1:]
        items, place = clicks[clicks >= 0].unique(return_inverse=True)
        where = torch.full_like(clicks, -1)
        where[clicks >= 0] = place
        vectors = self.encode(items) if c.attribute or c.item else items
        return weighted(
            {
                "token": (c.token, lambda: self.tokens(self.ids(items))),
                "attribute": (c.attribute, lambda: self.attributes(items, vectors)),
                "item": (c.item, lambda: self.clicked(where[batch.rows[:, 0] > 0], vectors)),
            }
        )

    def tokens(self, ids: Tensor) -> Tensor:
        """Masked words."""
        shown, hidden = self.hide(ids)
        return self.guessed(self.stream(shown)[0], hidden, ids)

    def attributes(self, items: Tensor, vectors: Tensor) -> Tensor:
        """Masked attributes: cross-entropy of each column's values, mean over columns."""
        pairs = zip(self.guess_value, self.topics.values())
        found = [share_cross_entropy(head(vectors), known.to(items.device)[items]) for head, known in pairs]
        return torch.stack(found).mean()

    def clicked(self, where: Tensor, vectors: Tensor) -> Tensor:
        """Masked items.

        Args:
            where: int64 [B, clicks], rows of ``vectors``, or -1. vectors: [n, width], of the candidates.
        """
        if not len(where):
            return vectors.sum() * 0
        there = where >= 0
        hidden = sample_mask(there, self.config.hidden)
        states = self.read(where, hidden, vectors)[hidden]
        scores = F.normalize(states, dim=1) @ F.normalize(vectors, dim=1).T / self.config.tau
        owner = hidden.nonzero()[:, 0]
        own = torch.zeros(len(where), len(vectors), dtype=torch.bool, device=where.device)
        own[there.nonzero()[:, 0], where[there]] = True
        truth = where[hidden]
        rivals = ~own[owner]
        rivals[torch.arange(len(truth)), truth] = True
        found = F.cross_entropy(scores.masked_fill(~rivals, -torch.inf), truth, reduction="sum")
        return found / max(len(truth), 1)

    def read(self, where: Tensor, hidden: Tensor, vectors: Tensor) -> Tensor:
        """States [B, clicks, width] of clicks, of which those ``hidden`` (bool [B, clicks]) are not known."""
        known = torch.where(hidden[:, :, None], self.blank, vectors[where.clamp(min=0)])
        states: Tensor = self.users([(known + self.places, where >= 0)])[0]
        return states

    def validation_score(self) -> float:
        """AUC over users of the kept items, by the mean of the vectors of what they clicked in training."""
        items, shares = self.pasts
        people = torch.from_numpy(shares).to(self.device) @ self.encode_all(items)
        return self.held.auc(people @ self.encode_all(self.held.kept).T)
