"""Human-AI co-creation of headlines (Ding et al., Findings of EMNLP 2023).

A person reads a document; perspectives (keywords) are proposed, of which several are chosen; three headlines are
proposed from them, of which one is chosen and may be edited; at last the person rates the difficulty. The session,
its conditions and its log are :class:`palate.generation.flows.session.CoCreationSession`; this file is the writer.

Keywords are values and frequent words of the document, those of the user's taste first. A language model is asked for
headlines under the constraint that the chosen words occur; numbers that the document does not have refuse a headline.

Ours: without a language model headlines are the title with the chosen words, in three forms; where none were chosen,
each takes up others.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from palate.contracts import Constraint, Evidence, Generated, GenerationRequest, Prompt, generators
from palate.generation.decoding.commands import without_commands
from palate.generation.flows.generator import FlowConfig, FlowGenerator
from palate.generation.flows.item_values import attributes, contains, listed, numbers, title_of, true_of, words
from palate.generation.flows.session import CoCreationSession, Condition

FORMS = ("{title}: {words}", "{words}: {title}", "{title}, with {words}")
_COMMON = (
    "about after again also because been before being between both could does during each from have having here into "
    "just more most only other over same should some such than that their them then there these they this those "
    "through under until very were what when where which while will with would your made make makes come comes psst"
)
COMMON = frozenset(_COMMON.split())
"""English words that say nothing of a document."""


@generators.register("co_creation")
class CoCreation(FlowGenerator):
    """Headlines from chosen perspectives, alone (``ai_only``) or in a session with a person.

    Options of a request: ``perspectives`` (words that the headline takes up; those of the user's taste by default).
    """

    name = "co_creation"
    paper = "Ding et al., Harnessing the Power of LLMs: Evaluating Human-AI Text Co-Creation, Findings of EMNLP 2023"
    kinds = ("headline",)

    class Config(FlowConfig):
        """Settings of the proposals."""

        perspectives: int = Field(8, ge=1, description="keywords that are proposed")
        headlines: int = Field(3, ge=1, le=len(FORMS), description="headlines that are proposed")

    config: Config

    def session(
        self,
        request: GenerationRequest,
        condition: Condition = "guidance_selection_post_editing",
        *,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> CoCreationSession:
        """Begin a session about an item.

        Args:
            request: the item is the document.
            condition: which steps there are.
            seed: of the language model.
            clock: seconds, rising.
        """
        document = {key: text for key, text in _texts(request.item).items() if text}
        return CoCreationSession(document, self.writer(request, seed=seed), condition, clock)

    def writer(self, request: GenerationRequest, *, seed: int = 0) -> HeadlineWriter:
        """What proposes in a session; also for one that is resumed.

        Args:
            request: the item is the document.
            seed: of the language model.
        """
        return HeadlineWriter(self, request, seed)

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        self.check_kinds(requests)
        return [self._alone(request, seed) for request in requests]

    def _alone(self, request: GenerationRequest, seed: int) -> Generated:
        writer = self.writer(request, seed=seed)
        asked = [word for word in request.options.get("perspectives", ()) if true_of(request.item, word)]
        chosen = asked or writer.liked()[:2] or list(writer.keywords()[:2])
        text = next(iter(writer.headlines(chosen)), None)
        if text is not None and request.max_words is not None:
            text = " ".join(text.split()[: request.max_words])
        said = words(text or "")
        columns = {key for word in chosen if contains(said, words(word)) and (key := true_of(request.item, word))}
        identity = str(next(iter(request.item.values()), ""))
        evidence = [Evidence("item", identity, key, request.item[key]) for key in sorted(columns)]
        return Generated(text, evidence=evidence, provenance=self.provenance(seed, condition="ai_only"))


@dataclass(frozen=True)
class HeadlineWriter:
    """Proposes perspectives and headlines for one item.

    Attributes:
        model: settings and language model.
        request: the item.
        seed: of the language model.
    """

    model: CoCreation
    request: GenerationRequest
    seed: int

    def liked(self) -> list[str]:
        """Values of the item that the user likes, the strongest first."""
        held = {value.casefold(): value for values in attributes(self.request.item).values() for value in values}
        wanted = [one.value.casefold() for one in self.request.preferences]
        return [held[value] for value in dict.fromkeys(wanted) if value in held]

    def keywords(self) -> Sequence[str]:
        """Values of the item and frequent words of its texts, without the title's own words."""
        item = self.request.item
        own = set(words(title_of(item)))
        values = [value for found in attributes(item).values() for value in found]
        texts = " ".join(text for text in _texts(item).values() if len(text.split()) > 4)
        counts = Counter(word for word in words(texts) if len(word) > 3 and word not in COMMON and word not in own)
        ordered = sorted(counts, key=lambda word: (-counts[word], word))[: 2 * self.model.config.perspectives]
        frequent = [word for word in ordered if true_of(item, word) is not None]
        found = {one.casefold(): one for one in (*self.liked(), *values, *frequent)[::-1] if one.casefold() not in own}
        return list(found.values())[::-1][: self.model.config.perspectives]

    def headlines(self, perspectives: Sequence[str]) -> Sequence[str]:
        """Headlines that take up the perspectives.

        Args:
            perspectives: words that occur; empty leaves the choice to the writer, another one for each headline.
        """
        title, n = title_of(self.request.item), self.model.config.headlines
        own = [] if perspectives else list(self.keywords())
        pairs = [list(perspectives)] * n if perspectives else [own[at : at + 2] for at in range(0, 2 * n, 2)]
        ruled = [form.format(title=title, words=listed(pair)) for form, pair in zip(FORMS, pairs) if pair] or [title]
        ruled = [text[:1].upper() + text[1:] for text in ruled]
        task = "Write one headline for the article. It must be true to the article and use the given words."
        data = {**_texts(self.request.item), "words": ", ".join(perspectives)}
        constraint = Constraint(must_include=tuple(perspectives)) if perspectives else None
        known = numbers(" ".join(data.values()))
        written = []
        for at in range(n):
            [text] = self.model.ask([Prompt(task, data)], [constraint], seed=self.seed + at)
            named_all = text is not None and all(contains(words(text), words(one)) for one in perspectives)
            if text and named_all and numbers(text) <= known and self.model.accepts(self.request, text):
                written.append(text)
        return list(dict.fromkeys([*written, *ruled]))[:n]


def _texts(item: Mapping[str, Any]) -> dict[str, str]:
    """Columns of an item that can be read, each up to its first command to a language model."""
    return {key: without_commands(str(value)) for key, value in item.items() if isinstance(value, str | int | float)}
