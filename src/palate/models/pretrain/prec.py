"""PREC (Liu, Zhu, Dai & Wu, COLING 2022): a news encoder that predicts words, categories and clicked news.

h = Transformer(words), v_i = W sum_t a_t h_t (additive attention); a user's clicks v_1 .. v_m go through a second
Transformer. L = L_token + a L_attribute + b L_item:

- token: -log P(w_t | the other words), 15 % of the words masked.
- attribute: -log P(category | v_i), once for each categorical attribute.
- item: some clicks are replaced by a learnt vector; -log softmax over candidates c of cos(state, v_c) / tau at i.

Our choices, where the published description leaves them open. No attribute is an input, so all are masked at all times
and the encoder reads text alone. An item with several values of an attribute has them as equal shares of the target.
Masked words are in a pass of their own, categories and clicks see whole texts. Candidates are the different items of
the batch; others of the same history do not count. Weights a and b are 1. A small Transformer from scratch stands for
BERT. The news vector is exported, the user encoder is not. A weight of 0 switches a task off.
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
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.losses.labels import share_cross_entropy
from palate.models.pretrain.shared.documents import MaskedDocuments, weighted_sum
from palate.models.pretrain.shared.held_out import HeldOut
from palate.models.pretrain.shared.interactions import history_examples, profile_weights
from palate.models.pretrain.shared.streams import HEADS
from palate.models.pretrain.shared.topics import topic_columns, topic_labels
from palate.modules.attended import Attended
from palate.modules.masking import sample_mask
from palate.modules.stream import SingleModalityStream, SingleStream

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
        """Settings of the three tasks."""

        width: int = Field(64, ge=8, multiple_of=HEADS, description="width of the news vectors")
        clicks: int = Field(10, ge=2, description="clicks of an example at most")
        hidden: float = Field(0.2, gt=0, lt=1, description="share of the clicks masked")
        tau: float = Field(0.1, gt=0, description="temperature of the item task")
        token: float = Field(1.0, ge=0, description="weight of the token task; 0 switches it off")
        attribute: float = Field(1.0, ge=0, description="weight of the attribute task; 0 switches it off")
        item: float = Field(1.0, ge=0, description="weight of the item task; 0 switches it off")
        # the item task learns nothing for many steps, then suddenly: small steps or little patience stop before that
        lr: float = Field(2e-3, gt=0, description="learning rate", json_schema_extra={"search": "5e-4..1e-2:log"})
        batch_size: int = Field(32, ge=2, description="examples a step")
        patience: int = Field(20, ge=1, description="validations without gain after which training stops")

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

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build both Transformers, and cut histories into examples.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if all weights are 0, a task has no categories or no histories to learn from, or as in
                :meth:`DocumentPretrainer.setup`.
        """
        super().setup(train, run)
        c = self.config
        if not c.token + c.attribute + c.item:
            raise ConfigError("all weights are 0, there is nothing to learn", key="token, attribute, item")
        self.held_out = HeldOut(train, np.flatnonzero(train.warm_items & self.has_text), c.held, self.name, run.seed)
        self.topics = topic_labels(train.fields)
        if c.attribute and not self.topics:
            raise ConfigError(f"{self.name} needs items with categories", key="attribute", hint="set attribute=0")
        self.guess_value = nn.ModuleList(nn.Linear(c.width, labels.shape[1]) for labels in self.topics.values())
        self.users = SingleStream(c.width, 1, HEADS)
        self.blank = nn.Parameter(torch.empty(c.width).normal_(std=0.02))
        self.places = nn.Parameter(torch.empty(c.clicks, c.width).normal_(std=0.02))
        allowed = self.has_text.copy()
        allowed[self.held_out.eval_items] = False
        self.rows = history_examples(train, allowed, c.clicks, self.name, run.seed)
        self.profiles = profile_weights(train, self.held_out.users, allowed)
        if c.item and not self.rows[:, 0].any():
            raise ConfigError(f"{self.name} needs users who clicked several items", key="item", hint="set item=0")

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        """int64 [n, 1 + clicks]: 1 and one user's clicks in order, or 0 and items without a user; -1 is padding."""
        return self.rows

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        c, clicks = self.config, batch.rows[:, 1:]
        items, index = clicks[clicks >= 0].unique(return_inverse=True)
        where = torch.full_like(clicks, -1)
        where[clicks >= 0] = index
        vectors = self.encode(items) if c.attribute or c.item else items
        return weighted_sum(
            {
                "token": (c.token, lambda: self.token_task(self.ids(items))),
                "attribute": (c.attribute, lambda: self.attribute_task(items, vectors)),
                "item": (c.item, lambda: self.item_task(where[batch.rows[:, 0] > 0], vectors)),
            }
        )

    def token_task(self, ids: Tensor) -> Tensor:
        """Mean cross-entropy of masked words of ids int64 [B, T]."""
        masked, hidden = self.mask_tokens(ids)
        return self.mlm_loss(self.stream(masked)[0], hidden, ids)

    def attribute_task(self, items: Tensor, vectors: Tensor) -> Tensor:
        """Cross-entropy of each column's values, mean over columns; vectors [n, width] of ``items`` int64 [n]."""
        pairs = zip(self.guess_value, self.topics.values())
        losses = [share_cross_entropy(head(vectors), labels.to(items.device)[items]) for head, labels in pairs]
        return torch.stack(losses).mean()

    def item_task(self, where: Tensor, vectors: Tensor) -> Tensor:
        """Mean cross-entropy of masked clicks.

        Args:
            where: int64 [B, clicks], rows of ``vectors``, or -1.
            vectors: float [n, width], of the candidates.

        Returns:
            A scalar; 0 without clicks.
        """
        if not len(where):
            return vectors.sum() * 0
        present = where >= 0
        hidden = sample_mask(present, self.config.hidden)
        states = self.user_states(where, hidden, vectors)[hidden]
        scores = F.normalize(states, dim=1) @ F.normalize(vectors, dim=1).T / self.config.tau
        owner = hidden.nonzero()[:, 0]
        own = torch.zeros(len(where), len(vectors), dtype=torch.bool, device=where.device)
        own[present.nonzero()[:, 0], where[present]] = True
        target = where[hidden]
        candidates = ~own[owner]
        candidates[torch.arange(len(target)), target] = True
        total = F.cross_entropy(scores.masked_fill(~candidates, -torch.inf), target, reduction="sum")
        return total / max(len(target), 1)

    def user_states(self, where: Tensor, hidden: Tensor, vectors: Tensor) -> Tensor:
        """States of the second Transformer.

        Args:
            where: int64 [B, clicks], rows of ``vectors``, or -1.
            hidden: bool [B, clicks], clicks that are masked.
            vectors: float [n, width].

        Returns:
            float [B, clicks, width].
        """
        visible = torch.where(hidden[:, :, None], self.blank, vectors[where.clamp(min=0)])
        states: Tensor = self.users([(visible + self.places, where >= 0)])[0]
        return states

    def validation_score(self) -> float:
        """AUC over users of the held-out items, by the mean of the vectors of their clicks in training."""
        items, weights = self.profiles
        users = torch.from_numpy(weights).to(self.device) @ self.encode_all(items)
        return self.held_out.auc(users @ self.encode_all(self.held_out.eval_items).T)
