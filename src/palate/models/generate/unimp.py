"""UniMP (Wei et al., ICLR 2024): one language model over a user's items and their pictures for many tasks.

A history is laid out as items, each its id (a word of its own), title and attribute values; a causal Transformer reads
it with an instruction and writes the answer. Before each block, words look at pictures by gated cross-attention
x + tanh(g) attention(x, V): fine-grained, the words of an item at the picture of that very item; else every word at the
newest picture (Flamingo). Tasks, each named by a word: recommendation (answer: an id), search (an id, given a query),
rating ([YES] or [NO]), selection (which of some options), explanation (a text). Loss on answers alone:
sum over tasks of w_b sum (1 - p)^gamma (-log p) / number of answer words.
Our choices: the model is small and trained from scratch (the paper tunes OpenFlamingo), with visual tokens by an MLP in
place of a resampler, and can copy words; negatives and other options are items of the same batch; ratings are taken or
not; queries are those of the log, else attribute values. Pictures as words, and reconstruction, are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from palate.contracts import GenerationRequest, InputSpec, generators
from palate.core.errors import DataError
from palate.data.views import TrainView
from palate.models.generate.shared.columns import EXPLANATIONS
from palate.models.generate.shared.examples import TextBatch
from palate.models.generate.shared.request_images import catalog_rows
from palate.models.generate.shared.text_generator import IMAGE, TextConfig, TextGenerator
from palate.modules.text_generation.decoding import Decoder
from palate.modules.text_generation.interleaved import Interleaved, InterleavedTransformer
from palate.modules.text_generation.item_ids import NEW, taken
from palate.modules.text_generation.item_sequence import ItemSequence
from palate.modules.text_generation.token_losses import focal_loss
from palate.modules.text_generation.words import END, START

Task = Literal["recommendation", "search", "rating", "selection", "explanation"]
TASKS = {name: f"[{name.upper()}]" for name in get_args(Task)}
OPTIONS = 4


@generators.register("unimp")
class UniMP(TextGenerator):
    """Recommendation, search, rating, selection and explanation by one multimodal language model."""

    name = "unimp"
    paper = "Wei et al., Towards Unified Multi-Modal Personalization, ICLR 2024"
    kinds = ("explanation",)
    caution = "trained from scratch on 1,500 pairs, selection among four options stays near chance for new pairs"
    copied = ("title", "attributes", "body", "history_title", "history_attributes")
    reference_columns = EXPLANATIONS
    learns_titles, needs_targets, reads_questions = False, False, True
    presets = {"likelihood": {"gamma": 0.0}, "newest": {"fine_grained": False}, "text": {"visual_tokens": 0}}

    class Config(TextConfig):
        """Settings of UniMP."""

        layers: int = Field(2, ge=1, description="blocks")
        dropout: float = Field(0.1, ge=0, lt=1, description="dropout")
        tasks: tuple[Task, ...] = Field(get_args(Task), min_length=1, description="tasks learnt")
        weights: dict[Task, float] = Field({}, description="weights of tasks in the loss; 1 where not named")
        gamma: float = Field(2.0, ge=0, description="exponent of the focal loss; 0 is plain likelihood")
        fine_grained: bool = Field(True, description="words of an item look at that item's picture")
        visual_tokens: int = Field(2, ge=0, description="visual tokens of a picture")

    config: Config

    def marks(self, train: TrainView) -> Sequence[str]:
        choices = [f"[OPTION_{k}]" for k in range(OPTIONS)]
        return (*TASKS.values(), "[YES]", "[NO]", *choices, NEW, *(f"[ITEM_{row}]" for row in range(train.n_items)))

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c, width = self.config, int(shape.features.get(IMAGE, 0))
        sizes = (len(self.vocabulary), c.dim, c.layers, width, c.visual_tokens)
        self.network = InterleavedTransformer(*sizes, 4, c.dropout, c.fine_grained)
        self.n_items = shape.n_items

    def ids(self, rows: Tensor) -> Tensor:
        """Words int64 of items by their rows of the catalogue."""
        known = (rows >= 0) & (rows < self.n_items)
        return torch.where(known, self.vocabulary.mark(NEW) + 1 + rows, self.vocabulary.mark(NEW))

    def read(self, batch: TextBatch, task: Task, items: Any = None, rows: Tensor | None = None) -> Interleaved:
        """Lay out contexts.

        Args:
            batch: the examples.
            task: of the instruction.
            items: int64 [B, n], rows of the batch whose items are asked about, -1 for none; each row's own by default.
            rows: int64 [B], rows of the batch whose histories are read; all by default.
        """
        rows = torch.arange(len(batch), device=self.device) if rows is None else rows
        past = {name: batch[name][rows] for name in ("history", "history_image", "history_has_image")}
        words = torch.cat([batch[name][rows] for name in ("history_title", "history_attributes")], 2)
        here = words.any(2) | (past["history"] >= 0) | past["history_has_image"]
        out, marks = ItemSequence(len(rows), self.device), self.ids(past["history"])[..., None]
        out.add_items(marks, words, past["history_image"], past["history_has_image"], here)
        if task in ("rating", "selection", "explanation"):
            items = rows[:, None] if items is None else items
            words = torch.cat([batch[name][items] for name in self.copied[:3]], 2)
            marks = self.ids(batch["item"][items])[..., None]
            if task == "selection":
                choices = self.vocabulary.mark("[OPTION_0]") + torch.arange(items.shape[1], device=self.device)
                marks = torch.cat([choices.expand_as(items)[..., None], marks], 2)
            out.add_items(marks, words, batch["image"][items], batch["has_image"][items], items >= 0)
        if task == "search":
            asked = batch["question"][rows]
            out.add_words(asked, False)
            out.add_words(batch["attributes"][rows] * ~asked.any(1)[:, None], False)
        out.add_words(batch["persona"][rows], False)
        out.add_words(torch.full((len(rows), 1), self.vocabulary.mark(TASKS[task]), device=self.device), False)
        return out.context(batch.extra)

    def loss(self, batch: TextBatch) -> Mapping[str, Tensor]:
        c, losses = self.config, {}
        for task in c.tasks:
            found = self.example(batch, task)
            if found is not None:
                log_probs = self.network.shifted(found[0], found[1])
                losses[str(task)] = focal_loss(log_probs, found[0], c.gamma, c.weights.get(task, 1.0))
        return {"loss": sum(losses.values(), self.network.bias.sum() * 0), **losses}

    def example(self, batch: TextBatch, task: Task) -> tuple[Tensor, Interleaved] | None:
        """Answers int64 [B, T] and contexts of a task; None where the batch has none.

        Args:
            batch: the examples.
            task: the task.
        """
        n, own = len(batch), torch.arange(len(batch), device=self.device)
        if task == "explanation":
            part = batch.take(batch["target"].any(1).nonzero()[:, 0])
            return (part["target"], self.read(part, task)) if len(part) else None
        if task in ("recommendation", "search"):
            return self.answers(self.ids(batch["item"])), self.read(batch, task)
        if task == "rating":
            other = own.roll(1)
            own_item = taken(batch["item"], batch["history"], batch["item"][other][:, None])[:, 0]
            positive = (torch.rand(n, device=self.device) < 0.5) | own_item
            yes, no = (self.vocabulary.mark(word) for word in ("[YES]", "[NO]"))
            items = torch.where(positive, own, other)[:, None]
            return self.answers(torch.where(positive, yes, no)), self.read(batch, task, items)
        items = torch.stack([own.roll(k) for k in range(min(OPTIONS, n))], 1)
        twice = taken(batch["item"], batch["history"], batch["item"][items])
        twice[:, 0] = False
        order = torch.rand(items.shape, device=self.device).argsort(1)
        items = items.masked_fill(twice, -1).gather(1, order)
        return self.answers(self.vocabulary.mark("[OPTION_0]") + order.argmin(1)), self.read(batch, task, items)

    def answers(self, words: Tensor) -> Tensor:
        """Targets int64 [B, 2] of one word and the end."""
        return torch.stack([words, torch.full_like(words, END)], 1)

    def decoder(self, batch: TextBatch, times: int) -> Decoder:
        marks = tuple(self.vocabulary.mark(name) for name in self.vocabulary.marks)
        return self.network.writer(self.read(batch, "explanation").repeat(times), marks)

    def first_words(self, batch: TextBatch, task: Task, items: Any = None, rows: Any = None) -> Tensor:
        """Log-probabilities [B, words] of the first word of each answer; arguments as of :meth:`read`."""
        self.eval()
        with torch.inference_mode():
            context = self.read(batch, task, items, rows)
            opening = torch.full((len(context.ids), 1), START, device=self.device)
            return cast(Tensor, self.network(opening, context)[:, 0])

    def item_scores(
        self, requests: Sequence[GenerationRequest], items: Sequence[Any], task: Task = "recommendation"
    ) -> NDArray[np.float32]:
        """Log-probabilities that each item is the answer, float32 [requests, items].

        Args:
            requests: histories, with a query as ``prompt`` where ``task`` is ``search``.
            items: ids of the catalogue; minus infinity for an item that was unknown in fitting.
            task: ``recommendation`` or ``search``.
        """
        rows = torch.from_numpy(catalog_rows(self, items)).to(self.device)
        scores = self.first_words(self.encode(requests)[0], task)[:, self.ids(rows)]
        return np.asarray(scores.masked_fill((rows < 0) | (rows >= self.n_items), -torch.inf).cpu().numpy(), np.float32)

    def choose(self, request: GenerationRequest, options: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """Probabilities of at most ``OPTIONS`` items, known or new, to be taken after the history of a request.

        Args:
            request: a history.
            options: columns of each item.

        Raises:
            DataError: for no option, or more than ``OPTIONS``.
        """
        if not 0 < len(options) <= OPTIONS:
            raise DataError(f"{len(options)} options to choose from", key="options", hint=f"1 to {OPTIONS}")
        batch = self.encode([replace(request, item=option) for option in options])[0]
        own = torch.arange(len(options), device=self.device)
        found = self.first_words(batch, "selection", own[None], own[:1])[0]
        found = found[self.vocabulary.mark("[OPTION_0]") :][: len(options)]
        return np.asarray(found.softmax(0).cpu().numpy(), np.float32)
