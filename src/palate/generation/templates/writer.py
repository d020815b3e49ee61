"""Texts from templates: which patterns are said, within a length, and on what evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from palate.contracts import Evidence, GenerationRequest
from palate.core.seeding import rng_for
from palate.generation.evidence import item_id
from palate.generation.templates.grammar import fill, parse
from palate.generation.templates.language import Language, isolated, language_of
from palate.generation.templates.questions import answer_slots, option_slots
from palate.generation.templates.slots import Slots, fill_slots, ordered_facts, read_request

MAX_WORDS = {
    "headline": 14, "title": 16, "email_subject": 12, "keywords": 16, "tags": 12, "clarifying_question": 30,
    "explanation": 60, "answer": 60, "marketing_copy": 60, "paraphrase": 60, "description": 110,
}  # fmt: skip
"""Length of each kind where the request sets none."""
CHARACTERS = 2
"""Characters of a word in a script without spaces, about."""
LISTS = ("keywords", "tags")
MORE: dict[str, Callable[[Slots, GenerationRequest, Language], None]] = {
    "answer": answer_slots,
    "clarifying_question": option_slots,
}


@dataclass(frozen=True)
class Written:
    """A text of the templates.

    Attributes:
        text: the text.
        evidence: what it says, row by row.
        pattern: number of its first pattern, so that the next text begins in another way.
        language: language that it is written in.
        known: whether that is the one that was asked for.
    """

    text: str
    evidence: tuple[Evidence, ...]
    pattern: str
    language: str
    known: bool


def count_words(text: str) -> int:
    """Words of a text; each character of a script without spaces is one.

    Args:
        text: any text.
    """
    wide = sum("\u3040" <= letter <= "\u9fff" or "\uac00" <= letter <= "\ud7af" for letter in text)
    spaced = "".join(" " if "\u3040" <= letter <= "\u9fff" else letter for letter in text)
    return wide + sum(any(letter.isalnum() for letter in word) for word in spaced.split())


def write(request: GenerationRequest, seed: int, unlike: str = "") -> Written:
    """Write a text; all that it says is in its evidence.

    Args:
        request: the request, of a kind of text.
        seed: same seed, same text.
        unlike: pattern that the text before began with, which this one does not, if it can.
    """
    language, known = language_of(request.language)
    rng = rng_for(seed, "template", request.kind, request.user, item_id(request.item), language.code)
    limit = request.max_words
    if limit is None:
        # each character of a script without spaces counts as a word
        limit = MAX_WORDS.get(request.kind, 60) * (1 if language.spaced else CHARACTERS)
    slots = read_request(request)
    fill_slots(slots, request, language)
    if request.kind in LISTS:
        text, rows = _list(slots, request, limit)
        return Written(text, tuple(rows), "", language.code, known)
    if request.kind in MORE:
        MORE[request.kind](slots, request, language)
    parts, rows, first = list[str](), list[Evidence](), ""
    for at, section in enumerate(language.sections(request.kind)):
        text, names, pattern = _say(section, slots, rng, limit - sum(map(count_words, parts)), unlike, at == 0)
        if text and (at == 0 or not _repeats(rows, slots, names)):
            parts.append(text)
            rows += [row for name in names for row in slots.rows.get(name, ())]
            first = first or pattern
    return Written(_joined(parts, language.spaced), tuple(dict.fromkeys(rows)), first, language.code, known)


def _say(
    section: Sequence[Sequence[str]], slots: Slots, rng: np.random.Generator, limit: int, unlike: str, required: bool
) -> tuple[str, list[str], str]:
    """One pattern of a section that fits; a required section says its shortest, cut, where none fits."""
    shortest: tuple[str, list[str], str] | None = None
    for tier in section:
        usable = [pattern for pattern in tier if parse(pattern).usable(slots.texts)]
        order = [usable[int(at)] for at in rng.permutation(len(usable))]
        order.sort(key=lambda pattern: pattern == unlike)
        for pattern in order:
            for clauses in (True, False):
                text, names = fill(parse(pattern), slots.texts, rng, clauses)
                if count_words(text) <= limit:
                    return text, names, pattern
                if shortest is None or count_words(text) < count_words(shortest[0]):
                    shortest = text, names, pattern
    if not required or shortest is None:
        return "", [], ""
    return _cut(shortest[0], limit), shortest[1], shortest[2]


def _joined(parts: Sequence[str], spaced: bool) -> str:
    """Sentences in a row; without spaces between them, unless one is in a script that has some."""
    text = ""
    for part in parts:
        text += (" " if text and (spaced or text[-1].isascii()) else "") + part
    return text


def _cut(text: str, limit: int) -> str:
    words = text.split(" ")
    while len(words) > 1 and count_words(" ".join(words)) > limit:
        words.pop()
    kept = " ".join(words)
    while len(kept) > 1 and count_words(kept) > limit:
        kept = kept[:-1]
    return kept if kept == text else kept.rstrip(" ,;:–-") + "…"


def _repeats(rows: Sequence[Evidence], slots: Slots, names: Sequence[str]) -> bool:
    """Whether a sentence says nothing but what was said."""
    news = [row for name in names for row in slots.rows.get(name, ()) if name not in ("item", "item_plain")]
    return bool(news) and all(row in rows for row in news)


def _list(slots: Slots, request: GenerationRequest, limit: int) -> tuple[str, list[Evidence]]:
    """Values of the item, those that the user likes first."""
    parts, rows, used = list[str](), list[Evidence](), 0
    must = [str(one) for one in request.options.get("must_include", ())]
    for fact in ordered_facts(slots, ""):
        if fact.role in ("price", "duration", "rated", "other", "size"):
            continue
        for value in fact.values:
            text = value.lower() if request.kind == "tags" else value
            size = count_words(text)
            if used + size <= limit and text.lower() not in (one.lower() for one in parts):
                parts.append(text)
                rows += fact.evidence([value])
                used += size
    order = sorted(range(len(parts)), key=lambda at: parts[at] not in must)
    if not parts:
        return _cut(slots.texts["item_plain"], limit), list(slots.rows["item_plain"])
    return ", ".join(isolated(parts[at]) for at in order), [rows[at] for at in order]
