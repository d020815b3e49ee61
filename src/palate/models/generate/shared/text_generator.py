"""A text generator whose network is trained on a dataset: words, examples, decoding, evidence, saving."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from palate.contracts import Capabilities, Generated, GenerationRequest, Generator
from palate.core.artifacts import Artifact
from palate.core.batch import BatchSource
from palate.core.config import TrainedConfig
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.errors import ConfigError, NotFittedError, UnsupportedError
from palate.core.item_features import ItemFeatures
from palate.core.seeding import rng_for
from palate.data.views import TrainView
from palate.models.fittable import FittableModel
from palate.models.generate.shared.columns import QUESTIONS, ItemColumns, said
from palate.models.generate.shared.evidence import evidence_of
from palate.models.generate.shared.examples import TEXTS, Examples, TextBatch, TrainingPairs, pad_left
from palate.models.generate.shared.item_table import ItemTable, TextSizes
from palate.models.generate.shared.request_images import catalog_rows, request_vectors
from palate.models.generate.shared.targets import TextColumn, find_column, texts_of, used_rows, user_texts
from palate.modules.text_generation.decoding import Decoder, beam_search, sample
from palate.modules.text_generation.words import Lexicon, WordVocabulary, shared_words

IMAGE = "image"
"""Feature that holds the vectors of pictures."""


class TextConfig(TrainedConfig):
    """Settings of texts and of how they are written."""

    dim: int = Field(128, ge=8, multiple_of=8, description="width of words and states")
    words: int = Field(8000, ge=1, description="words that can be generated without being copied")
    target: str = Field(
        "", description="column of the log or the catalogue whose texts are learnt; found by its name if empty"
    )
    question: str = Field("", description="column of the log that holds questions; found by its name if empty")
    title_length: int = Field(16, ge=1, description="words read of a title, an own word or a question")
    body_length: int = Field(96, ge=1, description="words read of a running text")
    attributes_length: int = Field(24, ge=1, description="words read of the attribute values of an item")
    target_length: int = Field(32, ge=2, description="words of a generated text at most, the end included")
    history: int = Field(8, ge=0, description="newest items of a history that are read")
    beam: int = Field(4, ge=1, description="width of beam search; 1 is greedy")
    no_repeat: int = Field(3, ge=0, description="runs of this many words occur once in a text; 0 allows them")
    temperature: float = Field(0.0, ge=0, description="texts are drawn at this temperature; 0 takes the most probable")
    batch_size: int = Field(32, ge=1, description="texts of a batch")
    epochs: int = Field(20, ge=0, description="epochs at most")
    clip: float | None = Field(2.0, gt=0, description="largest L2 norm of all gradients together")


class TextGenerator(Generator, FittableModel):
    """A network that writes; subclasses give ``build``, ``loss`` and :meth:`decoder`.

    Attributes:
        copied: texts whose words can be copied, of ``TEXTS``.
        reference_columns: usual names of columns of the log with texts to learn from.
        learns_titles: whether titles of items are learnt where the log has no such column.
        reads_questions: whether questions of the log are read.
        needs_targets: whether pairs without a text to learn are left out.
        training_parts: attributes that only training needs.
    """

    capabilities = Capabilities(new_items=True, new_users=True, content=True)
    # texts are read word by word, not as features
    features_read: ClassVar[tuple[str, ...] | None] = (IMAGE,)
    copied: ClassVar[tuple[str, ...]] = ("title", "body", "attributes")
    reference_columns: ClassVar[tuple[str, ...]] = ()
    learns_titles: ClassVar[bool] = True
    reads_questions: ClassVar[bool] = False
    needs_targets: ClassVar[bool] = True
    training_parts: ClassVar[tuple[str, ...]] = ("examples",)

    config: TextConfig
    columns: ItemColumns
    vocabulary: WordVocabulary
    learnt: TextColumn | None = None
    images: Features | None = None
    examples: Examples | None = None

    @abstractmethod
    def decoder(self, batch: TextBatch, times: int) -> Decoder:
        """The decoder about to write the texts of a batch.

        Args:
            batch: the examples.
            times: copies of each row, next to each other.
        """

    def marks(self, train: TrainView) -> Sequence[str]:
        """Words of the model's own.

        Args:
            train: the training view.
        """
        return ()

    @property
    def hides_title(self) -> bool:
        """Whether the title of the item is what is generated, and so is not read."""
        return self.learnt == TextColumn("items", self.columns.title or "")

    @property
    def sizes(self) -> TextSizes:
        """Words that are read of each text."""
        c = self.config
        return TextSizes(c.title_length, c.body_length, c.attributes_length)

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Learn the vocabulary, and make the network and the examples.

        Args:
            train: the training view.
            run: seed of what is drawn once.

        Raises:
            ConfigError: for a dataset without texts to learn from.
        """
        c, items = self.config, train.items_table
        columns = ItemColumns.of(items)
        title = columns.title if self.learns_titles else None
        self.learnt = find_column(train, c.target, self.reference_columns, title, "target")
        body = tuple(one for one in columns.body if self.learnt != TextColumn("items", one))
        self.columns = replace(columns, body=body)
        asked = find_column(train, c.question, QUESTIONS, None, "question") if self.reads_questions else None
        targets, questions = texts_of(train, self.learnt), texts_of(train, asked)
        if self.learns_titles and not len(used_rows(targets)):
            hint = "give the items titles, or name a column: target=COLUMN"
            raise ConfigError(f"{self.name} has no texts to learn from", key="target", hint=hint)
        rows = list(items.frame.iter_rows(named=True))
        personas = user_texts(train.users_table, train.n_users)
        reads = (self.columns.title_of, self.columns.body_of, self.columns.attributes_of)
        texts = [read(row) for row in rows for read in reads]
        people = train.users.tolist()
        logged = targets if self.learnt is None or self.learnt.table == "log" else [None] * len(people)
        texts += shared_words([*personas, *questions, *logged], [*range(train.n_users), *people, *people])
        self.vocabulary = WordVocabulary.learn(filter(None, texts), c.words, tuple(self.marks(train)))
        lexicon = Lexicon(self.vocabulary)
        found = train.features.get(IMAGE)
        images = found if found is not None and found.kind == "pooled" else None
        table = ItemTable.build(rows, self.columns, lexicon, self.sizes, images, 0 if images is None else images.dim)
        pairs = TrainingPairs.of(train, c.history)
        self.examples = Examples(
            table,
            pairs.items,
            pairs.history,
            pairs.users,
            lexicon.ids(personas, c.title_length * 2),
            lexicon.ids(questions, c.title_length)[pairs.event],
            lexicon.ids(targets, c.target_length, end=True)[pairs.event],
            self.copied,
            len(self.vocabulary),
            self.hides_title,
        )
        super().setup(train, run)

    def batches(self, train: TrainView, run: RunContext) -> BatchSource:
        """Pairs of users and items, those alone that have a text to learn where the model learns nothing else.

        Args:
            train: the training view.
            run: not used.

        Raises:
            NotFittedError: before :meth:`setup`.
        """
        if self.examples is None:
            raise NotFittedError(f"{self.name} is not set up", hint="call fit(data)")
        if not self.needs_targets:
            return self.examples
        return self.examples.take(np.flatnonzero(self.examples.target.any(1)))

    def on_fit_end(self) -> None:
        for name in self.training_parts:
            setattr(self, name, None)

    def artifacts(self) -> Mapping[str, Artifact]:
        learnt = None if self.learnt is None else [self.learnt.table, self.learnt.name]
        state = {"words": self.vocabulary.dump(), "columns": self.columns.dump(), "learnt": learnt}
        return {"vocabulary": Artifact("vocabulary", state=state)}

    def use_artifacts(self, artifacts: Mapping[str, Artifact]) -> None:
        if "vocabulary" in artifacts:
            state = artifacts["vocabulary"].state
            self.vocabulary, self.columns = WordVocabulary.load(state["words"]), ItemColumns.load(state["columns"])
            self.learnt = None if state["learnt"] is None else TextColumn(*state["learnt"])

    def update_items(self, features: ItemFeatures) -> None:
        found = features.get(IMAGE)
        self.images = found if found is not None and found.kind == "pooled" else None

    def encode(self, requests: Sequence[GenerationRequest]) -> tuple[TextBatch, Lexicon]:
        """Read requests.

        Args:
            requests: a batch.

        Returns:
            The examples, with rows of the catalogue as ``item`` and ``history``, and the ids of their words.
        """
        c, lexicon = self.config, Lexicon(self.vocabulary)
        rows = [row for request in requests for row in (request.item, *request.history)]
        firsts = np.cumsum([0, *(1 + len(request.history) for request in requests)])
        width = 0 if self.input_spec is None else int(self.input_spec.features.get(IMAGE, 0))
        vectors = request_vectors(self, requests, self.columns.ids, width)
        table = ItemTable.build(rows, self.columns, lexicon, self.sizes, vectors, width)
        words = [
            " ".join(filter(None, (said(one.value) for one in request.evidence if one.source == "user")))
            for request in requests
        ]
        examples = Examples(
            table,
            firsts[:-1],
            pad_left([range(start + 1, end) for start, end in pairwise(firsts)], c.history),
            np.arange(len(requests)),
            lexicon.ids(words, c.title_length * 2),
            lexicon.ids([request.prompt for request in requests], c.title_length),
            np.zeros((len(requests), 0), np.int64),
            self.copied,
            len(self.vocabulary),
            self.hides_title,
        )
        batch = examples.collate(np.arange(len(requests)), rng_for(0))
        known = torch.from_numpy(np.append(catalog_rows(self, [row.get(self.columns.ids) for row in rows]), -1))
        own = {name: known[batch[name]] for name in ("item", "history")}
        return replace(batch, values={**batch.values, **own}).to(self.device), lexicon

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        """Write a text for each request.

        Args:
            requests: a batch.
            seed: of what is drawn, where ``temperature`` is above 0.

        Raises:
            NotFittedError: before ``fit``.
            UnsupportedError: for a kind that is not among ``kinds``, or where there were no texts to learn from.
        """
        if self.input_spec is None:
            raise NotFittedError(f"{self.name} is not fitted", hint="call fit(data), or palate.restore(folder)")
        if self.learnt is None:
            hint = "fit it on a log that has one, or name it: target=COLUMN"
            raise UnsupportedError(
                f"{self.name} was fitted without a column of texts to learn", key="target", hint=hint
            )
        for request in requests:
            if request.kind not in self.kinds:
                raise UnsupportedError(f"{self.name} does not generate {request.kind!r}", hint=", ".join(self.kinds))
        if not requests:
            return []
        self.eval()
        batch, lexicon = self.encode(requests)
        most = self.config.target_length - 1
        limits = torch.tensor([most if r.max_words is None else min(r.max_words, most) for r in requests])
        with torch.inference_mode():
            words = self.write(batch, limits.to(self.device), seed)
        beyond, size = batch.beyond.tolist(), len(self.vocabulary)
        known = [[word if word < size else beyond[word - size] for word in row] for row in words.tolist()]
        return [self.finish(request, row, lexicon, seed) for request, row in zip(requests, known)]

    def write(self, batch: TextBatch, limits: Tensor, seed: int) -> Tensor:
        """Words int64 [B, T] of the texts of a batch.

        Args:
            batch: the examples.
            limits: int64 [B], words at most.
            seed: of what is drawn.
        """
        c = self.config
        decoder = replace(self.decoder(batch, 1 if c.temperature else c.beam), no_repeat=c.no_repeat)
        if not c.temperature:
            return beam_search(decoder, limits, c.beam)[0]
        draws = rng_for(seed, "words", self.name).random((len(batch), c.target_length))
        return sample(decoder, limits, torch.from_numpy(draws).to(limits.device), c.temperature)

    def knows(self, request: GenerationRequest) -> bool:
        """Whether anything is known of the item; of an item without words nothing is said.

        Args:
            request: what is asked.
        """
        columns, row = self.columns, request.item
        title = None if self.hides_title else columns.title_of(row)
        return bool(title or columns.body_of(row) or columns.attributes_of(row))

    def finish(self, request: GenerationRequest, words: Sequence[int], lexicon: Lexicon, seed: int) -> Generated:
        """What is handed out for the words of a text.

        Args:
            request: what was asked.
            words: ids of the lexicon.
            lexicon: of the batch.
            seed: as given.
        """
        text = lexicon.text(words) or None if self.knows(request) else None
        about: Any = getattr(self.deployment, "about", {})
        provenance = {"model": self.name, "version": str(about.get("fingerprint", ""))[:16], "seed": str(seed)}
        provenance |= {"backend": "network"} | ({} if text else {"fallback": "nothing to say"})
        evidence = evidence_of(text, request, self.columns) if text else []
        return Generated(text=text, evidence=evidence, provenance=provenance)


__all__ = ["IMAGE", "TEXTS", "TextConfig", "TextGenerator"]
