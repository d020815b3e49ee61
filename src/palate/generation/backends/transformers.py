"""Any language model in a local folder: causal, encoder-decoder, or from pictures and text to text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palate.contracts import Completion, Constraint, Prompt, Sampling
from palate.core.errors import BackendError, ConfigError, UnsupportedError
from palate.generation.backends.local_model import LocalModel
from palate.generation.decoding.constraints import check_constraint, has_grammar, is_empty, satisfies
from palate.generation.decoding.layout import Layout
from palate.generation.decoding.loop import Answer, decode
from palate.generation.decoding.sampling import streams_for
from palate.generation.decoding.sessions import CausalSession, Seq2SeqSession, Session, VisionSession, can_crop
from palate.generation.decoding.speculative import Draft, LookupDraft, ModelDraft, RewindingModel, speculate
from palate.generation.decoding.words import holds, place_words
from palate.generation.registries import text_backends

LOOKUP = "lookup"
"""Draft that proposes what followed the last tokens before."""


class TransformersBackend:
    """A local language model. Completions leave out ``answer_start``, and constraints are about what follows it.

    Args:
        local: the model.
        name: for provenance.
        draft: proposes tokens for speculative decoding of answers without constraint: ``lookup``, or a smaller model of
            the same vocabulary; None draws token by token.
        batch_size: prompts that are answered together.
        n_proposed: tokens that the draft proposes at a time.

    Raises:
        UnsupportedError: for a draft beside a model whose cache cannot be cut.
    """

    def __init__(
        self,
        local: LocalModel,
        name: str | None = None,
        *,
        draft: str | LocalModel | None = None,
        batch_size: int = 8,
        n_proposed: int = 5,
    ) -> None:
        self.local, self.layout, self.draft = local, local.layout, draft
        self.name, self.version = name or f"transformers:{local.folder.name}", local.version
        self.batch_size, self.n_proposed = batch_size, n_proposed
        for model in [local, *([draft] if isinstance(draft, LocalModel) else [])] if draft is not None else []:
            if model.kind != "causal" or not can_crop(model.causal.new_cache()):
                raise UnsupportedError("speculative decoding needs a decoder with full attention", file=model.folder)
        if isinstance(draft, LocalModel) and draft.tokenizer.get_vocab() != local.tokenizer.get_vocab():
            raise UnsupportedError("the draft has another vocabulary than the model", file=draft.folder)

    def count(self, text: str) -> int:
        """Tokens of a text.

        Args:
            text: any text.
        """
        return len(self._ids(text))

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling, *, seed: int) -> list[Completion]:
        """One completion a prompt; a prompt has the same one whatever else is asked with it.

        Args:
            prompts: what is asked.
            sampling: how answers are drawn.
            seed: same seed, same completions.

        Raises:
            BackendError: for a constraint that is too complex to be kept.
            ConfigError: for settings out of range, or a constraint that is not valid.
            UnsupportedError: for a prompt that is too long, or a constraint that cannot be kept.
        """
        constraint = sampling.constraint or Constraint()
        check_constraint(constraint)
        place = () if has_grammar(constraint) else tuple(constraint.must_include)
        # room for words that the answer will lack
        limit = sampling.max_tokens - sum(self.count(f" {word}") for word in place)
        _check(sampling, limit)
        asked = self._asked(prompts, sampling, limit, seed)
        completions: list[Completion] = [Completion("")] * len(prompts)
        for rows in self._batches(asked, prompts):
            self._answer([prompts[row] for row in rows], [asked[row] for row in rows], sampling, limit)
        for row, answer in enumerate(asked):
            completions[row] = self._completion(prompts[row], answer, sampling, place)
        return completions

    def stream(self, prompt: Prompt, sampling: Sampling, *, seed: int) -> Iterator[str]:
        """The same completion piece by piece; in one piece under a constraint, whose end may still change.

        Args:
            prompt: what is asked.
            sampling: how the answer is drawn.
            seed: same seed, same completion.

        Raises:
            ConfigError: for settings out of range, or a constraint that is not valid.
            UnsupportedError: for a prompt that is too long, or a constraint that cannot be kept.
        """
        if not is_empty(sampling.constraint):
            yield self.complete([prompt], sampling, seed=seed)[0].text
            return
        _check(sampling, sampling.max_tokens)
        (answer,) = self._asked([prompt], sampling, sampling.max_tokens, seed)
        held, sent = max(map(len, answer.stops), default=0), 0
        for _ in self._decoding([prompt], [answer], sampling, sampling.max_tokens):
            text = self._text(answer, sampling)
            ready = text if answer.finished else text[: max(0, len(text) - held)].rstrip()
            if len(ready) > sent:
                yield ready[sent:]
                sent = len(ready)

    def log_likelihood(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        """Natural logarithm of the probability of each answer after its prompt, without what ends it.

        Args:
            prompts: what was asked.
            answers: one a prompt.

        Raises:
            ConfigError: for another number of answers than of prompts.
            UnsupportedError: for a prompt and answer that are too long.
        """
        if len(prompts) != len(answers):
            raise ConfigError(f"{len(answers)} answers to {len(prompts)} prompts", key="answers")
        tokens = [self._ids(answer) for answer in answers]
        return self._score(prompts, [self._prompt_ids(prompt) for prompt in prompts], tokens)

    def _asked(self, prompts: Sequence[Prompt], sampling: Sampling, limit: int, seed: int) -> list[Answer]:
        """Answers before their first token."""
        ids = [self._prompt_ids(prompt) for prompt in prompts]
        self._check_length(ids, limit)
        constraint = sampling.constraint or Constraint()
        guided = has_grammar(constraint) or bool(constraint.must_exclude)
        return [
            Answer(
                prompt=row,
                stream=stream,
                guide=self.local.guides.guide(constraint, limit) if guided else None,
                # a text that is cut would no longer keep a grammar
                stops=() if has_grammar(constraint) else (*sampling.stop, *self.layout.stops(prompt)),
            )
            for prompt, row, stream in zip(prompts, ids, streams_for(seed, ids), strict=True)
        ]

    def _answer(self, prompts: list[Prompt], answers: list[Answer], sampling: Sampling, limit: int) -> None:
        """Draw a batch of answers."""
        if self.draft is None or any(answer.guide for answer in answers):
            for _ in self._decoding(prompts, answers, sampling, limit):
                pass
            return
        for answer in answers:
            self._speculate(answer, sampling, limit)

    def _speculate(self, answer: Answer, sampling: Sampling, limit: int) -> None:
        """Draw one answer, several tokens at a time."""

        def is_over(tokens: list[int]) -> bool:
            return any(stop in self._decoded(tokens) for stop in answer.stops)

        result = speculate(
            RewindingModel(self.local.causal),
            self._drafter(),
            answer.prompt,
            n=self.n_proposed,
            max_tokens=limit,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            end_ids=self.local.end_ids,
            stream=answer.stream,
            is_over=is_over,
        )
        answer.tokens, answer.log_probability = result.tokens, result.log_probability
        answer.finished = "stop" if result.ended else "length"

    def _drafter(self) -> Draft:
        if isinstance(self.draft, LocalModel):
            return ModelDraft(RewindingModel(self.draft.causal))
        return LookupDraft()

    def _decoding(
        self, prompts: Sequence[Prompt], answers: Sequence[Answer], sampling: Sampling, limit: int
    ) -> Iterator[None]:
        return decode(
            self._session(prompts[0]),
            answers,
            max_tokens=limit,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            end_ids=self.local.end_ids,
            to_text=self._decoded,
        )

    def _session(self, prompt: Prompt) -> Session:
        if self.local.kind == "seq2seq":
            return Seq2SeqSession(self.local.model, self._ids(prompt.answer_start), self._pad_id)
        if self.local.kind == "vision":
            return VisionSession(self.local.model, self._vision_inputs(prompt))
        return CausalSession(self.local.causal)

    def _batches(self, answers: Sequence[Answer], prompts: Sequence[Prompt]) -> Iterator[list[int]]:
        """Rows that are answered together: of like length, with pictures one by one, with one start of the answer."""
        size = 1 if self.local.kind == "vision" else self.batch_size
        groups: dict[str, list[int]] = {}
        for row, prompt in enumerate(prompts):
            groups.setdefault(prompt.answer_start if self.local.kind == "seq2seq" else "", []).append(row)
        for rows in groups.values():
            rows.sort(key=lambda row: len(answers[row].prompt))
            yield from (rows[start : start + size] for start in range(0, len(rows), size))

    def _completion(self, prompt: Prompt, answer: Answer, sampling: Sampling, place: Sequence[str]) -> Completion:
        """What is told of an answer; it is made to end as its constraint demands."""
        tokens, total = answer.tokens, answer.log_probability
        if answer.guide is not None and (valid := answer.guide.finish(tokens)) != tokens:
            answer.tokens = tokens = valid
            total = self._score([prompt], [list(answer.prompt)], [valid])[0]
        text = self._text(answer, sampling)
        if place and not holds(text, place, ()):
            text = self._with_words(prompt, text, sampling, place)
            tokens, total = self._ids(text), self.log_likelihood([prompt], [text])[0]
        if sampling.constraint is not None and not satisfies(sampling.constraint, text):
            raise BackendError("the answer does not keep the constraint", key="constraint")
        return Completion(text, len(answer.prompt), len(tokens), total, answer.finished or "length")

    def _with_words(self, prompt: Prompt, text: str, sampling: Sampling, words: Sequence[str]) -> str:
        exclude = sampling.constraint.must_exclude if sampling.constraint else ()

        def fits(candidate: str) -> bool:
            return self.count(candidate) <= sampling.max_tokens and holds(candidate, (), exclude)

        def score(candidates: list[str]) -> list[float]:
            return self.log_likelihood([prompt] * len(candidates), candidates)

        while (placed := place_words(text, words, score, fits)) is None:
            if not text:
                raise ConfigError("no answer has all words", key="must_include", hint="raise max_tokens")
            # room is made at the end; for the words alone there is room
            text = text.rpartition(" ")[0]
        return placed

    def _text(self, answer: Answer, sampling: Sampling) -> str:
        constraint = sampling.constraint
        if answer.guide is not None and constraint is not None and has_grammar(constraint):
            return self.local.guides.text(answer.tokens).decode()
        text = self._decoded(answer.tokens).rstrip("�")
        for stop in answer.stops:
            text = text.partition(stop)[0]
        text = text.strip()
        while constraint is not None and not holds(text, (), constraint.must_exclude):
            # a text that ends an answer may cut a word so that a forbidden one is left
            text = text[:-1]
        return text

    def _decoded(self, tokens: Sequence[int]) -> str:
        decode_text = self.local.tokenizer.decode
        return str(decode_text(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _score(
        self, prompts: Sequence[Prompt], asked: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
    ) -> list[float]:
        """Log-probability of the tokens of answers."""
        self._check_length(asked, max(map(len, answers), default=0))
        totals = [0.0] * len(prompts)
        pending = [Answer(row, np.random.default_rng(0)) for row in asked]
        for rows in self._batches(pending, prompts):
            some = [row for row in rows if len(answers[row])]
            if some:
                chosen = [answers[row] for row in some]
                scores = self._scores(prompts[some[0]], [asked[row] for row in some], chosen)
                for row, total in zip(some, _totals(scores, chosen), strict=True):
                    totals[row] = total
        return totals

    def _scores(self, prompt: Prompt, asked: list[Sequence[int]], answers: list[Sequence[int]]) -> Tensor:
        """Scores before each token of answers: float32 [B, longest answer, V], rows padded on the right."""
        longest = max(map(len, answers))
        if self.local.kind == "seq2seq":
            session = Seq2SeqSession(self.local.model, self._ids(prompt.answer_start), self._pad_id)
            return session.score(asked, answers)
        if self.local.kind == "vision":
            return VisionSession(self.local.model, self._vision_inputs(prompt)).score(answers[0])
        rows = [[*row, *answer] for row, answer in zip(asked, answers, strict=True)]
        scores, _, _ = self.local.causal.read(rows, longest + 1)
        return torch.stack(
            [
                torch.nn.functional.pad(row[longest - len(answer) : -1], (0, 0, 0, longest - len(answer)))
                for row, answer in zip(scores, answers, strict=True)
            ]
        )

    def _prompt_ids(self, prompt: Prompt) -> list[int]:
        if self.local.kind == "vision":
            return list(self._vision_inputs(prompt)["input_ids"][0].tolist())
        if prompt.images:
            raise UnsupportedError(f"{self.name} reads no pictures", hint="give the folder of a model that does")
        text = self.layout.text(prompt)
        if self.local.kind == "seq2seq":
            return self._ids(text, special=True)
        return self._ids(text + prompt.answer_start, special=not self.layout.has_template)

    def _vision_inputs(self, prompt: Prompt) -> dict[str, Tensor]:
        from palate.features.media.image import open_image

        processor: Any = self.local.processor
        pictures = [open_image(image) for image in prompt.images]
        text = _vision_text(self.layout, processor, prompt, len(pictures)) + prompt.answer_start
        inputs = processor(text=[text], images=[pictures] if pictures else None, return_tensors="pt")
        return {name: value.to(self.local.model.device) for name, value in inputs.items()}

    def _ids(self, text: str, special: bool = False) -> list[int]:
        return list(self.local.tokenizer(text, add_special_tokens=special)["input_ids"])

    @property
    def _pad_id(self) -> int:
        return int(self.local.tokenizer.pad_token_id or 0)

    def _check_length(self, asked: Sequence[Sequence[int]], more: int) -> None:
        longest = max(map(len, asked), default=0)
        if self.local.context is not None and longest + more > self.local.context:
            raise UnsupportedError(
                f"a prompt of {longest} tokens and an answer of {more} are more than {self.local.context}",
                hint="shorten the data or lower max_tokens",
            )


def _vision_text(layout: Layout, processor: Any, prompt: Prompt, n_pictures: int) -> str:
    """The prompt with a place for each picture before its last question."""
    if not (getattr(processor, "chat_template", None) or layout.has_template):
        return f"{getattr(processor, 'image_token', '<image>')}" * n_pictures + layout.plain(prompt)
    turns: list[dict[str, Any]] = [
        {**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in layout.messages(prompt)
    ]
    turns[-1]["content"] = [{"type": "image"}] * n_pictures + turns[-1]["content"]
    return layout.chat(turns, processor)


def _totals(scores: Tensor, answers: Sequence[Sequence[int]]) -> list[float]:
    """Log-probability of each answer, added up over its tokens."""
    totals = []
    for row, answer in zip(scores, answers, strict=True):
        chosen = torch.tensor(list(answer), device=row.device)[:, None]
        logits = row[: len(answer)].double()
        totals.append(float((logits.gather(1, chosen)[:, 0] - logits.logsumexp(1)).sum()))
    return totals


def _check(sampling: Sampling, limit: int) -> None:
    if sampling.max_tokens < 1 or limit < 1:
        raise ConfigError("no room is left for an answer", key="max_tokens", hint="raise it, or demand fewer words")
    if sampling.temperature < 0:
        raise ConfigError("must be at least 0", key="temperature")
    if not 0 < sampling.top_p <= 1:
        raise ConfigError("must be above 0 and at most 1", key="top_p")


def parse_spec(argument: str) -> tuple[str, str | None, str | None]:
    """Folder, adapter and draft of ``/folder+/adapter#draft``.

    Args:
        argument: what stands after ``transformers:`` or ``smollm2:``.
    """
    rest, _, draft = argument.partition("#")
    folder, plus, adapter = rest.partition("+/")
    return folder, f"/{adapter}" if plus else None, draft or None


def open_draft(draft: str | None) -> str | LocalModel | None:
    """The draft of a spec.

    Args:
        draft: ``lookup``, the folder of a smaller model, or None.

    Raises:
        ConfigError: for a path that is not a folder.
    """
    return draft if draft in (None, LOOKUP) else LocalModel(draft)


@text_backends.register("transformers")
def transformers_backend(argument: str) -> TransformersBackend:
    """The backend of ``transformers:/folder``, ``transformers:/folder+/adapter``, either with ``#draft``.

    Args:
        argument: what stands after the name.

    Raises:
        ConfigError: without a folder.
    """
    folder, adapter, draft = parse_spec(argument)
    if not folder:
        raise ConfigError("the folder of a model is missing", key="transformers", hint="transformers:/path/to/model")
    return TransformersBackend(LocalModel(folder, adapter), draft=open_draft(draft))
