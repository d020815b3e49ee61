"""What news recommenders share: articles as tokens, each encoded once, and a softmax over one click and K others.

An article is a sequence of tokens: the words of its title, of its body, the values of its attributes, its encoded
content, its id. ``views`` names those that a system reads. Where it reads words and the data have no texts, attributes,
content and the id take their place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Capabilities, InputSpec, RankerConfig
from palate.core.artifacts import Artifact
from palate.core.batch import ImpressionBatch
from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.core.tuning import FUSIONS
from palate.data.catalog import Catalog
from palate.data.dataset import Dataset
from palate.data.schema import PADDING
from palate.data.views import RankingQueries, TrainView
from palate.features.item_words import ItemWords, WordVocabulary
from palate.features.plan import ContentPlan
from palate.models.base import RankingModel
from palate.modules.content_slots import ContentSlots
from palate.modules.fields import FieldEmbedding

View = Literal["title", "body", "attributes", "content", "id"]
Tokens = tuple[Tensor, Tensor]
CHUNK = 1024
"""Articles encoded at once when predicting."""


class NewsConfig(RankerConfig):
    """Settings of news recommenders."""

    dim: int = Field(32, ge=1, description="width of words and of article vectors")
    views: tuple[View, ...] = Field(("title",), description="what is read of an article: title, body, attributes, "
                                    "content, id; what the data lack is left out")  # fmt: skip
    title_column: str | None = Field(
        None, description="column of titles; None takes title, headline, or the first text"
    )
    title_words: int = Field(20, ge=1, description="words kept of a title")
    body_words: int = Field(40, ge=1, description="words kept of a body")
    min_words: int = Field(1, ge=1, description="rarer words of training articles are outside the vocabulary")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout on words and article vectors")
    negatives: int = Field(4, ge=1, description="articles without a click that are sampled per click")
    batch_size: int = Field(64, ge=1, description="clicks of a batch")
    epochs: int = Field(10, ge=0, description="epochs at most")
    patience: int = Field(3, ge=1, description="validations without gain after which training stops")


class NewsRanker(RankingModel):
    """A news recommender: subclasses give :meth:`encode` and :meth:`score`, and make their parts in build_parts.

    Predicting encodes every article once in a pass over the questions, whatever the number of its impressions:
    O(articles encoded + events of scoring). In training it is encoded once in a batch.

    Attributes:
        words: texts of all articles.
    """

    capabilities = Capabilities(new_items=True, new_users=True, content=True, fusion=FUSIONS[:1])
    Config = NewsConfig
    config: NewsConfig
    words: ItemWords
    _told: Catalog | None = None
    _kept: list[Tensor] | None = None

    def readable_content(self, plan: ContentPlan, data: Dataset) -> ContentPlan:
        """All of it where it is a view, or has to take the place of words; else none."""
        return plan if "content" in self.config.views or not data.items.columns("text") else plan.empty()

    def setup(self, train: TrainView, run: RunContext) -> None:
        c = self.config
        self.vocabulary = WordVocabulary.fit(train.items_table, c.title_column, c.min_words)
        self.maps = {name: list(one.values.shape[1:]) for name, one in train.features.items() if one.kind == "map"}
        super().setup(train, run)
        self.meet_items(train.items_table)
        self.update_items(ItemFeatures.of(train.features, train.n_items))

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c = self.config
        self.words = ItemWords(self.vocabulary, c.title_words, c.body_words)
        kinds = ("categorical", "multivalued")
        own = [one for one in self.read_fields if one.owner == "item" and one.kind in kinds]
        self.attributes = [one for one in own if one.column]
        pooled = dict(shape.features)
        have: dict[View, bool] = {
            "title": self.vocabulary.size > 0, "body": bool(self.vocabulary.bodies),
            "attributes": bool(self.attributes), "content": bool(pooled), "id": True,
        }  # fmt: skip
        wanted: list[View] = [view for view in c.views if have[view]]
        other: list[View] = [view for view in ("attributes", "content", "id") if have[view]]
        wordless = {"title", "body"} & {*c.views} and not {"title", "body"} & {*wanted}
        self.views: list[View] = other if wordless or not wanted else wanted
        fields = self.attributes if "attributes" in self.views else []
        named = [*fields, *(one for one in own if not one.column and "id" in self.views)]
        self.several = {one.name: one.kind == "multivalued" for one in named}
        self.facts = FieldEmbedding({one.name: one.size for one in named}, c.dim, std=0.1)
        self.content = ContentSlots(pooled if "content" in self.views else {}, c.dim)
        if "title" in self.views or "body" in self.views:
            self.word = nn.Embedding(self.vocabulary.size, c.dim, padding_idx=PADDING)
            nn.init.normal_(self.word.weight[1:], std=0.1)
        self.dropout = nn.Dropout(c.dropout)
        self.nobody = nn.Parameter(torch.zeros(c.dim))
        self.build_parts(shape)

    def build_parts(self, shape: InputSpec) -> None:
        """Make what a subclass adds.

        Args:
            shape: sizes of tables and features.
        """

    def encode(self, rows: Tensor) -> Tensor:
        """What is known of articles before anyone asks, float32 [n, ...].

        Args:
            rows: int64 [n]; -1 is no article.
        """
        raise NotImplementedError

    def score(self, candidates: Tensor, clicked: Tensor, there: Tensor, batch: ImpressionBatch) -> Tensor:
        """Scores of events, float32 [n].

        Args:
            candidates: float32 [n, ...], encoded.
            clicked: float32 [groups, length, ...], encoded, padded on the left.
            there: bool [groups, length].
            batch: the n events.
        """
        raise NotImplementedError

    def tokens(self, rows: Tensor, views: list[View]) -> Tokens:
        """Embedded tokens of articles, float32 [n, tokens, dim], and which are there, bool [n, tokens].

        Args:
            rows: int64 [n]; -1 has none.
            views: whose tokens are wanted, those that the model reads.
        """
        parts: list[Tokens] = []
        for view in views:
            if view in ("title", "body"):
                ids = self.words.rows(view, rows)
                parts.append((self.word(ids), ids != PADDING))
            elif view == "content":
                slots = self.content(rows)
                parts.append((slots, slots.abs().sum(-1) > 0))
            else:
                names = [name for name in self.several if (name == "item") == (view == "id")]
                for name in names:
                    parts.append(self.fact(name, rows))
        vectors = self.dropout(torch.cat([values for values, _ in parts], 1))
        there = torch.cat([mask for _, mask in parts], 1)
        return vectors * there[..., None], there & (rows >= 0)[:, None]

    def fact(self, name: str, rows: Tensor) -> Tokens:
        """An attribute of articles as one token: float32 [n, 1, dim], bool [n, 1]."""
        values = self.tables.rows(name, rows)
        if self.several[name]:
            return self.facts.several(name, values)[:, None], (values != PADDING).any(1, keepdim=True)
        embedded: Tensor = self.facts(name, values)
        return embedded[:, None], (values != PADDING)[:, None]

    def encoded(self, rows: Tensor) -> Tensor:
        """:meth:`encode`, or what a pass over questions has kept of it."""
        if self._kept is None:
            return self.encode(rows)
        if not self._kept:
            example = self.encode(rows[:1])
            size = len(self.words.title) + 1
            self._kept += [example.new_zeros(size, *example.shape[1:]), rows.new_zeros(size, dtype=torch.bool)]
        table, known = self._kept
        # the last row stands for -1
        for part in rows[~known[rows]].split(CHUNK):
            table[part], known[part] = self.encode(part), True
        return table[rows]

    def logits(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        history = batch.padded_history(self.config.longest)
        rows, place = torch.unique(torch.cat([batch.items, history.flatten()]), return_inverse=True)
        articles = self.encoded(rows)
        candidates = articles[place[: len(batch)]]
        clicked = articles[place[len(batch) :]].view(*history.shape, *articles.shape[1:])
        return {"label": self.score(candidates, clicked, history >= 0, batch)}

    def known_user(self, user: Tensor, there: Tensor) -> Tensor:
        """Vectors of users, and a learnt one for users without a history.

        Args:
            user: float32 [n, dim].
            there: bool [n, length].
        """
        return torch.where(there.any(1, keepdim=True), user, self.nobody)

    @contextmanager
    def prediction_pass(self) -> Iterator[None]:
        """Within it each article is encoded once, when gradients are not wanted; memory O(articles)."""
        self._kept = None if torch.is_grad_enabled() else []
        try:
            yield
        finally:
            self._kept = None

    def question_batches(
        self, queries: RankingQueries, counters: NDArray[np.float32] | None = None
    ) -> Iterator[ImpressionBatch]:
        with self.prediction_pass():
            yield from super().question_batches(queries, counters)

    def meet_items(self, items: Catalog) -> None:
        """Read the texts of a catalogue, also of items hidden in fitting; nothing is learnt from them.

        Args:
            items: the items' own columns.
        """
        super().meet_items(items)
        if self._told is not items:
            # asked while predicting, the tables would be inference tensors, into which no checkpoint can be copied
            with torch.inference_mode(False):
                self.tables.load_items(items)
                self.words.load(items)
                self.read_catalog(items)
            self._told = items

    def read_catalog(self, items: Catalog) -> None:
        """Keep what else a subclass reads of a catalogue.

        Args:
            items: the items' own columns.
        """

    def update_items(self, features: ItemFeatures) -> None:
        super().update_items(features)
        self.words.grow(features.n_items)
        self.content.use(features, self.device)

    def artifacts(self) -> Mapping[str, Artifact]:
        """Also the vocabulary of words and entities."""
        state = self.vocabulary.state() | {"maps": self.maps}
        return {**super().artifacts(), "words": Artifact("vocabulary", state=state)}

    def use_artifacts(self, artifacts: Mapping[str, Artifact]) -> None:
        super().use_artifacts(artifacts)
        if "words" in artifacts:
            self.vocabulary = WordVocabulary.from_state(artifacts["words"].state)
            self.maps = {name: list(shape) for name, shape in artifacts["words"].state["maps"].items()}
