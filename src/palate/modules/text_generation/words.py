"""Words of texts, a vocabulary of the frequent ones, and ids for all the others, so that they can be copied."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

PAD, UNKNOWN, START, END = range(4)
SPECIAL = ("[PAD]", "[UNK]", "[START]", "[END]")
"""Ids 0 to 3. No text yields them: brackets are words of their own."""
MAX_CHARACTERS = 20_000
"""Characters of a text that are read."""
MAX_WORD = 64
"""Characters of a word; longer runs are cut into several."""
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0dff\u0e31-\u0e4e"
_INNER = f"(?:(?![{_CJK}])[\\w{_MARKS}])"
_WORD = re.compile(f"[{_CJK}]|{_INNER}+(?:['’\\-]{_INNER}+)*|[^\\w\\s]")
_CLOSING = frozenset(".,;:!?)]}%…»”’'、。，！？：；）」』")
_OPENING = frozenset("([{«“$#£€¿¡（「『")
_SINGLE = re.compile(f"^[{_CJK}、。，！？：；（）「」『』]$")


def split_words(text: str) -> list[str]:
    """Words and marks of a text, as they are spelled; scripts without spaces letter by letter.

    Args:
        text: any text; invisible and control characters are dropped.
    """
    clean = _INVISIBLE.sub("", unicodedata.normalize("NFC", text[:MAX_CHARACTERS]))
    found = _WORD.findall(clean)
    return [word[at : at + MAX_WORD] for word in found for at in range(0, len(word), MAX_WORD)]


def join_words(words: Sequence[str]) -> str:
    """A text of words and marks, with spaces where they belong.

    Args:
        words: as :func:`split_words` returns them.
    """
    out: list[str] = []
    quoted = False
    glued = True
    for word in words:
        closing = word in _CLOSING or (word == '"' and quoted)
        dense = bool(out) and _SINGLE.match(word) is not None and _SINGLE.match(out[-1][-1:]) is not None
        if not (glued or closing or dense):
            out.append(" ")
        out.append(word)
        glued = word in _OPENING or (word == '"' and not quoted)
        quoted ^= word == '"'
    return "".join(out)


def shared_words(texts: Sequence[str | None], owners: Sequence[int], least: int = 2) -> list[str]:
    """Words that several people use: what only one person wrote is not to be learnt, nor kept after this person left.

    Args:
        texts: None where there is none.
        owners: who wrote or was given each.
        least: people who must have a word.

    Returns:
        The texts, each reduced to these words.
    """
    people: dict[str, set[int]] = {}
    split = [(split_words(text) if text else [], owner) for text, owner in zip(texts, owners)]
    for words, owner in split:
        for word in words:
            people.setdefault(word.lower(), set()).add(owner)
    return [" ".join(word for word in words if len(people[word.lower()]) >= least) for words, _ in split]


class WordVocabulary:
    """The words that can be generated: special ones, marks of a model's own, and the most frequent words.

    Words are told apart in lower case, and written in the form that is most frequent in the texts.

    Args:
        forms: words as they are written, in the order of their ids after the special ones and ``marks``.
        marks: words of a model's own, such as ``[IMG_3]``; no text yields them.
    """

    def __init__(self, forms: Sequence[str], marks: Sequence[str] = ()) -> None:
        self.marks, self.forms = tuple(marks), [*SPECIAL, *marks, *forms]
        self.ids = {word.lower(): at for at, word in enumerate(self.forms)}
        self.first_word = len(SPECIAL) + len(marks)

    @classmethod
    def learn(cls, texts: Iterable[str], size: int = 8000, marks: Sequence[str] = (), least: int = 1) -> Self:
        """The most frequent words of texts; the same texts give the same words, whatever their order.

        Args:
            texts: to count words in.
            size: words at most.
            marks: words of a model's own.
            least: a word that occurs less often is left out.
        """
        spellings: dict[str, Counter[str]] = {}
        for text in texts:
            for word in split_words(text):
                spellings.setdefault(word.lower(), Counter())[word] += 1
        counts = sorted((-form.total(), word) for word, form in spellings.items() if form.total() >= least)
        best = [min(spellings[word].items(), key=lambda pair: (-pair[1], pair[0]))[0] for _, word in counts[:size]]
        return cls(best, marks)

    def __len__(self) -> int:
        return len(self.forms)

    def mark(self, name: str) -> int:
        """The id of a mark.

        Args:
            name: one of ``marks``.
        """
        return self.marks.index(name) + len(SPECIAL)

    def dump(self) -> dict[str, Any]:
        """JSON-able state from which :meth:`load` makes the same vocabulary."""
        return {"forms": self.forms[self.first_word :], "marks": list(self.marks)}

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Self:
        """Restore what :meth:`dump` returned.

        Args:
            state: as returned.
        """
        return cls([str(form) for form in state["forms"]], [str(mark) for mark in state["marks"]])


class Lexicon:
    """Ids of all words of some texts: those of a vocabulary, then those of words met along the way.

    Args:
        vocabulary: words that can be generated without being copied.
    """

    def __init__(self, vocabulary: WordVocabulary) -> None:
        self.vocabulary = vocabulary
        self._ids: dict[str, int] = {}
        self._forms: list[str] = []

    def ids(self, texts: Sequence[str | None], length: int, end: bool = False) -> NDArray[np.int64]:
        """Ids of the words of texts.

        Args:
            texts: None where there is no text.
            length: words that are kept of each.
            end: close each text that has words with ``END``, which counts.

        Returns:
            int64 [n, length], ``PAD`` beyond a text's end; ids from ``len(vocabulary)`` on are other words.
        """
        out = np.full((len(texts), length), PAD, np.int64)
        for row, text in enumerate(texts):
            words = [self._id(word) for word in split_words(str(text or ""))[: length - end]]
            words += [END] if end and words else []
            out[row, : len(words)] = words
        return out

    def _id(self, word: str) -> int:
        known = self.vocabulary.ids.get(word.lower())
        if known is not None:
            return known
        if word.lower() not in self._ids:
            self._ids[word.lower()] = len(self.vocabulary) + len(self._forms)
            self._forms.append(word)
        return self._ids[word.lower()]

    def words(self, ids: Iterable[int]) -> list[str]:
        """Words by id, up to ``END``; special words and marks are left out.

        Args:
            ids: as of :meth:`ids`.
        """
        out = []
        for one in ids:
            if one == END:
                break
            if one >= len(self.vocabulary):
                out.append(self._forms[one - len(self.vocabulary)])
            elif one >= self.vocabulary.first_word:
                out.append(self.vocabulary.forms[one])
        return out

    def text(self, ids: Iterable[int]) -> str:
        """The text of ids, with a capital first letter.

        Args:
            ids: as of :meth:`ids`.
        """
        text = join_words(self.words(ids))
        return text[:1].upper() + text[1:]
