"""UNMHG (Krubinski & Pecina, Findings of EACL 2024): headlines with a token that picks the picture.

Vectors of pictures or of frames go through one linear map without a bias and are put before the embedded words of an
encoder-decoder; sinusoidal positions are added to frames of a clip only. The output is the headline and a token
``img_ind_k`` (last, or first) that names the k-th picture; texts without pictures have none. Tasks text -> text,
text + pictures -> text + index and text + frames -> text + index are learnt together, each with the same weight
(1/3 where all three occur). The index has soft targets: softmax(cosine(picture k, reference) / ``soft``).
Our choices: the network is small and trained from scratch, and can copy words (the paper's T5 has pieces of words); the
k-th picture carries the embedding of its index token, in place of T5's relative positions, and the index can be copied
from it; the reference is an item's own picture, among those of other items of the batch in random order; the index is
chosen among the pictures that a request has, so it is never left out and never out of range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Evidence, Generated, GenerationRequest, InputSpec, generators
from palate.core.context import RunContext
from palate.data.views import TrainView
from palate.models.generate.shared.examples import TextBatch
from palate.models.generate.shared.frames import padded_frames
from palate.models.generate.shared.request_images import own_pictures, picture_sets
from palate.models.generate.shared.text_generator import IMAGE, TextConfig, TextGenerator
from palate.modules.text_generation.decoding import Decoder, end_with
from palate.modules.text_generation.picture_index import Place, insert_index, shuffled_candidates, soft_targets
from palate.modules.text_generation.rewards import content_mask
from palate.modules.text_generation.text_transformer import Encoded, TextTransformer, sinusoids
from palate.modules.text_generation.token_losses import likelihood_loss, scored_words, soft_loss, word_log_probabilities
from palate.modules.text_generation.words import PAD, SPECIAL, START, Lexicon
from palate.modules.token_ids import compact

TASKS = ("[T->T]", "[T+I->T+I]", "[T+V->T+I]")
FIRST = len(SPECIAL) + len(TASKS)
"""Id of the first index token."""


@generators.register("unmhg")
class UNMHG(TextGenerator):
    """Headlines of text, pictures or frames, and the picture that goes with them."""

    name = "unmhg"
    paper = "Krubinski & Pecina, Towards Unified Uni- and Multi-modal News Headline Generation, Findings of EACL 2024"
    kinds = ("headline", "title", "cover")
    copied = ("title", "body", "attributes")
    reference_columns = ("headline",)
    training_parts = ("examples", "frames")
    presets = {"text": {"pictures": 0}}

    class Config(TextConfig):
        """Settings of UNMHG."""

        layers: int = Field(2, ge=1, description="layers of the encoder, and of the decoder")
        dropout: float = Field(0.1, ge=0, lt=1, description="dropout")
        pictures: int = Field(4, ge=0, description="pictures or frames that are read of an item; 0 reads texts alone")
        index: Place = Field("last", description="place of the index token in the output")
        soft: float = Field(0.1, ge=0, description="temperature of the index's soft targets; 0 makes them hard")
        task_tokens: bool = Field(True, description="open the input with a token that names the task")
        copying: bool = Field(True, description="copy words of the source")

    config: Config
    frames: np.ndarray | None = None

    def marks(self, train: TrainView) -> Sequence[str]:
        return (*TASKS, *(f"[IMG_{k}]" for k in range(self.config.pictures)))

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c, width = self.config, int(shape.features.get(IMAGE, 0))
        self.network = TextTransformer(len(self.vocabulary), c.dim, c.layers, dropout=c.dropout, copy=c.copying)
        self.visual = nn.Linear(width, c.dim, bias=False) if width and c.pictures else None

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        if self.visual is not None:
            self.frames = padded_frames(train.features.get("video"), self.config.pictures, self.visual.in_features)

    def picture_tokens(self, pictures: Tensor, moving: Tensor) -> Tensor:
        """Tokens [B, m, d] of pictures [B, m, width] with their index; positions where they are ``moving`` [B]."""
        marks = torch.arange(FIRST, FIRST + pictures.shape[1], device=pictures.device)
        places = sinusoids(len(marks), self.config.dim).to(pictures.device)
        seen: Tensor = self.visual(pictures) if self.visual is not None else 0 * places
        return seen + self.network.lookup(marks) + places * moving[:, None, None]

    def read(self, batch: TextBatch) -> Encoded:
        """Encode texts behind their ``pictures`` [B, m, width] (those ``present`` [B, m]; frames if ``moving`` [B])."""
        ids = torch.cat([batch[name] for name in self.copied], 1)
        ids = compact(ids, ids != PAD)
        tokens, masks, copied = [self.network.embed(ids)], [ids != PAD], [ids]
        task = torch.zeros(len(batch), dtype=torch.int64, device=ids.device)
        if self.visual is not None and "pictures" in batch.values:
            pictures, present, moving = batch["pictures"], batch["present"], batch["moving"]
            tokens.insert(0, self.picture_tokens(pictures, moving))
            masks.insert(0, present)
            # an index is copied from its picture, as a word is from the text
            copied.insert(0, torch.arange(FIRST, FIRST + pictures.shape[1], device=ids.device) * present)
            task = present.any(1) * (1 + moving.long())
        if self.config.task_tokens:
            tokens.insert(0, self.network.lookup(len(SPECIAL) + task)[:, None])
            masks.insert(0, torch.ones_like(task, dtype=torch.bool)[:, None])
        copies = F.pad(torch.cat(copied, 1), (int(self.config.task_tokens), 0), value=PAD)
        return self.network.encode(torch.cat(tokens, 1), torch.cat(masks, 1), copies, batch.extra)

    def loss(self, batch: TextBatch) -> Mapping[str, Tensor]:
        losses = {"text": likelihood_loss(self.network.shifted(batch["target"], self.read(batch)), batch["target"])}
        has = batch["has_image"]
        if self.visual is not None and bool(has.any()):
            pictures = shuffled_candidates(batch["image"][has], self.config.pictures)
            losses["image"] = self.picked_loss(batch.take(has.nonzero()[:, 0]), pictures, False)
        if self.frames is not None:
            frames = torch.from_numpy(self.frames[batch["item"].cpu().numpy()]).to(has.device)
            rows = (frames.flatten(1).any(1) & has).nonzero()[:, 0]
            if len(rows):
                losses["video"] = self.picked_loss(batch.take(rows), frames[rows], True)
        return {"loss": torch.stack([*losses.values()]).mean(), **losses}

    def picked_loss(self, batch: TextBatch, pictures: Tensor, moving: bool) -> Tensor:
        """Likelihood of headlines with their index.

        Args:
            batch: rows with a picture of reference.
            pictures: candidates [B, m, width], zero where there is none.
            moving: whether they are frames.
        """
        present = pictures.any(2)
        shown = {"pictures": pictures, "present": present, "moving": present.new_full((len(batch),), moving)}
        soft = soft_targets(pictures, present, batch["image"], self.config.soft)
        target, at = insert_index(batch["target"], FIRST + soft.argmax(1), self.config.index)
        log_probs = self.network.shifted(target, self.read(replace(batch, values={**batch.values, **shown})))
        rows = torch.arange(len(batch), device=at.device)
        words = scored_words(target)
        words[rows, at] = False
        wide = F.pad(soft, (FIRST, log_probs.shape[2] - FIRST - soft.shape[1]))
        index = soft_loss(log_probs[rows, at], wide, torch.ones_like(rows, dtype=torch.bool))
        own = -(word_log_probabilities(log_probs, target) * words).sum()
        return (own + index * len(rows)) / (words.sum() + len(rows))

    def encode(self, requests: Sequence[GenerationRequest]) -> tuple[TextBatch, Lexicon]:
        batch, lexicon = super().encode(requests)
        if self.visual is None:
            return batch, lexicon
        moving = torch.tensor([bool(request.options.get("frames")) for request in requests], device=self.device)
        sets = picture_sets(self, requests, self.columns.ids, self.config.pictures, self.visual.in_features)
        pictures, present = (torch.from_numpy(array).to(self.device) for array in sets)
        alone = ~present.any(1) & batch["has_image"]
        pictures[alone, 0], present[alone, 0] = batch["image"][alone], True
        shown = {"pictures": pictures, "present": present, "moving": moving}
        return replace(batch, values={**batch.values, **shown}), lexicon

    def decoder(self, batch: TextBatch, times: int) -> Decoder:
        marks = tuple(range(len(SPECIAL), FIRST + self.config.pictures))
        first = batch.values.get("first")
        first = None if first is None else first.repeat_interleave(times)
        decoder = self.network.writer(self.read(batch).repeat(times), marks, first)
        return end_with(decoder, marks[len(TASKS) :]) if self.config.index == "last" else decoder

    def write(self, batch: TextBatch, limits: Tensor, seed: int) -> Tensor:
        present = batch.values.get("present")
        if present is None or not bool(present.any()):
            return F.pad(super().write(batch, limits, seed), (1, 0), value=PAD)
        if not bool(present.any(1).all()):
            # rows with and without pictures begin differently
            out = limits.new_full((len(batch), self.config.target_length + 2), PAD)
            for rows in (present.any(1).nonzero()[:, 0], (~present.any(1)).nonzero()[:, 0]):
                words = self.write(batch.take(rows), limits[rows], seed)
                out[rows, : words.shape[1]] = words
            return out
        if self.config.index == "first":
            marks = self.pick(batch, limits.new_zeros(len(batch), 0))
            words = super().write(replace(batch, values={**batch.values, "first": marks}), limits, seed)
        else:
            words = super().write(batch, limits, seed)
            marks = self.pick(batch, words)
        return torch.cat([marks[:, None], words], 1)

    def pick(self, batch: TextBatch, words: Tensor) -> Tensor:
        """The most probable index tokens int64 [B] after the words int64 [B, T] of texts."""
        counted = content_mask(words)
        inputs = F.pad(words * counted, (1, 0), value=START)
        log_probs: Tensor = self.network(inputs, self.read(batch))[torch.arange(len(batch)), counted.sum(1)]
        present = batch["present"]
        own = log_probs[:, FIRST : FIRST + present.shape[1]].masked_fill(~present, -torch.inf)
        return FIRST + own.argmax(1)

    def finish(self, request: GenerationRequest, words: Sequence[int], lexicon: Lexicon, seed: int) -> Generated:
        made = super().finish(request, words, lexicon, seed)
        keys = own_pictures(request, self.columns.ids, self.config.pictures)
        at = words[0] - FIRST
        if request.kind != "cover" or not made.text or not 0 <= at < len(keys):
            return made
        shown = Evidence("item", keys[at], IMAGE, keys[at])
        return replace(made, image=request.images[keys[at]], evidence=[*made.evidence, shown])
