"""What a language model is asked for each kind of text, and how its answer is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palate.contracts import GenerationRequest, Prompt
from palate.contracts.generator import TextKind
from palate.generation.decoding.commands import is_obedient
from palate.generation.evidence import title_of
from palate.generation.facts.sheet import title_variants
from palate.generation.facts.words import key_of, sentences
from palate.generation.prompting.answers import first_line, keep_distinct, keep_known, parse_list

ECHO = 6
"""Words in a row of the instruction from which an answer repeats it."""
COPIED = 0.7
"""Overlap of words with the answer of an example from which an answer is its copy."""
_MARK = re.compile(r"</?\w+>|```|<\|")
Read = Callable[[str, "KindPrompt", Sequence[str]], str | None]


@dataclass(frozen=True)
class KindPrompt:
    """A kind of text.

    Attributes:
        instruction: what to do.
        max_words: length where the request sets none.
        read: (answer, kind, values of the item) -> the text; None where the answer is not of the kind.
        needs: slot without which the kind makes no sense; empty for none.
        personal: whether the user's taste belongs into the prompt.
    """

    instruction: str
    max_words: int
    read: Read
    needs: str = ""
    personal: bool = True


def cut(text: str, words: int) -> str | None:
    """A text within a number of words, ended after a sentence; None where its first sentence is longer.

    Args:
        text: any.
        words: at most.
    """
    if len(text.split()) <= words:
        return text
    kept = [stop for _, stop in sentences(text) if len(text[:stop].split()) <= words]
    return text[: kept[-1]].strip() if kept else None


def repeats(text: str, prompt: Prompt) -> bool:
    """Whether an answer repeats its instruction, its data's marks, the answer of an example or a command in the data.

    Args:
        text: the answer.
        prompt: what was asked.
    """
    if is_obedient(prompt, text):
        return True
    words, asked = key_of(text), f" {' '.join(key_of(prompt.instruction))} "
    if _MARK.search(text) or any(
        f" {' '.join(words[at : at + ECHO])} " in asked for at in range(len(words) - ECHO + 1)
    ):
        return True
    shown = [set(key_of(answer)) for _, answer in prompt.examples]
    return any(len(one & set(words)) > COPIED * len(one | set(words)) for one in shown)


def strays(text: str, request: GenerationRequest) -> bool:
    """Whether a text is about an item of the history: names one of them, but not the item.

    Args:
        text: the answer.
        request: what it should be about.
    """
    said = f" {' '.join(key_of(text))} "

    def named(item: Mapping[str, Any]) -> bool:
        title = title_of(item)
        return title is not None and any(f" {' '.join(key_of(one))} " in said for one in title_variants(title[1]))

    return not named(request.item) and any(map(named, request.history))


def _line(answer: str, kind: KindPrompt, values: Sequence[str]) -> str | None:
    line = first_line(answer)
    return line if line and len(line.split()) <= kind.max_words and any(map(str.isalnum, line)) else None


def _prose(answer: str, kind: KindPrompt, values: Sequence[str]) -> str | None:
    text = " ".join(answer.split()).strip('"“”„« »')
    # small models say the same again and again
    text = " ".join(keep_distinct(text[start:stop].strip() for start, stop in sentences(text)))
    return (cut(text, kind.max_words) or None) if any(map(str.isalnum, text)) else None


def _question(answer: str, kind: KindPrompt, values: Sequence[str]) -> str | None:
    line = first_line(answer) or ""
    asked = next((line[start:stop] for start, stop in sentences(line) if line[start:stop].rstrip()[-1:] in "?？"), None)
    return asked if asked and len(asked.split()) <= kind.max_words else None


def _list(answer: str, kind: KindPrompt, values: Sequence[str]) -> str | None:
    found = keep_distinct(keep_known(parse_list(answer) or [], values))
    while found and len(" ".join(found).split()) > kind.max_words:
        found.pop()
    return ", ".join(found) or None


_RULE = "Use only what the data says."
KINDS: dict[TextKind, KindPrompt] = {
    "explanation": KindPrompt(
        f"Say in one sentence why the reader may like the item, by what it shares with their taste. {_RULE}", 40, _prose
    ),
    "headline": KindPrompt(f"Write one short headline about the item for the reader. {_RULE}", 14, _line),
    "title": KindPrompt(f"Write a title for the item. {_RULE}", 16, _line, personal=False),
    "description": KindPrompt(f"Describe the item in two sentences. {_RULE}", 80, _prose, personal=False),
    "marketing_copy": KindPrompt(f"Advertise the item to the reader in two short sentences. {_RULE}", 50, _prose),
    "answer": KindPrompt(
        f"Answer the reader's question about the item in one sentence. {_RULE}", 50, _prose, "question", False
    ),
    "keywords": KindPrompt(
        f"List the words and names of the data that matter most to the reader, with commas between them. {_RULE}",
        16, _list,
    ),
    "clarifying_question": KindPrompt(
        "Ask the reader one short question that tells which of such items suits them.", 25, _question
    ),
    "email_subject": KindPrompt(f"Write the subject line of an email that offers the item. {_RULE}", 12, _line),
    "paraphrase": KindPrompt(
        f"Say the description in other words, in one or two sentences. {_RULE}", 50, _prose, "description", False
    ),
    "tags": KindPrompt(
        f"List the tags of the item that stand in the data, with commas between them. {_RULE}", 12, _list,
        personal=False,
    ),
}  # fmt: skip
"""Every kind of text."""
