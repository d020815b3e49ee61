"""PAGE (Deng et al., TOIS 2022): personalised answers by a pointer-generator that reads what the asker took.

Four components, each a switch of ``components``. The base is a pointer-generator over supporting snippets, here the
item's title, text and attribute values: P(w) = m_0 P_vocabulary(w) + m_1 copy(snippets) + m_2 copy(history).
(1) ``question``: snippets are read in the light of the question, h' = tanh(W [h; q; h * q]) with q the attention of h
over the question's states. (2) ``history``: the items of the asker's history that share most words with question and
item are retrieved, encoded, attended to and copied from. (3) ``preference``: the asker's preferences in three
perspectives, knowledge (attention over the history), aspect (its topics) and vocabulary (its words), enter the first
state of the decoder and its attention. (4) ``summarizer``: a gate merges the perspectives, and the merged vector also
enters the choice between generating, copying from snippets and copying from the history; else they are averaged.
Our choices, as the slides name the components only: aspects are topics by non-negative matrix factorisation in place of
LDA; the gate is one for an answer, not one for a word; snippets are the item's own columns. Answers are learnt from a
column of the log (an answer, explanation or review, with its question where there is one), else from titles of items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import InputSpec, generators
from palate.core.context import RunContext
from palate.core.seeding import rng_for
from palate.data.views import TrainView
from palate.models.generate.shared.columns import EXPLANATIONS
from palate.models.generate.shared.examples import TextBatch
from palate.models.generate.shared.text_generator import TextConfig, TextGenerator
from palate.modules.text_generation.copying import masked_attention
from palate.modules.text_generation.decoding import Decoder
from palate.modules.text_generation.pointer_generator import Injection, Memory, PointerDecoder, Source, WordEncoder
from palate.modules.text_generation.preferences import Perspective, PreferenceModel
from palate.modules.text_generation.retrieval import retrieve
from palate.modules.text_generation.token_losses import likelihood_loss
from palate.modules.text_generation.topics import TopicModel
from palate.modules.text_generation.words import PAD, START
from palate.modules.token_ids import compact

Component = Literal["question", "history", "preference", "summarizer"]
SNIPPETS = ("title", "attributes", "body")
HISTORY = ("history_title", "history_attributes", "history_body")


@generators.register("page")
class PAGE(TextGenerator):
    """Personalised answers and explanations."""

    name = "page"
    paper = "Deng et al., Toward Personalized Answer Generation in E-Commerce via Multi-perspective Preference Modeling, TOIS 2022"  # noqa: E501
    kinds = ("answer", "explanation")
    features_read = ()
    reference_columns = EXPLANATIONS
    reads_questions = True
    presets = {"base": {"components": ()}}

    class Config(TextConfig):
        """Settings of PAGE."""

        components: tuple[Component, ...] = Field(
            ("question", "history", "preference", "summarizer"), description="what is added to the pointer-generator"
        )
        perspectives: tuple[Perspective, ...] = Field(
            ("knowledge", "aspect", "vocabulary"), min_length=1, description="perspectives of preferences"
        )
        topics: int = Field(16, ge=2, description="topics of aspect preferences")
        retrieved: int = Field(4, ge=1, description="items of the history that are read")
        snippet: int = Field(24, ge=1, description="words read of the text of each of them")

    config: Config

    @property
    def copied(self) -> tuple[str, ...]:  # type: ignore[override]
        """Texts whose words can be copied: snippets, and the history where it is read."""
        return (*SNIPPETS, *(HISTORY if self.has("history") else ()))

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c, size = self.config, len(self.vocabulary)
        self.words = nn.Embedding(size, c.dim, padding_idx=PAD)
        self.reader, self.asked = WordEncoder(self.words, c.dim), WordEncoder(self.words, c.dim)
        self.fusion, self.topics = nn.Linear(3 * c.dim, c.dim), TopicModel(size, c.topics)
        self.persona = WordEncoder(self.words, c.dim)
        self.preferences = PreferenceModel(self.words, c.dim, self.topics, c.perspectives, self.has("summarizer"))
        inject: list[Injection] = ["state", "attention", *(["copy"] if self.has("summarizer") else [])]  # type: ignore[list-item]
        user = c.dim if self.has("preference") else 0
        self.writer = PointerDecoder(self.words, c.dim, 1 + self.has("history"), user, inject)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        if self.examples is not None:
            table = self.examples.table
            self.topics.fit(
                np.concatenate([table.title, table.attributes, table.body], 1), rng_for(run.seed, "topics", self.name)
            )

    def has(self, component: Component) -> bool:
        """Whether a component is switched on.

        Args:
            component: its name.
        """
        return component in self.config.components

    def history(self, batch: TextBatch) -> Tensor:
        """Words int64 [B, N * T] of the retrieved items of the history.

        Args:
            batch: the examples.
        """
        parts = [batch[name] for name in HISTORY[:2]] + [batch[HISTORY[2]][..., : self.config.snippet]]
        query = torch.cat([batch[name] for name in ("question", *SNIPPETS)], 1)
        texts = torch.cat(parts, 2)
        words = retrieve(query, texts, self.topics.weights, self.config.retrieved).flatten(1)
        return compact(words, words != PAD) if words.shape[1] else words.new_zeros(len(words), 1)

    def question_aware(self, states: Tensor, question: Tensor) -> Tensor:
        """States of snippets [B, S, d] in the light of the question int64 [B, Q].

        Args:
            states: of snippets.
            question: empty where nothing was asked.
        """
        asked, _ = self.asked(question)
        scores = states @ asked.transpose(1, 2) / self.config.dim**0.5
        q = masked_attention(scores, (question != PAD)[:, None]) @ asked
        out: Tensor = self.fusion(torch.cat([states, q, states * q], 2)).tanh()
        return out

    def memory(self, batch: TextBatch) -> Memory:
        """What the decoder reads: snippets, retrieved history, and preferences.

        Args:
            batch: the examples.
        """
        snippets = torch.cat([batch[name] for name in SNIPPETS], 1)
        snippets = compact(snippets, snippets != PAD)
        states, summary = self.reader(snippets)
        if self.has("question"):
            states = self.question_aware(states, batch["question"]) * (snippets != PAD)[..., None]
        sources, user = [Source(snippets, states)], None
        if self.has("history") or self.has("preference"):
            words = self.history(batch)
            persona, _ = self.persona(words)
            sources += [Source(words, persona)] if self.has("history") else []
            if self.has("preference"):
                asked = summary + self.asked(batch["question"])[1]
                user, _ = self.preferences(asked, persona, words != PAD, words)
        return Memory(tuple(sources), summary, user, extra=batch.extra)

    def decoder(self, batch: TextBatch, times: int) -> Decoder:
        return self.writer.decoder(self.memory(batch).repeat(times))

    def loss(self, batch: TextBatch) -> Mapping[str, Tensor]:
        target = batch["target"]
        log_probs = self.writer(F.pad(target, (1, 0), value=START)[:, :-1], self.memory(batch))
        return {"loss": likelihood_loss(log_probs, target)}
