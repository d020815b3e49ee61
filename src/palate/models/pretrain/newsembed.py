"""NewsEmbed (Liu, Liu & Yu, KDD 2021): documents that belong together are near, and their topics are predicted.

Triplets (anchor a, positive p, hard negative n) are mined from weak signals. v = W mean of the words' states, of unit
length: L_con = -log exp(v_a v_p / tau) / sum_c exp(v_a v_c / tau), c over all positives and hard negatives of the
batch. L_topic = binary cross-entropy of each topic of each document, for the topics that occur in the batch.
L = L_con + w L_topic.

Our choices, where the published description leaves them open. Signals are behaviour (neighbours by who took them),
relations between items, and, optionally, equal categories. The hard negative is the one of ``hard`` random items that
shares the most topics with the anchor: 1 is a random negative, 0 none. Positives of an anchor are never its negatives.
Topics are the values of categorical attributes. A small Transformer from scratch stands for multilingual BERT.
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
from palate.core.seeding import rng_for
from palate.losses.labels import batch_topics
from palate.losses.ranking import sampled_softmax
from palate.models.pretrain.shared.documents import DocumentPretrainer, weighted_sum
from palate.models.pretrain.shared.held_out import reciprocal_rank
from palate.models.pretrain.shared.interactions import pairs_within
from palate.models.pretrain.shared.topics import item_labels, label_columns
from palate.models.pretrain.shared.triplets import PairSource, hard_negatives, mine_pairs
from palate.modules.towers import make_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

MAX_EVAL_PAIRS = 1000


@pretrainers.register("newsembed")
class NewsEmbed(DocumentPretrainer):
    """Mined triplets and topics."""

    name = "newsembed"
    paper = "Liu et al., NewsEmbed: Modeling News through Pre-trained Document Representations, KDD 2021"

    supports_init = True

    class Config(DocumentPretrainer.Config):
        """Settings of the triplets and the topics."""

        width: int = Field(64, ge=2, description="width of the vectors")
        sources: tuple[PairSource, ...] = Field(
            ("behaviour", "relations"), min_length=1, description="signals that positives are mined from"
        )
        neighbours: int = Field(5, ge=1, description="positives of each item by behaviour or by category")
        hard: int = Field(16, ge=0, description="items drawn for each hard negative; 0 is none")
        tau: float = Field(0.1, gt=0, description="temperature", json_schema_extra={"search": "0.03..0.5:log"})
        contrast: float = Field(1.0, ge=0, description="weight of the contrast; 0 leaves it out")
        topics: float = Field(1.0, ge=0, description="weight of the topics; 0 leaves them out")
        ranges: int = Field(
            0, ge=0, description="ranges into which numeric attributes are cut as topics; 0 leaves them out"
        )

    config: Config

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        return label_columns(items, self.config.ranges)

    def network(self) -> dict[str, Any]:
        if "start" in self.text_network:
            return self.text_network
        return super().network()

    def head(self) -> nn.Linear:
        return make_head(self.network(), self.config.width)

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build the Transformer, and mine the pairs.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if both weights are 0, there are no topics or no pairs, or as in
                :meth:`DocumentPretrainer.setup`.
        """
        super().setup(train, run)
        c = self.config
        if not c.contrast + c.topics:
            raise ConfigError("both weights are 0, there is nothing to learn", key="contrast, topics")
        # ranges of numbers are topics, but items of one category need not agree in them
        categories = item_labels(train.fields, train.n_items, 0).numpy()
        self.labels = item_labels(train.fields, train.n_items, c.ranges)
        if c.topics and not self.labels.any():
            raise ConfigError(f"{self.name} needs items with categories", key="topics", hint="set topics=0")
        self.guess_topic = nn.Linear(self.width, max(self.labels.shape[1], 1))
        rng = rng_for(run.seed, "mined", self.name)
        mined = np.concatenate([mine_pairs(train, source, categories, c.neighbours, rng) for source in c.sources])
        pairs = pairs_within(np.unique(mined, axis=0), self.has_text)
        items = rng.permutation(np.unique(pairs))
        self.eval_items = np.sort(items[: int(c.held * len(items))])
        trained = self.has_text & ~np.isin(np.arange(train.n_items), self.eval_items)
        self.pool = np.flatnonzero(trained)
        self.pairs = pairs_within(pairs, trained)
        if not len(self.pairs):
            hint = "sources=categories pairs items of the same categories"
            raise ConfigError(f"{self.name} found no pairs of items with text", key="sources", hint=hint)
        self.positive_keys = np.unique(self.pairs[:, 0] * train.n_items + self.pairs[:, 1])
        candidates = pairs[trained[pairs[:, 0]] & ~trained[pairs[:, 1]]]
        self.eval_pairs = rng.permutation(candidates)[:MAX_EVAL_PAIRS]

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        """(anchor, positive, hard negative) int64 [n, 3], -1 for no negative."""
        c, rng = self.config, rng_for(run.seed, "rivals", self.name)
        negatives = hard_negatives(self.pairs[:, 0], self.pool, self.positive_keys, self.labels.numpy(), c.hard, rng)
        return np.concatenate([self.pairs, negatives[:, None]], axis=1)

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        c, rows = self.config, batch.rows
        anchors, candidates = rows[:, 0], torch.cat([rows[:, 1], rows[:, 2][rows[:, 2] >= 0]])
        items, place = torch.cat([anchors, candidates]).unique(return_inverse=True)
        vectors = self.encode(items)
        normalized = F.normalize(vectors, dim=1)[place]
        cosines = normalized[: len(rows)] @ normalized[len(rows) :].T
        # only directions are exported, so topics are predicted from them; scaled to the spread of a layer norm's output
        scale = self.width**0.5
        labels = self.labels.to(items.device)[items]
        return weighted_sum(
            {
                "contrast": (c.contrast, lambda: self.triplets(cosines, anchors, candidates)),
                "topics": (
                    c.topics,
                    lambda: batch_topics(self.guess_topic(F.normalize(vectors, dim=1) * scale), labels),
                ),
            }
        )

    def triplets(self, cosines: Tensor, anchors: Tensor, candidates: Tensor) -> Tensor:
        """Softmax of each anchor's positive among all candidates.

        Args:
            cosines: float [B, B + h].
            anchors: int64 [B].
            candidates: int64 [B + h], the positives, then the hard negatives.

        Returns:
            A scalar.
        """
        keys = (anchors[:, None] * len(self.labels) + candidates).cpu().numpy()
        mask = torch.from_numpy(~np.isin(keys, self.positive_keys)).to(cosines.device)
        mask = mask & (candidates != anchors[:, None])
        return sampled_softmax(cosines[:, : len(anchors)].diagonal(), cosines, mask=mask, tau=self.config.tau)

    def validation_score(self) -> float:
        """Mean reciprocal rank of held-out positives among the held-out items."""
        target = torch.from_numpy(np.searchsorted(self.eval_items, self.eval_pairs[:, 1])).to(self.device)
        return reciprocal_rank(self.encode_all(self.eval_pairs[:, 0]), self.encode_all(self.eval_items), target)
