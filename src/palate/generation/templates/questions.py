"""Answers from an item's own facts, and questions that narrow a choice down."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from palate.contracts import Evidence, GenerationRequest
from palate.generation.evidence import Fact, role_of, said, words_of
from palate.generation.templates.language import Language, question_words
from palate.generation.templates.slots import Slots, sentences

MIN_OVERLAP = 0.5
"""Share of a question's words that a sentence of a description must hold to answer it."""


def answer_slots(slots: Slots, request: GenerationRequest, language: Language) -> None:
    """Fill what answers the request's prompt: a fact, a sentence of the description, or what is not known.

    Args:
        slots: are filled.
        request: the request.
        language: the language to write in.
    """
    question = said(request.prompt or "", 400)
    asked = set(_words(question))
    if not asked:
        return
    facts = slots.facts
    words = question_words()
    roles = {role: min(sum(_asks(word, asked, question) for word in own), 2) for role, own in words.items()}
    best, most = None, 0.0
    for fact in facts:
        named = 2.0 * len(asked & set(fact.label.split())) if fact.role == "other" else 0.0
        mentioned = sum(
            _mentions(question, value) for value in fact.values if fact.role not in ("title", "description")
        )
        score = roles.get(fact.role, 0) + named + 1.5 * min(mentioned, 1)
        if score > most:
            best, most = fact, score
    wanted = max(roles, key=lambda role: roles[role], default="")
    if best is not None and best.role == "description":
        _passage(slots, best, sentences(best.values[0])[:1])
    elif best is not None and most >= roles.get(wanted, 0):
        label = language.label(best.role, best.label)
        slots.put("answer", language.phrase("pred", best.role, best.values[:5], label), best.evidence(best.values[:5]))
    elif roles.get(wanted, 0):
        slots.put("asked", language.label(wanted, wanted))
    if not slots.texts.keys() & {"answer", "passage", "asked"}:
        _search(slots, facts, asked - set(language.file["stop"]))


def option_slots(slots: Slots, request: GenerationRequest, language: Language) -> None:
    """Fill two options of a question: of ``choices``, else values that the user likes, else values of the item.

    Args:
        slots: are filled.
        request: the request.
        language: the language to write in.
    """
    options = [said(one) for one in list(request.options.get("choices", ()))[:2]]
    rows = [Evidence("user", request.user or "", "choices", text) for text in options]
    if not options:
        found = [
            (one.column, one.value, Evidence("history", name, one.column, one.value))
            for one in slots.liked
            for name in one.items[-1:]
        ]
        first = found[0][0] if found else ""
        same = [one for one in found if one[0] == first][:2]
        if not same:
            facts = [f for f in slots.facts if f.role not in ("title", "description")]
            fact = next((f for f in facts if len(f.values) > 1), None)
            same = [] if fact is None else [(fact.column, v, fact.evidence([v])[0]) for v in fact.values[:2]]
        for column, value, row in same:
            role = role_of(column)
            options.append(language.phrase("post", role, [value], language.label(role, words_of(column))))
            rows.append(row)
    for at, (text, row) in enumerate(zip(options, rows)):
        slots.put(f"option{at + 1}", text, [row])
    facts = [fact for fact in slots.facts if fact.role not in ("title", "description")][:3]
    if len(facts) > 1:
        labels = [language.label(fact.role, fact.label) for fact in facts]
        slots.put("labels", language.listing(list(dict.fromkeys(labels))), [row for f in facts for row in f.evidence()])


def _search(slots: Slots, facts: Sequence[Fact], asked: set[str]) -> None:
    """The sentence of a description that holds most words of the question."""
    found = []
    for fact in facts:
        if fact.role == "description":
            for sentence in sentences(fact.values[0]):
                share = len(asked & set(_words(sentence))) / max(len(asked), 1)
                found.append((share, fact, sentence))
    if found and asked:
        share, fact, sentence = max(found, key=lambda one: one[0])
        if share >= MIN_OVERLAP:
            _passage(slots, fact, [sentence])


def _passage(slots: Slots, fact: Fact, found: Sequence[str]) -> None:
    if found:
        text = found[0] if found[0][-1:] in ".!?。！？…" else f"{found[0]}."
        slots.put("passage", text, [Evidence("item", fact.id, fact.column, found[0])])


def _asks(word: str, asked: set[str], question: str) -> bool:
    plain = " ".join(_words(word))
    return plain in asked or (not plain.isascii() and word in question)


def _mentions(question: str, value: str) -> bool:
    return len(value) > 2 and re.search(rf"(?<!\w){re.escape(value.lower())}(?!\w)", question.lower()) is not None


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.lower())
    return re.findall(r"\w+", "".join(letter for letter in plain if not unicodedata.combining(letter)))
