"""NewsEmbed (Liu, Liu & Yu, KDD 2021): documents that the world puts together are near, and know their topics.

Triplets (anchor a, positive p, hard negative n) are mined from weak signals. v = W mean of the words' states, of unit
length: L_con = -log exp(v_a v_p / tau) / sum_c exp(v_a v_c / tau), c over all positives and hard negatives of the
batch. L_topic = binary cross-entropy of each topic of each document, for the topics that occur in the batch.
L = L_con + w L_topic.

Our choices, where the published description leaves them open. Signals are behaviour (neighbours by who took them),
relations between items, and, if asked for, equal categories. The hard negative is the one of ``hard`` random items that
shares most topics with the anchor: 1 is a random negative, 0 none. Partners of an anchor are never its negatives.
Topics are the values of categorical attributes. A small Transformer from scratch stands for multilingual BERT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.core.batch import ExampleBatch, IntArray
from palate.core.errors import ConfigError
from palate.core.model import pretrainers
from palate.core.seeding import rng_for
from palate.losses.labels import batch_topics
from palate.losses.ranking import sampled_softmax
from palate.models.pretrain.shared.documents import DocumentPretrainer, weighted
from palate.models.pretrain.shared.held_out import reciprocal_rank
from palate.models.pretrain.shared.interactions import among
from palate.models.pretrain.shared.topics import trait_columns, traits
from palate.models.pretrain.shared.triplets import Source, mined_pairs, rivals
from palate.modules.towers import make_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

JUDGED = 1000


@pretrainers.register("newsembed")
class NewsEmbed(DocumentPretrainer):
    """Mined triplets and topics."""

    name = "newsembed"
    paper = "Liu et al., NewsEmbed: Modeling News through Pre-trained Document Representations, KDD 2021"

    supports_init = True

    class Config(DocumentPretrainer.Config):
        """Settings.

        Attributes:
            width: of vectors.
            sources: signals to mine. neighbours: of each item by behaviour or category.
            hard: items tried for each hard negative. tau: temperature.
            contrast, topics: weights of the two terms, 0 for none. ranges: numeric attributes count as topics, cut into
                so many ranges; 0 leaves them out.
        """

        width: int = Field(64, ge=2)
        sources: tuple[Source, ...] = Field(("behaviour", "relations"), min_length=1)
        neighbours: int = Field(5, ge=1)
        hard: int = Field(16, ge=0)
        tau: float = Field(0.1, gt=0)
        contrast: float = Field(1.0, ge=0)
        topics: float = Field(1.0, ge=0)
        ranges: int = Field(0, ge=0)

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        return trait_columns(items, self.config.ranges)

    def network(self) -> dict[str, Any]:
        if "start" in self.given:
            return self.given
        return super().network()

    def head(self) -> nn.Linear:
        return make_head(self.network(), self.config.width)

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        c = self.config
        if not c.contrast + c.topics:
            raise ConfigError("both weights are 0, nothing is left to learn", key="contrast, topics")
        # numbers tell what a text is about, but no two items need agree in all of them to be of one category
        alike = traits(train.fields, train.n_items, 0).numpy()
        self.traits = traits(train.fields, train.n_items, c.ranges)
        if c.topics and not self.traits.any():
            raise ConfigError(f"{self.name} needs items with categories", key="topics", hint="0 leaves topics out")
        self.guess_topic = nn.Linear(self.width, max(self.traits.shape[1], 1))
        rng = rng_for(train.seed, "mined", self.name)
        mined = np.concatenate([mined_pairs(train, source, alike, c.neighbours, rng) for source in c.sources])
        pairs = among(np.unique(mined, axis=0), self.told)
        useful = rng.permutation(np.unique(pairs))
        self.kept = np.sort(useful[: int(c.held * len(useful))])
        trained = self.told & ~np.isin(np.arange(train.n_items), self.kept)
        self.pool = np.flatnonzero(trained)
        self.pairs = among(pairs, trained)
        if not len(self.pairs):
            hint = "sources=categories pairs items of the same categories"
            raise ConfigError(f"{self.name} found no pairs of items with text", key="sources", hint=hint)
        self.partners = np.unique(self.pairs[:, 0] * train.n_items + self.pairs[:, 1])
        asked = pairs[trained[pairs[:, 0]] & ~trained[pairs[:, 1]]]
        self.asked = rng.permutation(asked)[:JUDGED]

    def examples(self, view: TrainView) -> IntArray:
        """(anchor, positive, hard negative), -1 for none."""
        rng = rng_for(view.seed, "rivals", self.name)
        found = rivals(self.pairs[:, 0], self.pool, self.partners, self.traits.numpy(), self.config.hard, rng)
        return np.concatenate([self.pairs, found[:, None]], axis=1)

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        c, rows = self.config, batch.rows
        anchors, given = rows[:, 0], torch.cat([rows[:, 1], rows[:, 2][rows[:, 2] >= 0]])
        items, place = torch.cat([anchors, given]).unique(return_inverse=True)
        vectors = self.encode(items)
        unit = F.normalize(vectors, dim=1)[place]
        cosines = unit[: len(rows)] @ unit[len(rows) :].T
        # directions alone leave the house, so they alone are learnt; spread like a layer norm's
        scale = self.width**0.5
        truth = self.traits.to(items.device)[items]
        return weighted(
            {
                "contrast": (c.contrast, lambda: self.triplets(cosines, anchors, given)),
                "topics": (
                    c.topics,
                    lambda: batch_topics(self.guess_topic(F.normalize(vectors, dim=1) * scale), truth),
                ),
            }
        )

    def triplets(self, cosines: Tensor, anchors: Tensor, given: Tensor) -> Tensor:
        """Softmax of each anchor's positive among all documents given.

        Args:
            cosines: [B, B + h]. anchors: int64 [B]. given: int64 [B + h], the positives, then the hard negatives.
        """
        keys = (anchors[:, None] * len(self.traits) + given).cpu().numpy()
        counts = torch.from_numpy(~np.isin(keys, self.partners)).to(cosines.device) & (given != anchors[:, None])
        return sampled_softmax(cosines[:, : len(anchors)].diagonal(), cosines, mask=counts, tau=self.config.tau)

    def validation_score(self) -> float:
        """Mean reciprocal rank of kept partners among the kept items."""
        place = torch.from_numpy(np.searchsorted(self.kept, self.asked[:, 1])).to(self.device)
        return reciprocal_rank(self.encode_all(self.asked[:, 0]), self.encode_all(self.kept), place)
