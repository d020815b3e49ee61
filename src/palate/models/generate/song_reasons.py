"""Reasons for songs: retrieve, generate, rerank (Zhao et al., ACM TIST 10(4), 2019).

Sentences about a song are collected from comments, retrieved documents and its own description; a reason is written
from each of the best and the user's tags; the reasons are ranked by

    item_weight relevance(reason, song) + (1 - item_weight) relevance(reason, user),

and the first is shown. Each step can be switched off: without ``retrieve`` a reason names the values that song and user
share, without ``write`` the retrieved sentence is quoted, without ``rerank`` the first candidate is taken.

Ours: relevance is the overlap of words weighted by how rare they are, or any scorer, such as one of sentence vectors; a
language model writes the reason, else it is a quotation framed by the tags. Quotations are attributed to listeners or
description and traced by the evidence. Addresses, links, handles, telephone numbers and names of commenters are never
shown, neither quoted nor written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from palate.contracts import Evidence, Generated, GenerationRequest, Prompt, generators
from palate.core.config import ModelConfig
from palate.generation.decoding.commands import row_without_commands
from palate.generation.flows.generator import FlowConfig, FlowGenerator
from palate.generation.flows.item_values import attributes, contains, listed, numbers, title_of, true_of, words
from palate.generation.flows.private import is_private
from palate.generation.flows.sentences import Relevance, Sentence, candidates, commenters, described, overlap


@dataclass(frozen=True)
class Reason:
    """A reason that could be shown.

    Attributes:
        text: the reason.
        evidence: what it says, row by row.
        said: what it is ranked by: a quotation without its frame, which would favour short ones.
        item: relevance to the song.
        user: relevance to the user.
        written: whether a language model wrote it.
    """

    text: str
    evidence: tuple[Evidence, ...]
    said: str
    item: float = 0.0
    user: float = 0.0
    written: bool = False


@generators.register("song_reasons")
class SongReasons(FlowGenerator):
    """One sentence that says why a song suits a user, from what listeners and the catalogue say of it.

    Options of a request: ``comments`` (texts, or mappings with ``text``, ``id``, ``author``), ``tags`` (of the user,
    beside the preferences).
    """

    name = "song_reasons"
    paper = "Zhao et al., Personalized Reason Generation for Explainable Song Recommendation, ACM TIST 10(4), 2019"
    kinds = ("explanation",)

    class Config(FlowConfig):
        """Switches of the steps."""

        retrieve: bool = Field(True, description="collect sentences from comments, documents and description")
        write: bool = Field(True, description="write a reason from each sentence; else it is quoted")
        rerank: bool = Field(True, description="rank by relevance to song and user; else take the first candidate")
        candidates: int = Field(8, ge=1, description="retrieved sentences from which reasons are written")
        item_weight: float = Field(0.4, ge=0, le=1, description="of relevance to the song against that to the user")

    config: Config

    def __init__(self, config: ModelConfig | None = None, *, relevance: Relevance = overlap, **settings: Any) -> None:
        super().__init__(config, **settings)
        self._relevance = relevance

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        self.check_kinds(requests)
        return [self._generated(request, seed) for request in requests]

    def reasons(self, request: GenerationRequest, *, seed: int = 0) -> list[Reason]:
        """Reasons, the best first.

        Args:
            request: song, user and comments.
            seed: of the language model.
        """
        sentences = candidates(request) if self.config.retrieve else []
        order = self._order([one.text for one in sentences], request)
        kept = [sentences[at] for at, _, _ in order][: self.config.candidates]
        made = self._written(request, kept, seed) if self.config.write else [_quoted(one) for one in kept]
        made = made or [self._shared(request)]
        if request.max_words is not None:
            made = [one for one in made if len(one.text.split()) <= request.max_words]
        scored = self._order([one.said for one in made], request)
        return [replace(made[at], item=item, user=user) for at, item, user in scored]

    def _order(self, texts: Sequence[str], request: GenerationRequest) -> list[tuple[int, float, float]]:
        """(index, relevance to the song, relevance to the user), the best first where reranking is on."""
        if not texts:
            return []
        item = self._relevance(texts, described(request.item))
        user = self._relevance(texts, " ".join([*_tags(request), *map(described, request.history)]))
        scored = [(at, float(item[at]), float(user[at])) for at in range(len(texts))]
        w = self.config.item_weight
        return sorted(scored, key=lambda one: -(w * one[1] + (1 - w) * one[2])) if self.config.rerank else scored

    def _written(self, request: GenerationRequest, sentences: Sequence[Sentence], seed: int) -> list[Reason]:
        tags = _tags(request)
        # of long texts a language model is told the sentence alone, which holds nothing private
        item = row_without_commands(request.item)
        facts = {"title": title_of(item)}
        facts |= {column: ", ".join(values) for column, values in attributes(item).items()}
        task = (
            "Say in one sentence why the song suits the listener. Use only what the data says of the song, and "
            "name nobody who commented."
        )
        asked = [
            Prompt(task, {**facts, "listener likes": ", ".join(tags), "said of it": one.text}) for one in sentences
        ]
        names = [name for name in commenters(request) if true_of(request.item, name) is None]
        out = []
        for one, prompt, text in zip(sentences, asked, self.ask(asked, [None] * len(asked), seed=seed), strict=True):
            told = " ".join(prompt.data.values())
            clean = text is not None and not is_private(text, names) and numbers(text) <= numbers(told)
            # a reason that takes up no word of song, sentence or tags is none
            clean = clean and not {word for word in words(text or "") if len(word) > 3}.isdisjoint(words(told))
            if text and clean and self.accepts(request, text):
                out.append(Reason(text, (one.evidence, *_named(text, request)), text, written=True))
            else:
                out.append(_framed(one, request))
        return out

    def _shared(self, request: GenerationRequest) -> Reason:
        """A reason from shared values alone."""
        held = [value for values in attributes(request.item).values() for value in values]
        liked = {tag.casefold() for tag in _tags(request)}
        shared = [value for value in held if value.casefold() in liked][:3]
        said = f"{title_of(request.item)}: {listed(shared or held[:2])}" if held else title_of(request.item)
        text = f"{said}, as you like." if shared else f"{said}."
        return Reason(text, _named(text, request), text)

    def _generated(self, request: GenerationRequest, seed: int) -> Generated:
        found = self.reasons(request, seed=seed)
        if not found:
            return Generated(provenance=self.provenance(seed, fallback="no reason within the length"))
        best = found[0]
        reason = "quoted, not written" if self.backend is not None and not best.written else None
        scores = {"relevance": best.item, "personal": best.user}
        made = self.provenance(seed, reason, candidates=str(len(found)))
        return Generated(best.text, evidence=best.evidence, provenance=made, scores=scores)


def _tags(request: GenerationRequest) -> list[str]:
    return list(dict.fromkeys([*request.options.get("tags", ()), *(one.value for one in request.preferences)]))


def _quoted(one: Sentence) -> Reason:
    who = "A listener says" if one.by_listener else "From its description"
    return Reason(f"{who}: “{one.text}”", (one.evidence,), one.text)


def _framed(one: Sentence, request: GenerationRequest) -> Reason:
    """The quotation after those of the user's tags that are true of the song or that the sentence names."""
    said, quote = words(one.text), _quoted(one)
    true = [tag for tag in _tags(request) if contains(said, words(tag)) or true_of(request.item, tag) is not None][:2]
    if not true:
        return quote
    lead = "a listener says" if one.by_listener else "from its description"
    text = f"For your taste for {listed(true)}, {lead}: “{one.text}”"
    return Reason(text, (one.evidence, *_named(listed(true), request)), one.text)


def _named(text: str, request: GenerationRequest) -> tuple[Evidence, ...]:
    """Values of the song that a text names."""
    said, identity = words(text), str(next(iter(request.item.values()), ""))
    found: Mapping[str, Sequence[str]] = attributes(request.item)
    return tuple(
        Evidence("item", identity, column, value)
        for column, values in found.items() for value in values if contains(said, words(value))
    )  # fmt: skip
