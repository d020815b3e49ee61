"""Commands to a language model that stand in data: found, left out of prompts, and never said again.

Texts of items and users describe; they do not tell a model what to do. From the first sentence that does (one that
takes back earlier instructions, changes roles, dictates or hides an answer, imitates a conversation or the call of a
tool) the rest of a text is left out of prompts. What a model writes is refused where it has marks of a conversation or
a page, gives commands itself, or says words that its prompt has in such a rest alone.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import yaml

from palate.contracts import Prompt

_SENTENCE = re.compile(r"[^.!?;\n。！？…؟।]*(?:[.!?;。！？…؟।]+|\n|$)")
_WORD = re.compile(r"[a-z0-9]+|[^\W_a-z0-9]+")
"""Words of small letters; Latin ones apart from those of scripts that set no spaces."""
_LEAST = 4
"""Letters of a word that says where it comes from."""
_LOOKALIKES = str.maketrans(
    "аеорсухіѕјԁһӏԛԝοανικτρυχᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ013457@$",
    "aeopcyxisjdhlqwoaviktpuxabcdefghijklmnoprstuvwyzoieastas",
)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_APART = re.compile(r"\b(?:[^\W_][ .\-_*]{1,3}){7,}[^\W_]\b")
"""Letters set apart, so that words are not seen; no mark is both letter and gap, so that one reading is tried."""
_BACKWARDS = re.compile("[\u202d\u202e\u2066-\u2068]")
_MARKUP = re.compile(r"<\||\|>|</?\w+[^<>]*>|\[/?INST\]|```|\{\s*\"|\b(?:system|assistant|user)\s*:", re.IGNORECASE)


@cache
def _rules() -> re.Pattern[str]:
    text = (files("palate.generation.decoding") / "commands.yaml").read_text(encoding="utf-8")
    rules = [rule for kind in yaml.safe_load(text).values() for rule in kind]
    # where no word begins, all rules that begin with a word are passed over at once
    words = "|".join(rule.removeprefix(r"\b") for rule in rules if rule.startswith(r"\b"))
    others = "|".join(rule for rule in rules if not rule.startswith(r"\b"))
    return re.compile(rf"\b(?:{words})|{others}", re.IGNORECASE | re.DOTALL)


def without_commands(text: str) -> str:
    """A text up to the first sentence that tells a model what to do.

    Args:
        text: of an item, user or document.
    """
    return text[: _first_command(text)].rstrip()


def commands_of(text: str) -> str:
    """The rest of a text from its first command on; empty where there is none.

    Args:
        text: of an item, user or document.
    """
    return text[_first_command(text) :].strip()


def row_without_commands(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose texts go up to their first command each, before they are joined to one.

    Args:
        row: column -> value.
    """
    return {name: without_commands(value) if isinstance(value, str) else value for name, value in row.items()}


def is_obedient(prompt: Prompt, answer: str) -> bool:
    """Whether an answer seems to follow a text of its data.

    Args:
        prompt: what was asked.
        answer: what a language model wrote.
    """
    if _MARKUP.search(answer) or commands_of(answer):
        return True
    texts = [*prompt.data.values(), *(text for values, _ in prompt.examples for text in values.values())]
    commanded = _words(commands_of(text) for text in texts)
    if not commanded:
        return False
    # of a title that is a command itself the words are known from nowhere else
    own = _words([*(without_commands(text) for text in texts), prompt.instruction, prompt.answer_start])
    return bool(_words([answer]) & (commanded - own))


def _words(texts: Iterable[str]) -> set[str]:
    found = {word for text in texts for word in _WORD.findall(_plain(text))}
    return {word for word in found if len(word) >= _LEAST or not word.isascii()}


@lru_cache(4096)
def _first_command(text: str) -> int:
    """Place of the first sentence with a command; the length of the text where there is none."""
    if not _commands(text):
        return len(text)
    starts = [match.start() for match in _SENTENCE.finditer(text) if match[0].strip()]
    alone = (start for start, end in pairwise([*starts, len(text)]) if _commands(text[start:end]))
    stop = next(alone, len(text))
    if not starts or not _commands(text[:stop]):
        return stop
    # a command that runs over the end of a sentence: where it ends first, then the last sentence that it begins in
    starts = starts[: bisect_left(starts, stop)]
    ends = [*starts[1:], stop]
    end = ends[bisect_left(ends, True, hi=len(ends) - 1, key=lambda at: _commands(text[:at]))]
    return starts[max(0, bisect_left(starts, True, key=lambda at: at >= end or not _commands(text[at:end])) - 1)]


def _commands(text: str) -> bool:
    plain, apart = _plain(text).strip(), _plain(_INVISIBLE.sub(" ", text)).strip()
    if _APART.search(text):
        return True
    read = {plain, apart, plain.translate(_LOOKALIKES), plain[::-1] if _BACKWARDS.search(text) else plain}
    return any(_rules().search(one) for one in read)


def _plain(text: str) -> str:
    """Compatible characters made equal, invisible ones taken out, runs of spaces made one, letters set apart joined."""
    clean = unicodedata.normalize("NFKC", text)
    hidden = "".join(chr(ord(one) - 0xE0000) if 0xE0020 <= ord(one) <= 0xE007E else one for one in clean)
    seen = "".join(one for one in hidden if unicodedata.category(one) not in ("Cf", "Mn") or one == "\n")
    seen = re.sub(r"[^\S\n]+", " ", seen)
    return re.sub(r"\b(?:[^\W_][ .\-_*]){4,}[^\W_]\b", lambda run: re.sub(r"[ .\-_*]", "", run[0]), seen).casefold()
