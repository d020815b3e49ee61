"""Sessions: a batch of answers in progress on one model, with its cache of keys and values.

A prefix that all prompts share is read once and its cache expanded; the cache of the last prefix is kept for the next
call. Padding stands between the shared prefix and the rest, so that all prompts end in the same column.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

MIN_SHARED = 16
"""Tokens that prompts must share before their cache is computed apart."""


class Session(Protocol):
    """Answers in progress."""

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read the prompts.

        Args:
            prompts: tokens of each.

        Returns:
            float32 [B, V], scores of the next token.
        """
        ...

    def step(self, tokens: Sequence[int], rows: Sequence[int]) -> Tensor:
        """Read one more token of each answer that goes on.

        Args:
            tokens: one a row.
            rows: places, in the present batch, of the answers that go on.

        Returns:
            float32 [len(rows), V], scores of the next token.
        """
        ...


class CausalModel:
    """A decoder with a cache of keys and values.

    Args:
        model: of transformers.

    Attributes:
        tokens_read: tokens that went through the model, padding included.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.tokens_read = model, 0
        accepted = inspect.signature(model.forward).parameters
        self.has_positions, self.keeps = "position_ids" in accepted, "logits_to_keep" in accepted
        self._prefix: list[int] = []
        self._prefix_cache: Any = None
        self._lock = threading.Lock()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device

    def new_cache(self) -> Any:
        """An empty cache."""
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config)

    @torch.inference_mode()
    def forward(self, ids: Tensor, cache: Any, mask: Tensor, keep: int) -> Tensor:
        """Read tokens after what the cache holds.

        Args:
            ids: int64 [B, T].
            cache: is extended by T.
            mask: int64 [B, length of the cache + T]; 0 for padding.
            keep: scores of the last so many places are returned.

        Returns:
            float32 [B, keep, V].
        """
        self.tokens_read += ids.numel()
        more: dict[str, Any] = {"logits_to_keep": keep} if self.keeps else {}
        if self.has_positions:
            more["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        result = self.model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **more)
        scores: Tensor = result.logits[:, -keep:].float()
        return scores

    def read_one(self, ids: Sequence[int]) -> tuple[Tensor, Any]:
        """Read one text from the start, from the kept cache as far as that goes.

        Args:
            ids: its tokens.

        Returns:
            Scores of the next token, float32 [1, V], and a cache of the caller's own.
        """
        with self._lock:
            prefix, kept = self._prefix, self._prefix_cache
        shared = shared_length([prefix, ids[:-1]])
        cache = self.new_cache()
        if shared >= MIN_SHARED:
            cache = copy.deepcopy(kept)
            cache.crop(shared - len(prefix))
        else:
            shared = 0
        mask = torch.ones(1, len(ids), dtype=torch.int64, device=self.device)
        scores = self.forward(torch.tensor([ids[shared:]], device=self.device), cache, mask, 1)
        if can_crop(cache):
            own = copy.deepcopy(cache)
            with self._lock:
                self._prefix, self._prefix_cache = list(ids), own
        return scores[:, -1], cache

    def read(self, rows: Sequence[Sequence[int]], keep: int) -> tuple[Tensor, Any, Tensor]:
        """Read several texts, what they share once.

        Args:
            rows: tokens of each.
            keep: scores of the last so many places are returned.

        Returns:
            Scores, float32 [B, keep, V], the cache, and its mask.
        """
        shared = list(rows[0][: min(shared_length(rows), max(0, min(map(len, rows)) - keep))])
        cache = self.new_cache()
        if len(shared) >= MIN_SHARED and can_crop(cache):
            _, cache = self.read_one(shared)
            cache.batch_repeat_interleave(len(rows))
        else:
            shared = []
        rest = [list(row[len(shared) :]) for row in rows]
        longest = max(map(len, rest))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in rest], device=self.device)
        mask = torch.tensor(
            [[1] * len(shared) + [0] * (longest - len(row)) + [1] * len(row) for row in rest], device=self.device
        )
        return self.forward(ids, cache, mask, keep), cache, mask


class CausalSession:
    """Answers of a decoder.

    Args:
        model: the decoder.
    """

    def __init__(self, model: CausalModel) -> None:
        self.model = model

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read the prompts; float32 [B, V].

        Args:
            prompts: tokens of each.
        """
        if len(prompts) == 1:
            scores, self.cache = self.model.read_one(prompts[0])
            self.mask = torch.ones(1, len(prompts[0]), dtype=torch.int64, device=self.model.device)
            return scores
        scores, self.cache, self.mask = self.model.read(prompts, 1)
        return scores[:, -1]

    def step(self, tokens: Sequence[int], rows: Sequence[int]) -> Tensor:
        """Read one more token of each answer that goes on; float32 [len(rows), V].

        Args:
            tokens: one a row.
            rows: places of the answers that go on.
        """
        if len(rows) < len(self.mask):
            chosen = torch.tensor(rows, device=self.model.device)
            self.cache.batch_select_indices(chosen)
            self.mask = self.mask[chosen]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(rows), 1)], 1)
        ids = torch.tensor(tokens, device=self.model.device)[:, None]
        return self.model.forward(ids, self.cache, self.mask, 1)[:, -1]


class VisionSession:
    """The answer to one prompt with pictures; the model counts positions itself.

    Args:
        model: of transformers, from pictures and text to text.
        inputs: what its processor made of the prompt: ``input_ids``, pixels and whatever else it gives.
    """

    def __init__(self, model: Any, inputs: Mapping[str, Tensor]) -> None:
        self.model, self.inputs = model, dict(inputs)
        self.cache: Any = None
        self.mask = self.inputs.get("attention_mask", torch.ones_like(self.inputs["input_ids"]))

    @torch.inference_mode()
    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read the prompt; float32 [1, V].

        Args:
            prompts: are in ``inputs``.
        """
        result = self.model(**self.inputs, use_cache=True)
        self.cache = result.past_key_values
        scores: Tensor = result.logits[:, -1].float()
        return scores

    @torch.inference_mode()
    def step(self, tokens: Sequence[int], rows: Sequence[int]) -> Tensor:
        """Read one more token; float32 [1, V].

        Args:
            tokens: the one.
            rows: the only row.
        """
        self.mask = torch.cat([self.mask, self.mask.new_ones(1, 1)], 1)
        ids = torch.tensor([list(tokens)], device=self.mask.device)
        result = self.model(input_ids=ids, attention_mask=self.mask, past_key_values=self.cache, use_cache=True)
        scores: Tensor = result.logits[:, -1].float()
        return scores

    @torch.inference_mode()
    def score(self, answer: Sequence[int]) -> Tensor:
        """Scores before each token of a given answer; float32 [1, len(answer), V].

        Args:
            answer: its tokens.
        """
        prompt, n = self.inputs["input_ids"], len(answer)
        inputs = dict(self.inputs)
        for name, value in inputs.items():
            if value.shape == prompt.shape:
                # what else there is of each token: types of it, 0 for text
                inputs[name] = torch.cat([value, value.new_zeros(1, n)], 1)
        inputs["input_ids"][0, -n:] = torch.tensor(list(answer), device=prompt.device)
        inputs["attention_mask"] = torch.cat([self.mask, self.mask.new_ones(1, n)], 1)
        scores: Tensor = self.model(**inputs, use_cache=False).logits[:, -n - 1 : -1].float()
        return scores


class Seq2SeqSession:
    """Answers of a model with an encoder; all begin with the same tokens.

    Args:
        model: of transformers.
        answer_start: tokens with which each answer begins.
        pad_id: token of padding.
    """

    def __init__(self, model: Any, answer_start: Sequence[int], pad_id: int) -> None:
        self.model, self.pad_id = model, pad_id
        self.cache: Any = None
        start = model.config.decoder_start_token_id
        self.answer_start = [pad_id if start is None else start, *answer_start]

    @torch.inference_mode()
    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read the prompts; float32 [B, V].

        Args:
            prompts: tokens of each, for the encoder.
        """
        longest, device = max(map(len, prompts)), self.model.device
        ids = torch.tensor([[*row, *[self.pad_id] * (longest - len(row))] for row in prompts], device=device)
        self.mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in prompts], device=device)
        self.encoded = self.model.get_encoder()(input_ids=ids, attention_mask=self.mask).last_hidden_state
        self.cache = None
        return self._read([self.answer_start] * len(prompts))[:, -1]

    @torch.inference_mode()
    def step(self, tokens: Sequence[int], rows: Sequence[int]) -> Tensor:
        """Read one more token of each answer that goes on; float32 [len(rows), V].

        Args:
            tokens: one a row.
            rows: places of the answers that go on.
        """
        if len(rows) < len(self.mask):
            chosen = torch.tensor(rows, device=self.mask.device)
            self.cache.batch_select_indices(chosen)
            self.mask, self.encoded = self.mask[chosen], self.encoded[chosen]
        return self._read([[token] for token in tokens])[:, -1]

    @torch.inference_mode()
    def score(self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> Tensor:
        """Scores before each token of given answers; float32 [B, longest answer, V].

        Args:
            prompts: tokens of each, for the encoder.
            answers: tokens of each, padded on the right.
        """
        self.start(prompts)
        self.cache, longest = None, max(map(len, answers))
        padded = [[*self.answer_start, *row, *[self.pad_id] * (longest - len(row))][:-1] for row in answers]
        return self._read(padded)[:, len(self.answer_start) - 1 :]

    def _read(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        from transformers.modeling_outputs import BaseModelOutput

        result = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self.encoded),
            attention_mask=self.mask,
            decoder_input_ids=torch.tensor(tokens, device=self.mask.device),
            past_key_values=self.cache,
            use_cache=True,
        )
        self.cache = result.past_key_values
        scores: Tensor = result.logits.float()
        return scores


def shared_length(texts: Sequence[Sequence[int]]) -> int:
    """How many tokens texts share from their start.

    Args:
        texts: tokens of each.
    """
    shortest = min(map(len, texts))
    columns = np.asarray([text[:shortest] for text in texts], np.int64)
    differs = np.flatnonzero((columns != columns[:1]).any(0))
    return int(differs[0]) if len(differs) else shortest


def can_crop(cache: Any) -> bool:
    """Whether a cache keeps every token of every layer, so that it can be cut and shared.

    Args:
        cache: of transformers.
    """
    return all(type(layer).__name__ == "DynamicLayer" for layer in cache.layers)
